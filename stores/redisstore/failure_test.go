//go:build unix

package redisstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// requireOutage tests that err can't be taken for anything but a failure.
func requireOutage(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, stores.ErrUnavailable)
	for _, wrong := range []error{stores.ErrNotFound, stores.ErrConflict, stores.ErrInvalidRecord, context.Canceled} {
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
// and is only written over by a Put, which does not ask.
func TestForeignKeys(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	own := newKey()
	rev := save(t, store, own, "", "")
	value := client.Get(t.Context(), keyOf(own)).Val()
	value = value[:15] + string([]byte{value[15] ^ 1}) + value[16:] // nobody else writes a mark that was read

	set := func(value string) func(string) error {
		return func(key string) error { return client.Set(t.Context(), key, value, time.Hour).Err() }
	}
	for name, put := range map[string]func(key string) error{
		"a list":         func(key string) error { return client.LPush(t.Context(), key, "x").Err() },
		"a hash":         func(key string) error { return client.HSet(t.Context(), key, "f", "x").Err() },
		"short":          set("short"),
		"empty":          set(""),
		"one mark":       set(value[:16]),
		"cut off":        set(value[:23]),
		"a text":         set(`{"user": "someone", "cart": [1, 2, 3]}`),
		"without expiry": set(value[:16] + "\x00\x00\x00\x00\x00\x00\x00\x00" + "data"),
	} {
		t.Run(name, func(t *testing.T) {
			key := newKey()
			what := maps.Clone(calls(store, key, rev))
			what["create"] = func(ctx context.Context) error {
				_, err := store.Save(ctx, key, record("new", ""))
				return err
			}
			for _, other := range []string{"Put", "SaveMany", "AddEntry", "Entries", "RemoveEntries"} {
				delete(what, other)
			}
			require.NoError(t, put(keyOf(key)))
			before := client.Dump(t.Context(), keyOf(key)).Val()
			for call, f := range what {
				err := f(t.Context())
				if reads(call) {
					requireOutage(t, err)
				} else if !errors.Is(err, stores.ErrConflict) { // then the caller looks
					requireOutage(t, err)
				}
				require.Equal(t, before, client.Dump(t.Context(), keyOf(key)).Val(), "%s changed it", call)
			}
		})
	}
}

// No key is without an expiry at any moment of a session's life, and one that
// lost it ends all the same.
func TestEveryKeyEnds(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	key := newKey()
	ends := func() time.Duration {
		ttl, err := client.PTTL(t.Context(), keyOf(key)).Result()
		require.NoError(t, err)
		require.Positive(t, ttl)
		return ttl
	}
	rev := save(t, store, key, "data", "")
	ends()
	rev, err := store.Touch(t.Context(), key, rev, time.Now().Add(3*time.Hour))
	require.NoError(t, err)
	require.Greater(t, ends(), 2*time.Hour)
	rev = save(t, store, key, "data", rev)
	require.LessOrEqual(t, ends(), time.Hour)
	require.NoError(t, client.Persist(t.Context(), keyOf(key)).Err())
	_, err = store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	require.Greater(t, ends(), time.Hour)
	require.NoError(t, client.Persist(t.Context(), keyOf(key)).Err())
	require.NoError(t, store.Put(t.Context(), key, stores.Record{Data: []byte("ended"), Expires: time.Now().Add(time.Minute)}))
	require.LessOrEqual(t, ends(), time.Minute)

	brief := stores.Record{Data: []byte("brief"), Expires: time.Now().Add(time.Second)}
	key = newKey()
	rev, err = store.Save(t.Context(), key, brief)
	require.NoError(t, err)
	require.NoError(t, client.Persist(t.Context(), keyOf(key)).Err())
	redistest.Wait(t, "it has expired", elapsed(time.Until(brief.Expires)+10*time.Millisecond))
	_, err = store.Load(t.Context(), key, stores.Fresh)
	require.ErrorIs(t, err, stores.ErrNotFound)
	recs, err := store.LoadMany(t.Context(), []stores.Key{key})
	require.NoError(t, err)
	require.Equal(t, []stores.Record{{}}, recs)
	_, err = store.Save(t.Context(), key, record("brought back", rev))
	require.ErrorIs(t, err, stores.ErrConflict)
	_, err = store.Touch(t.Context(), key, rev, time.Now().Add(time.Hour))
	require.ErrorIs(t, err, stores.ErrConflict)

	// A mark knows nothing of a touch: this record was to end long ago, and lives.
	value := client.Get(t.Context(), keyOf(key)).Val()
	until := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(time.Hour).UnixMilli()))
	key = newKey()
	require.NoError(t, client.Set(t.Context(), keyOf(key), value[:16]+string(until)+"touched", time.Hour).Err())
	save(t, store, key, "changed", stores.Revision(value[:16]))

	// Less than a millisecond is left: PTTL is -2 where there is no key, and -1
	// where it has no end.
	for range 50 {
		key := newKey()
		_, err := store.Save(t.Context(), key, stores.Record{Data: []byte("x"), Expires: time.Now().Add(900 * time.Microsecond)})
		if err != nil {
			require.ErrorIs(t, err, stores.ErrInvalidRecord)
		}
		ttl, err := client.Do(t.Context(), "PTTL", keyOf(key)).Int()
		require.NoError(t, err)
		require.NotEqual(t, -1, ttl)
		require.LessOrEqual(t, ttl, 1)
	}
}

