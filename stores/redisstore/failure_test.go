//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// calls are all that a store can be asked, for one session at one revision.
func calls(store *redisstore.Store, tok stores.Token, rev stores.Revision) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Load": func(ctx context.Context) error {
			_, err := store.Load(ctx, tok)
			return err
		},
		"create": func(ctx context.Context) error {
			_, _, err := store.Save(ctx, newToken(), record("new", ""))
			return err
		},
		"replace": func(ctx context.Context) error {
			_, _, err := store.Save(ctx, tok, record("other", rev))
			return err
		},
		"Touch": func(ctx context.Context) error {
			_, err := store.Touch(ctx, tok, rev, time.Now().Add(2*time.Hour))
			return err
		},
		"Delete of a revision": func(ctx context.Context) error { return store.Delete(ctx, tok, rev) },
		"Delete":               func(ctx context.Context) error { return store.Delete(ctx, tok, "") },
	}
}

// requireOutage tests that err can't be taken for anything but a failure.
func requireOutage(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, stores.ErrUnavailable)
	for _, wrong := range []error{stores.ErrNotFound, stores.ErrExists, stores.ErrConflict, stores.ErrInvalidRecord, context.Canceled} {
		require.NotErrorIs(t, err, wrong)
	}
}

// requireRedisError tests for the server's own error.
func requireRedisError(t *testing.T, err error, prefix string) {
	t.Helper()
	requireOutage(t, err)
	var cause redis.Error
	require.ErrorAs(t, err, &cause)
	require.True(t, redis.HasErrorPrefix(err, prefix), "got %v, want %s", err, prefix)
}

// What some other program left under a session's key is never an empty session,
// and is not written over.
func TestForeignKeys(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	own := newToken()
	save(t, store, own, "", "")
	value := client.Get(t.Context(), keyOf(own)).Val()

	for name, test := range map[string]struct {
		put  func(key string) error
		says string
		keep []string // calls that may do something sensible
	}{
		"a list":   {func(key string) error { return client.LPush(t.Context(), key, "x").Err() }, "WRONGTYPE", nil},
		"a hash":   {func(key string) error { return client.HSet(t.Context(), key, "f", "x").Err() }, "WRONGTYPE", nil},
		"short":    {func(key string) error { return client.Set(t.Context(), key, "short", time.Hour).Err() }, "not a session", nil},
		"empty":    {func(key string) error { return client.Set(t.Context(), key, "", time.Hour).Err() }, "not a session", nil},
		"one mark": {func(key string) error { return client.Set(t.Context(), key, value[:16], time.Hour).Err() }, "not a session", nil},
		"cut off":  {func(key string) error { return client.Set(t.Context(), key, value[:71], time.Hour).Err() }, "not a session", nil},
		"for ever": {func(key string) error { return client.Set(t.Context(), key, value, 0).Err() }, "no expiry", []string{"create", "replace", "Delete of a revision"}},
	} {
		t.Run(name, func(t *testing.T) {
			tok := newToken()
			key := keyOf(tok)
			rev := stores.Revision(value[:16])
			what := calls(store, tok, rev)
			what["create"] = func(ctx context.Context) error {
				_, _, err := store.Save(ctx, tok, record("new", ""))
				return err
			}
			delete(what, "Delete") // removes whatever is there
			for _, call := range test.keep {
				delete(what, call)
			}
			require.NoError(t, test.put(key))
			before := client.Dump(t.Context(), key).Val()
			for call, f := range what {
				err := f(t.Context())
				requireOutage(t, err)
				require.ErrorContains(t, err, test.says, call)
				require.Equal(t, before, client.Dump(t.Context(), key).Val(), "%s changed it", call)
			}
			require.NoError(t, store.Delete(t.Context(), tok, ""))
			require.Zero(t, client.Exists(t.Context(), key).Val())
		})
	}
}

// No key is without an expiry at any moment of a session's life.
func TestEveryKeyEnds(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	ends := func(tok stores.Token) time.Duration {
		ttl, err := client.PTTL(t.Context(), keyOf(tok)).Result()
		require.NoError(t, err)
		require.Positive(t, ttl)
		return ttl
	}
	tok := newToken()
	rev := save(t, store, tok, "data", "")
	ends(tok)
	rev, err := store.Touch(t.Context(), tok, rev, time.Now().Add(3*time.Hour))
	require.NoError(t, err)
	require.Greater(t, ends(tok), 2*time.Hour)
	rev = save(t, store, tok, "data", rev)
	require.LessOrEqual(t, ends(tok), time.Hour)
	require.NoError(t, store.Delete(t.Context(), tok, rev))
	require.LessOrEqual(t, ends(tok), 2*redisstore.DefaultTimeout, "what a conditional delete leaves")

	// Less than a millisecond is left: whatever comes back, nothing stays.
	// PTTL is -2 where there is no key, and -1 where it has no end.
	for range 50 {
		tok := newToken()
		store.Save(t.Context(), tok, stores.Record{Data: []byte("x"), Expires: time.Now().Add(300 * time.Microsecond)})
		ttl, err := client.Do(t.Context(), "PTTL", keyOf(tok)).Int()
		require.NoError(t, err)
		require.NotEqual(t, -1, ttl)
		require.LessOrEqual(t, ttl, 1)
	}
}

