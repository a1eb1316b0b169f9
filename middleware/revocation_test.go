package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// every is how often the processes of these tests read the list.
const every = 5 * time.Second

// listed is a list of what has ended, between whose server and the processes something
// may go wrong.
type listed struct {
	list  atomic.Pointer[memstore.Revocations]
	down  atomic.Bool
	slow  atomic.Int64 // how long a call takes, of limit at most
	calls atomic.Int64
	swaps atomic.Int64
}

// limit is how long a call of the list takes at most.
const limit = 2 * time.Second

func newListed(t testing.TB, opts ...memstore.Option) *listed {
	t.Helper()
	list, err := memstore.NewRevocations(opts...)
	require.NoError(t, err)
	l := new(listed)
	l.list.Store(list)
	return l
}

var errListDown = fmt.Errorf("%w: %w", stores.ErrUnavailable, errors.New("the list is down"))

// fails tells whether a call fails, after the time that it takes.
func (l *listed) fails() bool {
	slow := time.Duration(l.slow.Load())
	if slow > 0 {
		time.Sleep(min(slow, limit))
	}
	return slow > limit || l.down.Load()
}

func (l *listed) Swap(ctx context.Context, old string, e stores.Revocation) (string, error) {
	l.calls.Add(1)
	l.swaps.Add(1)
	if l.fails() {
		return "", errListDown
	}
	return l.list.Load().Swap(ctx, old, e)
}

func (l *listed) Get(ctx context.Context, keys ...stores.Key) ([]string, error) {
	l.calls.Add(1)
	if l.fails() {
		return nil, errListDown
	}
	return l.list.Load().Get(ctx, keys...)
}

func (l *listed) Since(ctx context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	l.calls.Add(1)
	if l.fails() {
		return stores.RevocationPage{}, errListDown
	}
	return l.list.Load().Since(ctx, after)
}

// fleet is several processes with one list and the same keys.
type fleet struct {
	t     *testing.T
	ctx   context.Context // with which the processes end
	store func() stores.Store
	opts  []middleware.Option
	list  stores.RevocationList
	every time.Duration
	all   []*middleware.Middleware
}

var quiet = middleware.WithLogger(slog.New(slog.DiscardHandler))

// fleets runs a test for each way in which a client holds sessions, in a bubble, with
// two processes.
func fleets(t *testing.T, test func(f *fleet), opts ...middleware.Option) {
	fleetsEvery(t, every, test, opts...)
}

func fleetsEvery(t *testing.T, every time.Duration, test func(f *fleet), opts ...middleware.Option) {
	sealing := middleware.WithEncryptor(ring(t, encrypt.GenerateKey()))
	owners := middleware.WithOwners(encrypt.GenerateKey())
	key := encrypt.GenerateKey()
	for name, s := range map[string]struct {
		store func(t *testing.T) func() stores.Store
		opts  []middleware.Option
	}{
		"sealed": {func(*testing.T) func() stores.Store { return func() stores.Store { return cookiestore.Sealed() } }, []middleware.Option{sealing}},
		"signed": {func(t *testing.T) func() stores.Store {
			return func() stores.Store {
				store, err := cookiestore.Signed(key)
				require.NoError(t, err)
				return store
			}
		}, nil},
		"hybrid": {func(t *testing.T) func() stores.Store {
			server, err := memstore.New()
			require.NoError(t, err)
			store, err := hybridstore.New(cookiestore.Sealed(), server)
			require.NoError(t, err)
			return func() stores.Store { return store }
		}, []middleware.Option{sealing}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f := &fleet{t: t, ctx: ctx, store: s.store(t), opts: append(slices.Concat(s.opts, opts), owners, quiet), list: newListed(t), every: every}
				f.start(2)
				test(f)
				cancel()
				synctest.Wait()
			})
		})
	}
}

// start begins n processes, and returns when they have read the list.
func (f *fleet) start(n int, opts ...middleware.Option) (first int) {
	f.t.Helper()
	first = len(f.all)
	for range n {
		mw, err := middleware.New(f.store(), append(append(slices.Clone(f.opts), middleware.WithRevocation(f.ctx, f.list, f.every)), opts...)...)
		require.NoError(f.t, err)
		f.all = append(f.all, mw)
	}
	synctest.Wait()
	return first
}

// said is what a client was answered.
type said struct {
	status int
	cookie string // the new one, "" where it got none
	gone   bool   // its cookie was taken away
	body   string
	err    error // what the function returned, or a failed commit
}

// do sends one request with a cookie to a process.
func (f *fleet) do(process int, cookie string, do func(r *http.Request, s *sessions.Session) error) (a said) {
	f.t.Helper()
	h := f.all[process].HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		a.err = do(r, s)
		if a.err == nil {
			name, err := user.GetOr(s, "")
			require.NoError(f.t, err)
			fmt.Fprint(w, name)
		}
		return a.err
	})
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookieName+"="+cookie)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a.status, a.body = w.Code, w.Body.String()
	for _, c := range w.Result().Cookies() {
		if c.Name == cookieName {
			a.cookie, a.gone = c.Value, c.MaxAge < 0
		}
	}
	return a
}

// login logs a user in, and returns the cookie.
func (f *fleet) login(process int, cookie, name string) string {
	f.t.Helper()
	a := f.do(process, cookie, logIn(name))
	require.Equal(f.t, http.StatusOK, a.status)
	require.NotEmpty(f.t, a.cookie)
	return a.cookie
}

