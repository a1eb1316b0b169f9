package firestorestore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/firestorestore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// backends returns a client of the server in this process and, where
// FIRESTORE_EMULATOR_HOST is set, one of Google's emulator.
func backends(t *testing.T) map[string]*firestore.Client {
	clients := map[string]*firestore.Client{"fake": firestoretest.New(t).Client(t)}
	if os.Getenv("FIRESTORE_EMULATOR_HOST") != "" {
		client, err := firestore.NewClient(t.Context(), firestoretest.Project)
		require.NoError(t, err)
		t.Cleanup(func() { client.Close() })
		clients["emulator"] = client
	}
	return clients
}

func TestStore(t *testing.T) {
	for name, client := range backends(t) {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				New: func(t *testing.T) stores.Server {
					// Other work on the machine must not look like an outage.
					return newStore(t, client, firestorestore.WithTimeout(time.Minute))
				},
				Unreachable: func(t *testing.T) stores.Server {
					return newStore(t, silent(t), firestorestore.WithTimeout(100*time.Millisecond))
				},
				Lossy: func(t *testing.T) stores.Server {
					server := firestoretest.New(t)
					server.Inject(everyThird())
					return newStore(t, server.Client(t), firestorestore.WithTimeout(time.Minute))
				},
			})
		})
	}
}

// silent returns a client of a server that takes connections and says nothing.
func silent(t *testing.T) *firestore.Client {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	return firestoretest.Dial(t, listener.Addr().String())
}

// everyThird loses the reply to every third call, with what the client repeats
// and with what it does not.
func everyThird() firestoretest.Fault {
	var n atomic.Int64
	return func(_ context.Context, _ string, serve func() error) error {
		err := serve()
		switch n.Add(1) % 6 {
		case 0:
			return status.Error(codes.Unavailable, "injected loss of a reply")
		case 3:
			return status.Error(codes.Internal, "injected loss of a reply")
		}
		return err
	}
}

// Nobody listens: that is told at the latest when the time is over.
func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	store := newStore(t, firestoretest.Dial(t, listener.Addr().String()), firestorestore.WithTimeout(50*time.Millisecond))
	_, err = store.Load(t.Context(), newKey(), stores.Fresh)
	require.ErrorIs(t, err, stores.ErrUnavailable)
}

func newStore(t testing.TB, client *firestore.Client, opts ...firestorestore.Option) *firestorestore.Store {
	store, err := firestorestore.New(client, opts...)
	require.NoError(t, err)
	return store
}

// fixture is a store on a server that can be made to fail, with one session in
// it.
type fixture struct {
	*firestorestore.Store
	server *firestoretest.Server
	client *firestore.Client
	key    stores.Key
	rev    stores.Revision
}

// newFixture counts nothing of what it does itself.
func newFixture(t testing.TB, opts ...firestorestore.Option) *fixture {
	server := firestoretest.New(t)
	f := &fixture{server: server, client: server.Client(t), key: newKey()}
	f.Store = newStore(t, f.client, opts...)
	f.rev = f.save(t, f.key, "", "one")
	server.ResetCounts()
	return f
}

// documentID is what the package promises.
func documentID(key stores.Key) string { return "s" + key.Name() }

func (f *fixture) doc() *firestore.DocumentRef {
	return f.client.Collection("sessions").Doc(documentID(f.key))
}

// expire makes the session end a second ago, behind the store's back.
func (f *fixture) expire(t testing.TB) {
	_, err := f.doc().Update(context.Background(), []firestore.Update{{Path: "expire", Value: time.Now().Add(-time.Second)}})
	require.NoError(t, err)
	f.server.ResetCounts()
}

func (f *fixture) save(t testing.TB, key stores.Key, rev stores.Revision, data string) stores.Revision {
	t.Helper()
	rev, err := f.Save(context.Background(), key, record(data, rev))
	require.NoError(t, err)
	require.NotEmpty(t, rev)
	return rev
}

// holds tests that the session is live with this data and revision.
func (f *fixture) holds(t testing.TB, data string, rev stores.Revision) {
	t.Helper()
	rec := f.load(t)
	require.Equal(t, data, string(rec.Data))
	require.Equal(t, rev, rec.Revision)
}