// A server whose clock is ahead drops what it is given to keep. That must not
// look like a success.
func TestServerClockAhead(t *testing.T) {
	client := redistest.Single(t).Client()
	client.AddHook(hook{before: func(cmd redis.Cmder) {
		if args := cmd.Args(); len(args) == 8 { // the save's script, one key, four arguments
			args[7] = time.Now().Add(-time.Minute).UnixMilli()
		}
	}})
	_, _, err := newStore(t, client).Save(t.Context(), newToken(), record("data", ""))
	requireOutage(t, err)
	require.ErrorContains(t, err, "clock")
}

func TestOutOfMemory(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	toks, revs := make([]stores.Token, 3), make([]stores.Revision, 3)
	for i := range toks {
		toks[i] = newToken()
		revs[i] = save(t, store, toks[i], "data", "")
	}
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())

	_, _, err := store.Save(t.Context(), newToken(), record("new", ""))
	requireRedisError(t, err, "OOM")
	_, _, err = store.Save(t.Context(), toks[0], record("other", revs[0]))
	requireRedisError(t, err, "OOM")

	// Everything else goes on.
	requireData(t, store, toks[0], "data")
	_, err = store.Touch(t.Context(), toks[0], revs[0], time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	require.NoError(t, store.Delete(t.Context(), toks[1], revs[1]))
	require.NoError(t, store.Delete(t.Context(), toks[2], ""))
	require.Equal(t, int64(1), client.DBSize(t.Context()).Val())

	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	save(t, store, toks[0], "other", revs[0])
}

func TestReadOnlyReplica(t *testing.T) {
	primary, replica := redistest.Single(t), redistest.Single(t)
	client := replica.Client()
	store := newStore(t, client)
	tok := newToken()
	rev := save(t, newStore(t, primary.Client()), tok, "data", "")
	host, port, err := net.SplitHostPort(primary.Addr)
	require.NoError(t, err)
	require.NoError(t, client.Do(t.Context(), "REPLICAOF", host, port).Err())
	redistest.Wait(t, "the replica has the session", func() bool {
		_, err := store.Load(t.Context(), tok)
		return err == nil
	})
	for name, call := range calls(store, tok, rev) {
		if err := call(t.Context()); name == "Load" {
			require.NoError(t, err)
		} else {
			requireRedisError(t, err, "READONLY")
		}
	}
	requireData(t, store, tok, "data")
}

func TestServerLoads(t *testing.T) {
	server := redistest.Single(t)
	client := server.Client()
	store := newStore(t, client)
	tok := newToken()
	rev := save(t, store, tok, "data", "")
	for range 300 {
		save(t, store, newToken(), strings.Repeat("x", 4000), "")
	}
	require.NoError(t, client.Save(t.Context()).Err())
	server.Kill()

	// Redis's own tests slow the loading down in the same way.
	server.Start("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024", "--rdbcompression", "no")
	redistest.Wait(t, "the server loads", func() bool {
		return redis.HasErrorPrefix(client.Ping(t.Context()).Err(), "LOADING")
	})
	for _, call := range calls(store, tok, rev) {
		requireRedisError(t, call(t.Context()), "LOADING")
	}
	// go-redis tries again by itself until the time is over, or it gives up.
	patient := newStore(t, newClient(t, &redis.Options{Addr: server.Addr}), redisstore.WithTimeout(300*time.Millisecond))
	_, err := patient.Load(t.Context(), tok)
	requireOutage(t, err)

	require.NoError(t, client.ConfigSet(t.Context(), "key-load-delay", "0").Err())
	server.WaitReady()
	requireData(t, store, tok, "data")
	save(t, store, tok, "other", rev)
}

