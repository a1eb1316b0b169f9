//go:build unix

package redisstore_test

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
	"github.com/bulla-go/bulla/stores/storetest"
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

func newToken() stores.Token { return stores.Token{ID: stores.NewID()} }

func record(data string, rev stores.Revision) stores.Record {
	return stores.Record{Data: []byte(data), Expires: time.Now().Add(time.Hour), Revision: rev}
}

func save(t testing.TB, store stores.Store, tok stores.Token, data string, rev stores.Revision) stores.Revision {
	t.Helper()
	_, rev, err := store.Save(context.Background(), tok, record(data, rev))
	require.NoError(t, err)
	return rev
}

func requireData(t testing.TB, store stores.Store, tok stores.Token, data string) {
	t.Helper()
	rec, err := store.Load(context.Background(), tok)
	require.NoError(t, err)
	require.Equal(t, data, string(rec.Data))
}

// keyOf is the Redis key of a token, with the default prefix.
func keyOf(tok stores.Token) string { return "bulla:" + tok.ID.Key().String() }

// conform proves the contract with each of the clients.
func conform(t *testing.T, clients map[string]redis.UniversalClient) {
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				New:       func(t *testing.T) stores.Store { return newStore(t, client) },
				ShortLife: 200 * time.Millisecond,
			})
		})
	}
}

func TestSingle(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	nowhere := redistest.Single(t)
	nowhere.Kill()
	frozen := redistest.Single(t)
	frozen.Freeze()
	for name, dead := range map[string]*redistest.Server{"nobody listens": nowhere, "the server is frozen": frozen} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				New: func(t *testing.T) stores.Store { return newStore(t, server.Client()) },
				NewUnreachable: func(t *testing.T) stores.Store {
					client := newClient(t, &redis.Options{Addr: dead.Addr})
					return newStore(t, client, redisstore.WithTimeout(100*time.Millisecond))
				},
				ShortLife: 200 * time.Millisecond,
			})
		})
	}
}

// Whatever the client has been told to do with contexts, protocols and
// pipelines.
func TestClientModes(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	client := newClient(t, &redis.Options{Addr: server.Addr})
	blocking, err := client.AutoPipeline()
	require.NoError(t, err)
	async, err := client.AsyncAutoPipeline()
	require.NoError(t, err)
	conform(t, map[string]redis.UniversalClient{
		"auto-pipelining":       blocking,
		"async auto-pipelining": async,
		"RESP2 and contexts":    newClient(t, &redis.Options{Addr: server.Addr, Protocol: 2, ContextTimeoutEnabled: true}),
	})
}

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := redistest.Cluster(t)
	client := nodes.Client()
	piped, err := nodes.Client().AutoPipeline()
	require.NoError(t, err)
	conform(t, map[string]redis.UniversalClient{"plain": client, "auto-pipelining": piped})
	for _, server := range nodes.Servers {
		size, err := server.Client().DBSize(t.Context()).Result()
		require.NoError(t, err)
		require.Positive(t, size, "the sessions are not spread over the nodes")
	}
}