func newKey() stores.Key {
	var hash [24]byte
	rand.Read(hash[:])
	return stores.NewKey(hash)
}

func record(data string, rev stores.Revision) stores.Record {
	return stores.Record{Data: []byte(data), Expires: time.Now().Add(time.Hour), Revision: rev}
}

func TestNew(t *testing.T) {
	client := firestoretest.New(t).Client(t)
	_, err := firestorestore.New(nil)
	require.ErrorContains(t, err, "the client is nil")
	_, err = firestorestore.New(client, nil)
	require.ErrorContains(t, err, "an Option is nil")
	for _, name := range []string{"", ".", "..", "____", "__sessions__", "a/b", "a/b/c", "/", "\xff", strings.Repeat("x", 1501)} {
		_, err := firestorestore.New(client, firestorestore.WithCollection(name))
		require.ErrorContains(t, err, fmt.Sprintf("WithCollection(%q)", name))
	}
	for _, d := range []time.Duration{0, -1} {
		_, err := firestorestore.New(client, firestorestore.WithTimeout(d))
		require.ErrorContains(t, err, "WithTimeout")
	}
	store := newStore(t, client)
	require.Equal(t, stores.Place{Name: "firestore", Server: store}, store.Place())
}

// What the package comment says of a document.
func TestDocument(t *testing.T) {
	server := firestoretest.New(t)
	store := newStore(t, server.Client(t), firestorestore.WithCollection("__session"))
	key, expires := newKey(), time.Now().Add(time.Hour)
	write := map[string]func(stores.Revision) error{
		"Save": func(rev stores.Revision) error {
			_, err := store.Save(t.Context(), key, stores.Record{Data: []byte("sealed"), Expires: expires, Revision: rev})
			return err
		},
		"Put": func(stores.Revision) error {
			return store.Put(t.Context(), key, stores.Record{Data: []byte("sealed"), Expires: expires})
		},
	}
	rev := stores.Revision("")
	for _, what := range []string{"Save", "Save", "Put", "Save"} {
		require.NoError(t, write[what](rev))
		docs := server.Documents()
		require.Len(t, docs, 1)
		for name, doc := range docs {
			require.Equal(t, "projects/test-project/databases/(default)/documents/__session/"+documentID(key), name)
			require.Len(t, doc.Fields, 3)
			require.Equal(t, "sealed", string(doc.Fields["data"].GetBytesValue()))
			require.NotZero(t, doc.Fields["write"].GetIntegerValue())
			require.WithinDuration(t, expires, doc.Fields["expire"].GetTimestampValue().AsTime(), time.Microsecond)
		}
		rec, err := store.Load(t.Context(), key, stores.MayBeStale)
		require.NoError(t, err)
		require.NotEqual(t, rev, rec.Revision, "every write is a change")
		rev = rec.Revision
	}
}

// No session's document is reserved or somewhere else in the database, whatever
// the hash.
func TestDocumentIDs(t *testing.T) {
	f := newFixture(t)
	for range 50 {
		f.save(t, newKey(), "", "one")
	}
	docs := f.server.Documents()
	require.Len(t, docs, 51)
	form := regexp.MustCompile(`/documents/sessions/s[A-Za-z0-9_-]{32}$`)
	for name := range docs {
		require.Regexp(t, form, name)
	}
}

func TestTwoCollections(t *testing.T) {
	f := newFixture(t)
	other := newStore(t, f.client, firestorestore.WithCollection("other"))
	_, err := other.Load(t.Context(), f.key, stores.Fresh)
	require.ErrorIs(t, err, stores.ErrNotFound)
	_, err = other.Save(t.Context(), f.key, record("two", ""))
	require.NoError(t, err)
	f.holds(t, "one", f.rev)
}

