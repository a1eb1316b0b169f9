//go:build unix

package redisstore_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// line counts what one client sends: commands as the client sees them, and
// round trips as the network does.
type line struct {
	client   *redis.Client
	proxy    *redistest.Proxy
	commands atomic.Int64
}

func newLine(t *testing.T) *line {
	l := &line{proxy: redistest.NewProxy(t, redistest.Single(t).Addr)}
	l.client = newClient(t, &redis.Options{Addr: l.proxy.Addr, PoolSize: 1})
	l.client.AddHook(hook{before: func(redis.Cmder) { l.commands.Add(1) }})
	return l
}

// costs tests how many round trips f takes.
func (l *line) costs(t *testing.T, want int64, what string, f func()) {
	t.Helper()
	commands, trips := l.commands.Load(), l.proxy.RoundTrips()
	f()
	require.Equal(t, want, l.commands.Load()-commands, "commands: %s", what)
	require.Equal(t, want, l.proxy.RoundTrips()-trips, "round trips: %s", what)
}

func TestRoundTrips(t *testing.T) {
	l := newLine(t)
	store := newStore(t, l.client)
	for _, call := range calls(store, newToken(), "none") {
		call(t.Context()) // the server learns the scripts
	}
	for round, data := range []string{"small", string(make([]byte, 200_000))} {
		tok, missing := newToken(), newToken()
		var rev stores.Revision
		var err error
		l.costs(t, 1, "create", func() { rev = save(t, store, tok, data, "") })
		l.costs(t, 1, "load", func() { requireData(t, store, tok, data) })
		l.costs(t, 1, "load of none", func() { _, err = store.Load(t.Context(), missing) })
		require.ErrorIs(t, err, stores.ErrNotFound)
		l.costs(t, 1, "replace", func() { rev = save(t, store, tok, data, rev) })
		l.costs(t, 1, "conflict", func() { _, _, err = store.Save(t.Context(), tok, record(data, "other")) })
		require.ErrorIs(t, err, stores.ErrConflict)
		l.costs(t, 1, "touch", func() { rev, err = store.Touch(t.Context(), tok, rev, time.Now().Add(2*time.Hour)) })
		require.NoError(t, err)
		if round == 0 {
			l.costs(t, 1, "delete", func() { err = store.Delete(t.Context(), tok, "") })
		} else {
			l.costs(t, 1, "delete of a revision", func() { err = store.Delete(t.Context(), tok, rev) })
		}
		require.NoError(t, err)
		l.costs(t, 0, "a refused record", func() { _, _, err = store.Save(t.Context(), tok, stores.Record{}) })
		require.ErrorIs(t, err, stores.ErrInvalidRecord)
	}
}

// A touch sends no data.
func TestTouchSendsNoData(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	tok := newToken()
	rev := save(t, store, tok, string(make([]byte, 100_000)), "")
	longest := 0
	client.AddHook(hook{before: func(cmd redis.Cmder) { longest = max(longest, len(fmt.Sprint(cmd.Args()...))) }})
	for i := range 2 {
		_, err := store.Touch(t.Context(), tok, rev, time.Now().Add(time.Duration(2+i)*time.Hour))
		require.NoError(t, err)
	}
	require.Positive(t, longest)
	require.Less(t, longest, 2000) // the script's own text, the first time
}

// What whole requests cost, with a session that is rolling.
func TestRequestCosts(t *testing.T) {
	l := newLine(t)
	store := newStore(t, l.client)
	for _, call := range calls(store, newToken(), "none") {
		call(t.Context())
	}
	for name, test := range map[string]struct {
		config sessions.Config
		read   int64
	}{
		"fixed":                {sessions.Config{Lifetime: time.Hour}, 1},
		"rolling":              {sessions.Config{Lifetime: time.Hour, Rolling: true, TouchInterval: time.Minute}, 1},
		"rolling, due at once": {sessions.Config{Lifetime: time.Hour, Rolling: true, TouchInterval: 1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			test.config.WithoutEncryption = true
			manager, err := sessions.NewManager(store, test.config)
			require.NoError(t, err)
			visits := sessions.Key[int]("visits")
			var change sessions.Change
			request := func(tok stores.Token, handle func(*sessions.Session)) {
				s := manager.New()
				if !tok.ID.IsZero() {
					s, err = manager.Load(t.Context(), tok)
					require.NoError(t, err)
				}
				handle(s)
				change, err = manager.Commit(t.Context(), s, sessions.BeforeResponse)
				require.NoError(t, err)
			}
			read := func(s *sessions.Session) { visits.GetOr(s, 0) }
			write := func(s *sessions.Session) {
				_, err := visits.Update(s, func(n int) int { return n + 1 })
				require.NoError(t, err)
			}
			l.costs(t, 0, "a new session that stays empty", func() { request(stores.Token{}, read) })
			l.costs(t, 1, "a new session", func() { request(stores.Token{}, write) })
			tok := change.Token
			redistest.Wait(t, "time has gone on", elapsed(5*time.Millisecond))
			l.costs(t, test.read, "a request that reads", func() { request(tok, read) })
			l.costs(t, 2, "a request that writes", func() { request(tok, write) })
		})
	}
}

