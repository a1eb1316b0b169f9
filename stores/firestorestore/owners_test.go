package firestorestore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/firestorestore"
)

func entry(key stores.Key, life time.Duration) stores.Entry {
	return stores.Entry{Key: key, Data: []byte("sealed entry"), Expires: time.Now().Add(life)}
}

// ownerDoc and entryDoc are what the package promises.
func (f *fixture) ownerDoc(owner stores.Key) *firestore.DocumentRef {
	return f.client.Collection("sessions_owners").Doc("o" + owner.Name())
}

func (f *fixture) entryDoc(owner, key stores.Key) *firestore.DocumentRef {
	return f.ownerDoc(owner).Collection("sessions_entries").Doc("s" + key.Name())
}

func (f *fixture) add(t testing.TB, owner stores.Key, e stores.Entry) uint64 {
	t.Helper()
	number, err := f.AddEntry(context.Background(), owner, e)
	require.NoError(t, err)
	require.NotZero(t, number)
	return number
}

func (f *fixture) login(t testing.TB, owner stores.Key, n int) (keys []stores.Key) {
	t.Helper()
	for range n {
		keys = append(keys, newKey())
		f.add(t, owner, entry(keys[len(keys)-1], time.Hour))
	}
	f.server.ResetCounts()
	return keys
}

func (f *fixture) list(t testing.TB, owner stores.Key) []stores.Entry {
	t.Helper()
	list, err := f.Entries(t.Context(), owner)
	require.NoError(t, err)
	return list
}

// ownerCalls are all that a store can be asked about an owner.
func (f *fixture) ownerCalls(ctx context.Context, owner stores.Key) map[string]error {
	errs := make(map[string]error)
	e := entry(newKey(), time.Hour)
	_, errs["AddEntry"] = f.AddEntry(ctx, owner, e)
	e.Number = 1
	_, errs["AddEntry with a Number"] = f.AddEntry(ctx, owner, e)
	_, errs["Entries"] = f.Entries(ctx, owner)
	errs["RemoveEntries"] = f.RemoveEntries(ctx, owner, newKey())
	return errs
}

// What the package comment says of costs, counted by the server.
func TestOwnerCosts(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(time.Minute))
	f.login(t, newKey(), 20) // others cost nothing
	costs := func(what string, want firestoretest.Counts) {
		t.Helper()
		require.Equal(t, want, f.server.Counts(), what)
		f.server.ResetCounts()
	}
	for n, calls := range map[int]struct{ list, remove int }{0: {1, 0}, 1: {1, 1}, 10: {1, 1}, 520: {2, 2}} {
		owner := newKey()
		keys := f.login(t, owner, n)
		require.Len(t, f.list(t, owner), n)
		costs("list", firestoretest.Counts{Calls: calls.list, Reads: max(n, 1)})
		require.NoError(t, f.RemoveEntries(t.Context(), owner, keys...))
		costs("remove", firestoretest.Counts{Calls: calls.remove, Deletes: n})
		require.Empty(t, f.list(t, owner))
		f.server.ResetCounts()

		e := entry(newKey(), time.Hour)
		number := f.add(t, owner, e)
		costs("add", firestoretest.Counts{Calls: 1, Writes: 1})
		e.Data = []byte("another")
		require.Equal(t, number, f.add(t, owner, e))
		costs("add again", firestoretest.Counts{Calls: 3, Reads: 1, Writes: 1})
		e.Number = number
		f.add(t, owner, e)
		costs("add with its number", firestoretest.Counts{Calls: 1, Writes: 1})
		f.add(t, owner, stores.Entry{Key: newKey(), Number: number, Data: e.Data, Expires: e.Expires})
		costs("add with another's number", firestoretest.Counts{Calls: 1, Writes: 1})
	}
}

// The number is when Firestore created the document, unless one was given.
func TestNumbers(t *testing.T) {
	f := newFixture(t)
	owner, key := newKey(), newKey()
	e := entry(key, time.Hour)
	number := f.add(t, owner, e)
	snap, err := f.entryDoc(owner, key).Get(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, snap.CreateTime.UnixMicro(), number)
	require.Equal(t, map[string]any{"data": e.Data, "expire": e.Expires.Truncate(time.Microsecond).UTC()}, snap.Data())

	for _, given := range []uint64{7, 1<<64 - 1} {
		e.Number = given
		f.add(t, owner, e)
		require.Equal(t, given, f.list(t, owner)[0].Number)
		e.Number = 0
		require.Equal(t, given, f.add(t, owner, e), "an entry that is replaced keeps its number")
	}
}

