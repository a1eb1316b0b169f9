//go:build unix

package redistest

import (
	"context"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Nodes is a Cluster of three primaries, with or without a replica each.
type Nodes struct {
	Servers []*Server // the primaries first
	Addrs   []string
	t       testing.TB
}

// Cluster starts three servers and makes them one Cluster.
func Cluster(t testing.TB) *Nodes { return cluster(t, 0) }

// ReplicatedCluster starts six servers and makes them one Cluster of three
// primaries with a replica each.
func ReplicatedCluster(t testing.TB) *Nodes { return cluster(t, 1) }

func cluster(t testing.TB, replicas int) *Nodes {
	t.Helper()
	n := &Nodes{t: t}
	servers := 3 * (1 + replicas)
	for range servers {
		s := start(t, nil, "--cluster-enabled", "yes", "--cluster-port", freePort(t), "--cluster-node-timeout", "2000")
		n.Servers = append(n.Servers, s)
		n.Addrs = append(n.Addrs, s.Addr)
	}
	for _, s := range n.Servers {
		s.WaitReady()
	}
	args := append([]string{"--cluster", "create"}, n.Addrs...)
	cli(t, append(args, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")...)
	for _, s := range n.Servers {
		client := s.Client()
		Wait(t, "the Cluster serves all slots", func() bool {
			info, err := client.ClusterInfo(context.Background()).Result()
			return err == nil && contains(info, "cluster_state:ok") && contains(info, "cluster_known_nodes:"+strconv.Itoa(servers))
		})
		Wait(t, "the replicas are in step", func() bool {
			info, err := client.Info(context.Background(), "replication").Result()
			if contains(info, "role:slave") {
				return err == nil && contains(info, "master_link_status:up")
			}
			return err == nil && (replicas == 0 || contains(info, "state=online"))
		})
	}
	return n
}

// Client returns a client of the Cluster, which is closed with the test.
func (n *Nodes) Client() *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: n.Addrs, ContextTimeoutEnabled: true})
	n.t.Cleanup(func() { client.Close() })
	return client
}

// Move moves that many slots, with their keys, from one server to another, and
// returns when that is done. A server that loses its last slot becomes a replica.
func (n *Nodes) Move(slots string, from, to *Server) {
	n.t.Helper()
	id := func(s *Server) string {
		id, err := s.Client().Do(context.Background(), "CLUSTER", "MYID").Text()
		if err != nil {
			n.t.Fatalf("redistest: CLUSTER MYID: %v", err)
		}
		return id
	}
	cli(n.t, "--cluster", "reshard", n.Addrs[0], "--cluster-from", id(from), "--cluster-to", id(to),
		"--cluster-slots", slots, "--cluster-yes")
}