func logIn(name string) func(*http.Request, *sessions.Session) error {
	return func(r *http.Request, s *sessions.Session) error {
		if err := s.SetOwner(r.Context(), name); err != nil {
			return err
		}
		return user.Set(s, name)
	}
}

func look(*http.Request, *sessions.Session) error       { return nil }
func logOut(_ *http.Request, s *sessions.Session) error { s.Destroy(); return nil }
func renew(_ *http.Request, s *sessions.Session) error  { return s.Regenerate() }
func change(_ *http.Request, s *sessions.Session) error { return text.Set(s, time.Now().String()) }
func (f *fleet) revokeOthers(r *http.Request, s *sessions.Session) error {
	_, err := f.all[0].Manager().RevokeOthers(r.Context(), s)
	return err
}

// lives tests whose session a cookie is at a process; nobody's where name is "".
func (f *fleet) lives(process int, cookie, name string) {
	f.t.Helper()
	a := f.do(process, cookie, look)
	require.Equal(f.t, http.StatusOK, a.status)
	require.Equal(f.t, name, a.body)
}

// everywhere is lives for all processes, when each has read the list.
func (f *fleet) everywhere(cookie, name string) {
	f.t.Helper()
	time.Sleep(f.every)
	synctest.Wait()
	for i := range f.all {
		f.lives(i, cookie, name)
	}
}

func (f *fleet) ended(a said) {
	f.t.Helper()
	require.Equal(f.t, http.StatusConflict, a.status)
	require.Empty(f.t, a.cookie, "a cookie went out with a session that has ended")
}

func TestLogoutHoldsEverywhere(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		a := f.do(0, cookie, logOut)
		require.True(f.t, a.gone)
		f.lives(0, cookie, "")
		f.lives(1, cookie, "ada") // it has not read the list yet
		f.everywhere(cookie, "")

		// Neither a change nor anything else brings it back.
		a = f.do(1, cookie, change)
		require.Equal(f.t, http.StatusOK, a.status)
		f.everywhere(cookie, "")
	})
}

// A process that has read the list since the request began does not give a dead session
// a new cookie.
func TestLogoutDuringARequest(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		a := f.do(1, cookie, func(r *http.Request, s *sessions.Session) error {
			f.do(0, cookie, logOut)
			time.Sleep(2 * every)
			return change(r, s)
		})
		require.Equal(f.t, http.StatusOK, a.status)
		require.Empty(f.t, a.cookie)

		// And who commits to be sure is told at once.
		cookie = f.login(0, "", "ada")
		for name, do := range map[string]func(*http.Request, *sessions.Session) error{"nothing": look, "a change": change} {
			cookie := f.login(0, "", "ada")
			a = f.do(1, cookie, func(r *http.Request, s *sessions.Session) error {
				f.do(0, cookie, logOut)
				return errors.Join(do(r, s), sessions.Commit(r.Context()))
			})
			f.ended(a)
			require.ErrorIs(f.t, a.err, sessions.ErrEnded, name)
		}
		a = f.do(1, cookie, func(r *http.Request, s *sessions.Session) error {
			_, err := f.all[0].Manager().RevokeAll(r.Context(), "ada")
			return errors.Join(err, sessions.Commit(r.Context()))
		})
		f.ended(a)
		require.ErrorIs(f.t, a.err, sessions.ErrRevoked)
	})
}

func TestRevokeAllHoldsEverywhere(t *testing.T) {
	fleets(t, func(f *fleet) {
		var adas []string
		for i := range 5 {
			adas = append(adas, f.login(i%2, "", "ada"))
		}
		grace := f.login(0, "", "grace")
		list := f.list.(*listed)
		swaps := list.swaps.Load()
		_, err := f.all[1].Manager().RevokeAll(f.t.Context(), "ada")
		require.NoError(f.t, err)
		require.Equal(f.t, swaps+1, list.swaps.Load(), "one entry, however many sessions")
		for _, cookie := range adas {
			f.lives(1, cookie, "")
		}
		for _, cookie := range adas {
			f.everywhere(cookie, "")
		}
		f.everywhere(grace, "grace")
		again := f.login(0, "", "ada")
		f.everywhere(again, "ada")
		_, err = f.all[0].Manager().RevokeAll(f.t.Context(), "ada")
		require.NoError(f.t, err)
		f.everywhere(again, "")

		_, err = f.all[0].Manager().Sessions(f.t.Context(), "ada")
		require.ErrorIs(f.t, err, sessions.ErrConfig)
		require.ErrorContains(f.t, err, "leaves to the clients")
		require.ErrorIs(f.t, f.all[0].Manager().Revoke(f.t.Context(), "ada", "x"), sessions.ErrConfig)
	})
}

