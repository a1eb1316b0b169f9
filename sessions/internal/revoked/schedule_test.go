package revoked

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

// lateList is a list on a bad server: it delays, loses replies, and commits long after
// who asked has given up, in a place that others have read past already.
type lateList struct {
	rand  func(n int) int
	until atomic.Bool // no more trouble

	mu    sync.Mutex
	all   map[stores.Key]placed
	locks map[stores.Key]chan struct{}
	last  int
}

type placed struct {
	stores.Revocation
	at int
}

func newLateList(seed uint64) *lateList {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 16))
	return &lateList{
		rand: func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return r.IntN(n)
		},
		all: make(map[stores.Key]placed), locks: make(map[stores.Key]chan struct{}),
	}
}

var errLost = fmt.Errorf("%w: %w", stores.ErrUnavailable, errors.New("lost"))

// call runs f on the server, and waits for the reply for two seconds.
func call[T any](l *lateList, f func() T) (reply T, err error) {
	if l.until.Load() {
		return f(), nil
	}
	done := make(chan T, 1)
	before, after := l.rand(300), l.rand(300)
	go func() {
		time.Sleep(time.Duration(before) * time.Millisecond)
		v := f()
		time.Sleep(time.Duration(after) * time.Millisecond)
		done <- v
	}()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case v := <-done:
		if l.rand(8) == 0 {
			return reply, errLost
		}
		return v, nil
	case <-timer.C:
		return reply, errLost
	}
}

func (l *lateList) Swap(_ context.Context, old string, e stores.Revocation) (string, error) {
	if err := stores.CheckRevocation(old, e); err != nil {
		return "", err
	}
	return call(l, func() string {
		l.mu.Lock()
		lock := l.locks[e.Key]
		if lock == nil {
			lock = make(chan struct{}, 1)
			l.locks[e.Key] = lock
		}
		l.mu.Unlock()
		select {
		case lock <- struct{}{}: // a row's lock, until the commit
		case <-time.After(2 * time.Second):
			return "" // who asked has given up
		}
		defer func() { <-lock }()
		l.mu.Lock()
		there := l.all[e.Key].Value
		if there != old && there != e.Value {
			l.mu.Unlock()
			return there
		}
		l.last++
		at := l.last // its place in the order
		l.mu.Unlock()
		if !l.until.Load() && l.rand(6) == 0 {
			most := 30_000 // or so soon that who asked is told of success
			if l.rand(2) == 0 {
				most = 1500
			}
			time.Sleep(time.Duration(l.rand(most)) * time.Millisecond)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all[e.Key] = placed{e, at}
		return e.Value
	})
}

func (l *lateList) Get(_ context.Context, keys ...stores.Key) ([]string, error) {
	return call(l, func() (values []string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, k := range keys {
			values = append(values, l.all[k].Value)
		}
		return values
	})
}

func (l *lateList) Since(_ context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	return call(l, func() (p stores.RevocationPage) {
		l.mu.Lock()
		defer l.mu.Unlock()
		n, _ := strconv.Atoi(string(after))
		last := n
		for _, e := range l.all {
			if e.at > n {
				p.Entries = append(p.Entries, e.Revocation)
				last = max(last, e.at)
			}
		}
		p.Next = stores.Cursor(strconv.Itoa(last))
		return p
	})
}

// aSession is a token that went out.
type aSession struct {
	key     stores.Key
	epochs  []byte
	sealed  int64 // when it had its owner's number
	from    *aSession
	spoiled bool // somebody tried to end it, or to move it, or all of its owner's
	mustDie bool // and was told of success,

	withAll bool // of a logout, or an end of all, which reach what has come of it, too
}

// cameOf tells whether s is other, with an ID of then or a later one.
func (s *aSession) cameOf(other *aSession) bool {
	for ; s != nil && s != other; s = s.from {
	}
	return s != nil
}

// TestSchedules ends, moves and revokes sessions at three processes at once, over a list
// that fails in all its ways. What was told to have ended is dead everywhere, and what
// nobody touched lives.
func TestSchedules(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 20
	}
	var ends, moves, raises, others int
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			e, m, r, o := schedule(t, seed)
			ends, moves, raises, others = ends+e, moves+m, raises+r, others+o
		})
	}
	t.Logf("%d ends, %d moves, %d revocations of all and %d of the others were carried out", ends, moves, raises, others)
	for _, n := range []int{ends, moves, raises, others} {
		require.Positive(t, n)
	}
}

