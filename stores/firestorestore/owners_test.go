package firestorestore_test

import (
	"context"
	"crypto/rand"
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

func newOwner() (k stores.OwnerKey) {
	rand.Read(k[:])
	return k
}

func entry(tok stores.Token, life time.Duration) stores.Entry {
	return stores.Entry{Key: tok.ID.Key(), Data: []byte("sealed entry"), Deadline: time.Now().Add(life)}
}

// ownerDoc and entryDoc are what the package promises.
func (f *fixture) ownerDoc(owner stores.OwnerKey) *firestore.DocumentRef {
	return f.client.Collection("sessions_owners").Doc("o" + owner.String())
}

func (f *fixture) entryDoc(owner stores.OwnerKey, key stores.Key) *firestore.DocumentRef {
	return f.ownerDoc(owner).Collection("sessions_entries").Doc("s" + key.String())
}

func (f *fixture) login(t testing.TB, owner stores.OwnerKey, n int) (keys []stores.Key) {
	t.Helper()
	for range n {
		tok := newToken()
		require.NoError(t, f.AddEntry(t.Context(), owner, entry(tok, time.Hour)))
		f.save(t, tok, "", "data")
		keys = append(keys, tok.ID.Key())
	}
	f.server.ResetCounts()
	return keys
}

func (f *fixture) list(t testing.TB, owner stores.OwnerKey) []stores.Entry {
	t.Helper()
	list, err := f.Entries(t.Context(), owner)
	require.NoError(t, err)
	return list
}

func (f *fixture) epoch(t testing.TB, owner stores.OwnerKey) string {
	t.Helper()
	epoch, err := f.Epoch(t.Context(), owner)
	require.NoError(t, err)
	return epoch
}

// ownerCalls are all that a store can be asked about an owner.
func (f *fixture) ownerCalls(ctx context.Context, owner stores.OwnerKey) map[string]error {
	errs := make(map[string]error)
	errs["AddEntry"] = f.AddEntry(ctx, owner, entry(newToken(), time.Hour))
	_, errs["Entries"] = f.Entries(ctx, owner)
	errs["RemoveOwned"] = f.RemoveOwned(ctx, owner, newToken().ID.Key())
	_, errs["Epoch"] = f.Epoch(ctx, owner)
	errs["NewEpoch"] = f.NewEpoch(ctx, owner)
	return errs
}

// What the package comment says of costs, counted by the server.
func TestOwnerCosts(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(time.Minute))
	f.login(t, newOwner(), 20) // others cost nothing
	costs := func(what string, want firestoretest.Counts) {
		t.Helper()
		require.Equal(t, want, f.server.Counts(), what)
		f.server.ResetCounts()
	}
	for n, calls := range map[int]struct{ list, remove int }{
		0: {1, 0}, 1: {2, 1}, 10: {2, 1}, 260: {2, 2},
	} {
		owner := newOwner()
		keys := f.login(t, owner, n)
		require.Len(t, f.list(t, owner), n)
		costs("list", firestoretest.Counts{Calls: calls.list, Reads: max(2*n, 1)})
		require.NoError(t, f.RemoveOwned(t.Context(), owner, keys...))
		costs("remove", firestoretest.Counts{Calls: calls.remove, Deletes: 2 * n})
		require.NoError(t, f.AddEntry(t.Context(), owner, entry(newToken(), time.Hour)))
		costs("add", firestoretest.Counts{Calls: 1, Writes: 1})
		f.epoch(t, owner)
		costs("epoch", firestoretest.Counts{Calls: 1, Reads: 1})
		require.NoError(t, f.NewEpoch(t.Context(), owner))
		costs("new epoch", firestoretest.Counts{Calls: 1, Writes: 1})
	}
}

// Entries whose deadline is past are not read, and a TTL policy can remove them.
func TestPastEntriesCostNothing(t *testing.T) {
	f := newFixture(t)
	owner, tok := newOwner(), newToken()
	for range 5 {
		require.NoError(t, f.AddEntry(t.Context(), owner, entry(newToken(), -time.Hour)))
	}
	e := entry(tok, time.Hour)
	require.NoError(t, f.AddEntry(t.Context(), owner, e))
	require.NoError(t, f.NewEpoch(t.Context(), owner))
	f.server.ResetCounts()
	require.Len(t, f.list(t, owner), 1)
	require.Equal(t, firestoretest.Counts{Calls: 2, Reads: 2}, f.server.Counts())

	snap, err := f.entryDoc(owner, tok.ID.Key()).Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]any{"data": e.Data, "expire": e.Deadline.Truncate(time.Microsecond).UTC()}, snap.Data())
	snap, err = f.ownerDoc(owner).Get(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(stores.MinEpochAge), snap.Data()["expire"].(time.Time), time.Minute)
}

