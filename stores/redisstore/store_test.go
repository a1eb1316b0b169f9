//go:build unix

package redisstore_test

import (
	"context"
	"crypto/rand"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

func newStore(t testing.TB, client redis.UniversalClient, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	store, err := redisstore.New(client, opts...)
	require.NoError(t, err)
	return store
}

func newClient(t testing.TB, opts *redis.Options) *redis.Client {
	client := redis.NewClient(opts)
	t.Cleanup(func() { client.Close() })
	return client
}

func newKey() stores.Key {
	var hash [24]byte
	rand.Read(hash[:])
	return stores.NewKey(hash)
}

func record(data string, rev stores.Revision) stores.Record {
	return stores.Record{Data: []byte(data), Expires: time.Now().Add(time.Hour), Revision: rev}
}

func save(t testing.TB, store stores.Server, key stores.Key, data string, rev stores.Revision) stores.Revision {
	t.Helper()
	rev, err := store.Save(context.Background(), key, record(data, rev))
	require.NoError(t, err)
	return rev
}

func requireData(t testing.TB, store stores.Server, key stores.Key, data string) {
	t.Helper()
	rec, err := store.Load(context.Background(), key, stores.Fresh)
	require.NoError(t, err)
	require.Equal(t, data, string(rec.Data))
}

// keyOf is the Redis key of a record, with the default prefix.
func keyOf(key stores.Key) string { return "bulla:" + key.Name() }

// calls are all that a store can be asked, about one record at one revision.
func calls(store *redisstore.Store, key stores.Key, rev stores.Revision) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Load": func(ctx context.Context) error {
			_, err := store.Load(ctx, key, stores.Fresh)
			return err
		},
		"create": func(ctx context.Context) error {
			_, err := store.Save(ctx, newKey(), record("new", ""))
			return err
		},
		"replace": func(ctx context.Context) error {
			_, err := store.Save(ctx, key, record("other", rev))
			return err
		},
		"Put": func(ctx context.Context) error { return store.Put(ctx, newKey(), record("put", "")) },
		"Touch": func(ctx context.Context) error {
			_, err := store.Touch(ctx, key, rev, time.Now().Add(2*time.Hour))
			return err
		},
		"LoadMany": func(ctx context.Context) error {
			_, err := store.LoadMany(ctx, []stores.Key{key, newKey()})
			return err
		},
		"SaveMany": func(ctx context.Context) error {
			_, err := store.SaveMany(ctx, []stores.Key{newKey(), newKey()}, []stores.Record{record("one", ""), record("two", "none")})
			return err
		},
		"AddEntry": func(ctx context.Context) error {
			_, err := store.AddEntry(ctx, newKey(), entry(newKey(), time.Hour))
			return err
		},
		"Entries": func(ctx context.Context) error {
			_, err := store.Entries(ctx, key)
			return err
		},
		"RemoveEntries": func(ctx context.Context) error { return store.RemoveEntries(ctx, key, newKey()) },
	}
}

// reads tells which of the calls change nothing.
func reads(call string) bool { return call == "Load" || call == "LoadMany" || call == "Entries" }

// warmUp lets the server learn the scripts, and the client connect.
func warmUp(t testing.TB, store *redisstore.Store) {
	t.Helper()
	for name, call := range calls(store, newKey(), "none") {
		if err := call(t.Context()); err != nil {
			require.NotErrorIs(t, err, stores.ErrUnavailable, name)
		}
	}
}

func TestPlace(t *testing.T) {
	store := newStore(t, newClient(t, &redis.Options{}))
	require.Equal(t, stores.Place{Name: "redis", Server: store}, store.Place())
}

