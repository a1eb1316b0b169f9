package starlette

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/interop/internal/signed"
	"github.com/bulla-go/bulla/interop/itsdangerous"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

func handler(t testing.TB, c Config, h middlewareFunc) http.Handler {
	mw, err := New(c)
	require.NoError(t, err)
	return mw.HandlerFunc(h)
}

type middlewareFunc = func(http.ResponseWriter, *http.Request, *sessions.Session) error

func browse(t testing.TB, cookie ...string) *interoptest.Browser {
	b := &interoptest.Browser{T: t, Name: CookieName}
	for _, c := range cookie {
		b.Cookie = c
	}
	return b
}

func TestCase01Vectors(t *testing.T) {
	for _, v := range interoptest.Read(t).Named(t, "starlette") {
		signer, err := itsdangerous.NewTimestampSigner(v.SecretKey)
		require.NoError(t, err)
		c := signed.Codec{Signer: signer}
		data, retired, err := c.Decode(v.Cookie, nil)
		require.NoError(t, err)
		require.False(t, retired)
		text, err := c.Encode(data, nil)
		require.NoError(t, err)
		require.Equal(t, v.Cookie, text)
		l := layout{serialize.JSON, time.Hour}
		env, err := l.Split(data)
		require.NoError(t, err)
		require.Equal(t, int64(1795267797), env.Sealed.Unix())
		got := map[string]any{}
		for name, value := range env.Values.All() {
			var v any
			require.NoError(t, json.Unmarshal(value, &v))
			got[name] = v
		}
		require.Equal(t, v.Session, got)
		again, err := l.Join(nil, env)
		require.NoError(t, err)
		second, err := l.Split(again)
		require.NoError(t, err)
		require.Equal(t, env, second)
	}
}

// Starlette's own code on the other side.
func TestCase16And17Live(t *testing.T) {
	exe := interoptest.FindPython(t, "starlette", "uvicorn", "itsdangerous")
	configs := map[string]map[string]any{
		"aged":    {"secret": "sécret", "max_age": 3600},
		"ageless": {"secret": "other", "max_age": nil},
	}
	arg, err := json.Marshal(configs)
	require.NoError(t, err)
	base := interoptest.Python(t, exe, "testdata/app.py", string(arg))
	for name, c := range map[string]Config{
		"aged":    {Secrets: []string{"sécret"}, MaxAge: time.Hour},
		"ageless": {Secrets: []string{"other"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler(t, c, interoptest.Act))
			t.Cleanup(server.Close)
			py, goes := base+"/"+name, server.URL
			b := browse(t)
			b.Do(py, "login=alice&set="+url.QueryEscape(`{"nan": NaN, "half": "\ud800", "": 1, "é": "日本"}`))
			theirs := *b.Set
			require.Equal(t, "alice", b.Do(goes, "incr=n").Session["user"])
			ours := *b.Set
			require.Contains(t, b.Do(py, "").Text, `"nan": NaN`)
			require.Contains(t, b.Do(py, "").Text, `"half": "\ud800"`)
			require.Contains(t, b.Do(py, "").Text, `"": 1`)
			for i := range 60 {
				require.EqualValues(t, i+2, b.Do([]string{py, goes}[rand.N(2)], "incr=n").Session["n"])
			}

			// Case 15: the same attributes, and each takes away what the other has set.
			theirs.Value, ours.Value, theirs.Raw, ours.Raw = "", "", "", ""
			require.InDelta(t, theirs.MaxAge, ours.MaxAge, 1)
			theirs.MaxAge, theirs.Unparsed, ours.MaxAge, ours.Unparsed = 0, nil, 0, nil
			require.Equal(t, theirs, ours)
			for _, side := range []string{py, goes} {
				b := browse(t)
				b.Do(py, "login=bob")
				b.Do(goes, "incr=n")
				b.Do(side, "logout=1")
				require.Empty(t, b.Cookie)
				require.Nil(t, b.User(py))
				require.Nil(t, b.User(goes))
			}

			// Of two changes at once the last response wins: one is lost.
			b = browse(t)
			b.Do(py, "login=alice")
			other := browse(t, b.Cookie)
			b.Do(goes, "incr=n")
			other.Do(py, "incr=n&incr=m")
			b.Cookie = other.Cookie
			require.Equal(t, map[string]any{"user": "alice", "n": 1.0, "m": 1.0}, b.Do(goes, "").Session)

			b = browse(t)
			b.Do(goes, "login=dave&set="+url.QueryEscape(`{"x":{"y":[1,2]},"é":"日本"}`))
			require.Equal(t, map[string]any{"user": "dave", "x": map[string]any{"y": []any{1.0, 2.0}}, "é": "日本"}, b.Do(py, "").Session)
		})
	}
}

// visits answers who is logged in, and logs alice in where there is no cookie. It
// returns a function that asks it, and returns the cookie that the browser has then.
func visits(t *testing.T, c Config) func(cookie string) (who, next string) {
	h := handler(t, c, func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		user := sessions.Key[string]("user")
		if r.Header.Get("Cookie") == "" {
			return user.Set(s, "alice")
		}
		who, err := user.GetOr(s, "nobody")
		w.Write([]byte(who))
		return err
	})
	return func(cookie string) (string, string) {
		r, w := httptest.NewRequest("GET", "https://example.com/", nil), httptest.NewRecorder()
		if cookie != "" {
			r.Header.Set("Cookie", "session="+cookie)
		}
		h.ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			cookie = c.Value
		}
		return w.Body.String(), cookie
	}
}