func TestFrozenServer(t *testing.T) {
	const limit = 150 * time.Millisecond
	server := redistest.Single(t)
	plain := newClient(t, &redis.Options{Addr: server.Addr})
	piped, err := newClient(t, &redis.Options{Addr: server.Addr}).AutoPipeline()
	require.NoError(t, err)
	async, err := newClient(t, &redis.Options{Addr: server.Addr}).AsyncAutoPipeline()
	require.NoError(t, err)

	for name, client := range map[string]redis.UniversalClient{
		"plain":                 plain,
		"contexts enabled":      newClient(t, &redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true}),
		"auto-pipelining":       piped,
		"async auto-pipelining": async,
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, client, redisstore.WithTimeout(limit))
			tok := newToken()
			rev := save(t, store, tok, "data", "")
			server.Freeze()
			for what, call := range calls(store, tok, rev) {
				if strings.HasPrefix(what, "Delete") {
					continue // would be carried out after the thaw
				}
				// The store's own limit.
				began := time.Now()
				err := call(context.Background())
				requireOutage(t, err)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, limit.String())
				require.GreaterOrEqual(t, time.Since(began), limit)
				require.Less(t, time.Since(began), 10*limit)
			}
			// The caller's.
			load := calls(store, tok, rev)["Load"]
			late, cancel := context.WithTimeout(t.Context(), limit/3)
			defer cancel()
			err := load(late)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, stores.ErrUnavailable)

			cancelled, cancel := context.WithCancel(t.Context())
			time.AfterFunc(limit/3, cancel)
			err = load(cancelled)
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, stores.ErrUnavailable)

			// The server goes on, and may now carry out what was given up.
			server.Thaw()
			redistest.Wait(t, "the store answers", func() bool {
				_, err := store.Load(t.Context(), tok)
				return err == nil
			})
			other := newToken()
			save(t, store, other, "another", save(t, store, other, "new", ""))
			requireData(t, store, other, "another")
		})
	}
}

// Calls that wait for a connection have the same limit.
func TestFrozenServerBusyPool(t *testing.T) {
	const limit = 150 * time.Millisecond
	server := redistest.Single(t)
	for name, contexts := range map[string]bool{"plain": false, "contexts enabled": true} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, &redis.Options{Addr: server.Addr, PoolSize: 1, ContextTimeoutEnabled: contexts})
			store := newStore(t, client, redisstore.WithTimeout(limit))
			tok := newToken()
			save(t, store, tok, "data", "")
			server.Freeze()
			defer server.Thaw()
			began := time.Now()
			var running sync.WaitGroup
			for range 10 {
				running.Go(func() {
					_, err := store.Load(context.Background(), tok)
					if !errors.Is(err, stores.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
			}
			running.Wait()
			require.Less(t, time.Since(began), 10*limit)
		})
	}
}

func TestKilledServer(t *testing.T) {
	server := redistest.Single(t)
	client := newClient(t, &redis.Options{Addr: server.Addr})
	store := newStore(t, client, redisstore.WithTimeout(200*time.Millisecond))
	tok := newToken()
	rev := save(t, store, tok, "data", "")
	require.NoError(t, server.Client().Save(t.Context()).Err())

	server.Kill()
	for _, call := range calls(store, tok, rev) {
		requireOutage(t, call(t.Context()))
	}
	// Without repetitions the cause is there at once.
	impatient := newStore(t, newClient(t, &redis.Options{Addr: server.Addr, MaxRetries: -1, DialerRetries: 1}))
	_, err := impatient.Load(t.Context(), tok)
	requireOutage(t, err)
	var cause *net.OpError
	require.ErrorAs(t, err, &cause)
	require.False(t, errors.Is(err, context.DeadlineExceeded))

	// The new server has the data, but not the scripts.
	server.Start()
	server.WaitReady()
	requireData(t, store, tok, "data")
	rev, err = store.Touch(t.Context(), tok, rev, time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	rev = save(t, store, tok, "other", rev)
	require.NoError(t, store.Delete(t.Context(), tok, rev))
}

// A pipeline may carry out a save long after the call was given up. By then the
// caller has used its slice for something else.
func TestGivenUpSaveKeepsItsData(t *testing.T) {
	server := redistest.Single(t)
	client := newClient(t, &redis.Options{
		Addr: server.Addr, DialerRetries: 1, MaxRetries: 100, MinRetryBackoff: 20 * time.Millisecond, MaxRetryBackoff: 50 * time.Millisecond,
	})
	piped, err := client.AutoPipeline()
	require.NoError(t, err)
	store := newStore(t, piped, redisstore.WithTimeout(100*time.Millisecond))
	server.Kill()
	tok, rec := newToken(), record("the caller's data", "")
	_, _, err = store.Save(t.Context(), tok, rec)
	requireOutage(t, err)
	copy(rec.Data, "something else!!!")

	server.Start()
	server.WaitReady()
	direct := newStore(t, server.Client())
	redistest.Wait(t, "the save is carried out", func() bool {
		_, err := direct.Load(t.Context(), tok)
		return err == nil
	})
	requireData(t, direct, tok, "the caller's data")
}
