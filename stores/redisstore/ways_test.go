//go:build unix

package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
)

// line is how clients of a test reach their servers. It knows the commands that
// write by their keys, and can lose replies: the request has reached the server,
// then the connection breaks.
type line struct {
	lose, lost atomic.Int64

	mu      sync.Mutex
	written []string // the key of each command that writes
}

// sent returns the keys of the commands that have been written since the last
// time.
func (l *line) sent() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := l.written
	l.written = nil
	return keys
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &lineConn{Conn: conn, line: l}, err
}

type lineConn struct {
	net.Conn
	line  *line
	asked atomic.Bool // by a command of the store's, whose reply has not come
}

func (c *lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.asked.Swap(false) && c.line.lose.Add(-1) >= 0 {
		c.line.lost.Add(1)
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

func (c *lineConn) Write(p []byte) (int, error) {
	for _, name := range []string{"get", "set", "eval", "evalsha", "hdel"} {
		commands := bytes.Split(p, fmt.Appendf(nil, "\r\n$%d\r\n%s\r\n", len(name), name))[1:]
		if len(commands) > 0 {
			c.asked.Store(true)
		}
		for _, rest := range commands {
			if name != "get" {
				c.line.mu.Lock()
				c.line.written = append(c.line.written, string(keyName.Find(rest)))
				c.line.mu.Unlock()
			}
		}
	}
	return c.Conn.Write(p)
}

var keyName = regexp.MustCompile(`bulla:\S+`)

// ways are the clients that a store can be given, all on this line, and their
// servers.
func (l *line) ways(t *testing.T) map[string]way {
	single, nodes := redistest.Single(t), redistest.Cluster(t)
	plain := func() *redis.Client { return newClient(t, &redis.Options{Addr: single.Addr, Dialer: l.dial}) }
	cluster := func(o redis.ClusterOptions) *redis.ClusterClient {
		o.Addrs, o.Dialer, o.ContextTimeoutEnabled = nodes.Addrs, l.dial, true
		c := redis.NewClusterClient(&o)
		t.Cleanup(func() { c.Close() })
		return c
	}
	pipe := func(p *redis.AutoPipeliner, err error) *redis.AutoPipeliner {
		require.NoError(t, err)
		return p
	}
	ones := []*redistest.Server{single}
	return map[string]way{
		"plain":            {plain(), ones},
		"contexts enabled": {newClient(t, &redis.Options{Addr: single.Addr, Dialer: l.dial, ContextTimeoutEnabled: true}), ones},
		"RESP2":            {newClient(t, &redis.Options{Addr: single.Addr, Dialer: l.dial, Protocol: 2}), ones},
		"no time limits of its own": {
			newClient(t, &redis.Options{Addr: single.Addr, Dialer: l.dial, ReadTimeout: -2, WriteTimeout: -2}), ones,
		},
		"auto-pipelining":                {pipe(plain().AutoPipeline()), ones},
		"async auto-pipelining":          {pipe(plain().AsyncAutoPipeline()), ones},
		"full-duplex auto-pipelining":    {pipe(plain().AsyncAutoPipelineWithOptions(&redis.AutoPipelineOptions{FullDuplex: true})), ones},
		"Cluster":                        {cluster(redis.ClusterOptions{}), nodes.Servers},
		"Cluster that reads anywhere":    {cluster(redis.ClusterOptions{RouteRandomly: true}), nodes.Servers},
		"Cluster, auto-pipelining":       {pipe(cluster(redis.ClusterOptions{}).AutoPipeline()), nodes.Servers},
		"Cluster, async auto-pipelining": {pipe(cluster(redis.ClusterOptions{}).AsyncAutoPipeline()), nodes.Servers},
	}
}

type way struct {
	client  redis.UniversalClient
	servers []*redistest.Server
}

// Whatever client there is, a write is sent once, since only the caller can find
// out what became of it; and what reads may be sent again.
func TestWritesAreSentOnce(t *testing.T) {
	t.Parallel()
	var l line
	for name, way := range l.ways(t) {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, way.client)
			for range 3 { // each of the nodes
				for range 20 {
					warmUp(t, store)
				}
			}
			key := newKey()
			rev := save(t, store, key, "data", "")
			for what, call := range calls(store, key, rev) {
				l.sent()
				lost := l.lost.Load()
				l.lose.Store(1)
				err := call(t.Context())
				l.lose.Store(0)
				t.Log(what, err)
				require.Equal(t, lost+1, l.lost.Load(), "%s: no reply was lost", what)
				if reads(what) {
					require.NoError(t, err, what)
					continue
				}
				requireOutage(t, err)
				sent := l.sent()
				require.NotEmpty(t, sent, what)
				require.NotContains(t, sent, "", what)
				// Of several in a pipeline those behind the lost reply may not have
				// been sent at all; none was sent twice.
				require.ElementsMatch(t, slices.Compact(slices.Sorted(slices.Values(sent))), sent, what)
				if what != "SaveMany" {
					require.Len(t, sent, 1, what)
				}
			}
			rec, err := store.Load(t.Context(), key, stores.Fresh)
			require.NoError(t, err)
			require.Contains(t, []string{"data", "other"}, string(rec.Data))
		})
	}
}

