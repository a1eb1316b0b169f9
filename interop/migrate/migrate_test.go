package migrate_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// Case 26: at first sight the values are there, under a new ID, and the old cookie goes
// with the same response.
func TestCase26FirstSight(t *testing.T) {
	const oldID = "the-ID-that-the-former-library-gave" // long: new ones are random text
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login(oldID, "alice")
		b := s.browser("old", oldID)
		resp := b.is("alice")
		require.Empty(t, b.has("old"))
		require.NotEmpty(t, b.has(ours))
		require.NotContains(t, b.has(ours), oldID)
		require.Len(t, resp.Header["Set-Cookie"], 2)
		require.Contains(t, resp.Header["Set-Cookie"], "old=; Path=/; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; HttpOnly; SameSite=Lax")
		require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		require.Equal(t, 1, s.old.retires)

		require.Empty(t, b.is("alice").Header["Set-Cookie"], "and once only")
		require.Equal(t, 1, s.old.reads)

		s.browser("old", "made-up").is("nobody")
		s.browser().is("nobody")
		require.Equal(t, 2, s.old.reads, "without the cookie nobody is asked")
		require.Equal(t, 1, s.old.retires, "what is not there need not be retired")
	})
}

// Case 27: beside a live session of Bulla's the old cookie is ignored, retired and
// deleted.
func TestCase27BesideALiveSession(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login("a1", "alice")
		b := s.browser()
		b.post("/login", url.Values{"user": {"bob"}})
		b.set("old", "a1")
		b.is("bob")
		require.Empty(t, b.has("old"))
		require.Zero(t, s.old.reads)
		require.Equal(t, 1, s.old.retires)
		b.is("bob")

		// It comes again and again, as with a proxy that sets it: every response deletes it.
		for range 3 {
			b.set("old", "a1")
			b.is("bob")
			require.Empty(t, b.has("old"))
		}

		// A session that has ended does not count.
		time.Sleep(10 * time.Hour)
		s.old.login("a2", "alice")
		b.set("old", "a2")
		b.is("alice")
	})
}

// Case 28: a logout deletes both, and who kept the old cookie is nobody once the grace
// is over.
func TestCase28Logout(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login("a1", "alice")
		b := s.browser("old", "a1")
		b.is("alice")
		b.post("/logout", nil)
		require.Empty(t, b.has("old"))
		require.Empty(t, b.has(ours))
		b.is("nobody")

		time.Sleep(migrate.Grace)
		replay := s.browser("old", "a1")
		replay.is("nobody")
		require.Empty(t, replay.has("old"))

		// A logout as the first request, and one that still brings both.
		s.old.login("b1", "bob")
		b = s.browser("old", "b1")
		b.post("/logout", nil)
		require.Empty(t, b.has("old"))
		require.Empty(t, b.has(ours))
		b.is("nobody")
		s.old.login("c1", "carol")
		b = s.browser()
		b.post("/login", url.Values{"user": {"carol"}})
		b.set("old", "c1")
		b.post("/logout", nil)
		require.Empty(t, b.has("old"))
		require.Empty(t, b.has(ours))
		time.Sleep(migrate.Grace)
		s.browser("old", "b1").is("nobody")
		s.browser("old", "c1").is("nobody")
	})
}

// Case 28, where the old session was in its cookie and nothing can be retired: who kept
// it is alice again, until Until.
func TestCase28ReplayOfAnOldCookieWithoutARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newMemory(t))
		src := s.old.source()
		src.Retire, src.Until = nil, time.Now().Add(time.Hour)
		s.with(src)
		s.old.login("a1", "alice")
		b := s.browser("old", "a1")
		b.is("alice")
		b.post("/logout", nil)
		time.Sleep(migrate.Grace)
		s.browser("old", "a1").is("alice")
		time.Sleep(time.Hour)
		s.browser("old", "a1").is("nobody")
	})
}

// Case 29: six requests at once with the old cookie are six times alice, and the browser
// is alice with whichever answer comes last.
func TestCase29SixAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login("a1", "alice")
		var wg sync.WaitGroup
		browsers := make([]*browser, 6)
		for i := range browsers {
			browsers[i] = s.browser("old", "a1")
			wg.Go(func() { browsers[i].is("alice") })
		}
		wg.Wait()
		ids := make(map[string]bool)
		for _, b := range browsers {
			b.is("alice")
			ids[b.has(ours)] = true
		}
		require.Len(t, ids, 6)

		// A browser that lost the answer asks again.
		time.Sleep(migrate.Grace - time.Second)
		s.browser("old", "a1").is("alice")
		time.Sleep(time.Second)
		s.browser("old", "a1").is("nobody")
	})
}

