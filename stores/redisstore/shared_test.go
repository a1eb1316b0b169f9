//go:build unix

package redisstore_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// unique makes every value another one, as a Shared needs it of its caller, and
// remembers expiries to the millisecond, which Redis tells as a life from now on.
type unique struct {
	*redisstore.Shared
	mu   sync.Mutex
	ends map[stores.Key]time.Time
}

const salt = 16

func salted(rec stores.Record) stores.Record {
	data := make([]byte, salt, salt+len(rec.Data))
	rand.Read(data[:salt/2])
	binary.BigEndian.PutUint64(data[salt/2:], uint64(rec.Expires.UnixNano()))
	rec.Data = append(data, rec.Data...)
	return rec
}

func (u *unique) note(key stores.Key, at time.Time, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil && at.After(u.ends[key]) {
		u.ends[key] = at
	}
}

func (u *unique) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	rec, err := u.Shared.Load(ctx, key, f)
	if err == nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, at := range []time.Time{u.ends[key], time.Unix(0, int64(binary.BigEndian.Uint64(rec.Data[salt/2:])))} {
			if at.Sub(rec.Expires).Abs() < 200*time.Millisecond {
				rec.Expires = at
			}
		}
		rec.Data = rec.Data[salt:]
	}
	return rec, err
}

func (u *unique) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	rev, err := u.Shared.Save(ctx, key, salted(rec))
	if err == nil {
		u.mu.Lock()
		u.ends[key] = rec.Expires
		u.mu.Unlock()
	}
	return rev, err
}

func (u *unique) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	err := u.Shared.Put(ctx, key, salted(rec))
	if err == nil {
		u.mu.Lock()
		u.ends[key] = rec.Expires
		u.mu.Unlock()
	}
	return err
}

func (u *unique) Touch(ctx context.Context, key stores.Key, rev stores.Revision, at time.Time) (stores.Revision, error) {
	rev, err := u.Shared.Touch(ctx, key, rev, at)
	u.note(key, at, err)
	return rev, err
}

func newShared(t testing.TB, client redis.UniversalClient, opts ...redisstore.Option) *redisstore.Shared {
	s, err := redisstore.NewShared(client, "starsessions.", time.Hour, opts...)
	require.NoError(t, err)
	return s
}

func newUnique(t testing.TB, client redis.UniversalClient, opts ...redisstore.Option) stores.Server {
	return &unique{Shared: newShared(t, client, opts...), ends: map[stores.Key]time.Time{}}
}

func TestSharedContract(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	cluster := redistest.Cluster(t).Client()
	frozen := redistest.Single(t)
	frozen.Freeze()
	proxy := redistest.NewProxy(t, server.Addr)
	for name, client := range map[string]redis.UniversalClient{"single": server.Client(), "cluster": cluster} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				New: func(t *testing.T) stores.Server { return newUnique(t, client) },
				Unreachable: func(t *testing.T) stores.Server {
					return newUnique(t, newClient(t, &redis.Options{Addr: frozen.Addr}), redisstore.WithTimeout(100*time.Millisecond))
				},
				Lossy: func(t *testing.T) stores.Server {
					proxy.LoseEvery(5)
					t.Cleanup(func() { proxy.LoseEvery(0) })
					return newUnique(t, newClient(t, &redis.Options{Addr: proxy.Addr}))
				},
			})
		})
	}
	t.Run("hash tag", func(t *testing.T) {
		storetest.Run(t, storetest.Config{New: func(t *testing.T) stores.Server {
			return newUnique(t, cluster, redisstore.WithPrefix("{app}:"))
		}})
	})
}

// Whatever a name looks like, a Cluster has the note of its end on the same node; where
// that can't be, the name is refused.
func TestSharedNamesInACluster(t *testing.T) {
	ctx := t.Context()
	cluster := redistest.Cluster(t).Client()
	around := func(before, after string) redisstore.Option {
		return redisstore.WithKeyFunc(func(k stores.Key) string { return before + k.Name() + after })
	}
	for what, opt := range map[string]redisstore.Option{
		"no braces": around("a:", ":z"), "the ID as tag": around("a:{", "}:z"), "a tag before": around("{app}:", ""), "a tag after": around("", "{app}"),
		"open": around("a{", ""), "open twice": around("{{", ":z"), "a tag, and more": around("{app}:{", "}}"), "empty, in front of a tag": around("{{}", ""),
		"prefix": redisstore.WithPrefix("{app}"), "an open prefix": redisstore.WithPrefix("{"), "no prefix": redisstore.WithPrefix(""),
	} {
		s := newShared(t, cluster, opt)
		for range 20 { // IDs in all parts of the Cluster
			key, rec := stores.ForeignKey(rand.Text()), stores.Record{Data: []byte(rand.Text()), Expires: time.Now().Add(time.Hour)}
			_, err := s.Save(ctx, key, rec)
			require.NoError(t, err, what)
			got, err := s.Load(ctx, key, stores.Fresh)
			require.NoError(t, err, what)
			rec.Revision, err = s.Touch(ctx, key, got.Revision, rec.Expires)
			require.NoError(t, err, what)
			require.NoError(t, s.Retire(ctx, key, time.Minute), what)
			rec.Data = []byte("\x00bulla stub\x00E12345678")
			_, err = s.Save(ctx, key, rec)
			require.NoError(t, err, what)
		}
	}
	for _, opt := range []redisstore.Option{
		redisstore.WithPrefix("app}"), redisstore.WithPrefix("{}"), redisstore.WithPrefix("{}{app}"), redisstore.WithPrefix("a}b{c"),
		around("", "}"), around("{}:{", "}"),
	} {
		_, err := redisstore.NewShared(cluster, "x", time.Hour, opt)
		require.ErrorContains(t, err, "hash tag")
	}
}

