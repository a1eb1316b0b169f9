//go:build unix

package integration_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

const slow = 32

// inFlight are slow requests that have loaded b's session, and wait.
type inFlight struct {
	release chan struct{}
	running sync.WaitGroup
	answers [slow]answer
}

func hold(mw *middleware.Middleware, b *browser, do func(i int) handle) *inFlight {
	f := &inFlight{release: make(chan struct{})}
	var loaded sync.WaitGroup
	loaded.Add(slow)
	for i := range slow {
		f.running.Go(func() {
			f.answers[i] = b.clone().send(mw, func(s *sessions.Session) error {
				err := do(i)(s)
				loaded.Done()
				<-f.release
				return err
			})
		})
	}
	loaded.Wait()
	return f
}

// finish lets them finish. None may set a cookie, whatever it was about to do.
func (f *inFlight) finish(t *testing.T) {
	t.Helper()
	close(f.release)
	f.running.Wait()
	for _, a := range f.answers {
		require.NoError(t, a.err)
		require.Equal(t, http.StatusOK, a.status, "the handler's answer stands")
		require.Empty(t, a.lines, "it could be a newer login's cookie that this replaces")
	}
}

// mixed is what slow requests do: change, read, change the ID.
func mixed(i int) handle {
	return func(s *sessions.Session) error {
		switch i % 4 {
		case 0:
			return count(s)
		case 1:
			return look(s)
		case 2:
			return s.Regenerate()
		}
		return key(i).Set(s, i)
	}
}

// Requests that were on their way when the user logged out neither bring the
// session back nor touch the cookie, which is a newer login's by then.
func TestLogoutDuringSlowRequests(t *testing.T) {
	for _, where := range outside {
		for _, cache := range caches {
			t.Run(where.name+", "+cache.name, func(t *testing.T) {
				b := where.make(t)
				mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(cache.fresh))
				old := visited(t, mw)
				stolen := old.clone()
				slow := hold(mw, old, mixed)

				out := old.must(t, mw, logout)
				require.Len(t, out.lines, 1)
				require.Contains(t, out.lines[0], "Max-Age=0")
				require.Empty(t, old.cookie)
				require.Zero(t, b.records(t))
				old.must(t, mw, setUser("someone else"))

				slow.finish(t)
				require.Equal(t, 1, b.records(t), "the login meanwhile, and nothing else")
				require.Equal(t, "someone else", old.user(t, mw))
				require.Equal(t, "someone else", old.id().user(t, mw))
				require.Zero(t, stolen.id().visits(t, mw))
			})
		}
	}
}

// A change of the ID ends the old one for requests that are on their way. What
// they read they may show; what they change is not under the new ID, and the
// browser's new cookie stays.
func TestRegenerationDuringSlowRequests(t *testing.T) {
	for _, where := range outside {
		for _, cache := range caches {
			t.Run(where.name+", "+cache.name, func(t *testing.T) {
				b := where.make(t)
				mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(cache.fresh))
				login := visited(t, mw)
				old := login.clone()
				slow := hold(mw, login, mixed)

				in := login.must(t, mw, func(s *sessions.Session) error {
					if err := s.Regenerate(); err != nil {
						return err
					}
					return user.Set(s, "someone")
				})
				require.Len(t, in.lines, 1)
				require.NotEqual(t, old.cookie[:idSize], login.cookie[:idSize])
				require.Equal(t, 1, b.records(t))

				slow.finish(t)
				require.Equal(t, 1, b.records(t))
				for _, b := range []*browser{login, login.id()} {
					require.Equal(t, "someone", b.user(t, mw))
					require.Equal(t, 1, b.visits(t, mw))
				}
				require.Zero(t, old.id().visits(t, mw), "the old ID works")
				require.Empty(t, old.id().user(t, mw))
			})
		}
	}
}

// The other way round: many requests change the ID of one session at once. One
// of them wins; the others leave nothing behind, and log nobody out.
func TestRegenerationsAtOnce(t *testing.T) {
	for _, where := range outside {
		for _, cache := range caches {
			t.Run(where.name+", "+cache.name, func(t *testing.T) {
				b := where.make(t)
				mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(cache.fresh))
				old := visited(t, mw)
				slow := hold(mw, old, func(int) handle { return (*sessions.Session).Regenerate })
				close(slow.release)
				slow.running.Wait()

				winner := new(browser)
				for _, a := range slow.answers {
					require.NoError(t, a.err)
					require.Equal(t, http.StatusOK, a.status)
					if len(a.lines) == 0 {
						continue
					}
					require.Empty(t, winner.cookie, "two requests have given the browser an ID")
					value, _, _ := strings.Cut(strings.TrimPrefix(a.lines[0], cookieName+"="), ";")
					winner.cookie = value
				}
				require.NotEmpty(t, winner.cookie)
				require.Equal(t, 1, winner.id().visits(t, mw))
				require.Equal(t, 1, b.records(t))
			})
		}
	}
}