// A session ends with its signature, which use renews.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := visits(t, Config{Secrets: []string{"secret"}, MaxAge: time.Hour})
		_, first := ask("")
		time.Sleep(50 * time.Minute)
		body, second := ask(first)
		require.Equal(t, "alice", body)
		require.NotEqual(t, first, second)
		time.Sleep(59 * time.Minute)
		body, _ = ask(second)
		require.Equal(t, "alice", body)
		body, _ = ask(first)
		require.Equal(t, "nobody", body)
	})
}

// The cookie has no beginning, so that a session that is used has no end.
func TestNoAbsoluteEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := visits(t, Config{Secrets: []string{"secret"}, MaxAge: DefaultMaxAge})
		_, cookie := ask("")
		for range 40 {
			time.Sleep(13 * 24 * time.Hour)
			var who string
			who, cookie = ask(cookie)
			require.Equal(t, "alice", who)
		}
	})
}

// What the cookie has no place for is refused when it is set, and not lost.
func TestNoMetadata(t *testing.T) {
	h := handler(t, Config{Secrets: []string{"secret"}}, func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		require.ErrorIs(t, s.Limit(time.Hour, 0), sessions.ErrInvalid)
		require.ErrorIs(t, s.SetAuthenticated(time.Now()), sessions.ErrInvalid)
		require.ErrorIs(t, s.SetPersistent(true), sessions.ErrInvalid)
		require.ErrorIs(t, s.SetLabel("phone"), sessions.ErrInvalid)
		return nil
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "https://example.com/", nil))
	require.Equal(t, 200, w.Code)
}

func TestCase13Cookies(t *testing.T) {
	server := httptest.NewServer(handler(t, Config{Secrets: []string{"secret", "older"}}, interoptest.Act))
	t.Cleanup(server.Close)
	signer, err := itsdangerous.NewTimestampSigner("older")
	require.NoError(t, err)
	good := signer.Sign(base64.StdEncoding.EncodeToString([]byte(`{"user": "alice"}`)))
	b := browse(t, good)
	require.Equal(t, "alice", b.User(server.URL))
	require.NotNil(t, b.Set, "signed afresh with the first secret")
	for _, cookie := range []string{"null", "''", `""`, `"` + good + `"`, good + "=", good[1:], good + "; session=" + signer.Sign("e30=")} {
		require.Nil(t, browse(t, cookie).User(server.URL), cookie)
	}
	code, _ := browse(t, signer.Sign("bnVsbA==")).Try(server.URL, "")
	require.Equal(t, 503, code, "authentic, and no session dict")
}

func TestCase35Refusals(t *testing.T) {
	list, err := memstore.NewRevocations()
	require.NoError(t, err)
	for text, c := range map[string]struct {
		config Config
		opts   []middleware.Option
	}{
		"Secrets":         {Config{}, nil},
		"is empty":        {Config{Secrets: []string{""}}, nil},
		"whole seconds":   {Config{Secrets: []string{"s"}, MaxAge: time.Millisecond}, nil},
		"in whole":        {Config{Secrets: []string{"s"}, MaxAge: -time.Second}, nil},
		"WithSignedIDs":   {Config{Secrets: []string{"s"}}, []middleware.Option{middleware.WithSignedIDs(encrypt.GenerateKey())}},
		"WithCookieCache": {Config{Secrets: []string{"s"}}, []middleware.Option{middleware.WithCookieCache(time.Minute)}},
		"WithRevocation":  {Config{Secrets: []string{"s"}}, []middleware.Option{middleware.WithRevocation(t.Context(), list, time.Second)}},
		"WithOwners":      {Config{Secrets: []string{"s"}}, []middleware.Option{middleware.WithOwners(encrypt.GenerateKey())}},
	} {
		_, err := New(c.config, c.opts...)
		require.ErrorIs(t, err, sessions.ErrConfig, text)
		require.ErrorContains(t, err, text)
	}
}

func FuzzSplit(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		l := layout{serialize.JSON, time.Hour}
		env, err := l.Split(data)
		if err != nil {
			return
		}
		again, err := l.Join(nil, env)
		require.NoError(t, err)
		second, err := l.Split(again)
		require.NoError(t, err)
		require.Equal(t, env, second)
	})
}

func TestFuzzCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzSplit")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}

// Read alone, for a move elsewhere.
func TestReader(t *testing.T) {
	c := Config{Secrets: []string{"secret"}, MaxAge: time.Hour}
	r, err := NewReader(c, time.Time{})
	require.NoError(t, err)
	signer, err := itsdangerous.NewTimestampSigner("secret")
	require.NoError(t, err)
	sign := func(text string, ago time.Duration) string {
		return signer.SignAt(base64.StdEncoding.EncodeToString([]byte(text)), time.Now().Add(-ago))
	}
	got, err := r.Read(t.Context(), sign(`{"user": "alice", "x": NaN}`, time.Minute))
	require.NoError(t, err)
	require.Equal(t, `"alice"`, string(got.Values["user"]))
	require.Equal(t, "NaN", string(got.Values["x"]))
	require.WithinDuration(t, time.Now().Add(-time.Minute), got.Signed, 2*time.Second)
	for _, value := range []string{"", "null", "x", sign("{}", 2*time.Hour), sign("{}", -time.Hour)} {
		_, err = r.Read(t.Context(), value)
		require.ErrorIs(t, err, migrate.ErrNone, value)
	}
	require.NoError(t, r.Retire(t.Context(), "x"))
	late, err := NewReader(c, time.Now().Add(-2*time.Minute))
	require.NoError(t, err)
	_, err = late.Read(t.Context(), sign("{}", time.Minute))
	require.ErrorIs(t, err, migrate.ErrNone)
	_, err = late.Read(t.Context(), sign("{}", 3*time.Minute))
	require.NoError(t, err)
	_, err = NewReader(Config{}, time.Time{})
	require.ErrorIs(t, err, sessions.ErrConfig)
}