// An entry that has left the list is not replaced, although Firestore still has
// it: what comes in its place is a new one.
func TestExpiredEntryHasNoNumber(t *testing.T) {
	f := newFixture(t)
	owner, key := newKey(), newKey()
	f.add(t, owner, entry(key, -time.Second))
	last := f.add(t, owner, entry(newKey(), time.Hour))
	anew := f.add(t, owner, entry(key, time.Hour))
	require.Greater(t, anew, last)
	require.Greater(t, f.add(t, owner, entry(newKey(), time.Hour)), anew)
	require.Len(t, f.list(t, owner), 3)
}

// The entry is removed, or another takes its place, while it is replaced.
func TestAddEntryRaces(t *testing.T) {
	for _, life := range []time.Duration{time.Hour, -time.Hour} { // of the entry that is replaced
		for _, what := range []string{"removed before the read", "removed before the write"} {
			f := newFixture(t)
			owner, key := newKey(), newKey()
			first := f.add(t, owner, entry(key, life))
			commits, removed := 0, false
			f.server.Inject(func(_ context.Context, call string, serve func() error) error {
				if call == firestoretest.Commit {
					commits++
				}
				now := call == firestoretest.Read && what == "removed before the read" || commits == 2
				if now && !removed {
					removed = true
					require.NoError(t, f.RemoveEntries(context.Background(), owner, key))
				}
				return serve()
			})
			number := f.add(t, owner, entry(key, time.Hour))
			require.True(t, removed)
			require.Greater(t, number, first, "%s: it is a new entry", what)
			require.Equal(t, number, f.list(t, owner)[0].Number)
		}
	}
	// Somebody always comes between.
	f := newFixture(t)
	owner, key := newKey(), newKey()
	f.add(t, owner, entry(key, time.Hour))
	f.server.Inject(func(_ context.Context, call string, serve func() error) error {
		if call == firestoretest.Commit {
			return status.Error(codes.Aborted, "fought over")
		}
		return serve()
	})
	_, err := f.AddEntry(t.Context(), owner, entry(key, time.Hour))
	outage(t, "AddEntry", err, codes.Aborted)
}

// How old an entry is tell Firestore's own times: the clock of this process does
// not matter.
func TestAge(t *testing.T) {
	f := newFixture(t)
	owner := newKey()
	e := entry(newKey(), time.Hour)
	f.add(t, owner, e)
	<-time.After(50 * time.Millisecond)
	require.GreaterOrEqual(t, f.list(t, owner)[0].Age, 50*time.Millisecond)
	e.Data = []byte("another")
	written := time.Now()
	f.add(t, owner, e)
	require.LessOrEqual(t, f.list(t, owner)[0].Age, time.Since(written)+time.Millisecond)
}

// Entries that are past are not read, and a TTL policy can remove them.
func TestPastEntriesCostNothing(t *testing.T) {
	f := newFixture(t)
	owner := newKey()
	for range 5 {
		f.add(t, owner, entry(newKey(), -time.Hour))
	}
	f.add(t, owner, entry(newKey(), time.Hour))
	f.server.ResetCounts()
	require.Len(t, f.list(t, owner), 1)
	require.Equal(t, firestoretest.Counts{Calls: 1, Reads: 1}, f.server.Counts())
}

// Many entries may have the same expiry, also where one page ends.
func TestPagesOfEntries(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(time.Minute))
	owner, expires := newKey(), time.Now().Add(time.Hour)
	want := make(map[stores.Key]bool)
	for _, n := range []int{500, 500, 1} {
		batch := f.client.Batch()
		for range n {
			key := newKey()
			want[key] = true
			batch.Create(f.entryDoc(owner, key), map[string]any{"data": []byte{}, "expire": expires})
		}
		_, err := batch.Commit(t.Context())
		require.NoError(t, err)
	}
	f.server.ResetCounts()
	for _, e := range f.list(t, owner) {
		require.True(t, want[e.Key])
		delete(want, e.Key)
	}
	require.Zero(t, len(want))
	require.Equal(t, firestoretest.Counts{Calls: 3, Reads: 1001}, f.server.Counts())
}