// However far the clocks of this machine and of the server are apart, what is
// written is there, and ends when this machine says so. In a synctest bubble it
// is the year 2000.
func TestSkewedClocks(t *testing.T) {
	server := redistest.Single(t)
	for name, shift := range map[string]time.Duration{"behind": 0, "ahead": 80 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(shift)
				client := redis.NewClient(&redis.Options{Addr: server.Addr})
				defer client.Close()
				store := newStore(t, client)
				key := newKey()
				rev := save(t, store, key, "one", "")
				rev = save(t, store, key, "two", rev)
				requireData(t, store, key, "two")
				until := time.Now().Add(2 * time.Hour)
				rev, err := store.Touch(t.Context(), key, rev, until)
				require.NoError(t, err)
				rec, err := store.Load(t.Context(), key, stores.Fresh)
				require.NoError(t, err)
				require.True(t, rec.Expires.Equal(until))
				require.InDelta(t, 2*time.Hour, client.PTTL(t.Context(), keyOf(key)).Val(), float64(time.Minute))

				owner := newKey()
				for range 20 { // of which none may go
					_, err = store.AddEntry(t.Context(), owner, entry(newKey(), 2*time.Hour))
					require.NoError(t, err)
				}
				require.Len(t, list(t, store, owner), 20)
				require.Less(t, list(t, store, owner)[0].Age, time.Minute)

				time.Sleep(2 * time.Hour)
				_, err = store.Load(t.Context(), key, stores.Fresh)
				require.ErrorIs(t, err, stores.ErrNotFound)
				_, err = store.Save(t.Context(), key, record("brought back", rev))
				require.ErrorIs(t, err, stores.ErrConflict)
				_, err = store.Touch(t.Context(), key, rev, time.Now().Add(time.Hour))
				require.ErrorIs(t, err, stores.ErrConflict)
				require.Empty(t, list(t, store, owner))
				require.NoError(t, store.Put(t.Context(), key, record("put", "")))
				requireData(t, store, key, "put")
			})
		})
	}
}

// A server that is really full takes no new session, and ends those that are.
func TestOutOfMemory(t *testing.T) {
	client := redistest.Single(t, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction").Client()
	store := newStore(t, client)
	data := strings.Repeat("x", 1000)
	owner := newKey()
	var keys []stores.Key
	var revs []stores.Revision
	for {
		key := newKey()
		rev, err := store.Save(t.Context(), key, record(data, ""))
		if err != nil {
			requireRedisError(t, err, "OOM")
			break
		}
		keys, revs = append(keys, key), append(revs, rev)
		if len(keys) <= 3 {
			_, err := store.AddEntry(t.Context(), owner, entry(key, time.Hour))
			require.NoError(t, err)
		}
		require.Less(t, len(keys), 10_000)
	}
	require.Greater(t, len(keys), 100)
	full := client.DBSize(t.Context()).Val()

	_, err := store.Save(t.Context(), keys[0], record(data+"x", revs[0]))
	requireRedisError(t, err, "OOM")
	requireRedisError(t, store.Put(t.Context(), keys[0], record(data+"x", "")), "OOM")
	_, err = store.AddEntry(t.Context(), owner, entry(newKey(), time.Hour))
	requireRedisError(t, err, "OOM")

	// Nothing was lost, and everything else goes on.
	requireData(t, store, keys[0], data)
	revs[0], err = store.Touch(t.Context(), keys[0], revs[0], time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	revs[0] = save(t, store, keys[0], strings.Repeat("y", 1000), revs[0])
	revs[0] = save(t, store, keys[0], "ended", revs[0])
	requireData(t, store, keys[0], "ended")
	for i, stub := range []string{data, "ended"} {
		require.NoError(t, store.Put(t.Context(), keys[1+i], record(stub, "")))
		requireData(t, store, keys[1+i], stub)
	}
	conflicts, err := store.SaveMany(t.Context(), keys[3:6], []stores.Record{record("ended", revs[3]), record("ended", "none"), record("ended", revs[5])})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, false}, conflicts)
	require.Len(t, list(t, store, owner), 3)
	require.NoError(t, store.RemoveEntries(t.Context(), owner, keys[:2]...))
	require.Len(t, list(t, store, owner), 1)
	require.Equal(t, full, client.DBSize(t.Context()).Val())
}