// However many cookies are out, one entry ends them: none is overlooked.
func TestRevokeAllOfMany(t *testing.T) {
	counts := []int{1, 1000}
	if os.Getenv("BULLA_SOAK") != "" {
		counts = append(counts, 100_000)
	}
	for _, n := range counts {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			list := newListed(t)
			f := &fleet{t: t, ctx: ctx, store: func() stores.Store { return cookiestore.Sealed() }, list: list, every: every, opts: []middleware.Option{
				middleware.WithEncryptor(ring(t, encrypt.GenerateKey())), middleware.WithOwners(encrypt.GenerateKey()), quiet,
			}}
			f.start(2)
			cookies := make([]string, n)
			for i := range cookies {
				cookies[i] = f.login(i%2, "", "ada")
			}
			swaps := list.swaps.Load()
			_, err := f.all[0].Manager().RevokeAll(ctx, "ada")
			require.NoError(t, err)
			require.Equal(t, swaps+1, list.swaps.Load())
			time.Sleep(every)
			synctest.Wait()
			for i, cookie := range cookies {
				f.lives((i+1)%2, cookie, "")
			}
			cancel()
			synctest.Wait()
		})
	}
}

func TestRevokeEverything(t *testing.T) {
	fleets(t, func(f *fleet) {
		ada := f.login(0, "", "ada")
		visitor := f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return user.Set(s, "visitor") }).cookie
		f.everywhere(ada, "ada")
		f.everywhere(visitor, "visitor")
		stale := f.start(8)
		require.NoError(f.t, f.all[1].Manager().RevokeEverything(f.t.Context()))
		f.lives(1, ada, "")
		f.lives(0, ada, "ada")

		// Nobody escapes by a new ID or a login at a process that has not read the list.
		for _, cookie := range []string{ada, visitor} {
			if a := f.do(stale, cookie, renew); a.cookie != "" {
				defer f.everywhere(a.cookie, "")
			}
			stale++
			for _, name := range []string{"ada", "mallory"} {
				a := f.do(stale, cookie, logIn(name))
				f.ended(a)
				require.ErrorIs(f.t, a.err, sessions.ErrEnded)
				stale++
			}
		}
		f.everywhere(ada, "")
		f.everywhere(visitor, "")
		f.everywhere(f.login(0, "", "ada"), "ada")
	})
}

// A thief changes the ID at a process that has not read the list yet.
func TestNobodyEscapesByANewID(t *testing.T) {
	for name, escape := range map[string]func(*http.Request, *sessions.Session) error{
		"a new ID":            renew,
		"a login":             logIn("mallory"),
		"a login as the same": logIn("ada"),
		"a new ID, and commit": func(r *http.Request, s *sessions.Session) error {
			return errors.Join(renew(r, s), sessions.Commit(r.Context()))
		},
		"ending the others":          nil,
		"ending the others by a new": nil,
	} {
		t.Run(name, func(t *testing.T) {
			for how, end := range map[string]func(f *fleet, cookie string){
				"logout":    func(f *fleet, cookie string) { f.do(0, cookie, logOut) },
				"RevokeAll": func(f *fleet, _ string) { f.all[0].Manager().RevokeAll(f.t.Context(), "ada") },
				"everything": func(f *fleet, _ string) {
					require.NoError(f.t, f.all[0].Manager().RevokeEverything(f.t.Context()))
				},
			} {
				t.Run(how, func(t *testing.T) {
					fleets(t, func(f *fleet) {
						cookie := f.login(0, "", "ada")
						end(f, cookie)
						f.lives(1, cookie, "ada")
						do := escape
						if do == nil {
							do = func(r *http.Request, s *sessions.Session) error {
								_, err := f.all[1].Manager().RevokeOthers(r.Context(), s)
								return err
							}
						}
						a := f.do(1, cookie, do)
						if a.cookie != "" { // a new ID with the old numbers
							require.NotEqual(t, "logout", how)
							f.everywhere(a.cookie, "")
						}
						f.everywhere(cookie, "")
					})
				})
			}
		})
	}
}

// The cookie of before a regeneration is dead, and a logout with it ends the session.
func TestLogoutCrossesANewID(t *testing.T) {
	fleets(t, func(f *fleet) {
		old := f.login(0, "", "ada")
		time.Sleep(time.Minute + time.Second) // between two readings
		a := f.do(0, old, renew)
		require.NotEmpty(f.t, a.cookie)
		next := f.do(0, a.cookie, renew).cookie
		f.lives(1, old, "ada")
		a = f.do(1, old, logOut)
		require.Equal(f.t, http.StatusOK, a.status)
		f.everywhere(old, "")
		f.everywhere(next, "")

		// The other way round the new ID does not come about.
		cookie := f.login(0, "", "ada")
		f.ended(f.do(0, cookie, func(r *http.Request, s *sessions.Session) error {
			require.NoError(f.t, s.Regenerate())
			require.True(f.t, f.do(1, cookie, logOut).gone)
			return sessions.Commit(r.Context())
		}))
		f.everywhere(cookie, "")

		// Of two new IDs one comes about.
		cookie = f.login(0, "", "ada")
		first := f.do(0, cookie, renew)
		second := f.do(1, cookie, renew)
		require.NotEmpty(f.t, first.cookie)
		require.Empty(f.t, second.cookie)
		f.everywhere(first.cookie, "ada")
	})
}

// For ten seconds a request with the old ID was under way; then it begins anew.
func TestTheCookieFromBeforeANewID(t *testing.T) {
	fleets(t, func(f *fleet) {
		old := f.login(0, "", "ada")
		next := f.do(0, old, renew).cookie
		f.everywhere(old, "")
		f.everywhere(next, "ada")
		a := f.do(1, old, change)
		require.ErrorIs(f.t, a.err, sessions.ErrEnded)
		require.Empty(f.t, a.cookie)
		time.Sleep(11 * time.Second)
		a = f.do(1, old, change)
		require.NoError(f.t, a.err)
		require.NotEmpty(f.t, a.cookie)

		// Also with the old one a logout reaches the session.
		require.Equal(f.t, http.StatusOK, f.do(1, old, logOut).status)
		f.everywhere(next, "")
	})
}