// Sessions go on while their slots move from node to node.
func TestClusterMovesSlots(t *testing.T) {
	t.Parallel()
	nodes := redistest.Cluster(t)
	store := newStore(t, nodes.Client())
	type session struct {
		tok stores.Token
		rev stores.Revision
	}
	var all []session
	for range 50 {
		tok := newToken()
		all = append(all, session{tok, save(t, store, tok, "0", "")})
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
		for i, s := range all {
			requireData(t, store, s.tok, strconv.Itoa(rounds))
			rev, err := store.Touch(t.Context(), s.tok, s.rev, time.Now().Add(2*time.Hour))
			require.NoError(t, err)
			all[i].rev = save(t, store, s.tok, strconv.Itoa(rounds+1), rev)
		}
	}
	require.False(t, t.Failed())
	require.Greater(t, rounds, 2, "nothing happened while the slots moved")

	// A client that knows only one node is told where the session is, and
	// says so.
	lost := 0
	single := newStore(t, nodes.Servers[2].Client())
	for _, s := range all {
		_, err := single.Load(t.Context(), s.tok)
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

func TestSentinel(t *testing.T) {
	t.Parallel()
	guarded := redistest.Sentinel(t)
	client := guarded.Client()
	conform(t, map[string]redis.UniversalClient{"before a failover": client})

	store := newStore(t, client)
	tok := newToken()
	rev := save(t, store, tok, "before", "")
	require.NoError(t, client.Wait(t.Context(), 1, 5*time.Second).Err())

	guarded.FailOver()
	redistest.Wait(t, "the client has found the new primary", func() bool {
		_, err := store.Load(t.Context(), tok)
		if err != nil {
			require.ErrorIs(t, err, stores.ErrUnavailable, "an outage looks like a logout")
		}
		return err == nil
	})
	save(t, store, tok, "after", rev)
	requireData(t, store, tok, "after")
	conform(t, map[string]redis.UniversalClient{"after a failover": client})
}

// A replica that lags has not seen a session that was just begun. A client that
// reads from replicas must not take it for one that was logged out.
func TestNeverReadsFromReplicas(t *testing.T) {
	t.Parallel()
	guarded := redistest.Sentinel(t)
	client := guarded.ReaderClient()
	store := newStore(t, client)
	save(t, store, newToken(), "warm", "")
	// The replica loses its link, and serves what it had.
	require.NoError(t, guarded.Replica.Client().Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())

	missed := 0
	for range 20 {
		tok := newToken()
		save(t, store, tok, "new", "")
		requireData(t, store, tok, "new")
		if client.Get(t.Context(), keyOf(tok)).Err() == redis.Nil {
			missed++
		}
	}
	require.Positive(t, missed, "this client reads nothing from the replica")
}

func TestDescribe(t *testing.T) {
	require.Equal(t, stores.Info{Name: "redis", Sealing: stores.SealByDefault},
		stores.Describe(newStore(t, newClient(t, &redis.Options{}))))
}

func TestMisconfiguration(t *testing.T) {
	client := newClient(t, &redis.Options{})
	byKey := redisstore.WithKeyFunc(stores.Key.String)
	for name, test := range map[string]struct {
		client redis.UniversalClient
		opts   []redisstore.Option
		says   string
	}{
		"no client":           {nil, nil, "client is nil"},
		"a nil Client":        {(*redis.Client)(nil), nil, "client is nil"},
		"a nil ClusterClient": {(*redis.ClusterClient)(nil), nil, "client is nil"},
		"a Ring":              {redis.NewRing(&redis.RingOptions{}), nil, "redis.Ring"},
		"no time":             {client, []redisstore.Option{redisstore.WithTimeout(0)}, "WithTimeout(0s)"},
		"negative time":       {client, []redisstore.Option{redisstore.WithTimeout(-time.Second)}, "WithTimeout(-1s)"},
		"no function":         {client, []redisstore.Option{redisstore.WithKeyFunc(nil)}, "WithKeyFunc(nil)"},
		"one name for all":    {client, []redisstore.Option{redisstore.WithKeyFunc(func(stores.Key) string { return "session" })}, "WithKeyFunc"},
		"prefix and function": {client, []redisstore.Option{redisstore.WithPrefix("a:"), byKey}, "exclude"},
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
		"default":   {nil, func(k stores.Key) string { return "bulla:" + k.String() }},
		"prefix":    {[]redisstore.Option{redisstore.WithPrefix("shop/")}, func(k stores.Key) string { return "shop/" + k.String() }},
		"no prefix": {[]redisstore.Option{redisstore.WithPrefix("")}, stores.Key.String},
		"function": {
			[]redisstore.Option{redisstore.WithKeyFunc(func(k stores.Key) string { return "{" + k.String() + "}:session" })},
			func(k stores.Key) string { return "{" + k.String() + "}:session" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, client.FlushDB(t.Context()).Err())
			store := newStore(t, client, test.opts...)
			tok := newToken()
			rev := save(t, store, tok, "data", "")
			rev, err := store.Touch(t.Context(), tok, rev, time.Now().Add(2*time.Hour))
			require.NoError(t, err)
			save(t, store, tok, "data", rev)
			requireData(t, store, tok, "data")
			keys, err := client.Keys(t.Context(), "*").Result()
			require.NoError(t, err)
			require.Equal(t, []string{test.want(tok.ID.Key())}, keys)
			require.NoError(t, store.Delete(t.Context(), tok, ""))
			require.Zero(t, client.DBSize(t.Context()).Val())
		})
	}
}

// The client holds only the ID, whatever it sent.
func TestSaveDropsPayload(t *testing.T) {
	store := newStore(t, redistest.Single(t).Client())
	tok := newToken()
	tok.Payload = "AAAA"
	got, _, err := store.Save(t.Context(), tok, record("data", ""))
	require.NoError(t, err)
	require.True(t, got.ID.Equal(tok.ID))
	require.Empty(t, got.Payload)
}

// The caller owns the client: a closed one is an outage.
func TestClosedClient(t *testing.T) {
	client := newClient(t, &redis.Options{})
	store := newStore(t, client)
	require.NoError(t, client.Close())
	_, err := store.Load(t.Context(), newToken())
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.ErrorIs(t, err, redis.ErrClosed)
}

// A hook of the client that panics ends the request, not the process.
func TestPanicReachesTheCaller(t *testing.T) {
	client := newClient(t, &redis.Options{})
	client.AddHook(hook{before: func(redis.Cmder) { panic("a broken hook") }})
	store := newStore(t, client)
	require.PanicsWithValue(t, "a broken hook", func() { store.Load(t.Context(), newToken()) })
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
