package firestorestore_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
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
				New: func(t *testing.T) stores.Store {
					// Other work on the machine must not look like an outage.
					return newStore(t, client, firestorestore.WithTimeout(time.Minute))
				},
				NewUnreachable: func(t *testing.T) stores.Store {
					return newStore(t, nobody(t), firestorestore.WithTimeout(50*time.Millisecond))
				},
				ShortLife: 300 * time.Millisecond,
			})
		})
	}
}

// nobody returns a client of an address where nothing listens.
func nobody(t *testing.T) *firestore.Client {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return firestoretest.Dial(t, listener.Addr().String())
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
	tok    stores.Token
	rev    stores.Revision
}

// newFixture counts nothing of what it does itself.
func newFixture(t testing.TB, opts ...firestorestore.Option) *fixture {
	server := firestoretest.New(t)
	f := &fixture{server: server, client: server.Client(t), tok: newToken()}
	f.Store = newStore(t, f.client, opts...)
	f.rev = f.save(t, f.tok, "", "one")
	server.ResetCounts()
	return f
}

// documentID is what the package promises.
func documentID(tok stores.Token) string { return "s" + tok.ID.Key().String() }

func (f *fixture) doc() *firestore.DocumentRef {
	return f.client.Collection("sessions").Doc(documentID(f.tok))
}

// expire makes the session end a second ago, behind the store's back.
func (f *fixture) expire(t testing.TB) {
	_, err := f.doc().Update(context.Background(), []firestore.Update{{Path: "expire", Value: time.Now().Add(-time.Second)}})
	require.NoError(t, err)
	f.server.ResetCounts()
}

func (f *fixture) save(t testing.TB, tok stores.Token, rev stores.Revision, data string) stores.Revision {
	t.Helper()
	_, rev, err := f.Save(context.Background(), tok, record(data, rev))
	require.NoError(t, err)
	require.NotEmpty(t, rev)
	return rev
}

// holds tests that the session is live with this data and revision.
func (f *fixture) holds(t testing.TB, data string, rev stores.Revision) {
	t.Helper()
	rec, err := f.Load(context.Background(), f.tok)
	require.NoError(t, err)
	require.Equal(t, data, string(rec.Data))
	require.Equal(t, rev, rec.Revision)
}

func newToken() stores.Token { return stores.Token{ID: stores.NewID()} }

func record(data string, rev stores.Revision) stores.Record {
	return stores.Record{Data: []byte(data), Expires: time.Now().Add(time.Hour), Revision: rev}
}

func TestNew(t *testing.T) {
	client := firestoretest.New(t).Client(t)
	_, err := firestorestore.New(nil)
	require.ErrorContains(t, err, "the client is nil")
	for _, name := range []string{"", ".", "..", "____", "__sessions__", "a/b", "a/b/c", "/", "\xff", strings.Repeat("x", 1501)} {
		_, err := firestorestore.New(client, firestorestore.WithCollection(name))
		require.ErrorContains(t, err, fmt.Sprintf("WithCollection(%q)", name))
	}
	for _, d := range []time.Duration{0, -1} {
		_, err := firestorestore.New(client, firestorestore.WithTimeout(d))
		require.ErrorContains(t, err, "WithTimeout")
	}
	require.Equal(t, stores.Info{Name: "firestore", Sealing: stores.SealByDefault}, stores.Describe(newStore(t, client)))
}

// What the package comment says of a document, and what a dump of the database
// must not show.
func TestDocument(t *testing.T) {
	server := firestoretest.New(t)
	store := newStore(t, server.Client(t), firestorestore.WithCollection("__session"))
	tok := newToken()
	expires := time.Now().Add(time.Hour)
	_, _, err := store.Save(t.Context(), tok, stores.Record{Data: []byte("sealed"), Expires: expires})
	require.NoError(t, err)

	docs := server.Documents()
	require.Len(t, docs, 1)
	for name, doc := range docs {
		require.Equal(t, "projects/test-project/databases/(default)/documents/__session/"+documentID(tok), name)
		require.Len(t, doc.Fields, 3)
		require.Equal(t, "sealed", string(doc.Fields["data"].GetBytesValue()))
		require.Len(t, doc.Fields["mark"].GetBytesValue(), 32)
		require.WithinDuration(t, expires, doc.Fields["expire"].GetTimestampValue().AsTime(), time.Microsecond)

		dump, err := proto.Marshal(doc)
		require.NoError(t, err)
		require.NotContains(t, string(dump), string(tok.ID.AppendSecret(nil)))
		require.NotContains(t, string(dump), tok.Value(nil))
	}
}

// No session's document is reserved or somewhere else in the database, whatever
// the hash.
func TestDocumentIDs(t *testing.T) {
	server := firestoretest.New(t)
	store := newStore(t, server.Client(t))
	for range 50 {
		tok := newToken()
		_, _, err := store.Save(t.Context(), tok, record("one", ""))
		require.NoError(t, err)
	}
	docs := server.Documents()
	require.Len(t, docs, 50)
	form := regexp.MustCompile(`/documents/sessions/s[A-Za-z0-9_-]{32}$`)
	for name := range docs {
		require.Regexp(t, form, name)
	}
}