// Who planted a session's ID does not end the session of the user who logged in with it.
func TestPlantedSessionDoesNotEndTheLogin(t *testing.T) {
	fleets(t, func(f *fleet) {
		planted := f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return text.Set(s, "planted") }).cookie
		ada := f.login(0, planted, "ada")
		f.everywhere(planted, "")
		a := f.do(0, planted, logOut)
		require.False(f.t, a.gone)
		f.everywhere(ada, "ada")

		// Nor may a thief who logs in with it as himself.
		mallorys := f.login(0, "", "mallory")
		ada = f.login(0, mallorys, "ada")
		f.do(1, mallorys, logOut)
		f.everywhere(ada, "ada")
	})
}

// An old session without an owner logs in after, and across, a RevokeAll.
func TestLoginAcrossRevokeAll(t *testing.T) {
	fleets(t, func(f *fleet) {
		anonymous := func() string {
			return f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return text.Set(s, "cart") }).cookie
		}
		old, other := anonymous(), anonymous()
		stolen := f.login(0, "", "ada")
		_, err := f.all[0].Manager().RevokeAll(f.t.Context(), "ada")
		require.NoError(f.t, err)

		// A login after it is one: at a process that has not read the list, too.
		ada := f.login(1, old, "ada")
		f.everywhere(ada, "ada")
		f.everywhere(stolen, "")

		// One that began before it is not, whoever commits first.
		crossing := f.do(1, other, func(r *http.Request, s *sessions.Session) error {
			require.NoError(f.t, logIn("ada")(r, s))
			_, err := f.all[0].Manager().RevokeAll(r.Context(), "ada")
			return err
		})
		if crossing.cookie != "" {
			f.everywhere(crossing.cookie, "")
		}
		f.everywhere(ada, "")
	})
}

// RevokeOthers with a copy of the same cookie in a thief's hands.
func TestRevokeOthersEndsTheCopies(t *testing.T) {
	fleets(t, func(f *fleet) {
		own, other := f.login(0, "", "ada"), f.login(1, "", "ada")
		a := f.do(0, own, f.revokeOthers)
		require.Equal(f.t, http.StatusOK, a.status)
		require.NotEmpty(f.t, a.cookie)
		f.lives(1, own, "ada")
		thiefs := f.do(1, own, func(r *http.Request, s *sessions.Session) error {
			_, err := f.all[1].Manager().RevokeOthers(r.Context(), s)
			return err
		})
		require.ErrorIs(f.t, thiefs.err, sessions.ErrEnded)
		require.Empty(f.t, thiefs.cookie)
		f.everywhere(own, "")
		f.everywhere(other, "")
		f.everywhere(a.cookie, "ada")

		// Of two at once one wins, and an end of all in between ends both.
		again := f.do(0, a.cookie, f.revokeOthers)
		f.everywhere(again.cookie, "ada")
		b := f.do(0, again.cookie, func(r *http.Request, s *sessions.Session) error {
			_, err := f.all[1].Manager().RevokeAll(r.Context(), "ada")
			return errors.Join(err, f.revokeOthers(r, s))
		})
		require.ErrorIs(f.t, b.err, sessions.ErrRevoked)
		f.everywhere(again.cookie, "")
	})
}

// Where the session can't get a new ID any more, RevokeOthers fails and ends nothing: the
// user who is told of the failure is still logged in.
func TestRevokeOthersTooLate(t *testing.T) {
	fleets(t, func(f *fleet) {
		own, other := f.login(0, "", "ada"), f.login(1, "", "ada")
		var failed error
		h := f.all[0].HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			fmt.Fprint(w, "begun")
			failed = f.revokeOthers(r, s)
			return nil
		})
		require.Equal(f.t, http.StatusOK, ask(h, "/", own).StatusCode)
		require.ErrorIs(f.t, failed, sessions.ErrTooLate)
		f.everywhere(own, "ada")
		f.everywhere(other, "ada")

		a := f.do(0, own, func(r *http.Request, s *sessions.Session) error {
			f.do(1, own, logOut)
			return errors.Join(sessions.Commit(r.Context()), f.revokeOthers(r, s))
		})
		require.ErrorIs(f.t, a.err, sessions.ErrEnded)
		f.everywhere(own, "")
		f.everywhere(other, "ada")
	})
}

// A logout in another tab, while one ends the others.
func TestLogoutCrossesRevokeOthers(t *testing.T) {
	fleets(t, func(f *fleet) {
		for process := range 2 {
			own := f.login(0, "", "ada")
			a := f.do(0, own, func(r *http.Request, s *sessions.Session) error {
				require.NoError(f.t, f.revokeOthers(r, s))
				require.Equal(f.t, http.StatusOK, f.do(process, own, logOut).status)
				return nil
			})
			require.Empty(f.t, a.cookie)
			f.everywhere(own, "")

			own = f.login(0, "", "ada")
			next := f.do(0, own, f.revokeOthers).cookie
			require.Equal(f.t, http.StatusOK, f.do(process, own, logOut).status)
			f.everywhere(next, "")
		}
	})
}

