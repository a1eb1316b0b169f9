//go:build unix

package redisstore_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// meter counts what one client sends: commands as the client sees them, and
// round trips as the network does.
type meter struct {
	client   *redis.Client
	proxy    *redistest.Proxy
	commands atomic.Int64
}

func newMeter(t *testing.T) *meter {
	m := &meter{proxy: redistest.NewProxy(t, redistest.Single(t).Addr)}
	m.client = newClient(t, &redis.Options{Addr: m.proxy.Addr, PoolSize: 1, ContextTimeoutEnabled: true})
	m.client.AddHook(hook{before: func(redis.Cmder) { m.commands.Add(1) }})
	return m
}

// costs tests how many commands and round trips f takes.
func (m *meter) costs(t *testing.T, commands, trips int, what string, f func()) {
	t.Helper()
	sent, turns := m.commands.Load(), m.proxy.RoundTrips()
	f()
	require.EqualValues(t, commands, m.commands.Load()-sent, "commands: %s", what)
	require.EqualValues(t, trips, m.proxy.RoundTrips()-turns, "round trips: %s", what)
}

func TestRoundTrips(t *testing.T) {
	m := newMeter(t)
	store := newStore(t, m.client)
	warmUp(t, store)
	for _, data := range []string{"small", string(make([]byte, 200_000))} {
		key, owner := newKey(), newKey()
		var rev stores.Revision
		var err error
		m.costs(t, 1, 1, "create", func() { rev = save(t, store, key, data, "") })
		m.costs(t, 1, 1, "create where a record is", func() { _, err = store.Save(t.Context(), key, record(data, "")) })
		require.ErrorIs(t, err, stores.ErrConflict)
		m.costs(t, 1, 1, "load", func() { requireData(t, store, key, data) })
		m.costs(t, 1, 1, "load of none", func() { _, err = store.Load(t.Context(), newKey(), stores.MayBeStale) })
		require.ErrorIs(t, err, stores.ErrNotFound)
		m.costs(t, 1, 1, "replace", func() { rev = save(t, store, key, data, rev) })
		m.costs(t, 1, 1, "conflict", func() { _, err = store.Save(t.Context(), key, record(data, "other")) })
		require.ErrorIs(t, err, stores.ErrConflict)
		m.costs(t, 1, 1, "touch", func() { _, err = store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour)) })
		require.NoError(t, err)
		m.costs(t, 1, 1, "put", func() { err = store.Put(t.Context(), key, record("ended", "")) })
		require.NoError(t, err)
		m.costs(t, 1, 1, "add an entry", func() { _, err = store.AddEntry(t.Context(), owner, entry(key, time.Hour)) })
		require.NoError(t, err)
		m.costs(t, 1, 1, "entries", func() { list(t, store, owner) })
		m.costs(t, 1, 1, "remove an entry", func() { err = store.RemoveEntries(t.Context(), owner, key) })
		require.NoError(t, err)
		m.costs(t, 0, 0, "a refused record", func() { _, err = store.Save(t.Context(), key, stores.Record{}) })
		require.ErrorIs(t, err, stores.ErrInvalidRecord)
	}
	for _, n := range []int{0, 1, 10, 100} { // of a longer pipeline answers come while it is being sent
		keys, recs := make([]stores.Key, n), make([]stores.Record, n)
		for i := range keys {
			keys[i], recs[i] = newKey(), record("data", "")
		}
		var err error
		m.costs(t, n, min(n, 1), "save many", func() { _, err = store.SaveMany(t.Context(), keys, recs) })
		require.NoError(t, err)
		m.costs(t, n, min(n, 1), "load many", func() { _, err = store.LoadMany(t.Context(), keys) })
		require.NoError(t, err)
	}
}