func TestReadOnlyReplica(t *testing.T) {
	primary, replica := redistest.Single(t), redistest.Single(t)
	client := replica.Client()
	store := newStore(t, client)
	key := newKey()
	rev := save(t, newStore(t, primary.Client()), key, "data", "")
	host, port, err := net.SplitHostPort(primary.Addr)
	require.NoError(t, err)
	require.NoError(t, client.Do(t.Context(), "REPLICAOF", host, port).Err())
	redistest.Wait(t, "the replica has the session", func() bool {
		_, err := store.Load(t.Context(), key, stores.Fresh)
		return err == nil
	})
	for name, call := range calls(store, key, rev) {
		if err := call(t.Context()); reads(name) {
			require.NoError(t, err)
		} else {
			requireRedisError(t, err, "READONLY")
		}
	}
	requireData(t, store, key, "data")
}

func TestServerLoads(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	client := server.Client()
	store := newStore(t, client)
	key := newKey()
	rev := save(t, store, key, "data", "")
	for range 300 {
		save(t, store, newKey(), strings.Repeat("x", 4000), "")
	}
	require.NoError(t, client.Save(t.Context()).Err())
	server.Kill()

	// Redis's own tests slow the loading down in the same way.
	server.Start("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024", "--rdbcompression", "no")
	redistest.Wait(t, "the server loads", func() bool {
		return redis.HasErrorPrefix(client.Ping(t.Context()).Err(), "LOADING")
	})
	for _, call := range calls(store, key, rev) {
		requireRedisError(t, call(t.Context()), "LOADING")
	}
	// go-redis tries again by itself until the time is over, or it gives up.
	patient := newStore(t, newClient(t, &redis.Options{Addr: server.Addr}), redisstore.WithTimeout(300*time.Millisecond))
	_, err := patient.Load(t.Context(), key, stores.Fresh)
	requireOutage(t, err)

	require.NoError(t, client.ConfigSet(t.Context(), "key-load-delay", "0").Err())
	server.WaitReady()
	requireData(t, store, key, "data")
	save(t, store, key, "other", rev)
}

