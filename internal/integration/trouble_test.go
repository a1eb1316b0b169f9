//go:build unix

package integration_test

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/firestorestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// soak tells that the tests are to take their full numbers, as make soak does.
var soak = os.Getenv("BULLA_SOAK") == "1"

// many is how often something is done: in every run, and in make soak.
func many(always, soaking int) int {
	if soak {
		return soaking
	}
	return always
}

// trouble is what becomes of requests and replies between a client and its server.
type trouble struct {
	every    atomic.Int64 // one reply in so many is lost, none if 0
	counted  atomic.Int64 // replies, in order to lose one of each so many
	requests atomic.Bool  // requests vanish, and the connection with them
	replies  atomic.Bool  // replies do
	lost     atomic.Int64
}

// loses tells whether the next reply is lost: one at random of each so many, so that
// a test that is short loses some too.
func (tr *trouble) loses() bool {
	n := tr.every.Load()
	if n == 0 {
		return false
	}
	c := uint64(tr.counted.Add(1) - 1)
	every := uint64(n)
	if c%every != rand.New(rand.NewPCG(drawn, c/every)).Uint64N(every) {
		return false
	}
	tr.lost.Add(1)
	return true
}

// drawn lets each run of the tests lose others.
var drawn = rand.Uint64()

// dial is for a Redis client.
func (tr *trouble) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &troubled{Conn: conn, tr: tr}, err
}

// greeting is how many replies the client waits for before it has a connection. They
// are not lost: that would be a worse line than the one that is told of.
const greeting = 3

// troubled is a connection. One that has lost something stays silent.
type troubled struct {
	net.Conn
	tr      *trouble
	asked   atomic.Bool
	replies atomic.Int64
	dead    atomic.Bool
}

func (c *troubled) Write(b []byte) (int, error) {
	c.asked.Store(true)
	if c.tr.requests.Load() {
		c.dead.Store(true)
	}
	if c.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *troubled) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil {
			return n, err
		}
		if c.tr.replies.Load() {
			c.dead.Store(true)
		}
		if c.dead.Load() {
			continue // until the deadline
		}
		if c.asked.Swap(false) && c.replies.Add(1) > greeting && c.tr.loses() {
			c.Conn.Close()
			return 0, errors.New("the connection broke before the reply")
		}
		return n, nil
	}
}

// fault is for a Firestore. After code the official client sends a call again by
// itself, or does not.
func (tr *trouble) fault(code codes.Code) firestoretest.Fault {
	return func(ctx context.Context, _ string, serve func() error) error {
		hang := func() error {
			<-ctx.Done()
			return status.FromContextError(ctx.Err()).Err()
		}
		if tr.requests.Load() {
			return hang()
		}
		err := serve()
		if tr.replies.Load() {
			return hang()
		}
		if tr.loses() {
			return status.Error(code, "the connection broke before the reply")
		}
		return err
	}
}

// shaky is a server that many processes share, and the trouble on the way there.
type shaky struct {
	*trouble
	backend

	// open is for one process. limit is the store's for one call; 0 is its own.
	open func(t testing.TB, limit time.Duration) stores.Store

	patience time.Duration // of a commit; 0: the default

	stop, thaw func() // the server
	calm       func() // returns when the server has done all that it was sent
}

// shakyStores are the stores on a server, by name. again: their clients send a call
// again by themselves when its reply was lost.
var shakyStores = map[string]func(t testing.TB, again bool) shaky{
	"Redis":          shakyRedis,
	"Redis Cluster":  shakyCluster,
	"Redis Sentinel": shakySentinel,
	"Firestore":      shakyFirestore,
	"hybrid":         shakyHybrid,
}

// maxRetries of a Redis client.
func maxRetries(again bool) int {
	if again {
		return 0 // the default, 3
	}
	return -1
}

