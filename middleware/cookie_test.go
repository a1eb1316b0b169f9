package middleware_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// set gives the session a text of n bytes.
func set(n int) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		if err := text.Set(session(r), strings.Repeat("x", n)); err != nil {
			panic(err)
		}
	}
}

func logout(_ http.ResponseWriter, r *http.Request) { session(r).Destroy() }

func TestOtherCookiesStay(t *testing.T) {
	for _, s := range setups(t) {
		mw := s.new(t)
		h := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			http.SetCookie(w, &http.Cookie{Name: "inner", Value: "1"})
			require.NoError(t, sessions.Commit(r.Context()))
			http.SetCookie(w, &http.Cookie{Name: "inner", Value: "2"})
			increment(session(r))
		}))
		site := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "outer", Value: "1"})
			h.ServeHTTP(w, r)
		}))
		a := site.get("/")
		require.Len(t, a.ours(), 1)
		var others []string
		for _, c := range a.Cookies() {
			if c.Name != cookieName {
				others = append(others, c.Name+c.Value)
			}
		}
		require.Equal(t, []string{"outer1", "inner1", "inner2"}, others)
	}
}

// Several saves send one Set-Cookie, with the last state.
func TestSeveralCommitsOneCookie(t *testing.T) {
	for _, s := range setups(t) {
		mw := s.new(t)
		mux := http.NewServeMux()
		mux.Handle("/peek", peek)
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				increment(session(r))
				require.NoError(t, sessions.Commit(r.Context()))
			}
			require.NoError(t, session(r).Regenerate())
			require.NoError(t, sessions.Commit(r.Context()))
			increment(session(r))
			w.WriteHeader(http.StatusNoContent)
		})
		site := serve(t, mw.Handler(mux))
		for i := range 2 {
			require.Len(t, site.get("/").ours(), 1)
			require.Equal(t, 4*(i+1), atoi(t, site.get("/peek").body))
		}
		if s.mem != nil {
			require.Equal(t, 1+2, s.mem.Len(), "besides two stubs a record of an ID that nobody holds")
		}
	}
}

// A cookie that was set and then destroyed in one request is removed, not both.
func TestCommitThenDestroy(t *testing.T) {
	for _, s := range setups(t) {
		site := serve(t, s.new(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			require.NoError(t, sessions.Commit(r.Context()))
			session(r).Destroy()
		})))
		a := site.get("/")
		require.Len(t, a.ours(), 1)
		require.Contains(t, a.ours()[0], "Max-Age=0")
		require.Empty(t, site.held())
	}
}

// Browsers ignore a deletion with another path or domain, and one of a prefixed
// cookie without Secure. So it must repeat every attribute.
func TestDeletion(t *testing.T) {
	for name, opts := range map[string][]middleware.Option{
		"default":   nil,
		"path":      {middleware.WithCookiePath("/app")},
		"domain":    {middleware.WithCookieDomain("example.com")},
		"insecure":  {middleware.WithInsecureHTTP()},
		"embedded":  {middleware.WithSameSite(http.SameSiteNoneMode), middleware.WithPartitioned()},
		"lifetime":  {middleware.WithLifetime(time.Hour), middleware.WithPersistentCookie()},
		"scripts":   {middleware.WithInsecureScriptAccess()},
		"long path": {middleware.WithCookiePath("/app/" + strings.Repeat("a", 1000))},
	} {
		t.Run(name, func(t *testing.T) {
			mw := memory(t).new(t, opts...)
			jar, err := cookiejar.New(nil)
			require.NoError(t, err)
			at := &url.URL{Scheme: "https", Host: "www.example.com", Path: "/app/" + strings.Repeat("a", 1000)}

			first := ask(mw.Handler(count), "/app")
			jar.SetCookies(at, first.Cookies())
			require.Len(t, jar.Cookies(at), 1)

			req := httptest.NewRequest("GET", at.String(), nil)
			for _, c := range jar.Cookies(at) {
				req.AddCookie(c)
			}
			last := record(mw.Handler(http.HandlerFunc(logout)), req)
			require.Len(t, last.Header["Set-Cookie"], 1)
			jar.SetCookies(at, last.Cookies())
			require.Empty(t, jar.Cookies(at), "the cookie survived its deletion")

			require.Equal(t, attributes(first.Header.Get("Set-Cookie")), attributes(last.Header.Get("Set-Cookie")))
		})
	}
}

