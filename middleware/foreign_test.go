package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// plainLayout stands for another system's: it is Bulla's own.
type plainLayout struct{ serialize.Serializer }

func (plainLayout) KeepsMarks() bool                                   { return true }
func (plainLayout) Join(d []byte, e envelope.Envelope) ([]byte, error) { return envelope.Join(d, e) }
func (plainLayout) Split(data []byte) (envelope.Envelope, error)       { return envelope.Split(data) }
func plainForeign(id func(string) bool) *stores.Foreign {
	return &stores.Foreign{ID: id, Layout: plainLayout{serialize.JSON}}
}

// shared is a server of another system's sessions: in the memory, and the names of all
// keys that it was asked for.
type shared struct {
	*memstore.Store
	foreign *stores.Foreign
	names   map[string]bool
}

func (s *shared) Place() stores.Place {
	return stores.Place{Name: "shared", Server: s, Foreign: s.foreign}
}

func (s *shared) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (stores.Record, error) {
	s.names[key.Name()] = true
	return s.Store.Load(ctx, key, fresh)
}

// hexCookie is a codec of another system's cookies: with a character that no payload
// of Bulla's has, and nothing in front.
type hexCookie struct{ foreign *stores.Foreign }

func (c hexCookie) Place() stores.Place {
	return stores.Place{Name: "shared cookie", Cookie: c, Foreign: c.foreign}
}
func (hexCookie) Encode(data, _ []byte) (string, error) { return "+" + string(hexText(data)), nil }
func (hexCookie) Decode(text string, _ []byte) ([]byte, bool, error) {
	rest, ok := strings.CutPrefix(text, "+")
	data, good := unhexText(rest)
	if !ok || !good {
		return nil, false, stores.ErrMalformed
	}
	return data, false, nil
}

func hexText(data []byte) (text []byte) {
	for _, b := range data {
		text = append(text, 'a'+b>>4, 'a'+b&15)
	}
	return text
}

func unhexText(text string) (data []byte, ok bool) {
	for i := 0; i+1 < len(text); i += 2 {
		data = append(data, (text[i]-'a')<<4|(text[i+1]-'a'))
	}
	return data, len(text)%2 == 0
}

// askShared sends one request with a cookie's value, and returns the value that it answers.
func askShared(t *testing.T, h http.Handler, path, value string) (code int, body, set string) {
	t.Helper()
	r := httptest.NewRequest("GET", "https://example.com"+path, nil)
	if value != "" {
		r.Header.Set("Cookie", "sid="+value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.Name == "sid" {
			set = c.Value
			if c.MaxAge < 0 {
				set = "gone"
			}
		}
	}
	return w.Code, w.Body.String(), set
}

func foreignApp(t *testing.T, store stores.Store) http.Handler {
	const user = sessions.Key[string]("user")
	mw, err := middleware.New(store, middleware.WithCookieName("sid"))
	require.NoError(t, err)
	return mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		switch r.URL.Path {
		case "/login":
			if err := s.Regenerate(); err != nil {
				return err
			}
			return user.Set(s, "ann")
		case "/logout":
			s.Destroy()
			return nil
		}
		who, err := user.GetOr(s, "nobody")
		w.Write([]byte(who))
		return err
	})
}