func TestFrozenServer(t *testing.T) {
	const limit = 150 * time.Millisecond
	const busy = limit + 2500*time.Millisecond // what a call may take here; go-redis's own limit is 3 s for each try
	var l line
	for name, way := range l.ways(t) {
		t.Run(name, func(t *testing.T) {
			store, patient := newStore(t, way.client, redisstore.WithTimeout(limit)), newStore(t, way.client)
			key := newKey()
			var rev stores.Revision
			redistest.Wait(t, "the store answers", func() (ok bool) {
				var err error
				rev, err = patient.Save(t.Context(), key, record("data", rev))
				return err == nil
			})
			each := func(f func(*redistest.Server)) {
				for _, s := range way.servers {
					f(s)
				}
			}
			each((*redistest.Server).Freeze)
			defer each((*redistest.Server).Thaw)
			var running sync.WaitGroup
			for what, call := range calls(store, key, rev) {
				running.Go(func() { // the store's own limit
					began := time.Now()
					err := call(context.Background())
					took := time.Since(began)
					if !errors.Is(err, stores.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(fmt.Sprint(err), limit.String()) {
						t.Errorf("%s: %v", what, err)
					}
					if took < limit-limit/20 || took > busy {
						t.Errorf("%s took %v", what, took)
					}
				})
			}
			running.Wait()
			// The caller's.
			late, cancel := context.WithTimeout(t.Context(), limit/3)
			defer cancel()
			began := time.Now()
			err := calls(patient, key, rev)["Load"](late)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, stores.ErrUnavailable)
			require.Less(t, time.Since(began), busy)

			cancelled, cancel := context.WithCancel(t.Context())
			time.AfterFunc(limit/15, cancel)
			err = calls(store, key, rev)["Load"](cancelled)
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, stores.ErrUnavailable)

			// The servers go on, and may now carry out what was given up.
			each((*redistest.Server).Thaw)
			redistest.Wait(t, "the store answers", func() bool {
				_, err := store.Load(t.Context(), key, stores.Fresh)
				return err == nil
			})
			if !strings.Contains(name, "pipelining") { // those wait for what was given up
				other := newKey()
				save(t, patient, other, "another", save(t, patient, other, "new", ""))
				requireData(t, patient, other, "another")
			}
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
			key := newKey()
			save(t, newStore(t, client), key, "data", "")
			server.Freeze()
			defer server.Thaw()
			began := time.Now()
			var running sync.WaitGroup
			const calls = 40 // one after the other they took 6 s
			for range calls {
				running.Go(func() {
					_, err := store.Load(context.Background(), key, stores.Fresh)
					if !errors.Is(err, stores.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
			}
			running.Wait()
			require.Less(t, time.Since(began), calls*limit/2)
		})
	}
}

// A lone call to a server that refuses connections is answered soon, with the
// client that everybody has.
func TestRefusedConnections(t *testing.T) {
	const soon = 300 * time.Millisecond
	server := redistest.Single(t)
	used := newStore(t, newClient(t, &redis.Options{Addr: server.Addr}))
	warmUp(t, used)
	var running sync.WaitGroup // several connections
	for range 8 {
		running.Go(func() { used.Load(t.Context(), newKey(), stores.Fresh) })
	}
	running.Wait()
	server.Kill()
	for name, store := range map[string]*redisstore.Store{
		"used": used, "new": newStore(t, newClient(t, &redis.Options{Addr: server.Addr})),
	} {
		for call, f := range calls(store, newKey(), "none") {
			var err error
			took := time.Hour
			for range 5 { // the machine may be busy for a moment
				began := time.Now()
				err = f(t.Context())
				took = min(took, time.Since(began))
				requireOutage(t, err)
				require.NotErrorIs(t, err, context.DeadlineExceeded)
				if took < soon {
					break
				}
			}
			require.Less(t, took, soon, "%s of a client that is %s", call, name)
			var cause *net.OpError
			if errors.As(err, &cause) {
				require.Equal(t, "dial", cause.Op)
			}
		}
	}
	// Whoever has a connection, or gets one late, is not disturbed.
	server.Start()
	server.WaitReady()
	warmUp(t, used)
	slow := newStore(t, newClient(t, &redis.Options{Addr: server.Addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case <-time.After(400 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}))
	save(t, slow, newKey(), "data", "")
}

func TestKilledServer(t *testing.T) {
	server := redistest.Single(t)
	client := newClient(t, &redis.Options{Addr: server.Addr})
	store := newStore(t, client)
	key := newKey()
	rev := save(t, store, key, "data", "")
	require.NoError(t, server.Client().Save(t.Context()).Err())

	server.Kill()
	for _, call := range calls(newStore(t, client, redisstore.WithTimeout(200*time.Millisecond)), key, rev) {
		requireOutage(t, call(t.Context()))
	}
	// Without repetitions the cause is there at once.
	impatient := newStore(t, newClient(t, &redis.Options{Addr: server.Addr, MaxRetries: -1, DialerRetries: 1}))
	_, err := impatient.Load(t.Context(), key, stores.Fresh)
	requireOutage(t, err)
	var cause *net.OpError
	require.ErrorAs(t, err, &cause)
	require.False(t, errors.Is(err, context.DeadlineExceeded))

	// The new server has the data, but not the scripts.
	server.Start()
	server.WaitReady()
	redistest.Wait(t, "the client has noticed", func() bool {
		_, err := store.Load(t.Context(), key, stores.Fresh)
		return err == nil
	})
	rev, err = store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	rev = save(t, store, key, "other", rev)
	save(t, store, key, "third", rev)
}

// A pipeline may carry out a save long after the call was given up. By then the
// caller has used its slice for something else.
func TestGivenUpSaveKeepsItsData(t *testing.T) {
	server := redistest.Single(t)
	client := newClient(t, &redis.Options{Addr: server.Addr})
	piped, err := client.AutoPipeline()
	require.NoError(t, err)
	warmUp(t, newStore(t, piped))
	store := newStore(t, piped, redisstore.WithTimeout(100*time.Millisecond))
	server.Freeze()
	key, rec := newKey(), record("the caller's data", "")
	_, err = store.Save(t.Context(), key, rec)
	requireOutage(t, err)
	copy(rec.Data, "something else!!!")

	server.Thaw()
	direct := newStore(t, server.Client())
	redistest.Wait(t, "the save is carried out", func() bool {
		_, err := direct.Load(t.Context(), key, stores.Fresh)
		return err == nil
	})
	requireData(t, direct, key, "the caller's data")
}

func elapsed(d time.Duration) func() bool {
	end := time.Now().Add(d)
	return func() bool { return time.Now().After(end) }
}
