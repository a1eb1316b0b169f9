package firestorestore_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/firestorestore"
)

// What the package comment says of costs, counted by the server.
func TestCosts(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	costs := func(what string, want firestoretest.Counts, err, wantErr error) {
		t.Helper()
		require.ErrorIs(t, err, wantErr, what)
		require.Equal(t, want, f.server.Counts(), what)
		f.server.ResetCounts()
	}
	nothing := firestoretest.Counts{}
	read := firestoretest.Counts{Calls: 1, Reads: 1}
	write := firestoretest.Counts{Calls: 1, Writes: 1}
	refused := firestoretest.Counts{Calls: 1}
	looked := firestoretest.Counts{Calls: 2, Reads: 1}

	_, err := f.Load(ctx, f.key, stores.MayBeStale)
	costs("load", read, err, nil)
	_, err = f.Load(ctx, newKey(), stores.Fresh)
	costs("load what is missing", read, err, stores.ErrNotFound)
	_, err = f.Save(ctx, newKey(), record("new", ""))
	costs("create", write, err, nil)
	second, err := f.Save(ctx, f.key, record("two", f.rev))
	costs("replace", write, err, nil)
	third, err := f.Touch(ctx, f.key, second, time.Now().Add(2*time.Hour))
	costs("touch", write, err, nil)
	fourth, err := f.Touch(ctx, f.key, third, time.Now().Add(time.Hour))
	costs("touch that would shorten", write, err, nil)
	costs("put", write, f.put(), nil)
	costs("put over it", write, f.put(), nil)

	_, err = f.Save(ctx, f.key, record("three", fourth))
	costs("replace an older revision", refused, err, stores.ErrConflict)
	_, err = f.Touch(ctx, f.key, fourth, time.Now().Add(time.Hour))
	costs("touch an older revision", refused, err, stores.ErrConflict)
	_, err = f.Save(ctx, f.key, record("new", ""))
	costs("create what is there", looked, err, stores.ErrConflict)
	_, err = f.Save(ctx, newKey(), record("three", fourth))
	costs("replace what is gone", looked, err, stores.ErrConflict)
	_, err = f.Save(ctx, f.key, stores.Record{Data: []byte("x")})
	costs("save what is refused", nothing, err, stores.ErrInvalidRecord)

	f.expire(t)
	_, err = f.Save(ctx, f.key, record("new", ""))
	costs("create what has expired", firestoretest.Counts{Calls: 3, Reads: 1, Writes: 1}, err, nil)
}

const visits = sessions.Key[int]("visits")

