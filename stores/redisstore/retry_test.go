//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// lossy is a store whose client repeats commands, behind a proxy that loses
// replies, and another store that reaches the server directly.
type lossy struct {
	*redisstore.Store
	server  *redistest.Server
	proxy   *redistest.Proxy
	direct  *redisstore.Store
	between atomic.Pointer[func()] // runs once after a reply was lost, before the next attempt
}

func newLossy(t *testing.T) *lossy {
	server := redistest.Single(t)
	l := &lossy{server: server, proxy: redistest.NewProxy(t, server.Addr), direct: newStore(t, server.Client())}
	client := newClient(t, &redis.Options{Addr: l.proxy.Addr, PoolSize: 1})
	client.AddHook(hook{dial: func() {
		if f := l.between.Swap(nil); f != nil {
			(*f)()
		}
	}})
	l.Store = newStore(t, client)
	l.warmUp(t)
	return l
}

// warmUp lets the server learn the scripts, so that the first reply that is lost
// is the one that counts.
func (l *lossy) warmUp(t *testing.T) {
	for name, call := range calls(l.Store, newToken(), "none") {
		if err := call(t.Context()); err != nil {
			require.NotErrorIs(t, err, stores.ErrUnavailable, name)
		}
	}
}

// losing loses the next reply, and lets others do something before the repetition.
func (l *lossy) losing(t *testing.T, between func(), call func()) {
	t.Helper()
	lost := l.proxy.Lost()
	if between != nil {
		l.between.Store(&between)
	}
	l.proxy.Lose(1)
	call()
	require.Equal(t, lost+1, l.proxy.Lost(), "no reply was lost")
	require.Nil(t, l.between.Load(), "nothing happened in between")
}

func TestLostReply(t *testing.T) {
	l := newLossy(t)
	ctx := t.Context()
	tok := newToken()
	var rev stores.Revision
	var err error

	l.losing(t, nil, func() { rev = save(t, l, tok, "one", "") })
	requireData(t, l, tok, "one")
	l.losing(t, nil, func() { rev = save(t, l, tok, "two", rev) })
	l.losing(t, nil, func() { requireData(t, l, tok, "two") })
	until := time.Now().Add(5 * time.Hour)
	l.losing(t, nil, func() { rev, err = l.Touch(ctx, tok, rev, until) })
	require.NoError(t, err)
	rec, err := l.Load(ctx, tok)
	require.NoError(t, err)
	require.WithinDuration(t, until, rec.Expires, time.Millisecond)
	require.Equal(t, rev, rec.Revision, "the save after a lost reply returned another revision than it wrote")

	l.losing(t, nil, func() { err = l.Delete(ctx, tok, rev) })
	require.NoError(t, err, "a delete whose reply was lost was taken for a session that ended meanwhile")
	_, err = l.Load(ctx, tok)
	require.ErrorIs(t, err, stores.ErrNotFound)

	tok = newToken()
	save(t, l, tok, "one", "")
	l.losing(t, nil, func() { err = l.Delete(ctx, tok, "") })
	require.NoError(t, err)
}

// What a conditional delete leaves behind is no session to anybody, not even to
// the next delete of the same revision.
func TestAfterConditionalDelete(t *testing.T) {
	l := newLossy(t)
	tok := newToken()
	rev := save(t, l, tok, "one", "")
	require.NoError(t, l.Delete(t.Context(), tok, rev))
	for _, given := range []stores.Revision{rev, "another", stores.Revision(make([]byte, 16))} {
		for name, call := range calls(l.Store, tok, given) {
			if err := call(t.Context()); name != "create" && name != "Delete" {
				require.ErrorIs(t, err, stores.ErrNotFound, name)
			}
		}
	}
	rev = save(t, l, tok, "two", "")
	require.NoError(t, l.Delete(t.Context(), tok, rev))
	require.NoError(t, l.Delete(t.Context(), tok, ""))
	require.ErrorIs(t, l.Delete(t.Context(), tok, rev), stores.ErrNotFound)
}

// Others may write between the lost reply and the repetition. It still knows
// itself, so that nothing is applied twice: however often up to seven others
// wrote.
func TestLostReplyAndOtherWrites(t *testing.T) {
	l := newLossy(t)
	for others := range 9 {
		for _, rounds := range []int{1, 2, 20} {
			t.Run(fmt.Sprintf("%d others, %d rounds", others, rounds), func(t *testing.T) {
				tok := newToken()
				first := save(t, l, tok, "first", "")
				between := func() {
					direct := make([]*redisstore.Store, others)
					for i := range direct {
						direct[i] = newStore(t, l.server.Client())
					}
					for i := range rounds * others {
						rec, err := l.direct.Load(t.Context(), tok)
						require.NoError(t, err)
						require.Equal(t, i == 0, string(rec.Data) == "mine")
						save(t, direct[i%others], tok, strconv.Itoa(i), rec.Revision)
					}
				}
				var mine stores.Revision
				var err error
				l.losing(t, between, func() { _, mine, err = l.Save(t.Context(), tok, record("mine", first)) })
				switch {
				case others > 7: // what doc.go promises no more
					require.ErrorIs(t, err, stores.ErrConflict)
				case others == 0:
					require.NoError(t, err)
					save(t, l, tok, "next", mine)
				default:
					require.NoError(t, err)
					requireData(t, l, tok, strconv.Itoa(rounds*others-1))
					_, _, err = l.Save(t.Context(), tok, record("next", mine))
					require.ErrorIs(t, err, stores.ErrConflict, "the other's write would be undone")
				}
			})
		}
	}
}

