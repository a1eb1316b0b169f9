//go:build unix

package redistest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Guarded is a primary and a replica under one Sentinel.
type Guarded struct {
	Primary, Replica *Server
	Sentinel         *Server
	t                testing.TB
}

// MasterName is how the Sentinel calls the primary.
const MasterName = "sessions"

// Sentinel starts a primary, a replica and a Sentinel, and waits until the
// Sentinel knows both.
func Sentinel(t testing.TB) *Guarded {
	t.Helper()
	g := &Guarded{t: t, Primary: Single(t)}
	g.Replica = Single(t, "--replicaof", "127.0.0.1", g.Primary.port)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	conf := fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 1\n"+
		"sentinel down-after-milliseconds %[1]s 500\n"+
		"sentinel failover-timeout %[1]s 5000\n", MasterName, g.Primary.port)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatalf("redistest: %v", err)
	}
	g.Sentinel = start(t, []string{file, "--sentinel"})
	g.Sentinel.WaitReady()

	sentinel := g.sentinelClient()
	Wait(t, "the Sentinel knows the replica", func() bool {
		replicas, err := sentinel.Replicas(context.Background(), MasterName).Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return g
}

func (g *Guarded) sentinelClient() *redis.SentinelClient {
	client := redis.NewSentinelClient(&redis.Options{Addr: g.Sentinel.Addr})
	g.t.Cleanup(func() { client.Close() })
	return client
}

// Client returns a client that asks the Sentinel for the primary. It is closed
// with the test.
func (g *Guarded) Client() *redis.Client {
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: MasterName, SentinelAddrs: []string{g.Sentinel.Addr}})
	g.t.Cleanup(func() { client.Close() })
	return client
}

// ReaderClient returns a client that sends what only reads to either server, at
// random. It is closed with the test.
func (g *Guarded) ReaderClient() *redis.ClusterClient {
	client := redis.NewFailoverClusterClient(&redis.FailoverOptions{
		MasterName: MasterName, SentinelAddrs: []string{g.Sentinel.Addr}, RouteRandomly: true, ContextTimeoutEnabled: true,
	})
	g.t.Cleanup(func() { client.Close() })
	return client
}

// FailOver kills the primary and waits until the replica has taken its place.
func (g *Guarded) FailOver() {
	g.t.Helper()
	g.Primary.Kill()
	client := g.Replica.Client()
	Wait(g.t, "the replica is the primary", func() bool {
		role, err := client.Info(context.Background(), "replication").Result()
		return err == nil && contains(role, "role:master")
	})
	sentinel := g.sentinelClient()
	Wait(g.t, "the Sentinel names the new primary", func() bool {
		addr, err := sentinel.GetMasterAddrByName(context.Background(), MasterName).Result()
		return err == nil && len(addr) == 2 && addr[1] == g.Replica.port
	})
}

func contains(info, line string) bool { return strings.Contains(info, line) }