func schedule(t *testing.T, seed uint64) (ends, moves, raises, others int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := newLateList(seed)
	var processes []*List
	for range 3 {
		l := New(Config{
			List: server, Every: time.Second, RefuseAfter: time.Hour, Anonymous: 1000, Everybody: stores.NewKey([24]byte{1}),
			Lifetime: time.Hour, Timeout: 5 * time.Second, Failed: func(context.Context, error) {},
		})
		l.Start(ctx)
		processes = append(processes, l)
	}
	owner := stores.NewKey([24]byte{2})
	var clock atomic.Int64
	var mu sync.Mutex
	var all []*aSession
	var keys int
	issue := func(s *aSession) *aSession {
		all = append(all, s)
		return s
	}
	newKey := func() stores.Key {
		keys++
		return stores.NewKey([24]byte{3, byte(keys >> 8), byte(keys), byte(seed)})
	}
	// How many revocations have begun, and how many have not, or may not, have ended.
	var begun, pending int
	revoking := func() {
		begun, pending = begun+1, pending+1
		for _, s := range all {
			s.spoiled = true
		}
	}
	deadline := time.Now().Add(time.Hour)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 8 {
				time.Sleep(time.Duration(server.rand(3000)) * time.Millisecond)
				p := processes[server.rand(len(processes))]
				mu.Lock()
				var s *aSession
				if len(all) > 0 {
					s = all[server.rand(len(all))]
				}
				mu.Unlock()
				what := server.rand(10)
				if s == nil {
					what = 0
				}
				began := clock.Add(1)
				mu.Lock()
				before, open := begun, pending > 0
				mu.Unlock()
				switch {
				case what < 3: // a login
					now, err := p.Confirm(ctx, stores.Key{}, nil, owner)
					if err == nil {
						mu.Lock()
						issue(&aSession{key: newKey(), epochs: now.Bytes(), sealed: clock.Add(1), spoiled: begun > before || open || pending > 0})
						mu.Unlock()
					}
				case what < 5: // a logout
					mu.Lock()
					s.spoiled = true
					mu.Unlock()
					_, err := p.End(ctx, Ending{Key: s.key, Deadline: deadline})
					mu.Lock()
					if err == nil {
						s.mustDie, s.withAll = true, true
						ends++
					}
					mu.Unlock()
				case what < 8: // a new ID
					mu.Lock()
					to := newKey()
					s.spoiled = true
					mu.Unlock()
					err := p.Move(ctx, Ending{Key: s.key, Deadline: deadline}, to, deadline, false)
					mu.Lock()
					if err == nil {
						issue(&aSession{key: to, epochs: s.epochs, sealed: s.sealed, from: s})
						moves++
					}
					mu.Unlock()
				case what < 9: // all are ended
					mu.Lock()
					revoking()
					mu.Unlock()
					if p.Raise(ctx, owner) == nil {
						mu.Lock()
						pending--
						for _, other := range all {
							if other.sealed < began {
								other.mustDie, other.withAll = true, true
							}
						}
						raises++
						mu.Unlock()
					}
				default: // all others are
					sealed := ParseEpochs(s.epochs)
					mu.Lock()
					revoking()
					to := newKey()
					mu.Unlock()
					n, err := p.RaiseFrom(ctx, owner, sealed.Groups[0].Number)
					if err != nil {
						break
					}
					mu.Lock()
					pending--
					for _, other := range all {
						if other.sealed < began { // s too, whose copy may be in other hands
							other.mustDie, other.withAll = true, other.withAll || !s.cameOf(other)
						}
					}
					mu.Unlock()
					at := clock.Add(1)
					sealed.Groups[0].Number = n
					if p.Move(ctx, Ending{Key: s.key, Deadline: deadline}, to, deadline, false) == nil {
						mu.Lock()
						issue(&aSession{key: to, epochs: sealed.Bytes(), sealed: at, from: s})
						others++
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
	time.Sleep(time.Minute) // what is late has come
	server.until.Store(true)
	time.Sleep(3 * time.Second)
	synctest.Wait()

	ended := make(map[*aSession]bool) // by a logout that was carried out
	for _, s := range all {
		now, err := server.Get(ctx, s.key)
		require.NoError(t, err)
		ended[s] = now[0] == endedValue(false)
	}
	for _, s := range all {
		// Nobody has two successors, and who has ended has none.
		for _, other := range all {
			if other.from == s {
				require.False(t, ended[s], "seed %d: a session has ended, and got a new ID", seed)
				for _, third := range all {
					require.False(t, third != other && third.from == s, "seed %d: two sessions came of one", seed)
				}
			}
		}
		for i, p := range processes {
			v := p.Look(s.key, s.epochs)
			if s.mustDie {
				require.NotEqual(t, Live, v, "seed %d: a session that has ended lives at process %d", seed, i)
			}
			// A logout with an earlier ID has reached it.
			for up := s.from; up != nil; up = up.from {
				if up.withAll {
					require.NotEqual(t, Live, v, "seed %d: what came of a session that has ended lives at process %d", seed, i)
				}
			}
			if !s.spoiled && s.from == nil {
				require.Equal(t, Live, v, "seed %d: a session that nobody has touched is dead at process %d", seed, i)
			}
		}
	}
	cancel()
	synctest.Wait()
	return ends, moves, raises, others
}