// An entry that has had no record for an hour leaves the list when it is read; a
// younger one may be a login's that is under way, and one that has its record
// stays.
func TestOrphansLeave(t *testing.T) {
	f := newFixture(t)
	owner := newOwner()
	live, ended := f.login(t, owner, 2), f.login(t, owner, 1)
	foreign, replaced, young := newToken().ID.Key(), newToken().ID.Key(), newToken().ID.Key()
	_, err := f.client.Collection("sessions").Doc("s" + ended[0].String()).Delete(t.Context())
	require.NoError(t, err)
	_, err = f.client.Collection("sessions").Doc("s"+foreign.String()).Set(t.Context(), map[string]any{"other": 1})
	require.NoError(t, err)
	e := stores.Entry{Data: []byte("sealed entry"), Deadline: time.Now().Add(100 * time.Hour)}
	for _, e.Key = range []stores.Key{foreign, replaced, young} {
		require.NoError(t, f.AddEntry(t.Context(), owner, e))
	}
	for _, key := range append([]stores.Key{ended[0], foreign, replaced}, live...) {
		f.server.Backdate(f.entryDoc(owner, key).Path, 2*time.Hour)
	}
	f.server.Backdate(f.entryDoc(owner, young).Path, 59*time.Minute)
	e.Key = replaced
	require.NoError(t, f.AddEntry(t.Context(), owner, e), "which makes it no younger")

	f.server.ResetCounts()
	for _, counts := range []firestoretest.Counts{{Calls: 3, Reads: 12, Deletes: 2}, {Calls: 2, Reads: 8}} {
		var left []stores.Key
		for _, e := range f.list(t, owner) {
			left = append(left, e.Key)
		}
		require.ElementsMatch(t, append([]stores.Key{foreign, young}, live...), left)
		require.Equal(t, counts, f.server.Counts())
		f.server.ResetCounts()
	}
}

// Many entries may have the same deadline, also where one page ends.
func TestPagesOfEntries(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(time.Minute))
	owner, deadline := newOwner(), time.Now().Add(time.Hour)
	batch := f.client.Batch()
	want := make(map[stores.Key]bool)
	for i := range 1001 {
		key := newToken().ID.Key()
		want[key] = true
		batch.Set(f.entryDoc(owner, key), map[string]any{"data": []byte{}, "expire": deadline})
		if i%500 == 499 || i == 1000 {
			_, err := batch.Commit(t.Context())
			require.NoError(t, err)
			batch = f.client.Batch()
		}
	}
	f.server.ResetCounts()
	for _, e := range f.list(t, owner) {
		require.True(t, want[e.Key])
		delete(want, e.Key)
	}
	require.Empty(t, want)
	require.Equal(t, firestoretest.Counts{Calls: 6, Reads: 2002}, f.server.Counts())
}