// attributes are a line's attributes but for those that tell the time.
func attributes(line string) (attrs []string) {
	for _, a := range strings.Split(line, "; ")[1:] {
		if !strings.HasPrefix(a, "Max-Age=") && !strings.HasPrefix(a, "Expires=") {
			attrs = append(attrs, a)
		}
	}
	return attrs
}

// A logout without a session, and a cookie that names none, send nothing.
func TestNothingToDelete(t *testing.T) {
	for _, s := range setups(t) {
		h := s.new(t).Handler(http.HandlerFunc(logout))
		require.Empty(t, ask(h, "/").Header["Set-Cookie"])
		require.Empty(t, ask(h, "/", unknown()).Header["Set-Cookie"])
	}
}

// The whole line may have 4096 bytes, whatever its attributes and the name's
// length, and the room is used.
func TestSizeLimit(t *testing.T) {
	attributes := map[string][]middleware.Option{
		"session-only":  nil,
		"400 days":      {middleware.WithLifetime(400 * 24 * time.Hour), middleware.WithPersistentCookie()},
		"signed IDs":    {middleware.WithSignedIDs(encrypt.GenerateKey())},
		"all":           {middleware.WithPersistentCookie(), middleware.WithSameSite(http.SameSiteNoneMode), middleware.WithPartitioned()},
		"path, domain":  {middleware.WithCookiePath("/" + strings.Repeat("p", 1000)), middleware.WithCookieDomain(strings.Repeat("d.", 100) + "example.com")},
		"insecure HTTP": {middleware.WithInsecureHTTP(), middleware.WithInsecureScriptAccess()},
	}
	for _, s := range []setup{sealed(t), signed(t)} {
		for name, opts := range attributes {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				largest := 0
				for pad := range 4 {
					largest = max(largest, largestLine(t, s, append(opts, middleware.WithCookieName("session"+strings.Repeat("n", pad)))...))
				}
				// Any session may ask for a Max-Age, and its digits differ.
				require.Greater(t, largest, 4096-4-len("; Max-Age=34560000"), "the room is not used")
			})
		}
	}
}

// largestLine returns the length of the longest Set-Cookie line that mw sends,
// with the header's name.
func largestLine(t *testing.T, s setup, opts ...middleware.Option) (largest int) {
	var got error
	mw := s.new(t, append(opts, middleware.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, err error) {
		got = err
		w.WriteHeader(http.StatusInsufficientStorage)
	}))...)
	// A larger text never makes a smaller cookie, so the limit is found by
	// halving, and looked at closely from both sides.
	limit := sort.Search(4096, func(n int) bool {
		got = nil
		ask(mw.Handler(set(n)), "/")
		return got != nil
	})
	for n := limit - 5; n < limit+5; n++ {
		got = nil
		a := ask(mw.Handler(set(n)), "/")
		if n >= limit {
			require.ErrorIs(t, got, stores.ErrTooLarge)
			require.Equal(t, http.StatusInsufficientStorage, a.StatusCode)
			require.Empty(t, a.Header["Set-Cookie"])
			continue
		}
		require.NoError(t, got)
		line := "Set-Cookie: " + a.Header.Get("Set-Cookie")
		require.LessOrEqual(t, len(line), 4096)
		largest = max(largest, len(line))
	}
	return largest
}