// Case 31: after Until the old cookie is deleted, and nothing else happens.
func TestCase31AfterUntil(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login("a1", "alice")
		moved := s.browser("old", "a1")
		time.Sleep(24*time.Hour - time.Millisecond)
		s.old.login("a1", "alice")
		moved.is("alice")
		s.old.login("b1", "bob")
		time.Sleep(time.Millisecond)
		reads, retires := s.old.reads, s.old.retires
		b := s.browser("old", "b1")
		resp := b.is("nobody")
		require.Len(t, resp.Header["Set-Cookie"], 1)
		require.Empty(t, b.has("old"))
		require.Empty(t, b.has(ours))
		moved.set("old", "b1")
		moved.is("alice")
		require.Empty(t, moved.has("old"))
		s.old.down = true
		s.browser("old", "b1").is("nobody")
		require.Equal(t, reads, s.old.reads)
		require.Equal(t, retires, s.old.retires)
	})
}

// Case 32: moving does not renew the absolute deadline, and a session that is too old
// already is nobody's.
func TestCase32DeadlineIsNotRenewed(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login("a1", "alice")
		s.old.began = time.Now().Add(-9 * time.Hour)
		b := s.browser("old", "a1")
		b.is("alice")
		time.Sleep(time.Hour - time.Millisecond)
		b.is("alice")
		time.Sleep(time.Millisecond)
		b.is("nobody")

		s.old.login("b1", "bob") // by the old library's lifetime it lives
		b = s.browser("old", "b1")
		b.is("nobody")
		require.Empty(t, b.has("old"))
		require.Empty(t, b.has(ours))
	})
}

// Case 33: who planted the old ID has nothing of it once the user has moved.
func TestCase33PlantedID(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login("planted", "alice") // she logged in under the ID that mallory knows
		mallory := s.browser(ours, "planted")
		b := s.browser("old", "planted")
		b.is("alice")
		mallory.is("nobody")
		time.Sleep(migrate.Grace)
		s.browser("old", "planted").is("nobody")
		b.is("alice")
	})
}

// Two old cookies that both open count for nothing: a sibling subdomain may have
// planted one, and to delete the other would be its success.
func TestTwoOldCookies(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.old.login("a1", "alice")
		s.old.login("m1", "mallory")
		send := func(header string) (*http.Response, string) {
			r := httptest.NewRequest("GET", base+"/", nil)
			r.Header.Set("Cookie", header)
			resp, err := s.RoundTrip(r)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			return resp, string(body)
		}
		resp, name := send("old=m1; old=a1")
		require.Equal(t, "nobody", name)
		require.Empty(t, resp.Header["Set-Cookie"])
		require.Zero(t, s.old.retires)

		_, name = send("old=expired; old=a1; old=a1")
		require.Equal(t, "alice", name)

		s.old.login("b1", "bob")
		reads := s.old.reads
		_, name = send("old=1; old=2; old=3; old=4; old=b1")
		require.Equal(t, "nobody", name)
		require.Equal(t, reads, s.old.reads)
	})
}

// A page of another site that loads something from this one brings an old cookie that is
// SameSite=None, and the browser would not take the new one: the user must not lose both.
func TestCrossSite(t *testing.T) {
	for _, c := range []struct {
		site, mode, dest string
		sameSite         http.SameSite
		moves            bool
	}{
		{"cross-site", "no-cors", "image", http.SameSiteLaxMode, false},
		{"cross-site", "cors", "empty", http.SameSiteStrictMode, false},
		{"cross-site", "navigate", "iframe", http.SameSiteLaxMode, false},
		{"cross-site", "navigate", "document", http.SameSiteLaxMode, true},
		{"cross-site", "navigate", "iframe", http.SameSiteNoneMode, true},
		{"same-site", "cors", "empty", http.SameSiteLaxMode, true},
		{"same-origin", "cors", "empty", http.SameSiteLaxMode, true},
		{"none", "navigate", "document", http.SameSiteLaxMode, true},
		{"", "", "", http.SameSiteLaxMode, true},
	} {
		s := newSite(t, newMemory(t), middleware.WithSameSite(c.sameSite))
		s.old.login("a1", "alice")
		r := httptest.NewRequest("GET", base+"/", nil)
		r.Header.Set("Cookie", "old=a1")
		r.Header.Set("Sec-Fetch-Site", c.site)
		r.Header.Set("Sec-Fetch-Mode", c.mode)
		r.Header.Set("Sec-Fetch-Dest", c.dest)
		resp, err := s.RoundTrip(r)
		require.NoError(t, err)
		require.Equal(t, c.moves, len(resp.Header["Set-Cookie"]) == 2, "%+v", c)
		require.Equal(t, c.moves, len(resp.Header["Set-Cookie"]) > 0, "%+v", c)
		require.Equal(t, c.moves, s.old.retires == 1, "%+v", c)
	}
}