// Loads and saves by turns go in one pipeline, although go-redis may send the ones again
// and not the others.
func TestPipelineOfLoadsAndSaves(t *testing.T) {
	proxy := redistest.NewProxy(t, redistest.Single(t).Addr)
	client := newClient(t, &redis.Options{Addr: proxy.Addr, ContextTimeoutEnabled: true})
	piped, err := client.AsyncAutoPipeline()
	require.NoError(t, err)
	store := newStore(t, piped)
	warmUp(t, store)
	const n = 20
	var keys [n]stores.Key
	var revs [n]stores.Revision
	for i := range keys {
		keys[i] = newKey()
		revs[i] = save(t, store, keys[i], "data", "")
	}
	proxy.Delay(50 * time.Millisecond)
	before := proxy.RoundTrips()
	var running sync.WaitGroup
	for i, key := range keys {
		running.Go(func() {
			_, err := store.Load(t.Context(), key, stores.MayBeStale)
			assert.NoError(t, err)
		})
		running.Go(func() {
			_, err := store.Save(t.Context(), key, record("other", revs[i]))
			assert.NoError(t, err)
		})
	}
	running.Wait()
	require.LessOrEqual(t, proxy.RoundTrips()-before, int64(n/2), "round trips")

	// That there is nothing is an answer, and asked for once.
	before = proxy.RoundTrips()
	_, err = store.Load(t.Context(), newKey(), stores.MayBeStale)
	require.ErrorIs(t, err, stores.ErrNotFound)
	require.EqualValues(t, 1, proxy.RoundTrips()-before)
}

// A touch sends no data.
func TestTouchSendsNoData(t *testing.T) {
	client := newClient(t, &redis.Options{Addr: redistest.Single(t).Addr, ContextTimeoutEnabled: true})
	longest := 0
	client.AddHook(hook{before: func(cmd redis.Cmder) { longest = max(longest, len(fmt.Sprint(cmd.Args()...))) }})
	store := newStore(t, client)
	key := newKey()
	rev := save(t, store, key, string(make([]byte, 100_000)), "")
	longest = 0
	for i := range 2 {
		_, err := store.Touch(t.Context(), key, rev, time.Now().Add(time.Duration(2+i)*time.Hour))
		require.NoError(t, err)
	}
	require.Positive(t, longest)
	require.Less(t, longest, 2000) // the script's own text, the first time
}

// A server that has forgotten the scripts, as after a restart or a failover, is
// told them again.
func TestForgottenScripts(t *testing.T) {
	m := newMeter(t)
	store := newStore(t, m.client)
	warmUp(t, store)
	key, owner := newKey(), newKey()
	rev := save(t, store, key, "data", "")
	flush := func() { require.NoError(t, m.client.ScriptFlush(t.Context()).Err()) }
	var err error
	for range 2 {
		flush()
		m.costs(t, 2, 2, "save", func() { rev = save(t, store, key, "data", rev) })
		m.costs(t, 1, 1, "the next save", func() { rev = save(t, store, key, "data", rev) })
		flush()
		m.costs(t, 1, 1, "load", func() { requireData(t, store, key, "data") })
		m.costs(t, 2, 2, "touch", func() { rev, err = store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour)) })
		require.NoError(t, err)
		m.costs(t, 2, 2, "add an entry", func() { _, err = store.AddEntry(t.Context(), owner, entry(key, time.Hour)) })
		require.NoError(t, err)
		m.costs(t, 1, 1, "entries", func() { require.Len(t, list(t, store, owner), 1) })
		m.costs(t, 2, 2, "put", func() { err = store.Put(t.Context(), newKey(), record("data", "")) })
		require.NoError(t, err)
		m.costs(t, 2, 1, "create many", func() {
			_, err = store.SaveMany(t.Context(), []stores.Key{newKey(), newKey()}, []stores.Record{record("data", ""), record("data", "")})
		})
		require.NoError(t, err)
	}
	flush()
	m.costs(t, 3, 2, "save many", func() {
		_, err = store.SaveMany(t.Context(), []stores.Key{newKey(), key}, []stores.Record{record("data", ""), record("data", rev)})
	})
	require.NoError(t, err)
}