// What another program writes under the name is read as it is; an end deletes it, and
// is remembered beside.
func TestSharedWire(t *testing.T) {
	ctx := t.Context()
	client := redistest.Single(t).Client()
	s := newShared(t, client)
	key, name := stores.ForeignKey("abc"), "starsessions.abc"
	load := func() stores.Record {
		t.Helper()
		rec, err := s.Load(ctx, key, stores.Fresh)
		require.NoError(t, err)
		return rec
	}
	missing := func() {
		t.Helper()
		_, err := s.Load(ctx, key, stores.Fresh)
		require.ErrorIs(t, err, stores.ErrNotFound)
	}
	missing()
	for _, none := range []string{"", "{}"} { // aiohttp-session's invalidate() leaves the latter
		client.Set(ctx, name, none, time.Minute)
		missing()
	}

	client.Set(ctx, name, `{"a": 1}`, 0)
	rec := load()
	require.Equal(t, `{"a": 1}`, string(rec.Data))
	require.WithinDuration(t, time.Now().Add(time.Hour), rec.Expires, time.Second, "no expiry is forever")
	rec.Data, rec.Expires = []byte(`{"a": 2}`), time.Now().Add(time.Minute)
	rev, err := s.Save(ctx, key, rec)
	require.NoError(t, err)
	require.Equal(t, `{"a": 2}`, client.Get(ctx, name).Val())
	require.InDelta(t, time.Minute, client.PTTL(ctx, name).Val(), float64(time.Second), "it has one after a save")
	require.Equal(t, rev, load().Revision)

	client.Set(ctx, name, `{"a": 3}`, time.Minute)
	rec.Revision = rev
	_, err = s.Save(ctx, key, rec)
	require.ErrorIs(t, err, stores.ErrConflict, "the other system has written")

	rec = load()
	stub := []byte("\x00bulla stub\x00E12345678")
	_, err = s.Save(ctx, key, stores.Record{Data: stub, Expires: time.Now().Add(time.Minute), Revision: rec.Revision})
	require.NoError(t, err)
	require.Zero(t, client.Exists(ctx, name).Val())
	require.Equal(t, string(stub), client.Get(ctx, "{starsessions.abc}:bulla").Val())
	client.Set(ctx, name, `{"a": "undone"}`, time.Minute) // by a slow request of the other
	require.Equal(t, stub, load().Data)
	client.Del(ctx, "{starsessions.abc}:bulla")
	require.Equal(t, `{"a": "undone"}`, string(load().Data))
}

func TestSharedRefuses(t *testing.T) {
	client := newClient(t, &redis.Options{})
	_, err := redisstore.NewShared(client, "x", time.Hour, redisstore.WithStaleReads())
	require.ErrorContains(t, err, "WithStaleReads")
	_, err = redisstore.NewShared(client, "x", 0)
	require.ErrorContains(t, err, "positive")
	_, err = redisstore.NewShared(nil, "x", time.Hour)
	require.ErrorContains(t, err, "nil")
}

// A retired record lives no longer than it is told to, and no longer than it did.
func TestSharedRetire(t *testing.T) {
	ctx := t.Context()
	client := redistest.Single(t).Client()
	s := newShared(t, client)
	for life, want := range map[time.Duration]time.Duration{0: time.Minute, time.Hour: time.Minute, 10 * time.Second: 10 * time.Second} {
		client.Set(ctx, "starsessions.abc", `{"a": 1}`, life)
		require.NoError(t, s.Retire(ctx, stores.ForeignKey("abc"), time.Minute))
		require.InDelta(t, want, client.PTTL(ctx, "starsessions.abc").Val(), float64(time.Second))
	}
	require.NoError(t, s.Retire(ctx, stores.ForeignKey("nobody"), time.Minute))
	require.Zero(t, client.Exists(ctx, "starsessions.nobody").Val())
}