func TestMisconfiguration(t *testing.T) {
	client := newClient(t, &redis.Options{})
	closed := redis.NewClient(&redis.Options{})
	piped, err := closed.AutoPipeline()
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	cluster := func(o redis.ClusterOptions) redis.UniversalClient {
		c := redis.NewClusterClient(&o)
		t.Cleanup(func() { c.Close() })
		return c
	}
	byKey := redisstore.WithKeyFunc(stores.Key.String)
	for name, test := range map[string]struct {
		client redis.UniversalClient
		opts   []redisstore.Option
		says   string
	}{
		"no client":               {nil, nil, "client is nil"},
		"a nil Client":            {(*redis.Client)(nil), nil, "client is nil"},
		"a nil ClusterClient":     {(*redis.ClusterClient)(nil), nil, "client is nil"},
		"a Ring":                  {redis.NewRing(&redis.RingOptions{}), nil, "redis.Ring"},
		"a client of one's own":   {struct{ *redis.Client }{client}, nil, "use a redis.Client"},
		"a Cluster that waits on": {cluster(redis.ClusterOptions{}), nil, "set ContextTimeoutEnabled"},
		"a Cluster that waits on all the same": {
			cluster(redis.ClusterOptions{ContextTimeoutEnabled: true, ReadTimeout: -2}), nil, "no negative ReadTimeout",
		},
		"pipes of a closed client": {piped, nil, "closed"},
		"no option":                {client, []redisstore.Option{nil}, "nil"},
		"no time":                  {client, []redisstore.Option{redisstore.WithTimeout(0)}, "WithTimeout(0s)"},
		"negative time":            {client, []redisstore.Option{redisstore.WithTimeout(-time.Second)}, "WithTimeout(-1s)"},
		"no function":              {client, []redisstore.Option{redisstore.WithKeyFunc(nil)}, "WithKeyFunc(nil)"},
		"one name for all":         {client, []redisstore.Option{redisstore.WithKeyFunc(func(stores.Key) string { return "session" })}, "WithKeyFunc"},
		"prefix and function":      {client, []redisstore.Option{redisstore.WithPrefix("a:"), byKey}, "exclude"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := redisstore.New(test.client, test.opts...)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestNames(t *testing.T) {
	server := redistest.Single(t)
	client := server.Client()
	for name, test := range map[string]struct {
		opts []redisstore.Option
		want func(stores.Key) string
	}{
		"default":   {nil, func(k stores.Key) string { return "bulla:" + k.Name() }},
		"prefix":    {[]redisstore.Option{redisstore.WithPrefix("shop/")}, func(k stores.Key) string { return "shop/" + k.Name() }},
		"no prefix": {[]redisstore.Option{redisstore.WithPrefix("")}, stores.Key.Name},
		"function": {
			[]redisstore.Option{redisstore.WithKeyFunc(func(k stores.Key) string { return "{" + k.Name() + "}:session" })},
			func(k stores.Key) string { return "{" + k.Name() + "}:session" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, client.FlushDB(t.Context()).Err())
			store := newStore(t, client, test.opts...)
			key := newKey()
			rev := save(t, store, key, "data", "")
			rev, err := store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour))
			require.NoError(t, err)
			save(t, store, key, "data", rev)
			require.NoError(t, store.Put(t.Context(), key, record("ended", "")))
			requireData(t, store, key, "ended")
			keys, err := client.Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			require.Equal(t, []string{test.want(key)}, keys)

			_, err = store.AddEntry(t.Context(), key, entry(newKey(), time.Hour))
			require.NoError(t, err)
			keys, err = client.Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			require.ElementsMatch(t, []string{test.want(key), test.want(key) + ":owner"}, keys)
		})
	}
}

// Sessions go on while their slots move from node to node.
func TestClusterMovesSlots(t *testing.T) {
	t.Parallel()
	nodes := redistest.Cluster(t)
	store := newStore(t, nodes.Client())
	type session struct {
		key stores.Key
		rev stores.Revision
	}
	var all []session
	var keys []stores.Key
	for range 50 {
		key := newKey()
		all = append(all, session{key, save(t, store, key, "0", "")})
		keys = append(keys, key)
	}

	moved := make(chan struct{})
	go func() {
		defer close(moved)
		nodes.Move("3000", nodes.Servers[0], nodes.Servers[1])
	}()
	rounds := 0
	for done := false; !done; rounds++ {
		select {
		case <-moved:
			done = true // one more round, to see the end
		default:
		}
		recs, err := store.LoadMany(t.Context(), keys)
		require.NoError(t, err)
		for i, s := range all {
			require.Equal(t, strconv.Itoa(rounds), string(recs[i].Data))
			requireData(t, store, s.key, strconv.Itoa(rounds))
			rev, err := store.Touch(t.Context(), s.key, s.rev, time.Now().Add(2*time.Hour))
			require.NoError(t, err)
			all[i].rev = save(t, store, s.key, strconv.Itoa(rounds+1), rev)
		}
	}
	require.False(t, t.Failed())
	require.Greater(t, rounds, 2, "nothing happened while the slots moved")

	// A client that knows only one node is told where the session is, and
	// says so.
	lost := 0
	single := newStore(t, nodes.Servers[2].Client())
	for _, s := range all {
		_, err := single.Load(t.Context(), s.key, stores.Fresh)
		if err == nil {
			continue
		}
		lost++
		require.ErrorIs(t, err, stores.ErrUnavailable)
		var cause redis.Error
		require.ErrorAs(t, err, &cause)
		require.True(t, redis.HasErrorPrefix(err, "MOVED"), "%v", err)
	}
	require.Positive(t, lost)
}

func TestFailover(t *testing.T) {
	t.Parallel()
	guarded := redistest.Sentinel(t)
	client := guarded.Client()
	store := newStore(t, client)
	key := newKey()
	rev := save(t, store, key, "before", "")
	require.NoError(t, client.Wait(t.Context(), 1, 5*time.Second).Err())

	guarded.FailOver()
	redistest.Wait(t, "the client has found the new primary", func() bool {
		_, err := store.Load(t.Context(), key, stores.Fresh)
		if err != nil {
			require.ErrorIs(t, err, stores.ErrUnavailable, "an outage looks like a logout")
		}
		return err == nil
	})
	redistest.Wait(t, "the old connections are gone", func() bool {
		_, err := store.Save(t.Context(), newKey(), record("any", ""))
		return err == nil
	})
	save(t, store, key, "after", rev)
	requireData(t, store, key, "after")
}