func TestForeignEntries(t *testing.T) {
	f := newFixture(t)
	now := time.Now().Add(time.Hour)
	for name, put := range map[string]func(owner stores.OwnerKey) (*firestore.DocumentRef, map[string]any){
		"no data": func(k stores.OwnerKey) (*firestore.DocumentRef, map[string]any) {
			return f.entryDoc(k, newToken().ID.Key()), map[string]any{"expire": now}
		},
		"data is text": func(k stores.OwnerKey) (*firestore.DocumentRef, map[string]any) {
			return f.entryDoc(k, newToken().ID.Key()), map[string]any{"expire": now, "data": "x"}
		},
		"another ID": func(k stores.OwnerKey) (*firestore.DocumentRef, map[string]any) {
			return f.ownerDoc(k).Collection("sessions_entries").Doc("other"), map[string]any{"expire": now, "data": []byte("x")}
		},
		"another alphabet": func(k stores.OwnerKey) (*firestore.DocumentRef, map[string]any) {
			return f.ownerDoc(k).Collection("sessions_entries").Doc("s+++++++++++++++++++++++++++++++="), map[string]any{"expire": now, "data": []byte("x")}
		},
	} {
		owner := newOwner()
		doc, fields := put(owner)
		_, err := doc.Set(t.Context(), fields)
		require.NoError(t, err)
		_, err = f.Entries(t.Context(), owner)
		require.ErrorIs(t, err, stores.ErrUnavailable, name)
		require.ErrorContains(t, err, doc.ID, name)
	}
	owner := newOwner()
	_, err := f.ownerDoc(owner).Set(t.Context(), map[string]any{"epoch": 1})
	require.NoError(t, err)
	_, err = f.Epoch(t.Context(), owner)
	require.ErrorIs(t, err, stores.ErrUnavailable)

	// Beside a document that is no record the others are still listed.
	owner = newOwner()
	keys := f.login(t, owner, 2)
	_, err = f.client.Collection("sessions").Doc("s"+keys[0].String()).Set(t.Context(), map[string]any{"other": 1})
	require.NoError(t, err)
	for _, e := range f.list(t, owner) {
		require.Equal(t, e.Key == keys[0], e.Expires.IsZero())
	}
}

// Whatever reply is lost, the client's second attempt does the same.
func TestOwnersLostReplies(t *testing.T) {
	f := newFixture(t)
	owner := newOwner()
	keys := f.login(t, owner, 3)
	lose := func(call string) { f.server.Inject(firestoretest.LoseReply(call, 1)) }
	lose(firestoretest.Commit)
	require.NoError(t, f.AddEntry(t.Context(), owner, entry(newToken(), time.Hour)))
	lose(firestoretest.Query)
	require.Len(t, f.list(t, owner), 4)
	lose(firestoretest.Read)
	require.Len(t, f.list(t, owner), 4)
	lose(firestoretest.Commit)
	require.NoError(t, f.RemoveOwned(t.Context(), owner, keys...))
	require.Len(t, f.list(t, owner), 1)
}

// The reply to NewEpoch is lost; before the second attempt another one has ended
// the epoch. It must not begin again: logins that took note of it would survive.
func TestLostEpochDoesNotComeBack(t *testing.T) {
	f := newFixture(t)
	owner := newOwner()
	var seen string
	commits := 0
	f.server.Inject(func(_ context.Context, call string, serve func() error) error {
		if call != firestoretest.Commit {
			return serve()
		}
		switch commits++; commits {
		case 1:
			require.NoError(t, serve())
			seen = f.epoch(t, owner)
			return status.Error(codes.Unavailable, "the reply is lost")
		case 2: // its second attempt, before which another comes
			require.NoError(t, f.NewEpoch(t.Context(), owner))
		}
		return serve()
	})
	require.NoError(t, f.NewEpoch(t.Context(), owner))
	require.Equal(t, 3, commits)
	require.NotEmpty(t, seen)
	require.NotEqual(t, seen, f.epoch(t, owner))
}

// Whatever Firestore fails with, it is an outage, and never an empty list.
func TestOwnersOutage(t *testing.T) {
	f := newFixture(t)
	owner := newOwner()
	f.login(t, owner, 2)
	for _, code := range []codes.Code{codes.NotFound, codes.FailedPrecondition, codes.PermissionDenied, codes.Unknown} {
		f.server.Inject(func(context.Context, string, func() error) error { return status.Error(code, "down") })
		for what, err := range f.ownerCalls(t.Context(), owner) {
			require.ErrorIs(t, err, stores.ErrUnavailable, what)
			require.NotErrorIs(t, err, stores.ErrNotFound, what)
			require.Equal(t, code, status.Code(err), what)
		}
	}
	f.server.Inject(firestoretest.Fail(firestoretest.Read, 1, codes.PermissionDenied))
	_, err := f.Entries(t.Context(), owner)
	require.ErrorIs(t, err, stores.ErrUnavailable, "the records can't be read")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range f.ownerCalls(ctx, owner) {
		require.ErrorIs(t, err, context.Canceled, what)
		require.NotErrorIs(t, err, stores.ErrUnavailable, what)
	}
	f.server.Inject(nil)
	require.Len(t, f.list(t, owner), 2)
}