// The client holds only the ID, whatever it sent.
func TestSaveDropsPayload(t *testing.T) {
	f := newFixture(t)
	tok := newToken()
	tok.Payload = "AAAA"
	got, _, err := f.Save(t.Context(), tok, record("one", ""))
	require.NoError(t, err)
	require.True(t, got.ID.Equal(tok.ID))
	require.Empty(t, got.Payload)
}

func TestTwoCollections(t *testing.T) {
	f := newFixture(t)
	other := newStore(t, f.client, firestorestore.WithCollection("other"))
	_, err := other.Load(t.Context(), f.tok)
	require.ErrorIs(t, err, stores.ErrNotFound)
	_, _, err = other.Save(t.Context(), f.tok, record("two", ""))
	require.NoError(t, err)
	f.holds(t, "one", f.rev)
}

// A session that grows is refused here, before Firestore would.
func TestSizeLimit(t *testing.T) {
	f := newFixture(t)
	const overhead = len("sessions") + 1 + 33 + 1 + 16 + // the document's name
		len("data") + 1 + len("mark") + 1 + 32 + len("expire") + 1 + 8 + 32
	largest := strings.Repeat("x", 1<<20-overhead)
	rev := f.save(t, f.tok, f.rev, largest)
	f.holds(t, largest, rev)

	// Firestore's rules, as the server in this process knows them, agree.
	_, err := f.doc().Update(t.Context(), []firestore.Update{{Path: "data", Value: []byte(largest + "x")}})
	require.ErrorContains(t, err, "exceeds the maximum")

	f.server.ResetCounts()
	for _, rec := range []stores.Record{record(largest+"x", rev), record(largest+"x", "")} {
		_, _, err := f.Save(t.Context(), f.tok, rec)
		require.ErrorIs(t, err, stores.ErrTooLarge)
		require.NotErrorIs(t, err, stores.ErrUnavailable)
		require.ErrorContains(t, err, "1048577")
		require.ErrorContains(t, err, "1048576")
	}
	require.Zero(t, f.server.Counts())

	// A longer name leaves less room.
	longer := newStore(t, f.client, firestorestore.WithCollection("sessions2"))
	_, _, err = longer.Save(t.Context(), newToken(), record(largest, ""))
	require.ErrorIs(t, err, stores.ErrTooLarge)
	_, _, err = longer.Save(t.Context(), newToken(), record(largest[1:], ""))
	require.NoError(t, err)
}

// What another program left under a session's ID is an error, not a session and
// not the lack of one.
func TestForeignDocuments(t *testing.T) {
	mark, now := make([]byte, 32), time.Now().Add(time.Hour)
	for name, fields := range map[string]map[string]any{
		"empty":            {},
		"no data":          {"mark": mark, "expire": now},
		"no mark":          {"data": []byte("x"), "expire": now},
		"no expire":        {"data": []byte("x"), "mark": mark},
		"data is text":     {"data": "x", "mark": mark, "expire": now},
		"data is null":     {"data": nil, "mark": mark, "expire": now},
		"mark is text":     {"data": []byte("x"), "mark": "0123456789abcdef0123456789abcdef", "expire": now},
		"mark is short":    {"data": []byte("x"), "mark": mark[1:], "expire": now},
		"mark is long":     {"data": []byte("x"), "mark": make([]byte, 33), "expire": now},
		"expire is number": {"data": []byte("x"), "mark": mark, "expire": now.Unix()},
		"expire is null":   {"data": []byte("x"), "mark": mark, "expire": nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			_, err := f.doc().Set(t.Context(), fields)
			require.NoError(t, err)
			before := f.server.Documents()
			for what, err := range f.callAll() {
				require.ErrorIs(t, err, stores.ErrUnavailable, what)
				require.ErrorContains(t, err, documentID(f.tok), what)
				require.NotErrorIs(t, err, stores.ErrNotFound, what)
				require.NotErrorIs(t, err, stores.ErrExists, what)
			}
			for name, doc := range f.server.Documents() {
				require.True(t, proto.Equal(before[name], doc), "what another program wrote is overwritten")
			}
			require.NoError(t, f.Delete(t.Context(), f.tok, ""), "only the end of the session goes through")
		})
	}
}

// callAll calls every method and returns the errors. The delete of any revision
// is left out.
func (f *fixture) callAll() map[string]error {
	ctx := context.Background()
	errs := make(map[string]error)
	_, errs["Load"] = f.Load(ctx, f.tok)
	_, _, errs["create"] = f.Save(ctx, f.tok, record("two", ""))
	_, _, errs["replace"] = f.Save(ctx, f.tok, record("two", f.rev))
	_, errs["Touch"] = f.Touch(ctx, f.tok, f.rev, time.Now().Add(2*time.Hour))
	errs["delete a revision"] = f.Delete(ctx, f.tok, f.rev)
	return errs
}

// Further fields, such as an application's own, are left alone.
func TestFurtherFields(t *testing.T) {
	f := newFixture(t)
	_, err := f.doc().Update(t.Context(), []firestore.Update{{Path: "team", Value: "blue"}})
	require.NoError(t, err)
	f.rev = f.save(t, f.tok, f.rev, "two")
	f.holds(t, "two", f.rev)
	snap, err := f.doc().Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, "blue", snap.Data()["team"])
}