// Saves of one session by one Store go one after the other, also while one of
// them waits for its repetition, and so count once however many there are.
func TestLostReplyAndOwnWrites(t *testing.T) {
	const writers, each = 16, 20
	l := newLossy(t)
	client := newClient(t, &redis.Options{Addr: l.proxy.Addr}) // waits 8 ms and more before it repeats
	store := newStore(t, client)
	tok := newToken()
	save(t, store, tok, "0", "")
	l.proxy.LoseEvery(20)
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for done := 0; done < each; {
				rec, err := store.Load(t.Context(), tok)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(rec.Data))
				_, _, err = store.Save(t.Context(), tok, record(strconv.Itoa(n+1), rec.Revision))
				switch {
				case err == nil:
					done++
				case !errors.Is(err, stores.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	l.proxy.LoseEvery(0)
	requireData(t, store, tok, strconv.Itoa(writers*each))
	require.Greater(t, l.proxy.Lost(), int64(writers))
}

// A session that was ended between the lost reply and the repetition stays
// ended.
func TestLostReplyAndLogout(t *testing.T) {
	l := newLossy(t)
	for name, call := range map[string]func(stores.Token, stores.Revision) error{
		"save": func(tok stores.Token, rev stores.Revision) error {
			_, _, err := l.Save(t.Context(), tok, record("two", rev))
			return err
		},
		"touch": func(tok stores.Token, rev stores.Revision) error {
			_, err := l.Touch(t.Context(), tok, rev, time.Now().Add(2*time.Hour))
			return err
		},
		"delete of a revision": func(tok stores.Token, rev stores.Revision) error {
			return l.Delete(t.Context(), tok, rev)
		},
	} {
		t.Run(name, func(t *testing.T) {
			tok := newToken()
			rev := save(t, l, tok, "one", "")
			logout := func() { require.NoError(t, l.direct.Delete(t.Context(), tok, "")) }
			var err error
			l.losing(t, logout, func() { err = call(tok, rev) })
			require.ErrorIs(t, err, stores.ErrNotFound)
			_, err = l.direct.Load(t.Context(), tok)
			require.ErrorIs(t, err, stores.ErrNotFound)
		})
	}
}

// Counters stay exact while one reply in five is lost.
func TestCountersOnALossyLine(t *testing.T) {
	const writers, each = 6, 20
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	store := newStore(t, newClient(t, &redis.Options{Addr: proxy.Addr, MaxRetries: 20, MaxRetryBackoff: time.Millisecond, MinRetryBackoff: -1}),
		redisstore.WithTimeout(10*time.Second))
	proxy.LoseEvery(5)

	var running sync.WaitGroup
	toks := make([]stores.Token, writers)
	for i := range toks {
		running.Go(func() {
			tok, rev := newToken(), stores.Revision("")
			toks[i] = tok
			for n := range each {
				var err error
				if _, rev, err = store.Save(t.Context(), tok, record(strconv.Itoa(n+1), rev)); err != nil {
					t.Errorf("counter %d at %d: %v", i, n, err)
					return
				}
			}
		})
	}
	running.Wait()
	for _, tok := range toks {
		requireData(t, store, tok, strconv.Itoa(each))
	}
	require.Greater(t, proxy.Lost(), int64(writers*each/10))
}

// The same through the session manager, with requests that meet at one session.
func TestUpdatesOnALossyLine(t *testing.T) {
	const requests, each = 4, 10
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	store := newStore(t, newClient(t, &redis.Options{Addr: proxy.Addr, MaxRetries: 20, MaxRetryBackoff: time.Millisecond, MinRetryBackoff: -1}),
		redisstore.WithTimeout(10*time.Second))
	manager, err := sessions.NewManager(store, sessions.Config{WithoutEncryption: true, CommitTimeout: time.Minute})
	require.NoError(t, err)
	count := sessions.Key[int]("count")
	s := manager.New()
	require.NoError(t, count.Set(s, 0))
	change, err := manager.Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	proxy.LoseEvery(9)

	update := func(ctx context.Context) error {
		s, err := manager.Load(ctx, change.Token)
		if err != nil {
			return err
		}
		if _, err = count.Update(s, func(n int) int { return n + 1 }); err != nil {
			return err
		}
		_, err = manager.Commit(ctx, s, sessions.BeforeResponse)
		return err
	}
	var running sync.WaitGroup
	for range requests {
		running.Go(func() {
			for range each {
				if err := update(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	s, err = manager.Load(t.Context(), change.Token)
	require.NoError(t, err)
	got, err := count.Get(s)
	require.NoError(t, err)
	require.Equal(t, requests*each, got)
	require.Greater(t, proxy.Lost(), int64(5))
}