func TestForeignServer(t *testing.T) {
	mem, err := memstore.New()
	require.NoError(t, err)
	st := &shared{mem, plainForeign(func(text string) bool { return len(text) == 32 || strings.HasPrefix(text, "old-") }), map[string]bool{}}
	h := foreignApp(t, st)

	_, _, set := askShared(t, h, "/login", "")
	require.Len(t, set, 32)
	_, body, again := askShared(t, h, "/", set)
	require.Equal(t, "ann", body)
	require.Empty(t, again)
	require.True(t, st.names[set], "the store is asked for the ID itself")

	// A session that the other system has begun keeps its ID until it logs in.
	rec, err := mem.Load(t.Context(), stores.ForeignKey(set), stores.Fresh)
	require.NoError(t, err)
	rec.Revision = ""
	_, err = mem.Save(t.Context(), stores.ForeignKey("old-1"), rec)
	require.NoError(t, err)
	_, body, _ = askShared(t, h, "/", "old-1")
	require.Equal(t, "ann", body)
	_, _, moved := askShared(t, h, "/login", "old-1")
	require.Len(t, moved, 32)
	_, body, _ = askShared(t, h, "/", "old-1")
	require.Equal(t, "nobody", body)

	// Within the stub's life the old ID's logout follows the session to the new one.
	code, _, _ := askShared(t, h, "/logout", "old-1")
	require.Equal(t, 200, code)
	_, body, _ = askShared(t, h, "/", moved)
	require.Equal(t, "nobody", body)

	// What can't be an ID is not asked for.
	for _, text := range []string{"x", "old", set + "A"} {
		_, body, _ = askShared(t, h, "/", text)
		require.Equal(t, "nobody", body)
		require.False(t, st.names[text])
	}
	_, _, set = askShared(t, h, "/logout", set)
	require.Equal(t, "gone", set)
}

func TestForeignCookie(t *testing.T) {
	h := foreignApp(t, hexCookie{plainForeign(nil)})
	_, _, set := askShared(t, h, "/login", "")
	require.Equal(t, "+", set[:1])
	_, body, again := askShared(t, h, "/", set)
	require.Equal(t, "ann", body)
	require.Empty(t, again)
	for _, text := range []string{"+", "x", set[1:], set + "a", strings.Replace(set, "+", "", 1)} {
		code, body, _ := askShared(t, h, "/", text)
		require.True(t, body == "nobody" || code == 503, text)
	}
	_, _, gone := askShared(t, h, "/logout", set)
	require.Equal(t, "gone", gone)
}

// What a foreign store can't keep is refused.
func TestCase35ForeignRefusals(t *testing.T) {
	key := encrypt.GenerateKey()
	ring, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	mem, err := memstore.New()
	require.NoError(t, err)
	list, err := memstore.NewRevocations()
	require.NoError(t, err)
	good := plainForeign(func(string) bool { return true })
	server := func(f *stores.Foreign) stores.Store { return &shared{mem, f, nil} }
	name := middleware.WithCookieName("sid")
	for text, c := range map[string]struct {
		store stores.Store
		opts  []middleware.Option
	}{
		"WithSignedIDs":      {server(good), []middleware.Option{name, middleware.WithSignedIDs(key)}},
		"WithCookieCache":    {server(good), []middleware.Option{name, middleware.WithCookieCache(time.Minute)}},
		"CookieCache":        {server(good), []middleware.Option{name, middleware.WithCookieCacheFallback(time.Minute)}},
		"WithRevocation":     {hexCookie{good}, []middleware.Option{name, middleware.WithRevocation(t.Context(), list, time.Second)}},
		"WithOwners":         {server(good), []middleware.Option{name, middleware.WithOwners(key)}},
		"WithEncryptor":      {server(good), []middleware.Option{name, middleware.WithEncryptor(ring)}},
		"WithoutEncryption":  {server(good), []middleware.Option{name, middleware.WithoutEncryption()}},
		"WithSerializer":     {server(good), []middleware.Option{name, middleware.WithSerializer(serialize.JSON)}},
		"WithAudience":       {server(good), []middleware.Option{name, middleware.WithAudience("app")}},
		"WithCookieName":     {server(good), nil},
		"layout":             {server(&stores.Foreign{ID: good.ID}), []middleware.Option{name}},
		"no layout for":      {server(&stores.Foreign{ID: good.ID, Layout: serialize.JSON}), []middleware.Option{name}},
		"IDs":                {server(plainForeign(nil)), []middleware.Option{name}},
		"add WithCookieName": {hexCookie{plainForeign(nil)}, nil},
	} {
		_, err := middleware.New(c.store, c.opts...)
		require.ErrorIs(t, err, sessions.ErrConfig, text)
		require.ErrorContains(t, err, text)
		if len(c.opts) > 1 {
			require.ErrorContains(t, err, "another system shares", "%s: not for another reason", text)
		}
	}
	for _, store := range []stores.Store{server(good), hexCookie{plainForeign(nil)}} {
		_, err = middleware.New(store, name)
		require.NoError(t, err)
	}
}