// All processes end; what has ended does not live again.
func TestEndsOutliveTheProcesses(t *testing.T) {
	fleets(t, func(f *fleet) {
		out, moved, kept := f.login(0, "", "ada"), f.login(0, "", "grace"), f.login(0, "", "kept")
		revoked := f.login(0, "", "linus")
		f.do(0, out, logOut)
		next := f.do(0, moved, renew).cookie
		_, err := f.all[0].Manager().RevokeAll(f.t.Context(), "linus")
		require.NoError(f.t, err)
		f.all = nil
		f.start(1)
		f.lives(0, out, "")
		f.lives(0, moved, "")
		f.lives(0, revoked, "")
		f.lives(0, next, "grace")
		f.lives(0, kept, "kept")
	})
}

// A process that never read the list, or not for long, refuses sessions, and says so.
func TestListIsDown(t *testing.T) {
	fleets(t, func(f *fleet) {
		list := f.list.(*listed)
		cookie := f.login(0, "", "ada")
		list.down.Store(true)
		late := f.start(1)
		pass := f.start(1, middleware.WithInsecureRevocationPassing())
		require.Equal(f.t, http.StatusServiceUnavailable, f.do(late, cookie, look).status)
		require.Equal(f.t, http.StatusServiceUnavailable, f.do(late, "", change).status)
		require.Equal(f.t, http.StatusServiceUnavailable, f.do(pass, cookie, look).status, "it was never read")
		require.Equal(f.t, http.StatusOK, f.do(late, "", look).status, "there is nothing to be looked up")

		f.lives(0, cookie, "ada")
		require.Equal(f.t, http.StatusOK, f.do(0, cookie, change).status)
		for _, do := range []func(*http.Request, *sessions.Session) error{logOut, renew, logIn("grace"), f.revokeOthers} {
			began := time.Now()
			a := f.do(0, cookie, do)
			require.Equal(f.t, http.StatusServiceUnavailable, a.status)
			require.Empty(f.t, a.cookie)
			require.False(f.t, a.gone, "a logout that is not listed is none")
			require.Less(f.t, time.Since(began), 12*time.Second)
		}
		list.down.Store(false)
		time.Sleep(every)
		f.lives(late, cookie, "ada")
		f.lives(pass, cookie, "ada")

		list.down.Store(true)
		time.Sleep(50 * time.Second)
		f.lives(late, cookie, "ada")
		time.Sleep(20 * time.Second)
		require.Equal(f.t, http.StatusServiceUnavailable, f.do(late, cookie, look).status)
		f.lives(pass, cookie, "ada")
		list.down.Store(false)
		time.Sleep(every)
		f.lives(late, cookie, "ada")
	})
}

// A slow list slows no request that does not ask it. One that is too slow is one that is
// down, and where sessions are refused for it, they are at once.
func TestListIsSlow(t *testing.T) {
	fleets(t, func(f *fleet) {
		list := f.list.(*listed)
		atOnce := func(cookie string, status int) {
			f.t.Helper()
			began := time.Now()
			for _, do := range []func(*http.Request, *sessions.Session) error{look, change} {
				require.Equal(f.t, status, f.do(1, cookie, do).status)
			}
			require.Equal(f.t, began, time.Now(), "a request has waited")
		}
		kept, cookie := f.login(0, "", "ada"), f.login(0, "", "ada")
		list.slow.Store(int64(limit - 100*time.Millisecond))
		for range 120 {
			time.Sleep(time.Second)
			atOnce(kept, http.StatusOK)
		}
		began := time.Now()
		require.True(f.t, f.do(0, cookie, logOut).gone)
		require.Equal(f.t, limit-100*time.Millisecond, time.Since(began), "a logout is one call")
		time.Sleep(2 * limit)
		f.everywhere(cookie, "")

		list.slow.Store(int64(limit + time.Second))
		for range 50 {
			time.Sleep(time.Second)
			atOnce(kept, http.StatusOK)
		}
		began = time.Now()
		a := f.do(0, kept, logOut)
		require.Equal(f.t, http.StatusServiceUnavailable, a.status)
		require.False(f.t, a.gone)
		require.Less(f.t, time.Since(began), 12*time.Second)
		time.Sleep(20 * time.Second)
		for range 60 {
			time.Sleep(time.Second)
			atOnce(kept, http.StatusServiceUnavailable)
		}
		list.slow.Store(0)
		time.Sleep(every)
		f.everywhere(kept, "ada")
	})
}

// Where the process could not read, because it was stopped or is new, the request waits.
func TestFirstRequestWaitsForTheList(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		f.do(0, cookie, logOut)
		mw, err := middleware.New(f.store(), append(slices.Clone(f.opts), middleware.WithRevocation(f.ctx, f.list, every))...)
		require.NoError(f.t, err)
		f.all = append(f.all, mw)
		f.lives(2, cookie, "") // with no time to have read it before
	})
}

func TestReadingEndsWithItsContext(t *testing.T) {
	fleets(t, func(f *fleet) {
		ctx, cancel := context.WithCancel(f.ctx)
		f.ctx = ctx
		stopped := f.start(1)
		cookie := f.login(stopped, "", "ada")
		cancel()
		synctest.Wait()
		f.lives(stopped, cookie, "ada")
		time.Sleep(2 * time.Minute)
		a := f.do(stopped, cookie, look)
		require.Equal(f.t, http.StatusServiceUnavailable, a.status)
	})
}