// What a request costs, from the cookie on.
func TestCostsOfRequests(t *testing.T) {
	server := firestoretest.New(t)
	enc := newEncryptor(t)
	mw, err := middleware.New(newStore(t, server.Client(t), firestorestore.WithTimeout(time.Minute)),
		middleware.WithEncryptor(enc),
		middleware.WithFirebaseHosting(),
		middleware.WithAutoload("/auto/"),
	)
	require.NoError(t, err)

	session := func(r *http.Request) *sessions.Session {
		s, err := sessions.Load(r.Context())
		require.NoError(t, err)
		return s
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/untouched", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/auto/untouched", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/read", func(_ http.ResponseWriter, r *http.Request) {
		_, err := visits.GetOr(session(r), 0)
		require.NoError(t, err)
	})
	mux.HandleFunc("/write", func(_ http.ResponseWriter, r *http.Request) {
		_, err := visits.Update(session(r), func(n int) int { return n + 1 })
		require.NoError(t, err)
	})
	mux.HandleFunc("/same", func(_ http.ResponseWriter, r *http.Request) {
		_, err := visits.Update(session(r), func(n int) int { return n })
		require.NoError(t, err)
	})
	mux.HandleFunc("/login", func(_ http.ResponseWriter, r *http.Request) { require.NoError(t, session(r).Regenerate()) })
	mux.HandleFunc("/logout", func(_ http.ResponseWriter, r *http.Request) { session(r).Destroy() })
	handler := mw.Handler(mux)

	var cookie *http.Cookie
	costs := func(path string, sent *http.Cookie, want firestoretest.Counts) {
		t.Helper()
		server.ResetCounts()
		r := httptest.NewRequest("GET", "https://example.com"+path, nil)
		if sent != nil {
			r.AddCookie(sent)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code)
		for _, c := range w.Result().Cookies() {
			require.Equal(t, "__session", c.Name)
			cookie = c
		}
		require.Equal(t, want, server.Counts(), path)
	}

	nothing := firestoretest.Counts{}
	costs("/untouched", nil, nothing)
	costs("/auto/untouched", nil, nothing)
	costs("/read", nil, nothing)
	costs("/logout", nil, nothing)
	require.Nil(t, cookie)
	costs("/write", nil, firestoretest.Counts{Calls: 1, Writes: 1})
	require.NotNil(t, cookie)

	read := firestoretest.Counts{Calls: 1, Reads: 1}
	costs("/untouched", cookie, nothing)
	costs("/auto/untouched", cookie, read)
	costs("/read", cookie, read)
	costs("/same", cookie, read)
	costs("/write", cookie, firestoretest.Counts{Calls: 2, Reads: 1, Writes: 1})
	for _, doc := range server.Documents() {
		require.NotContains(t, string(doc.Fields["data"].GetBytesValue()), "visits")
	}

	// A new ID is a write of the new document and one of the old: nothing is
	// deleted.
	moved := cookie
	costs("/login", moved, firestoretest.Counts{Calls: 3, Reads: 1, Writes: 2})
	require.NotEqual(t, moved.Value, cookie.Value)
	costs("/read", moved, read)

	ended := cookie
	costs("/logout", ended, firestoretest.Counts{Calls: 2, Reads: 1, Writes: 1})
	require.Negative(t, cookie.MaxAge)
	costs("/read", ended, read)
	costs("/read", &http.Cookie{Name: "__session", Value: "forged"}, nothing)

	// What is left are two that say so, for some minutes.
	require.Len(t, server.Documents(), 2)
	for _, doc := range server.Documents() {
		require.WithinDuration(t, time.Now().Add(10*time.Minute), doc.Fields["expire"].GetTimestampValue().AsTime(), time.Minute)
	}
}

// Ending thousands of sessions of an owner's among many others, as the manager
// does it: a round trip for every 500 of whatever it is, and what others have
// costs nothing.
func TestCostsOfMany(t *testing.T) {
	const all, owned = 10_000, 2_000
	f := newFixture(t, firestorestore.WithTimeout(time.Minute))
	owner, expires := newKey(), time.Now().Add(time.Hour)
	fields := map[string]any{"data": []byte("one"), "expire": expires}
	for i := 0; i < all; i += 250 {
		batch := f.client.Batch()
		for j := range 250 {
			key := newKey()
			batch.Set(f.client.Collection("sessions").Doc(documentID(key)), fields)
			if i+j < owned {
				batch.Set(f.entryDoc(owner, key), fields)
			}
		}
		_, err := batch.Commit(t.Context())
		require.NoError(t, err)
	}
	f.server.ResetCounts()

	var keys []stores.Key
	for _, e := range f.list(t, owner) {
		keys = append(keys, e.Key)
	}
	require.Len(t, keys, owned)
	recs, err := f.LoadMany(t.Context(), keys)
	require.NoError(t, err)
	for i, rec := range recs {
		recs[i] = record("ended", rec.Revision)
	}
	conflicts, err := f.SaveMany(t.Context(), keys, recs)
	require.NoError(t, err)
	require.NotContains(t, conflicts, true)
	require.NoError(t, f.RemoveEntries(t.Context(), owner, keys...))
	const pages = owned / 500
	require.Equal(t, firestoretest.Counts{
		Calls:   4*pages + 1, // the last page of the list is full, so one more is asked for
		Reads:   2*owned + 1,
		Writes:  owned,
		Deletes: owned,
	}, f.server.Counts())
}

func newEncryptor(t testing.TB) encrypt.Encryptor {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	return enc
}