// Where sessions are loaded before the handler, the old session is there as well; where
// they are skipped, nothing happens.
func TestAutoloadAndSkip(t *testing.T) {
	s := newSite(t, newMemory(t), middleware.WithAutoload("/app/"),
		middleware.WithSkip(func(r *http.Request) bool { return r.URL.Path == "/static" }))
	s.old.login("a1", "alice")
	b := s.browser("old", "a1")
	resp, body := b.get("/static")
	require.Equal(t, "static", body)
	require.Empty(t, resp.Header["Set-Cookie"])
	_, body = b.get("/app/x")
	require.Equal(t, "alice", body)
	require.Empty(t, b.has("old"))
	_, body = b.get("/app/x")
	require.Equal(t, "alice", body)
}

// What the application does not want is retired and deleted; what it fails on is left.
func TestAdoptRefuses(t *testing.T) {
	s := newSite(t, newMemory(t))
	s.old.login("x1", "")
	b := s.browser("old", "x1")
	resp := b.is("nobody")
	require.Len(t, resp.Header["Set-Cookie"], 1)
	require.Equal(t, 1, s.old.retires)

	src := s.old.source()
	src.Adopt = func(_ context.Context, session *sessions.Session, name string) error {
		return errors.Join(user.Set(session, name), session.BeganAt(time.Unix(0, 0)))
	}
	s.with(src)
	s.old.login("x2", "alice")
	resp = s.browser("old", "x2").is("nobody")
	require.Len(t, resp.Header["Set-Cookie"], 1, "no half of it stays")
	s.old.retires = 1

	src.Adopt = func(_ context.Context, session *sessions.Session, name string) error {
		return errors.Join(user.Set(session, name), errors.New("half done"))
	}
	s.with(src)
	s.old.login("a1", "alice")
	b = s.browser("old", "a1")
	resp, _ = b.get("/")
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.Empty(t, resp.Header["Set-Cookie"])
	require.Equal(t, 1, s.old.retires)
}

// A user who is at the limit is nobody, as at a login, and keeps the old cookie for
// later.
func TestTooManySessions(t *testing.T) {
	s := newSite(t, newMemory(t), middleware.WithOwners(encrypt.GenerateKey()), middleware.WithMaxSessionsPerOwner(1, sessions.RefuseNew))
	src := s.old.source()
	src.Adopt = func(ctx context.Context, session *sessions.Session, name string) error {
		return errors.Join(session.SetOwner(ctx, name), user.Set(session, name))
	}
	s.with(src)
	s.old.login("a1", "alice")
	s.old.login("a2", "alice")
	first, second := s.browser("old", "a1"), s.browser("old", "a2")
	first.is("alice")
	second.is("nobody")
	require.Equal(t, "a2", second.has("old"))
	first.post("/logout", nil)
	second.is("alice")

	list, err := s.mw.Manager().Sessions(t.Context(), "alice")
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// The end of all of a user's sessions does not reach those that have not come yet: the
// application knows when it was.
func TestRevokeAllBeforeTheMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newMemory(t), middleware.WithOwners(encrypt.GenerateKey()))
		src := s.old.source()
		var ended time.Time
		src.Adopt = func(ctx context.Context, session *sessions.Session, name string) error {
			if s.old.began.Before(ended) {
				return migrate.ErrNone
			}
			return errors.Join(session.SetOwner(ctx, name), session.BeganAt(s.old.began), user.Set(session, name))
		}
		s.with(src)
		s.old.began = time.Now().Add(-time.Hour)
		for _, value := range []string{"a1", "a2", "a3"} {
			s.old.login(value, "alice")
		}
		moved := s.browser("old", "a1")
		moved.is("alice")
		n, err := s.mw.Manager().RevokeAll(t.Context(), "alice")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		moved.is("nobody")
		s.browser("old", "a2").is("alice") // unless the application says so
		ended = time.Now()
		late := s.browser("old", "a3")
		late.is("nobody")
		require.Empty(t, late.has("old"))
	})
}

