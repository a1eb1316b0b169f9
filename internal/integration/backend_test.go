//go:build unix

package integration_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/firestorestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// backend is a store with the server beneath it.
type backend struct {
	store   stores.Store
	records func(testing.TB) int // how many live sessions it keeps

	// raw is everything that the server keeps, as it keeps it; nil for
	// memory.
	raw func(testing.TB) map[string]string
}

func memory(t testing.TB) backend {
	store := newLedger(t)
	return backend{store: store, records: store.live}
}

func redisSingle(t testing.TB) backend {
	server := redistest.Single(t)
	return redisBackend(t, redisClient(t, server.Addr), server.Client())
}

func redisCluster(t testing.TB) backend {
	nodes := redistest.Cluster(t)
	var direct []*redis.Client
	for _, s := range nodes.Servers {
		direct = append(direct, s.Client())
	}
	return redisBackend(t, nodes.Client(), direct...)
}

func redisSentinel(t testing.TB) backend {
	guarded := redistest.Sentinel(t)
	return redisBackend(t, guarded.Client(), guarded.Primary.Client())
}

// redisClient is a client as most programs make it.
func redisClient(t testing.TB, addr string) *redis.Client {
	return newRedisClient(t, &redis.Options{Addr: addr})
}

func newRedisClient(t testing.TB, o *redis.Options) *redis.Client {
	client := redis.NewClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}

// redisHead is how many bytes of a value in Redis are before the record.
const redisHead = 16 + 8

// redisBackend is a store by client, seen through the servers' own clients.
func redisBackend(t testing.TB, client redis.UniversalClient, direct ...*redis.Client) backend {
	store, err := redisstore.New(client)
	require.NoError(t, err)
	raw := func(t testing.TB) map[string]string {
		all := make(map[string]string)
		for _, c := range direct {
			maps.Copy(all, dump(t, c))
		}
		return all
	}
	records := func(t testing.TB) (n int) {
		for _, value := range raw(t) {
			if !isStub([]byte(value[redisHead:])) {
				n++
			}
		}
		return n
	}
	return backend{store, records, raw}
}

// dump returns all keys and values of a server.
func dump(t testing.TB, client *redis.Client) map[string]string {
	t.Helper()
	ctx := context.Background()
	all := make(map[string]string)
	keys := client.Scan(ctx, 0, "", 100).Iterator()
	for keys.Next(ctx) {
		value, err := client.Get(ctx, keys.Val()).Result()
		if err == redis.Nil {
			continue // it has just expired
		}
		require.NoError(t, err)
		all[keys.Val()] = value
	}
	require.NoError(t, keys.Err())
	return all
}

func firestore(t testing.TB) backend {
	b, _ := firestoreServer(t)
	return b
}

func firestoreServer(t testing.TB, opts ...firestorestore.Option) (backend, *firestoretest.Server) {
	server := firestoretest.New(t)
	store, err := firestorestore.New(server.Client(t), opts...)
	require.NoError(t, err)
	raw := func(t testing.TB) map[string]string {
		all := make(map[string]string)
		for name, doc := range server.Documents() {
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(doc)
			require.NoError(t, err)
			all[name] = string(b)
		}
		return all
	}
	records := func(testing.TB) (n int) {
		for _, doc := range server.Documents() {
			if !isStub(doc.Fields["data"].GetBytesValue()) {
				n++
			}
		}
		return n
	}
	return backend{store, records, raw}, server
}

// hybrid is over Redis.
func hybrid(t testing.TB) backend {
	b := redisSingle(t)
	store, err := hybridstore.New(cookiestore.Sealed(), b.store)
	require.NoError(t, err)
	b.store = store
	return b
}

// backends are the stores that keep every session on a server.
var backends = []struct {
	name string
	make func(testing.TB) backend
}{
	{"memory", memory},
	{"Redis", redisSingle},
	{"Redis Cluster", redisCluster},
	{"Redis Sentinel", redisSentinel},
	{"Firestore", firestore},
}

// outside are those outside the process.
var outside = []struct {
	name string
	make func(testing.TB) backend
}{
	{"Redis", redisSingle},
	{"Firestore", firestore},
}

func ring(t testing.TB, keys ...encrypt.Key) *encrypt.Keyring {
	if keys == nil {
		keys = []encrypt.Key{encrypt.GenerateKey()}
	}
	r, err := encrypt.NewAESGCM(keys...)
	require.NoError(t, err)
	return r
}

// middlewareOf autoloads, so that a store's failure is answered by the error
// handler.
func middlewareOf(t testing.TB, store stores.Store, opts ...middleware.Option) *middleware.Middleware {
	t.Helper()
	mw, err := middleware.New(store, append([]middleware.Option{middleware.WithAutoload()}, opts...)...)
	require.NoError(t, err)
	return mw
}

// caches are without and with a cookie cache.
var caches = []struct {
	name  string
	fresh time.Duration
}{
	{"no cache", 0},
	{"cookie cache", time.Minute},
}
