//go:build unix

package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// blind is a store as somebody might write it: it has no more than it must, and
// its client sends a call again when a reply was lost, without a thought of what
// the first one did.
type blind struct {
	server stores.Server
	tr     *trouble
}

// Place implements [stores.Store].
func (b blind) Place() stores.Place { return stores.Place{Name: "blind", Server: b} }

func (b blind) call(do func() error) error {
	for range 4 {
		if err := do(); !b.tr.loses() {
			return err
		}
	}
	return fmt.Errorf("%w: the connection broke before the reply", stores.ErrUnavailable)
}

// Load implements [stores.Server].
func (b blind) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (rec stores.Record, err error) {
	err = b.call(func() error { rec, err = b.server.Load(ctx, key, fresh); return err })
	return rec, err
}

// Save implements [stores.Server].
func (b blind) Save(ctx context.Context, key stores.Key, rec stores.Record) (rev stores.Revision, err error) {
	err = b.call(func() error { rev, err = b.server.Save(ctx, key, rec); return err })
	return rev, err
}

// Put implements [stores.Server].
func (b blind) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	return b.call(func() error { return b.server.Put(ctx, key, rec) })
}

// blindOver makes a shaky store that is blind, over what is not shaky at all.
func blindOver(inner func(testing.TB) backend) func(testing.TB, bool) shaky {
	return func(t testing.TB, _ bool) shaky {
		b := inner(t)
		tr := new(trouble)
		return shaky{trouble: tr, backend: b, open: func(testing.TB, time.Duration) stores.Store { return blind{b.store.Place().Server, tr} }}
	}
}

// lossy is one way to count on a line that loses replies.
type lossy struct {
	store    string
	again    bool  // the client sends again by itself
	managers int   // processes that change the session
	every    int64 // one reply in so many is lost
	each     int   // updates of each client, of 64
}

func (l lossy) String() string {
	again := "sent once"
	if l.again {
		again = "sent again"
	}
	return fmt.Sprintf("%s, %s, %d managers, one in %d", l.store, again, l.managers, l.every)
}

// always is what every run of the tests counts. What is slow is shorter here.
var always = []lossy{
	{"blind, memory", true, 1, 3, 20},
	{"blind, memory", true, 2, 100, 20},
	{"blind, memory", true, 14, 3, 20},
	{"blind, Redis", true, 2, 3, 10},
	{"Redis", true, 1, 100, each},
	{"Redis", false, 2, 3, 10},
	{"Redis", true, 14, 3, 10},
	{"Redis", false, 14, 100, 20},
	{"Redis Cluster", false, 2, 3, 5},
	{"Redis Sentinel", true, 2, 3, 5},
	{"hybrid", false, 2, 3, 5},
	{"Firestore", false, 1, 3, 10},
	{"Firestore", true, 2, 100, 10},
	{"Firestore", false, 14, 3, 5},
	{"Firestore", true, 14, 3, 2},
}

// allLossy is everything in full.
func allLossy() (all []lossy) {
	for _, store := range []string{"blind, memory", "blind, Redis", "Redis", "Redis Cluster", "Redis Sentinel", "hybrid", "Firestore"} {
		for _, again := range []bool{true, false} {
			for _, managers := range []int{1, 2, 14} {
				for _, every := range []int64{100, 3} {
					if again || store[:5] != "blind" {
						all = append(all, lossy{store, again, managers, every, each})
					}
				}
			}
		}
	}
	return all
}

// Every change that is answered is made once, on every store, however many processes
// share it, while replies are lost on the way: whether the store's client sends a
// call again by itself, blindly, or not. And none is answered with an error, since
// the server is there.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	makers := map[string]func(testing.TB, bool) shaky{
		"blind, memory": blindOver(memory),
		"blind, Redis":  blindOver(redisSingle),
	}
	for name, make := range shakyStores {
		makers[name] = make
	}
	ways := always
	if soak {
		ways = allLossy()
	}
	for _, way := range ways {
		t.Run(way.String(), func(t *testing.T) {
			t.Parallel()
			line := makers[way.store](t, way.again)
			line.patience = time.Minute // the machine may be busy; TestNobodyWaitsTooLong tells of the rest
			exactlyOnce(t, way, line)
		})
	}
}

// slots has a place for each of a client's updates.
type slots = sessions.Key[[]int]

func slotsOf(client int) slots { return slots(fmt.Sprintf("client %d", client)) }

func exactlyOnce(t *testing.T, way lossy, line shaky) {
	var conflicts atomic.Int64
	enc := middleware.WithEncryptor(ring(t))
	steady := middlewareOf(t, line.store, enc)
	b := new(browser)
	b.must(t, steady, func(s *sessions.Session) error {
		if way.store == "hybrid" { // else it begins in the cookie
			if err := text.Set(s, string(make([]byte, 4000))); err != nil {
				return err
			}
		}
		return setUser("someone")(s)
	})
	require.Len(t, b.cookie, idSize)
	hooks := middleware.WithHooks(sessions.Hooks{Conflict: func(context.Context, sessions.Event) { conflicts.Add(1) }})
	managers := make([]*middleware.Middleware, way.managers)
	for i := range managers {
		managers[i] = middlewareOf(t, line.open(t, 0), enc, hooks, middleware.WithCommitTimeout(line.patience))
	}

	line.every.Store(way.every)
	began := time.Now()
	var unread, slowest atomic.Int64
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			own, mw := b.clone(), managers[c%len(managers)]
			for n := range way.each {
				for ran := false; !ran; {
					var begun time.Time
					a := own.send(mw, func(s *sessions.Session) error {
						ran, begun = true, time.Now()
						_, err := slotsOf(c).Update(s, func(all []int) []int {
							if all == nil {
								all = make([]int, way.each)
							}
							all[n]++
							return all
						})
						if err != nil {
							return err
						}
						return count(s)
					})
					switch {
					case !ran && a.status == http.StatusServiceUnavailable: // it could not even be read
						unread.Add(1)
					case a.status != http.StatusOK || a.err != nil:
						t.Errorf("status %d after %v: %v", a.status, time.Since(begun), a.err)
					default:
						slowest.Store(max(slowest.Load(), int64(time.Since(begun))))
					}
				}
			}
		})
	}
	running.Wait()
	line.every.Store(0)
	t.Logf("%v: %d replies lost, %d conflicts, %d requests that could not read, the slowest commit took %v",
		time.Since(began), line.lost.Load(), conflicts.Load(), unread.Load(), time.Duration(slowest.Load()))

	b.must(t, steady, func(s *sessions.Session) error {
		var lost, doubled int
		for c := range clients {
			all, err := slotsOf(c).Get(s)
			if err != nil {
				return err
			}
			require.Len(t, all, way.each)
			for _, n := range all {
				switch {
				case n == 0:
					lost++
				case n > 1:
					doubled += n - 1
				}
			}
		}
		require.Zero(t, lost, "updates were lost")
		require.Zero(t, doubled, "updates were made twice")
		return nil
	})
	require.Equal(t, clients*way.each, b.visits(t, steady))
	require.Equal(t, 1, line.records(t))
	require.Positive(t, line.lost.Load())
}