// A list that has lost everything can't tell any more what had ended.
func TestListIsLost(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("sessions stay: %t", keep), func(t *testing.T) {
			var opts []middleware.Option
			if keep {
				opts = append(opts, middleware.WithInsecureRevocationLoss())
			}
			fleets(t, func(f *fleet) {
				list := f.list.(*listed)
				out, kept := f.login(0, "", "ada"), f.login(0, "", "grace")
				revoked := f.login(0, "", "linus")
				f.do(0, out, logOut)
				f.all[0].Manager().RevokeAll(f.t.Context(), "linus")
				f.everywhere(kept, "grace")

				empty, err := memstore.NewRevocations()
				require.NoError(f.t, err)
				list.list.Store(empty)
				time.Sleep(2 * every)
				restarted := f.start(1)
				if keep {
					f.everywhere(kept, "grace")
					f.lives(0, out, "") // who goes on remembers
					f.lives(restarted, out, "ada")
				} else {
					f.everywhere(kept, "")
					f.everywhere(out, "")
					f.everywhere(revoked, "")
				}
				for _, name := range []string{"ada", "linus"} {
					again := f.login(restarted, "", name)
					f.everywhere(again, name)
					f.do(0, again, logOut)
					f.everywhere(again, "")
				}
				again := f.login(restarted, "", "linus")
				f.all[0].Manager().RevokeAll(f.t.Context(), "linus")
				f.everywhere(again, "")
				f.everywhere(revoked, "")
			}, opts...)
		})
	}
}

// Sessions without an owner are listed if asked for, up to a limit.
func TestSessionsWithoutAnOwner(t *testing.T) {
	var refused atomic.Int64
	hooks := middleware.WithHooks(sessions.Hooks{Refused: func(_ context.Context, e sessions.Event) {
		if errors.Is(e.Err, stores.ErrFull) {
			refused.Add(1)
		}
	}})
	fleets(t, func(f *fleet) {
		list := f.list.(*listed)
		begin := func() string {
			return f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return user.Set(s, "visitor") }).cookie
		}
		cookie := begin()
		swaps := list.swaps.Load()
		require.True(f.t, f.do(0, cookie, logOut).gone)
		require.NotEmpty(f.t, f.do(0, begin(), renew).cookie)
		require.Equal(f.t, swaps, list.swaps.Load())
		f.everywhere(cookie, "visitor")

		refused.Store(0)
		asked := f.start(1, middleware.WithAnonymousRevocation(10))
		for range 10 {
			cookie = begin()
			require.True(f.t, f.do(asked, cookie, logOut).gone)
		}
		f.everywhere(cookie, "")
		require.Zero(f.t, refused.Load())
		for _, do := range []func(*http.Request, *sessions.Session) error{logOut, renew} {
			a := f.do(asked, begin(), do)
			require.Equal(f.t, http.StatusServiceUnavailable, a.status)
			require.Empty(f.t, a.cookie)
			require.False(f.t, a.gone)
		}
		require.Equal(f.t, swaps+10+1, list.swaps.Load(), "one for each, and one of the process that has begun")
		require.NotZero(f.t, refused.Load())
		ada := f.login(asked, begin(), "ada") // who has an owner is not counted
		require.True(f.t, f.do(asked, ada, logOut).gone)
		f.everywhere(ada, "")

		time.Sleep(2 * time.Hour) // and when they are over there is room again
		require.True(f.t, f.do(asked, begin(), logOut).gone)
	}, hooks, middleware.WithLifetime(20*time.Minute))
}

// Somebody begins sessions and logs out of them, over and over: what they can fill has a
// limit, and behind it whoever has an account logs in and out as ever. BULLA_SOAK=1 has a
// million of them.
func TestFloodOfLogouts(t *testing.T) {
	most := 1000
	if os.Getenv("BULLA_SOAK") != "" {
		most = 1_000_000
	}
	const every = 100 * time.Millisecond
	list := newListed(t, memstore.WithMaxRevocations(2*most))
	var refused atomic.Int64
	f := &fleet{t: t, ctx: t.Context(), store: func() stores.Store { return cookiestore.Sealed() }, list: list, opts: []middleware.Option{
		middleware.WithEncryptor(ring(t, encrypt.GenerateKey())), middleware.WithOwners(encrypt.GenerateKey()), quiet,
		middleware.WithAnonymousRevocation(most),
		middleware.WithHooks(sessions.Hooks{Refused: func(context.Context, sessions.Event) { refused.Add(1) }}),
	}}
	for range 2 {
		mw, err := middleware.New(f.store(), append(slices.Clone(f.opts), middleware.WithRevocation(f.ctx, list, every))...)
		require.NoError(t, err)
		f.all = append(f.all, mw)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	begin := func() string {
		return f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return user.Set(s, "visitor") }).cookie
	}
	empty, began := heap(), time.Now()
	var some []string
	for i := range most {
		cookie := begin()
		require.True(t, f.do(0, cookie, logOut).gone)
		if i%(most/100) == 0 {
			some = append(some, cookie)
		}
	}
	t.Logf("%d logouts in %v; the list and two copies are %d bytes for each", most, time.Since(began).Round(time.Second), int(heap()-empty)/most)
	for range most / 10 {
		a := f.do(0, begin(), logOut)
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.False(t, a.gone)
	}
	require.EqualValues(t, most/10, refused.Load())
	require.EqualValues(t, most, list.list.Load().Len()-1, "and everybody's number")

	ada := f.login(0, begin(), "ada")
	require.NotEmpty(t, f.do(0, f.login(0, "", "ada"), renew).cookie)
	require.True(t, f.do(0, ada, logOut).gone)
	some = append(some, ada)
	require.Eventually(t, func() bool { return f.do(1, ada, look).body == "" }, time.Minute, every)
	for _, cookie := range some {
		f.lives(0, cookie, "")
		f.lives(1, cookie, "")
	}
}

