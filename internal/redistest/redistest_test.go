//go:build unix

package redistest_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
)

func TestServer(t *testing.T) {
	server := redistest.Single(t, "--maxmemory", "64mb")
	client := server.Client()
	limit, err := client.ConfigGet(t.Context(), "maxmemory").Result()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"maxmemory": "67108864"}, limit)
	require.NoError(t, client.Set(t.Context(), "a", "b", 0).Err())

	server.Freeze()
	impatient := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, ReadTimeout: 50 * time.Millisecond})
	defer impatient.Close()
	require.Error(t, impatient.Ping(t.Context()).Err())
	server.Thaw()
	require.Equal(t, "b", client.Get(t.Context(), "a").Val())

	server.Kill()
	require.Error(t, client.Ping(t.Context()).Err())
	server.Start()
	server.WaitReady()
	require.ErrorIs(t, client.Get(t.Context(), "a").Err(), redis.Nil)
}

func TestClusterSpreadsAndMoves(t *testing.T) {
	t.Parallel()
	nodes := redistest.Cluster(t)
	client := nodes.Client()
	for key := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		require.NoError(t, client.Set(t.Context(), key, key, 0).Err())
	}
	first, second := nodes.Servers[0].Client(), nodes.Servers[1].Client()
	before, more := first.DBSize(t.Context()).Val(), second.DBSize(t.Context()).Val()
	require.Positive(t, before)
	require.Positive(t, more)

	// A node that loses its last slot becomes a replica; so not all of its 5461.
	nodes.Move("5000", nodes.Servers[0], nodes.Servers[1])
	require.Less(t, first.DBSize(t.Context()).Val(), before)
	require.Equal(t, before+more, first.DBSize(t.Context()).Val()+second.DBSize(t.Context()).Val())
}

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	guarded := redistest.Sentinel(t)
	client := guarded.Client()
	require.NoError(t, client.Set(t.Context(), "a", "b", 0).Err())
	require.NoError(t, client.Wait(t.Context(), 1, time.Second).Err())
	guarded.FailOver()
	require.Equal(t, "b", guarded.Client().Get(t.Context(), "a").Val())
}

func TestProxy(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr, PoolSize: 1, MaxRetries: -1})
	defer client.Close()
	require.NoError(t, client.Ping(t.Context()).Err())

	before := proxy.RoundTrips()
	require.NoError(t, client.Set(t.Context(), "a", strings.Repeat("x", 1<<20), 0).Err())
	require.Equal(t, before+1, proxy.RoundTrips(), "a large request is one round trip")
	require.Len(t, client.Get(t.Context(), "a").Val(), 1<<20)
	require.Equal(t, before+2, proxy.RoundTrips(), "so is a large reply")

	proxy.Lose(1)
	require.Error(t, client.Incr(t.Context(), "n").Err())
	require.Equal(t, int64(1), proxy.Lost())
	require.Equal(t, "1", client.Get(t.Context(), "n").Val(), "the server carried it out")

	proxy.LoseEvery(2)
	failed := 0
	for range 20 {
		if client.Incr(t.Context(), "m").Err() != nil {
			failed++
		}
	}
	require.Positive(t, failed)
	require.Equal(t, int64(1+failed), proxy.Lost())
}

// However many replies are under way at once, every nth of them is lost.
func TestProxyLosesEvery(t *testing.T) {
	proxy := redistest.NewProxy(t, redistest.Single(t).Addr)
	proxy.LoseEvery(10)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr, PoolSize: 20})
	defer client.Close()
	var running sync.WaitGroup
	for range 20 {
		running.Go(func() {
			for range 20 {
				client.Incr(t.Context(), "n") // may fail
			}
		})
	}
	running.Wait()
	require.GreaterOrEqual(t, proxy.Lost(), int64(400/10))
}