// No call has a goroutine of its own, also where the server does not answer.
func TestNoGoroutines(t *testing.T) {
	var l line
	for name, way := range l.ways(t) {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, way.client)
			warmUp(t, store)
			key := newKey()
			rev := save(t, store, key, "data", "")
			before, _ := inStore() // a test before may have left a call that still waits
			for _, s := range way.servers {
				s.Freeze()
			}
			var running sync.WaitGroup
			const each = 5
			inCalls := 0
			for range each {
				for name, call := range calls(store, key, rev) {
					if strings.HasSuffix(name, "Many") {
						continue // go-redis has one for each node
					}
					inCalls++
					running.Go(func() { call(context.Background()) })
				}
			}
			time.Sleep(50 * time.Millisecond)
			ours, stacks := inStore()
			for _, s := range way.servers {
				s.Thaw()
			}
			running.Wait()
			require.Positive(t, ours)
			require.LessOrEqual(t, ours, before+inCalls)
			require.NotContains(t, stacks, "created by github.com/bulla-go/bulla/stores/redisstore.")
		})
	}
}

// inStore returns how many goroutines are in a store's method, and the stacks of all.
func inStore() (n int, stacks string) {
	buf := make([]byte, 8<<20)
	stacks = string(buf[:runtime.Stack(buf, true)])
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(stack, "redisstore.(*Store)") {
			n++
		}
	}
	return n, stacks
}

// Many records at once, some of them beyond one round trip, and on every way.
func TestBatches(t *testing.T) {
	t.Parallel()
	var l line
	for name, way := range l.ways(t) {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, way.client)
			for _, s := range way.servers {
				require.NoError(t, s.Client().ScriptFlush(t.Context()).Err())
			}
			const n = 1200
			keys, recs := make([]stores.Key, n), make([]stores.Record, n)
			for i := range keys {
				keys[i], recs[i] = newKey(), record("one", "")
			}
			conflicts, err := store.SaveMany(t.Context(), keys, recs)
			require.NoError(t, err)
			require.NotContains(t, conflicts, true)
			got, err := store.LoadMany(t.Context(), keys)
			require.NoError(t, err)
			for i := range recs {
				recs[i] = record("two", got[i].Revision)
				if i%3 == 0 {
					recs[i].Revision = "another"
				}
			}
			conflicts, err = store.SaveMany(t.Context(), keys, recs) // no node knows the script
			require.NoError(t, err)
			keys = append(keys, newKey())
			got, err = store.LoadMany(t.Context(), keys)
			require.NoError(t, err)
			for i, conflict := range conflicts {
				require.Equal(t, i%3 == 0, conflict)
				require.Equal(t, map[bool]string{true: "one", false: "two"}[conflict], string(got[i].Data))
			}
			require.Zero(t, got[n])
		})
	}
}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // go-redis logs each dial that fails
	os.Exit(m.Run())
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