// A logout after the response has begun can't take the cookie away, and ends the session.
func TestLateLogoutIsListed(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		h := f.all[0].HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			fmt.Fprint(w, "begun")
			s.Destroy()
			return nil
		})
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		r.Header.Set("Cookie", cookieName+"="+cookie)
		h.ServeHTTP(httptest.NewRecorder(), r)
		f.everywhere(cookie, "")
	})
}

// No machine's clock decides, but for an hour: an entry outlives its session.
func TestEntriesOutliveTheirSessions(t *testing.T) {
	fleetsEvery(t, time.Hour, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		f.do(0, cookie, logOut)
		for range 30 {
			f.everywhere(cookie, "")
			time.Sleep(23 * time.Hour)
		}
		list := f.list.(*listed)
		// Four calls: everybody's number is read and moved on, then what is new, then all.
		require.Less(f.t, list.calls.Load(), int64(2*4*24*31), "more than an hourly reading of each process")

		// A list that nobody has read for longer than sessions live is no lost one.
		kept := f.login(0, "", "ada")
		f.everywhere(kept, "ada")
	})
}

// While keys change all processes find all sessions of an owner.
func TestRevokeAllWhileKeysChange(t *testing.T) {
	fleets(t, func(f *fleet) {
		first, second := encrypt.GenerateKey(), encrypt.GenerateKey()
		a := f.start(1, middleware.WithOwners(first, second))
		b := f.start(1, middleware.WithOwners(second, first))
		for _, by := range []int{a, b} {
			old, fresh := f.login(a, "", "ada"), f.login(b, "", "ada")
			_, err := f.all[by].Manager().RevokeAll(f.t.Context(), "ada")
			require.NoError(f.t, err)
			f.everywhere(old, "")
			f.everywhere(fresh, "")
			own, other := f.login(a, "", "ada"), f.login(b, "", "ada")
			own = f.do(by, own, func(r *http.Request, s *sessions.Session) error {
				_, err := f.all[by].Manager().RevokeOthers(r.Context(), s)
				return err
			}).cookie
			f.everywhere(own, "ada")
			f.everywhere(other, "")
		}
	})
}

// In the hybrid a small cookie does not outlive its session on the server.
func TestHybridsSmallCookieEnds(t *testing.T) {
	fleets(t, func(f *fleet) {
		if f.store().Place().Server == nil {
			return
		}
		small := f.login(0, "", "ada")
		a := f.do(0, small, func(_ *http.Request, s *sessions.Session) error { return text.Set(s, strings.Repeat("x", 5000)) })
		require.Len(f.t, a.cookie, 32)
		f.lives(1, small, "ada")
		f.do(0, a.cookie, logOut)
		f.everywhere(small, "")
		f.everywhere(a.cookie, "")

		small = f.login(0, "", "ada")
		large := f.do(0, small, func(_ *http.Request, s *sessions.Session) error { return text.Set(s, strings.Repeat("x", 5000)) }).cookie
		next := f.do(0, large, renew).cookie
		f.everywhere(small, "")
		f.everywhere(next, "ada")
		f.do(1, small, logOut)
		f.everywhere(next, "")
	})
}

// On a server nothing is listed but everybody's number.
func TestRevokeEverythingOnAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store, err := memstore.New()
		require.NoError(t, err)
		list := newListed(t)
		f := &fleet{t: t, ctx: ctx, store: func() stores.Store { return store }, list: list, every: every, opts: []middleware.Option{middleware.WithOwners(encrypt.GenerateKey()), quiet}}
		f.start(3)
		ada, grace := f.login(0, "", "ada"), f.login(1, "", "grace")
		visitor := f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return user.Set(s, "visitor") }).cookie
		out := f.login(0, "", "out")
		swaps := list.swaps.Load()
		f.do(0, out, logOut)
		ada = f.do(0, ada, renew).cookie
		_, err = f.all[0].Manager().RevokeAll(ctx, "grace")
		require.NoError(t, err)
		require.Equal(t, swaps, list.swaps.Load())
		f.lives(1, out, "")
		f.lives(1, grace, "")
		n, err := f.all[0].Manager().Sessions(ctx, "ada")
		require.NoError(t, err)
		require.Len(t, n, 1)

		require.NoError(t, f.all[0].Manager().RevokeEverything(ctx))
		f.lives(0, ada, "")
		f.lives(1, ada, "ada")
		a := f.do(1, ada, func(r *http.Request, s *sessions.Session) error { return sessions.Commit(r.Context()) })
		require.ErrorIs(t, a.err, sessions.ErrRevoked)
		require.ErrorIs(t, f.do(2, ada, logIn("ada")).err, sessions.ErrRevoked)
		f.everywhere(ada, "")
		f.everywhere(visitor, "")
		f.everywhere(f.login(1, "", "ada"), "ada")
		cancel()
		synctest.Wait()
	})
}