// A replica that lags has not seen a session that was just begun, nor an entry.
// A client that reads from replicas must not take it for one that was logged
// out.
func TestNeverReadsFromReplicas(t *testing.T) {
	t.Parallel()
	guarded := redistest.Sentinel(t)
	client := guarded.ReaderClient()
	store := newStore(t, client)
	warmUp(t, store)
	// The replica loses its link, and serves what it had.
	require.NoError(t, guarded.Replica.Client().Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())

	missed := 0
	for range 20 {
		key := newKey()
		save(t, store, key, "new", "")
		requireData(t, store, key, "new")
		recs, err := store.LoadMany(t.Context(), []stores.Key{key})
		require.NoError(t, err)
		require.Equal(t, "new", string(recs[0].Data))
		_, err = store.AddEntry(t.Context(), key, entry(key, time.Hour))
		require.NoError(t, err)
		require.Len(t, list(t, store, key), 1)
		if client.Get(t.Context(), keyOf(key)).Err() == redis.Nil {
			missed++
		}
	}
	require.Positive(t, missed, "this client reads nothing from the replica")
}

// A cache in the client answers with what it had until it hears otherwise.
func TestNeverReadsFromACache(t *testing.T) {
	server := redistest.Single(t)
	client := newClient(t, &redis.Options{Addr: server.Addr, ClientSideCacheConfig: &redis.ClientSideCacheConfig{}})
	piped, err := client.AsyncAutoPipeline()
	require.NoError(t, err)
	other := newStore(t, server.Client())
	for name, store := range map[string]*redisstore.Store{"plain": newStore(t, client), "auto-pipelining": newStore(t, piped)} {
		t.Run(name, func(t *testing.T) {
			before := client.CSCStats()
			key := newKey()
			rev := save(t, other, key, "0", "")
			for i := range 100 {
				requireData(t, store, key, strconv.Itoa(i))
				recs, err := store.LoadMany(t.Context(), []stores.Key{key})
				require.NoError(t, err)
				require.Equal(t, strconv.Itoa(i), string(recs[0].Data))
				rev = save(t, other, key, strconv.Itoa(i+1), rev)
			}
			require.Equal(t, before, client.CSCStats(), "the cache was asked")
		})
	}
	before := client.CSCStats()
	require.ErrorIs(t, client.Get(t.Context(), keyOf(newKey())).Err(), redis.Nil)
	require.NotEqual(t, before, client.CSCStats(), "this client has no cache")
}

// The caller owns the client: a closed one is an outage.
func TestClosedClient(t *testing.T) {
	client := newClient(t, &redis.Options{})
	store := newStore(t, client)
	require.NoError(t, client.Close())
	for name, call := range calls(store, newKey(), "none") {
		err := call(t.Context())
		require.ErrorIs(t, err, stores.ErrUnavailable, name)
		require.ErrorIs(t, err, redis.ErrClosed, name)
	}
}

// Who wants the hooks of its client used sets ContextTimeoutEnabled: a copy has none.
func TestHooks(t *testing.T) {
	server := redistest.Single(t)
	for contexts, want := range map[bool]int{true: 1, false: 0} {
		client, seen := newClient(t, &redis.Options{Addr: server.Addr, ContextTimeoutEnabled: contexts}), 0
		client.AddHook(hook{before: func(cmd redis.Cmder) {
			if cmd.Name() == "set" { // connections begin with others
				seen++
			}
		}})
		save(t, newStore(t, client), newKey(), "data", "")
		require.Equal(t, want, seen)
	}
}

// A hook of the client that panics ends the request, not the process.
func TestPanicReachesTheCaller(t *testing.T) {
	client := newClient(t, &redis.Options{ContextTimeoutEnabled: true})
	client.AddHook(hook{before: func(redis.Cmder) { panic("a broken hook") }})
	store := newStore(t, client)
	for name, call := range calls(store, newKey(), "none") {
		require.PanicsWithValue(t, "a broken hook", func() { call(t.Context()) }, name)
	}
}

// hook runs functions around every command of a client.
type hook struct {
	before func(redis.Cmder)
	dial   func()
}

func (h hook) DialHook(next redis.DialHook) redis.DialHook {
	if h.dial == nil {
		return next
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		h.dial()
		return next(ctx, network, addr)
	}
}

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.before != nil {
			h.before(cmd)
		}
		return next(ctx, cmd)
	}
}

func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.before != nil {
			for _, cmd := range cmds {
				h.before(cmd)
			}
		}
		return next(ctx, cmds)
	}
}
