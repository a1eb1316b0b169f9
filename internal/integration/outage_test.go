//go:build unix

package integration_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/firestorestore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

const (
	limit      = 300 * time.Millisecond // of the stores, for one call
	commitTime = time.Second            // of a commit, which asks until it has an answer
)

// outage is a way for a server to be gone and to come back.
type outage struct {
	name string
	make func(testing.TB) (b backend, end, begin func())
}

var outages = []outage{
	{"Redis killed", func(t testing.TB) (backend, func(), func()) {
		b, server := persistentRedis(t)
		return b, server.Kill, func() { server.Start(); server.WaitReady() }
	}},
	{"Redis stopped", func(t testing.TB) (backend, func(), func()) {
		b, server := persistentRedis(t)
		return b, server.Freeze, server.Thaw
	}},
	{"Firestore unavailable", func(t testing.TB) (backend, func(), func()) {
		b, server := firestoreServer(t, firestorestore.WithTimeout(limit))
		down := func(context.Context, string, func() error) error { return status.Error(codes.Unavailable, "down") }
		return b, func() { server.Inject(down) }, func() { server.Inject(nil) }
	}},
	{"Firestore hanging", func(t testing.TB) (backend, func(), func()) {
		b, server := firestoreServer(t, firestorestore.WithTimeout(limit))
		hang := firestoretest.Chain(firestoretest.Hang(firestoretest.Read), firestoretest.Hang(firestoretest.Commit))
		return b, func() { server.Inject(hang) }, func() { server.Inject(nil) }
	}},
}

// persistentRedis has written down what it has answered.
func persistentRedis(t testing.TB) (backend, *redistest.Server) {
	server := redistest.Single(t, "--appendonly", "yes", "--appendfsync", "always")
	b := redisBackend(t, server.Client(), server.Client())
	store, err := redisstore.New(redisClient(t, server.Addr), redisstore.WithTimeout(limit))
	require.NoError(t, err)
	b.store = store
	return b, server
}

// visitor counts in a session until it is told to stop.
type visitor struct {
	browser
	served, failed atomic.Int64
}

// A store that fails in the middle of traffic is answered by the error handler,
// in time. Nobody is logged out, and nothing that was answered is lost.
func TestOutage(t *testing.T) {
	t.Parallel()
	for _, o := range outages {
		for _, cache := range caches {
			t.Run(o.name+", "+cache.name, func(t *testing.T) {
				t.Parallel()
				b, end, begin := o.make(t)
				mw := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(cache.fresh),
					middleware.WithCommitTimeout(commitTime),
					middleware.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, err error) {
						// Those that wait behind one that gets no answer are told
						// that too many do.
						if !errors.Is(err, stores.ErrUnavailable) && !errors.Is(err, sessions.ErrBusy) {
							t.Errorf("the error handler was given %v", err)
						}
						http.Error(w, "try again", http.StatusServiceUnavailable)
					}))
				shared := visited(t, mw)
				other := visited(t, mw)

				// Some have a session of their own, some share one.
				visitors := make([]*visitor, 8)
				for i := range visitors {
					visitors[i] = &visitor{browser: *visited(t, mw)}
					if i%2 == 0 {
						visitors[i].browser = *shared
					}
				}
				stop := make(chan struct{})
				var running sync.WaitGroup
				for _, v := range visitors {
					running.Go(func() { v.visit(t, mw, stop) })
				}
				leave := sync.OnceFunc(func() {
					close(stop)
					running.Wait()
				})
				defer leave() // also where the test fails
				await := func(what string, n func(*visitor) *atomic.Int64) {
					var from []int64
					for _, v := range visitors {
						from = append(from, n(v).Load())
					}
					redistest.Wait(t, what, func() bool {
						for i, v := range visitors {
							if n(v).Load() < from[i]+2 {
								return false
							}
						}
						return true
					})
				}
				served := func(v *visitor) *atomic.Int64 { return &v.served }
				failed := func(v *visitor) *atomic.Int64 { return &v.failed }

				await("all are served", served)
				end()
				await("all are told of the outage", failed)
				for name, do := range map[string]handle{"login": setUser("someone"), "logout": logout} {
					for _, b := range []*browser{new(browser), other.clone(), other.id()} {
						if a := b.send(mw, do); name != "logout" || b.cookie != "" {
							require.Equal(t, http.StatusServiceUnavailable, a.status, name)
							require.Empty(t, a.lines, name)
						}
					}
				}
				a := other.clone().send(mw, look)
				require.Empty(t, a.lines)
				require.Equal(t, cache.fresh == 0, a.status == http.StatusServiceUnavailable, "a copy serves reads")
				begin()
				await("all are served again", served)
				leave()

				var sharedServed, sharedFailed int64
				for i, v := range visitors {
					if i%2 == 0 {
						sharedServed += v.served.Load()
						sharedFailed += v.failed.Load()
						continue
					}
					requireCount(t, v.id().visits(t, mw), v.served.Load(), v.failed.Load())
				}
				requireCount(t, shared.id().visits(t, mw), sharedServed, sharedFailed)
			})
		}
	}
}

// requireCount tests that every visit counts that was answered, and that one
// whose reply was lost counts at most once. The session had one visit before.
func requireCount(t *testing.T, have int, served, failed int64) {
	t.Helper()
	require.GreaterOrEqual(t, int64(have), 1+served)
	require.LessOrEqual(t, int64(have), 1+served+failed)
}

func (v *visitor) visit(t *testing.T, mw *middleware.Middleware, stop chan struct{}) {
	id := v.cookie[:idSize]
	for {
		select {
		case <-stop:
			return
		default:
		}
		began := time.Now()
		a := v.send(mw, count)
		// A load and a commit, and time for a busy machine; without limits go-redis and
		// Firestore's client try for longer than that.
		if took := time.Since(began); took > limit+commitTime+8*time.Second {
			t.Errorf("a request took %v", took)
		}
		switch {
		case a.status == http.StatusOK && v.cookie[:idSize] == id:
			v.served.Add(1)
		case a.status == http.StatusServiceUnavailable && a.lines == nil:
			v.failed.Add(1)
		default:
			t.Errorf("status %d with %d cookies, %v", a.status, len(a.lines), a.err)
			return
		}
	}
}