// An old cookie that lingers does not take the place of a login that is under way.
func TestBesideAnIDThatWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newMemory(t))
		src := s.old.source()
		src.Adopt = func(_ context.Context, session *sessions.Session, name string) error {
			return errors.Join(session.Regenerate(), user.Set(session, name)) // a login
		}
		s.with(src)
		s.old.login("a1", "alice")
		b := s.browser("old", "a1")
		b.is("alice")
		late := s.browser("old", "a1", ours, b.has(ours))
		b.post("/login", url.Values{"user": {"bob"}})
		before := late.has(ours)
		resp := late.is("nobody")
		require.Len(t, resp.Header["Set-Cookie"], 1, "the old one's deletion")
		require.Equal(t, before, late.has(ours))
		b.is("bob")
	})
}

// Two libraries' sessions are moved by one Handler in another.
func TestTwoSources(t *testing.T) {
	s := newSite(t, newMemory(t))
	older := new(elsewhere)
	second := older.source()
	second.Cookie = &http.Cookie{Name: "older", Path: "/app", Domain: "example"}
	s.with(s.old.source(), second)
	s.old.login("a1", "alice")
	older.login("b1", "bob")
	s.browser("old", "a1").is("alice")
	s.browser("older", "b1").is("bob")
	resp := s.browser("old", "a1", "older", "b1").is("bob")
	require.Len(t, resp.Header["Set-Cookie"], 3)
	require.True(t, strings.HasPrefix(resp.Header["Set-Cookie"][1], "older=; Path=/app; Domain=example; "), resp.Header["Set-Cookie"][1])
}

func TestNewRefuses(t *testing.T) {
	mw := newMiddleware(t, newMemory(t))
	plain := newMiddleware(t, newMemory(t), middleware.WithInsecureHTTP())
	for what, c := range map[string]struct {
		mw     *middleware.Middleware
		change func(*migrate.Source[string])
		want   string
	}{
		"no middleware":     {nil, func(*migrate.Source[string]) {}, "middleware.New"},
		"no cookie":         {mw, func(s *migrate.Source[string]) { s.Cookie = nil }, "Source.Cookie"},
		"no name":           {mw, func(s *migrate.Source[string]) { s.Cookie.Name = "" }, "Source.Cookie"},
		"a bad name":        {mw, func(s *migrate.Source[string]) { s.Cookie.Name = "a b" }, "Source.Cookie"},
		"a bad domain":      {mw, func(s *migrate.Source[string]) { s.Cookie.Domain = "a b" }, "Source.Cookie"},
		"no path":           {mw, func(s *migrate.Source[string]) { s.Cookie.Path = "" }, "Path"},
		"our name":          {mw, func(s *migrate.Source[string]) { s.Cookie.Name = ours; s.Cookie.Secure = true }, "WithCookieName"},
		"our plain name":    {plain, func(s *migrate.Source[string]) { s.Cookie.Name = "session" }, "WithCookieName"},
		"prefix, no Secure": {mw, func(s *migrate.Source[string]) { s.Cookie.Name = "__secure-old" }, "Secure"},
		"None, no Secure":   {mw, func(s *migrate.Source[string]) { s.Cookie.SameSite = http.SameSiteNoneMode }, "Secure"},
		"__Host-, Domain": {mw, func(s *migrate.Source[string]) {
			s.Cookie.Name, s.Cookie.Secure, s.Cookie.Domain = "__Host-old", true, "app.example"
		}, "Domain"},
		"no Read":  {mw, func(s *migrate.Source[string]) { s.Read = nil }, "Source.Read"},
		"no Adopt": {mw, func(s *migrate.Source[string]) { s.Adopt = nil }, "Source.Adopt"},
		"no Until": {mw, func(s *migrate.Source[string]) { s.Until = time.Time{} }, "Until"},
	} {
		src := new(elsewhere).source()
		c.change(&src)
		m, err := migrate.New(c.mw, src)
		require.ErrorIs(t, err, sessions.ErrConfig, what)
		require.ErrorContains(t, err, c.want, what)
		require.Nil(t, m, what)
	}
	src := new(elsewhere).source()
	src.Until = time.Unix(1, 0)
	_, err := migrate.New(mw, src)
	require.NoError(t, err, "the program must start after Until")
}