func TestRevocationMisconfiguration(t *testing.T) {
	mem, err := memstore.New()
	require.NoError(t, err)
	list := newListed(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	enc := middleware.WithEncryptor(ring(t, encrypt.GenerateKey()))
	owners := middleware.WithOwners(encrypt.GenerateKey())
	with := func(every time.Duration) middleware.Option { return middleware.WithRevocation(ctx, list, every) }
	for name, c := range map[string]struct {
		store stores.Store
		opts  []middleware.Option
		text  string
	}{
		"no list":               {cookiestore.Sealed(), []middleware.Option{enc, owners, middleware.WithRevocation(ctx, nil, every)}, "WithRevocation: the list is nil"},
		"a nil list":            {cookiestore.Sealed(), []middleware.Option{enc, owners, middleware.WithRevocation(ctx, (*memstore.Revocations)(nil), every)}, "the list is nil"},
		"no context":            {cookiestore.Sealed(), []middleware.Option{enc, owners, middleware.WithRevocation(nil, list, every)}, "context"}, //nolint
		"too often":             {cookiestore.Sealed(), []middleware.Option{enc, owners, with(time.Millisecond)}, "from 100ms"},
		"too seldom":            {cookiestore.Sealed(), []middleware.Option{enc, owners, with(2 * time.Hour)}, "from 100ms"},
		"nothing to list":       {cookiestore.Sealed(), []middleware.Option{enc, with(every)}, "WithAnonymousRevocation"},
		"owners without a list": {cookiestore.Sealed(), []middleware.Option{enc, owners}, "WithRevocation"},
		"a limit":               {cookiestore.Sealed(), []middleware.Option{enc, owners, with(every), middleware.WithMaxSessionsPerOwner(1, sessions.RefuseNew)}, "counts sessions"},
		"anonymous on a server": {mem, []middleware.Option{with(every), middleware.WithAnonymousRevocation(1)}, "ends them itself"},
		"anonymous alone":       {cookiestore.Sealed(), []middleware.Option{enc, middleware.WithAnonymousRevocation(1)}, "add WithRevocation"},
		"none anonymous":        {cookiestore.Sealed(), []middleware.Option{enc, with(every), middleware.WithAnonymousRevocation(0)}, "leave it out"},
		"fewer than none":       {cookiestore.Sealed(), []middleware.Option{enc, with(every), middleware.WithAnonymousRevocation(-1)}, "negative"},
		"refusal too soon":      {cookiestore.Sealed(), []middleware.Option{enc, owners, with(every), middleware.WithRevocationRefusal(every)}, "under twice"},
		"refusal at once":       {cookiestore.Sealed(), []middleware.Option{enc, owners, with(every), middleware.WithRevocationRefusal(0)}, "positive"},
		"refuses and passes":    {cookiestore.Sealed(), []middleware.Option{enc, owners, with(every), middleware.WithRevocationRefusal(time.Hour), middleware.WithInsecureRevocationPassing()}, "contradict"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := middleware.New(c.store, c.opts...)
			require.ErrorIs(t, err, sessions.ErrConfig)
			require.ErrorContains(t, err, c.text)
		})
	}
	mw, err := middleware.New(mem)
	require.NoError(t, err)
	require.ErrorIs(t, mw.Manager().RevokeEverything(t.Context()), sessions.ErrConfig)
	mw, err = middleware.New(mem, with(every))
	require.NoError(t, err)
	require.NoError(t, mw.Manager().RevokeEverything(t.Context()))
}

// Two logouts, new IDs and revocations at once, real goroutines.
func TestRevocationRaces(t *testing.T) {
	f := &fleet{t: t, ctx: t.Context(), store: func() stores.Store { return cookiestore.Sealed() }, list: newListed(t), opts: []middleware.Option{
		middleware.WithEncryptor(ring(t, encrypt.GenerateKey())), middleware.WithOwners(encrypt.GenerateKey()), quiet,
	}}
	for range 2 {
		mw, err := middleware.New(f.store(), append(slices.Clone(f.opts), middleware.WithRevocation(f.ctx, f.list, 100*time.Millisecond))...)
		require.NoError(t, err)
		f.all = append(f.all, mw)
	}
	for range 20 {
		cookie := f.login(0, "", "ada")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var out []string
		for i, do := range []func(*http.Request, *sessions.Session) error{logOut, renew, renew, logIn("ada"), f.revokeOthers, f.revokeOthers, change, look} {
			wg.Go(func() {
				a := f.do(i%2, cookie, do)
				mu.Lock()
				defer mu.Unlock()
				if a.cookie != "" && !a.gone {
					out = append(out, a.cookie)
				}
			})
		}
		wg.Wait()
		time.Sleep(250 * time.Millisecond)
		// Whatever came first, the logout has been: none lives, but that of a login,
		// which a request with the old ID may make.
		alive := 0
		for _, c := range out {
			if a := f.do(0, c, look); a.body != "" {
				alive++
			}
		}
		require.LessOrEqual(t, alive, 1)
		f.lives(0, cookie, "")
	}
}