// A session that grows is refused here, before Firestore would.
func TestSizeLimit(t *testing.T) {
	f := newFixture(t)
	const overhead = len("sessions") + 1 + 33 + 1 + 16 + // the document's name
		len("data") + 1 + len("write") + 1 + 8 + len("expire") + 1 + 8 + 32
	largest := strings.Repeat("x", 1<<20-overhead)
	rev := f.save(t, f.key, f.rev, largest)
	f.holds(t, largest, rev)

	// Firestore's rules, as the server in this process knows them, agree.
	_, err := f.doc().Update(t.Context(), []firestore.Update{{Path: "data", Value: []byte(largest + "x")}})
	require.ErrorContains(t, err, "exceeds the maximum")

	f.server.ResetCounts()
	for _, rec := range []stores.Record{record(largest+"x", rev), record(largest+"x", "")} {
		_, err := f.Save(t.Context(), f.key, rec)
		_, many := f.SaveMany(t.Context(), []stores.Key{newKey(), f.key}, []stores.Record{record("one", ""), rec})
		for _, err := range []error{err, many, f.Put(t.Context(), f.key, rec)} {
			require.ErrorIs(t, err, stores.ErrTooLarge)
			require.NotErrorIs(t, err, stores.ErrUnavailable)
			require.ErrorContains(t, err, "1048577")
			require.ErrorContains(t, err, "1048576")
		}
	}
	require.Zero(t, f.server.Counts())

	// A longer name leaves less room.
	longer := newStore(t, f.client, firestorestore.WithCollection("sessions2"))
	_, err = longer.Save(t.Context(), newKey(), record(largest, ""))
	require.ErrorIs(t, err, stores.ErrTooLarge)
	_, err = longer.Save(t.Context(), newKey(), record(largest[1:], ""))
	require.NoError(t, err)
}

// What another program left under a session's ID is an error, not a session and
// not the lack of one.
func TestForeignDocuments(t *testing.T) {
	now := time.Now().Add(time.Hour)
	for name, fields := range map[string]map[string]any{
		"empty":            {},
		"no data":          {"expire": now},
		"no expire":        {"data": []byte("x")},
		"data is text":     {"data": "x", "expire": now},
		"data is null":     {"data": nil, "expire": now},
		"expire is number": {"data": []byte("x"), "expire": now.Unix()},
		"expire is null":   {"data": []byte("x"), "expire": nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			_, err := f.doc().Set(t.Context(), fields)
			require.NoError(t, err)
			before := f.server.Documents()
			errs := f.callAll()
			for _, what := range []string{"replace", "Touch"} {
				require.ErrorIs(t, errs[what], stores.ErrConflict, "it is at another revision")
				delete(errs, what)
			}
			for what, err := range errs {
				require.ErrorIs(t, err, stores.ErrUnavailable, what)
				require.ErrorContains(t, err, documentID(f.key), what)
				require.NotErrorIs(t, err, stores.ErrNotFound, what)
				require.NotErrorIs(t, err, stores.ErrConflict, what)
			}
			for name, doc := range f.server.Documents() {
				require.True(t, proto.Equal(before[name], doc), "what another program wrote is overwritten")
			}
			require.NoError(t, f.put(), "only a Put goes through")
			f.holds(t, "put", f.load(t).Revision)
		})
	}
}

// callAll calls every method about records but Put, and returns the errors.
func (f *fixture) callAll() map[string]error {
	ctx := context.Background()
	errs := make(map[string]error)
	_, errs["Load"] = f.Load(ctx, f.key, stores.Fresh)
	_, errs["LoadMany"] = f.LoadMany(ctx, []stores.Key{newKey(), f.key})
	_, errs["create"] = f.Save(ctx, f.key, record("two", ""))
	_, errs["replace"] = f.Save(ctx, f.key, record("two", f.rev))
	_, errs["SaveMany"] = f.SaveMany(ctx, []stores.Key{f.key}, []stores.Record{record("two", f.rev)})
	_, errs["Touch"] = f.Touch(ctx, f.key, f.rev, time.Now().Add(2*time.Hour))
	return errs
}

func (f *fixture) put() error { return f.Put(context.Background(), f.key, record("put", "")) }

func (f *fixture) load(t testing.TB) stores.Record {
	t.Helper()
	rec, err := f.Load(context.Background(), f.key, stores.Fresh)
	require.NoError(t, err)
	return rec
}

// Further fields, such as an application's own, are left alone.
func TestFurtherFields(t *testing.T) {
	f := newFixture(t)
	_, err := f.doc().Update(t.Context(), []firestore.Update{{Path: "team", Value: "blue"}})
	require.NoError(t, err)
	f.holds(t, "two", f.save(t, f.key, f.load(t).Revision, "two"))
	snap, err := f.doc().Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, "blue", snap.Data()["team"])
}