// A session that has grown too large is answered by the error handler alone, and
// what the client holds stays as it was.
func TestTooLarge(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/count", count)
	mux.Handle("/grow", set(5000))
	mux.HandleFunc("/both", func(w http.ResponseWriter, r *http.Request) {
		set(5000)(w, r)
		w.Header().Set("Content-Type", "image/png")
		w.WriteHeader(http.StatusCreated)
		_, err := w.Write([]byte("the page"))
		require.ErrorIs(t, err, stores.ErrTooLarge)
		require.Regexp(t, `\d{4}.*\d{4}`, err.Error(), "the sizes")
	})
	site := serve(t, sealed(t).new(t).Handler(mux))
	require.Equal(t, "1", site.get("/count").body)
	for _, path := range []string{"/grow", "/both"} {
		a := site.get(path)
		require.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
		require.Equal(t, "Request Entity Too Large\n", a.body)
		require.Equal(t, "text/plain; charset=utf-8", a.Header.Get("Content-Type"))
		require.Empty(t, a.Header["Set-Cookie"])
	}
	require.Equal(t, "2", site.get("/count").body)
	require.Empty(t, site.log.String())
}

func TestCachingHeaders(t *testing.T) {
	none := func(http.ResponseWriter, *http.Request) {}
	read := func(_ http.ResponseWriter, r *http.Request) { session(r) }
	write := func(_ http.ResponseWriter, r *http.Request) { increment(session(r)) }
	with := func(h http.HandlerFunc, name, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add(name, value)
			h(w, r)
		}
	}
	future := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		vary    []string
		control []string
		warns   bool
	}{
		{"session not used", none, nil, nil, false},
		{"read", read, []string{"Cookie"}, []string{"private"}, false},
		{"written", write, []string{"Cookie"}, []string{"no-store"}, false},
		{"not used, public", with(none, "Cache-Control", "public"), nil, []string{"public"}, false},
		{"read, chosen", with(read, "Cache-Control", "max-age=60"), []string{"Cookie"}, []string{"max-age=60"}, false},
		{"read, public", with(read, "Cache-Control", "public"), []string{"Cookie"}, []string{"public"}, false},
		{"written, chosen", with(write, "Cache-Control", "private, max-age=60"), []string{"Cookie"}, []string{"private, max-age=60"}, false},
		{"written, max-age", with(write, "Cache-Control", "max-age=60"), []string{"Cookie"}, []string{"max-age=60"}, true},
		{"written, s-maxage", with(write, "Cache-Control", `max-age=0, s-maxage="60"`), []string{"Cookie"}, []string{`max-age=0, s-maxage="60"`}, true},
		{"written, max-age of 0", with(write, "Cache-Control", "max-age=0, no-cache"), []string{"Cookie"}, []string{"max-age=0, no-cache"}, false},
		{"written, private for some headers", with(write, "Cache-Control", `private="X-Name", max-age=60`), []string{"Cookie"}, []string{`private="X-Name", max-age=60`}, true},
		{"written, not to be stored", with(write, "Cache-Control", "max-age=60, no-store"), []string{"Cookie"}, []string{"max-age=60, no-store"}, false},
		{"written, two lines", with(with(write, "Cache-Control", "no-cache"), "Cache-Control", "max-age=60"), []string{"Cookie"}, []string{"max-age=60", "no-cache"}, true},
		{"written, Expires", with(write, "Expires", future), []string{"Cookie"}, []string{"no-store"}, true},
		{"written, Expires with another choice", with(with(write, "Expires", future), "Cache-Control", "no-cache"), []string{"Cookie"}, []string{"no-cache"}, true},
		{"written, Expires but private", with(with(write, "Expires", future), "Cache-Control", "private"), []string{"Cookie"}, []string{"private"}, false},
		{"written, Expires in the past", with(write, "Expires", "Thu, 01 Jan 1970 00:00:00 GMT"), []string{"Cookie"}, []string{"no-store"}, false},
		{"written, Expires: 0", with(write, "Expires", "0"), []string{"Cookie"}, []string{"no-store"}, false},
		{"read, Expires", with(read, "Expires", future), []string{"Cookie"}, []string{"private"}, false},
		{"written, public", with(write, "Cache-Control", "max-age=60, PUBLIC"), []string{"Cookie"}, []string{"max-age=60, PUBLIC"}, true},
		{"another Vary", with(read, "Vary", "Accept, Origin"), []string{"Accept, Origin", "Cookie"}, []string{"private"}, false},
		{"same Vary", with(read, "Vary", "Accept, cookie"), []string{"Accept, cookie"}, []string{"private"}, false},
		{"Vary: *", with(read, "Vary", "*"), []string{"*"}, []string{"private"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range setups(t) {
				var log bytes.Buffer
				mw := s.new(t, middleware.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))))
				a := ask(mw.Handler(tt.handler), "/some/path")
				require.Equal(t, tt.vary, a.Header["Vary"])
				require.Equal(t, tt.control, a.Header["Cache-Control"])
				require.Equal(t, tt.warns, strings.Contains(log.String(), "shared caches"), log.String())
				if tt.warns {
					require.Contains(t, log.String(), "/some/path")
					require.NotContains(t, log.String(), a.value(t)[:32], "the session's ID is in the log")
				}
			}
		})
	}
}

