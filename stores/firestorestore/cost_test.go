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
	read := firestoretest.Counts{Calls: 1, Reads: 1}
	write := firestoretest.Counts{Calls: 1, Writes: 1}
	remove := firestoretest.Counts{Calls: 1, Deletes: 1}
	settled := firestoretest.Counts{Calls: 2, Reads: 1}

	_, err := f.Load(ctx, f.tok)
	costs("load", read, err, nil)
	_, err = f.Load(ctx, newToken())
	costs("load what is missing", read, err, stores.ErrNotFound)
	_, _, err = f.Save(ctx, newToken(), record("new", ""))
	costs("create", write, err, nil)
	_, second, err := f.Save(ctx, f.tok, record("two", f.rev))
	costs("replace", write, err, nil)
	third, err := f.Touch(ctx, f.tok, second, time.Now().Add(2*time.Hour))
	costs("touch", write, err, nil)
	fourth, err := f.Touch(ctx, f.tok, third, time.Now().Add(time.Hour))
	costs("touch that would shorten", write, err, nil)

	_, _, err = f.Save(ctx, f.tok, record("new", ""))
	costs("create what is there", settled, err, stores.ErrExists)
	_, _, err = f.Save(ctx, f.tok, record("three", f.rev))
	costs("replace an older revision", settled, err, stores.ErrConflict)
	costs("delete an older revision", settled, f.Delete(ctx, f.tok, f.rev), stores.ErrConflict)

	costs("delete a revision", remove, f.Delete(ctx, f.tok, fourth), nil)
	_, _, err = f.Save(ctx, f.tok, record("three", fourth))
	costs("replace what is gone", settled, err, stores.ErrNotFound)
	costs("delete what is gone", remove, f.Delete(ctx, f.tok, ""), nil)

	_, _, err = f.Save(ctx, f.tok, stores.Record{Data: []byte("x")})
	costs("save what is refused", firestoretest.Counts{}, err, stores.ErrInvalidRecord)
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
	mux.HandleFunc("/clear", func(_ http.ResponseWriter, r *http.Request) { session(r).Clear() })
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
	costs("/clear", nil, nothing)
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

	ended := cookie
	costs("/clear", ended, firestoretest.Counts{Calls: 2, Reads: 1, Deletes: 1})
	require.Negative(t, cookie.MaxAge)
	costs("/read", ended, read) // missing
	costs("/read", &http.Cookie{Name: "__session", Value: "forged"}, nothing)
	require.Empty(t, server.Documents())
}

func newEncryptor(t testing.TB) encrypt.Encryptor {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	return enc
}