func TestEntrySizeLimit(t *testing.T) {
	f := newFixture(t)
	const overhead = len("sessions_owners") + 1 + 33 + 1 + len("sessions_entries") + 1 + 33 + 1 + 16 + // the document's name
		len("data") + 1 + len("expire") + 1 + 8 + len("number") + 1 + 8 + 32
	owner, e := newKey(), entry(newKey(), time.Hour)
	e.Data, e.Number = []byte(strings.Repeat("x", 1<<20-overhead)), 7
	f.add(t, owner, e)

	// Firestore's rules, as the server in this process knows them, agree.
	e.Data = append(e.Data, 'x')
	_, err := f.entryDoc(owner, e.Key).Update(t.Context(), []firestore.Update{{Path: "data", Value: e.Data}})
	require.ErrorContains(t, err, "exceeds the maximum")
	f.server.ResetCounts()
	_, err = f.AddEntry(t.Context(), owner, e)
	require.ErrorIs(t, err, stores.ErrTooLarge)
	require.Zero(t, f.server.Counts())
}

func TestForeignEntries(t *testing.T) {
	f := newFixture(t)
	now := time.Now().Add(time.Hour)
	for name, put := range map[string]func(owner stores.Key) (*firestore.DocumentRef, map[string]any){
		"no data": func(k stores.Key) (*firestore.DocumentRef, map[string]any) {
			return f.entryDoc(k, newKey()), map[string]any{"expire": now}
		},
		"data is text": func(k stores.Key) (*firestore.DocumentRef, map[string]any) {
			return f.entryDoc(k, newKey()), map[string]any{"expire": now, "data": "x"}
		},
		"number is text": func(k stores.Key) (*firestore.DocumentRef, map[string]any) {
			return f.entryDoc(k, newKey()), map[string]any{"expire": now, "data": []byte("x"), "number": "1"}
		},
		"another ID": func(k stores.Key) (*firestore.DocumentRef, map[string]any) {
			return f.ownerDoc(k).Collection("sessions_entries").Doc("other"), map[string]any{"expire": now, "data": []byte("x")}
		},
		"another letter": func(k stores.Key) (*firestore.DocumentRef, map[string]any) {
			return f.ownerDoc(k).Collection("sessions_entries").Doc("x" + newKey().Name()), map[string]any{"expire": now, "data": []byte("x")}
		},
		"another alphabet": func(k stores.Key) (*firestore.DocumentRef, map[string]any) {
			return f.ownerDoc(k).Collection("sessions_entries").Doc("s+++++++++++++++++++++++++++++++="), map[string]any{"expire": now, "data": []byte("x")}
		},
	} {
		owner := newKey()
		doc, fields := put(owner)
		_, err := doc.Set(t.Context(), fields)
		require.NoError(t, err)
		_, err = f.Entries(t.Context(), owner)
		require.ErrorIs(t, err, stores.ErrUnavailable, name)
		require.ErrorContains(t, err, doc.ID, name)
		if key, err := stores.ParseKey(strings.TrimPrefix(doc.ID, "s")); err == nil && name != "another letter" {
			_, err := f.AddEntry(t.Context(), owner, entry(key, time.Hour))
			require.ErrorIs(t, err, stores.ErrUnavailable, name)
		}
	}
}

// Whatever reply is lost, the client's second attempt does the same.
func TestOwnersLostReplies(t *testing.T) {
	for _, times := range []int{1, 2} {
		f := newFixture(t)
		owner := newKey()
		keys := f.login(t, owner, 3)
		lose := func(call string) { f.server.Inject(firestoretest.LoseReply(call, times)) }
		e := entry(newKey(), time.Hour)
		lose(firestoretest.Commit)
		number := f.add(t, owner, e)
		for _, call := range []string{firestoretest.Commit, firestoretest.Read} {
			lose(call)
			e.Data = []byte(call)
			require.Equal(t, number, f.add(t, owner, e))
		}
		lose(firestoretest.Commit)
		e.Number = number
		require.Equal(t, number, f.add(t, owner, e))
		lose(firestoretest.Query)
		require.Len(t, f.list(t, owner), 4)
		lose(firestoretest.Commit)
		require.NoError(t, f.RemoveEntries(t.Context(), owner, keys...))
		require.Len(t, f.list(t, owner), 1)
	}
}

// Whatever Firestore fails with, it is an outage, and never an empty list.
func TestOwnersOutage(t *testing.T) {
	f := newFixture(t)
	owner := newKey()
	f.login(t, owner, 2)
	for _, code := range []codes.Code{codes.NotFound, codes.FailedPrecondition, codes.PermissionDenied, codes.Unknown} {
		f.server.Inject(func(context.Context, string, func() error) error { return status.Error(code, "down") })
		for what, err := range f.ownerCalls(t.Context(), owner) {
			outage(t, what, err, code)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range f.ownerCalls(ctx, owner) {
		require.ErrorIs(t, err, context.Canceled, what)
		require.NotErrorIs(t, err, stores.ErrUnavailable, what)
	}
	f.server.Inject(nil)
	require.Len(t, f.list(t, owner), 2)
}
