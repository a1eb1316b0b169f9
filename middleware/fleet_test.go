package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
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