func shakyRedis(t testing.TB, again bool) shaky {
	server := redistest.Single(t)
	tr := new(trouble)
	return shaky{
		trouble: tr,
		backend: redisBackend(t, server.Client(), server.Client()),
		open: func(t testing.TB, limit time.Duration) stores.Store {
			return redisStore(t, limit, newRedisClient(t, &redis.Options{Addr: server.Addr, MaxRetries: maxRetries(again), Dialer: tr.dial}))
		},
		stop: server.Freeze, thaw: server.Thaw,
		// What it has been sent comes before what it is sent now, but for what
		// lies in connections that it has not looked at.
		calm: func() {
			for range 3 {
				time.Sleep(20 * time.Millisecond)
				server.WaitReady()
			}
		},
	}
}

func redisStore(t testing.TB, limit time.Duration, client redis.UniversalClient) stores.Store {
	store, err := redisstore.New(client, redisstore.WithTimeout(cmp.Or(limit, redisstore.DefaultTimeout)))
	require.NoError(t, err)
	return store
}

func shakyCluster(t testing.TB, again bool) shaky {
	nodes := redistest.Cluster(t)
	tr := new(trouble)
	var direct []*redis.Client
	for _, s := range nodes.Servers {
		direct = append(direct, s.Client())
	}
	return shaky{
		trouble: tr,
		backend: redisBackend(t, nodes.Client(), direct...),
		open: func(t testing.TB, limit time.Duration) stores.Store {
			client := redis.NewClusterClient(&redis.ClusterOptions{
				Addrs: nodes.Addrs, MaxRedirects: maxRetries(again), MaxRetries: maxRetries(again),
				Dialer: tr.dial, ContextTimeoutEnabled: true,
			})
			t.Cleanup(func() { client.Close() })
			return redisStore(t, limit, client)
		},
	}
}

func shakySentinel(t testing.TB, again bool) shaky {
	guarded := redistest.Sentinel(t)
	tr := new(trouble)
	return shaky{
		trouble: tr,
		backend: redisBackend(t, guarded.Client(), guarded.Primary.Client()),
		open: func(t testing.TB, limit time.Duration) stores.Store {
			client := redis.NewFailoverClient(&redis.FailoverOptions{
				MasterName: redistest.MasterName, SentinelAddrs: []string{guarded.Sentinel.Addr},
				MaxRetries: maxRetries(again), Dialer: tr.dial,
			})
			t.Cleanup(func() { client.Close() })
			return redisStore(t, limit, client)
		},
	}
}

func shakyFirestore(t testing.TB, again bool) shaky {
	b, server := firestoreServer(t)
	tr := new(trouble)
	code := codes.Unknown
	if again {
		code = codes.Unavailable
	}
	gate := &gate{}
	server.Inject(firestoretest.Chain(gate.fault, tr.fault(code)))
	return shaky{
		trouble: tr,
		backend: b,
		open: func(t testing.TB, limit time.Duration) stores.Store {
			store, err := firestorestore.New(server.Client(t), firestorestore.WithTimeout(cmp.Or(limit, firestorestore.DefaultTimeout)))
			require.NoError(t, err)
			return store
		},
		stop: gate.close, thaw: gate.open, calm: gate.inside.Wait,
	}
}

// gate keeps calls of a Firestore waiting. They are served when it opens, also where
// the client has given up by then.
type gate struct {
	mu     sync.RWMutex
	inside sync.WaitGroup
}

func (g *gate) close() { g.mu.Lock() }
func (g *gate) open()  { g.mu.Unlock() }

func (g *gate) fault(_ context.Context, _ string, serve func() error) error {
	g.inside.Add(1)
	defer g.inside.Done()
	g.mu.RLock()
	defer g.mu.RUnlock()
	return serve()
}

func shakyHybrid(t testing.TB, again bool) shaky {
	s := shakyRedis(t, again)
	join := func(server stores.Store) stores.Store {
		store, err := hybridstore.New(cookiestore.Sealed(), server)
		require.NoError(t, err)
		return store
	}
	redis := s.open
	s.open = func(t testing.TB, limit time.Duration) stores.Store { return join(redis(t, limit)) }
	s.store = join(s.store)
	return s
}