func elapsed(d time.Duration) func() bool {
	end := time.Now().Add(d)
	return func() bool { return time.Now().After(end) }
}

// A server that has forgotten the scripts, as after a restart or a failover, is
// told them again.
func TestForgottenScripts(t *testing.T) {
	l := newLine(t)
	store := newStore(t, l.client)
	tok := newToken()
	rev := save(t, store, tok, "data", "")
	flush := func() { require.NoError(t, l.client.ScriptFlush(t.Context()).Err()) }
	var err error
	for range 2 {
		flush()
		l.costs(t, 2, "save", func() { rev = save(t, store, tok, "data", rev) })
		flush()
		l.costs(t, 2, "load", func() { requireData(t, store, tok, "data") })
		l.costs(t, 1, "the next load", func() { requireData(t, store, tok, "data") })
		flush()
		l.costs(t, 2, "touch", func() { rev, err = store.Touch(t.Context(), tok, rev, time.Now().Add(2*time.Hour)) })
		require.NoError(t, err)
	}
	flush()
	l.costs(t, 2, "delete", func() { err = store.Delete(t.Context(), tok, rev) })
	require.NoError(t, err)
}

// The whole database, as a thief would find it, holds the hash of the ID and not
// the ID.
func TestDump(t *testing.T) {
	dir := t.TempDir()
	client := redistest.Single(t, "--dir", dir, "--rdbcompression", "no").Client()
	store := newStore(t, client)
	tok, ended := newToken(), newToken()
	rev := save(t, store, tok, "sealed bytes", "")
	require.NoError(t, store.Delete(t.Context(), ended, save(t, store, ended, "sealed bytes", "")))
	value := client.Get(t.Context(), keyOf(tok)).Val()
	require.Equal(t, string(rev)+string(make([]byte, 56))+"sealed bytes", value)
	older := rev
	rev = save(t, newStore(t, client), tok, "other bytes", rev)
	value = client.Get(t.Context(), keyOf(tok)).Val()
	require.Equal(t, string(rev)+string(older[:8])+string(make([]byte, 48))+"other bytes", value)
	requireTombstone(t, client, ended)

	require.NoError(t, client.Save(t.Context()).Err())
	require.NoError(t, client.ConfigSet(t.Context(), "appendonly", "yes").Err()) // the log has every command
	redistest.Wait(t, "the log is written", func() bool {
		info, err := client.Info(t.Context(), "persistence").Result()
		return err == nil && bytes.Contains([]byte(info), []byte("aof_rewrite_in_progress:0")) &&
			bytes.Contains([]byte(info), []byte("aof_rewrite_scheduled:0"))
	})
	save(t, store, tok, "third bytes", rev)

	var dump []byte
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		dump = append(dump, data...)
		return err
	}))
	for _, found := range []string{keyOf(tok), keyOf(ended), "other bytes", "third bytes"} {
		require.True(t, bytes.Contains(dump, []byte(found)), "the dump lacks %q", found)
	}
	for _, tok := range []stores.Token{tok, ended} {
		secret := tok.ID.AppendSecret(nil)
		for _, form := range []string{
			string(secret), hex.EncodeToString(secret),
			base64.RawURLEncoding.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret),
		} {
			require.False(t, bytes.Contains(dump, []byte(form)), "the ID is in the dump")
		}
	}
}

// requireTombstone tests what a conditional delete leaves: no data, and not for
// long.
func requireTombstone(t *testing.T, client *redis.Client, tok stores.Token) {
	t.Helper()
	value := client.Get(t.Context(), keyOf(tok)).Val()
	require.Len(t, value, 32)
	require.Equal(t, string(make([]byte, 16)), value[:16])
	require.LessOrEqual(t, client.PTTL(t.Context(), keyOf(tok)).Val(), 2*redisstore.DefaultTimeout)
}

// It is gone when the time is over in which a repetition can come.
func TestTombstoneGoes(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client, redisstore.WithTimeout(100*time.Millisecond))
	tok := newToken()
	require.NoError(t, store.Delete(context.Background(), tok, save(t, store, tok, "data", "")))
	require.Equal(t, int64(1), client.Exists(t.Context(), keyOf(tok)).Val())
	began := time.Now()
	redistest.Wait(t, "the tombstone is gone", func() bool {
		return client.Exists(t.Context(), keyOf(tok)).Val() == 0
	})
	require.Greater(t, time.Since(began), 50*time.Millisecond)
	require.Less(t, time.Since(began), time.Second)
}