// The layout, byte for byte.
func TestLayout(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	key := newKey()
	seen := make(map[string]bool)
	requireLayout := func(data string, expires time.Time) (mark string) {
		t.Helper()
		value := client.Get(t.Context(), keyOf(key)).Val()
		require.Equal(t, binary.BigEndian.AppendUint64(nil, uint64(expires.UnixMilli())), []byte(value[16:24]))
		require.Equal(t, data, value[24:])
		require.InDelta(t, time.Until(expires), client.PTTL(t.Context(), keyOf(key)).Val(), float64(time.Minute))
		return value[:16]
	}
	write := func(data string, rev stores.Revision) stores.Revision {
		rec := record(data, rev)
		rev, err := store.Save(t.Context(), key, rec)
		require.NoError(t, err)
		require.Equal(t, string(rev), requireLayout(data, rec.Expires))
		require.Equal(t, binary.BigEndian.AppendUint64(nil, uint64(rec.Expires.UnixMilli()))[2:], []byte(rev[:6]))
		require.False(t, seen[string(rev)], "a mark came again")
		seen[string(rev)] = true
		return rev
	}
	rev := write("created", "")
	rev = write("replaced by more", rev)
	rev = write("less", rev)
	until := time.Now().Add(5 * time.Hour)
	_, err := store.Touch(t.Context(), key, rev, until)
	require.NoError(t, err)
	require.Equal(t, string(rev), requireLayout("less", until))
	_, err = store.Touch(t.Context(), key, rev, until.Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, string(rev), requireLayout("less", until), "a touch went back")
	require.NoError(t, client.PExpire(t.Context(), keyOf(key), 9*time.Hour).Err()) // another machine's clock is ahead
	_, err = store.Touch(t.Context(), key, rev, until.Add(time.Hour))
	require.NoError(t, err)
	require.Greater(t, client.PTTL(t.Context(), keyOf(key)).Val(), 8*time.Hour)
	for _, data := range []string{"put", "put", "put once more"} {
		rec := record(data, "")
		require.NoError(t, store.Put(t.Context(), key, rec))
		mark := requireLayout(data, rec.Expires)
		require.False(t, seen[mark], "a mark came again")
		seen[mark] = true
	}
}

// The whole database, as a thief would find it, is what was given to the store:
// keys and sealed bytes, and nothing of a session that ended.
func TestDump(t *testing.T) {
	dir := t.TempDir()
	client := redistest.Single(t, "--dir", dir, "--rdbcompression", "no").Client()
	store := newStore(t, client)
	key, ended, owner := newKey(), newKey(), newKey()
	rev := save(t, store, key, "sealed bytes", "")
	save(t, store, ended, "a stub", save(t, store, ended, "ended bytes", ""))
	_, err := store.AddEntry(t.Context(), owner, entry(key, time.Hour))
	require.NoError(t, err)

	require.NoError(t, client.Save(t.Context()).Err())
	require.NoError(t, client.ConfigSet(t.Context(), "appendonly", "yes").Err()) // the log has every command
	redistest.Wait(t, "the log is written", func() bool {
		info, err := client.Info(t.Context(), "persistence").Result()
		return err == nil && bytes.Contains([]byte(info), []byte("aof_rewrite_in_progress:0")) &&
			bytes.Contains([]byte(info), []byte("aof_rewrite_scheduled:0"))
	})
	save(t, store, key, "third bytes", rev)

	var dump []byte
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		dump = append(dump, data...)
		return err
	}))
	for _, found := range []string{keyOf(key), keyOf(ended), keyOf(owner) + ":owner", "sealed bytes", "a stub", "third bytes"} {
		require.True(t, bytes.Contains(dump, []byte(found)), "the dump lacks %q", found)
	}
	require.False(t, bytes.Contains(dump, []byte("ended bytes")))
}

// A program that may use only approved cryptography can use the store, although
// Redis names its scripts by SHA-1.
func TestFIPS140Only(t *testing.T) {
	server := redistest.Single(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS140OnlyProgram$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", "REDISSTORE_TEST_ADDR="+server.Addr)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestFIPS140OnlyProgram")
	require.Equal(t, int64(1), server.Client().DBSize(t.Context()).Val(), "the program did nothing")
}

// TestFIPS140OnlyProgram is what TestFIPS140Only runs.
func TestFIPS140OnlyProgram(t *testing.T) {
	addr := os.Getenv("REDISSTORE_TEST_ADDR")
	if addr == "" {
		return // run by itself
	}
	store, err := redisstore.New(newClient(t, &redis.Options{Addr: addr}))
	require.NoError(t, err)
	key := newKey()
	rev := save(t, store, key, "one", "")
	save(t, store, key, "two", rev)
	requireData(t, store, key, "two")
}
