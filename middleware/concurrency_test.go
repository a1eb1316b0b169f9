package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// No increment of a counter is lost, whoever comes at the same time.
func TestCounterUnderLoad(t *testing.T) {
	const clients, each = 64, 50
	mem := memory(t)
	h := mem.new(t).Handler(count)
	cookie := visited(t, h)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				if a := ask(h, "/", cookie); a.StatusCode != http.StatusOK {
					t.Errorf("status %d: %s", a.StatusCode, a.body)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1+clients*each, atoi(t, ask(mem.new(t).Handler(peek), "/", cookie).body))
	require.Equal(t, 1, mem.mem.Len())
}

// Requests that were on their way when the user logged out neither bring the
// session back nor touch the cookie, which may be a newer login's by then.
func TestLogoutDuringSlowRequests(t *testing.T) {
	const slow = 32
	mem := memory(t)
	var ev events
	mw := mem.new(t, ev.option())
	cookie := visited(t, mw.Handler(count))

	var loaded, wg sync.WaitGroup
	release := make(chan struct{})
	answers := make(chan answer, slow)
	for i := range slow {
		loaded.Add(1)
		wg.Go(func() {
			answers <- ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s := session(r)
				if i%4 == 1 {
					check(s.Regenerate())
				}
				if i%4 == 3 {
					s.Destroy() // another logout
					s = session(r)
				} else {
					increment(s)
				}
				loaded.Done()
				<-release
			})), "/", cookie)
		})
	}
	loaded.Wait()
	out := ask(mw.Handler(http.HandlerFunc(logout)), "/", cookie)
	require.Contains(t, out.ours()[0], "Max-Age=0")
	in := ask(mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { check(user.Set(session(r), "new")) })), "/")
	close(release)
	wg.Wait()
	close(answers)

	removals := 0
	for a := range answers {
		require.Equal(t, http.StatusOK, a.StatusCode, "the answer stands")
		for _, line := range a.ours() {
			require.Contains(t, line, "Max-Age=0", "a slow request set a cookie")
			removals++
		}
	}
	require.Equal(t, slow/4, removals, "only who logs out removes the cookie")
	seen := ev.take()
	require.NotContains(t, seen, "regenerated")
	require.NotContains(t, seen, "saved")
	require.Equal(t, 2, len(slices.DeleteFunc(seen, func(e string) bool { return e != "created" })), "the session and the login meanwhile, and nothing else")
	require.Equal(t, "0", ask(mw.Handler(peek), "/", cookie).body)
	ask(mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		name, err := user.Get(session(r))
		require.NoError(t, err)
		require.Equal(t, "new", name)
	})), "/", in.value(t))
}

// A request that changed nothing writes nothing, so it can't undo another's
// change.
func TestReaderDoesNotUndo(t *testing.T) {
	for _, s := range setups(t) {
		var ev events
		mw := s.new(t, ev.option())
		cookie := visited(t, mw.Handler(count))
		ev.take()
		a := ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peek(w, httptest.NewRequest("GET", "/", nil).WithContext(r.Context()))
			ask(mw.Handler(count), "/", cookie)
		})), "/", cookie)
		require.Empty(t, a.ours())
		if s.mem != nil {
			require.Equal(t, "2", ask(mw.Handler(peek), "/", cookie).body)
		}
	}
}

// One request's goroutines share its session.
func TestGoroutinesOfOneRequest(t *testing.T) {
	for _, s := range setups(t) {
		mw := s.new(t, middleware.WithAutoload())
		site := serve(t, mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() { increment(session(r)) })
			}
			wg.Wait()
			peek(w, r)
		})))
		require.Equal(t, "16", site.get("/").body)
		require.Equal(t, "32", site.get("/").body)
	}
}

// slowSave is a store whose first Save waits.
type slowSave struct {
	*memstore.Store
	begun, goOn chan struct{}
	once        sync.Once
	saved       atomic.Bool
}

func newSlowSave(t *testing.T) (*middleware.Middleware, *slowSave) {
	mem, err := memstore.New()
	require.NoError(t, err)
	store := &slowSave{Store: mem, begun: make(chan struct{}), goOn: make(chan struct{})}
	mw, err := middleware.New(store)
	require.NoError(t, err)
	return mw, store
}

func (s *slowSave) Place() stores.Place {
	return stores.Place{Name: "slow", Server: s, InProcess: true}
}

func (s *slowSave) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	s.once.Do(func() { close(s.begun); <-s.goOn })
	rev, err := s.Store.Save(ctx, key, rec)
	s.saved.Store(true)
	return rev, err
}

// No byte of the response goes out before the session is stored, whichever of a
// request's goroutines writes it.
func TestEveryWriterWaitsForTheCommit(t *testing.T) {
	mw, store := newSlowSave(t)
	h := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		increment(session(r))
		var wg sync.WaitGroup
		write := func() {
			w.Write(nil)
			if !store.saved.Load() {
				t.Error("it was written before the session was stored")
			}
		}
		wg.Go(write)
		<-store.begun
		wg.Go(write)
		for range 10_000 { // time enough for one that does not wait
			runtime.Gosched()
		}
		close(store.goOn)
		wg.Wait()
	}))
	h.ServeHTTP(nowhere{make(http.Header)}, httptest.NewRequest("GET", "https://example.com/", nil))
	require.Equal(t, 1, store.Len())
}

// What the handler sets while another of its goroutines begins the response is
// stored at its end.
func TestChangeWhileTheResponseBegins(t *testing.T) {
	mw, store := newSlowSave(t)
	var wg sync.WaitGroup
	header := make(http.Header)
	mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session(r)
		increment(s)
		wg.Go(func() { w.Write(nil) })
		<-store.begun
		increment(s)
		wg.Go(func() {
			for range 10_000 { // the handler has ended by then
				runtime.Gosched()
			}
			close(store.goOn)
		})
	})).ServeHTTP(nowhere{header}, httptest.NewRequest("GET", "https://example.com/", nil))
	wg.Wait()
	require.Equal(t, "2", ask(mw.Handler(peek), "/", answer{Response: &http.Response{Header: header}}.value(t)).body)
}

// nowhere is a ResponseWriter that several goroutines may write to.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header       { return n.header }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