// A session that only the cookie holds can't be ended on the server: whoever
// kept the cookie can use it until its deadline. On a server it is over.
func TestOldCookieAfterLogout(t *testing.T) {
	for _, s := range setups(t) {
		mw := s.new(t)
		mux := http.NewServeMux()
		mux.Handle("/", peek)
		mux.Handle("/count", count)
		mux.HandleFunc("/logout", logout)
		site := serve(t, mw.Handler(mux))
		site.get("/count")
		kept := site.held()
		require.NotEmpty(t, kept)
		site.get("/logout")
		require.Empty(t, site.held())
		require.Equal(t, "0", site.get("/").body)

		want := "0"
		if s.mem == nil {
			want = "1" // documented with cookiestore and Destroy
		}
		require.Equal(t, want, ask(mw.Handler(peek), "/", kept).body, s.name)
	}
}

// Values set after a Destroy begin a new session: one line, a new ID.
func TestDestroyThenSet(t *testing.T) {
	for _, s := range setups(t) {
		mw := s.new(t)
		old := visited(t, mw.Handler(count))
		a := ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session(r).Destroy()
			increment(session(r))
		})), "/", old)
		require.NotEqual(t, old[:32], a.value(t)[:32])
		require.Equal(t, "1", ask(mw.Handler(peek), "/", a.value(t)).body)
	}
}

// A session that was ended elsewhere sends no cookie, also not one that an
// earlier commit of the same request had prepared: the client may have logged in
// anew meanwhile.
func TestEndedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ev events
		mw := memory(t).new(t, middleware.WithRolling(time.Hour), middleware.WithTouchInterval(0), ev.option())
		cookie := visited(t, mw.Handler(count))
		time.Sleep(time.Minute)
		a := ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.NoError(t, session(r).SetPersistent(true))
			require.NoError(t, sessions.Commit(r.Context()))
			require.Len(t, oursIn(w.Header()), 1)
			ask(mw.Handler(http.HandlerFunc(logout)), "/", cookie)
			increment(session(r))
			fmt.Fprint(w, "the answer stands")
		})), "/", cookie)
		require.Equal(t, http.StatusOK, a.StatusCode)
		require.Equal(t, "the answer stands", a.body)
		require.Empty(t, a.Header["Set-Cookie"])
		require.Contains(t, ev.take(), "ended")
		require.Equal(t, "0", ask(mw.Handler(peek), "/", cookie).body)
	})
}

// What works beside the cookie can ask for its name and attributes, and changes a copy.
func TestCookieBesideIt(t *testing.T) {
	mw := memory(t).new(t, middleware.WithCookieDomain("app.example"), middleware.WithSameSite(http.SameSiteStrictMode))
	want := http.Cookie{Name: "__Secure-session", Path: "/", Domain: "app.example", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	c := mw.Cookie()
	require.Equal(t, &want, c)
	c.Name = "other"
	require.Equal(t, &want, mw.Cookie())
}
