//go:build unix

package redisstore_test

import (
	"crypto/rand"
	"encoding/binary"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/formattest"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

func newRevocations(t testing.TB, client redis.UniversalClient, opts ...redisstore.Option) *redisstore.Revocations {
	t.Helper()
	list, err := redisstore.NewRevocations(client, opts...)
	require.NoError(t, err)
	return list
}

// ownPrefix gives a list nothing to do with others.
func ownPrefix() redisstore.Option { return redisstore.WithPrefix(rand.Text() + ":") }

// The contract, with every client that a list can be given.
func TestRevocations(t *testing.T) {
	t.Parallel()
	var l line
	for name, way := range l.ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.RunRevocations(t, storetest.RevocationConfig{
				New: func(t *testing.T) stores.RevocationList { return newRevocations(t, way.client, ownPrefix()) },
			})
		})
	}
}

func TestRevocationsWithFaults(t *testing.T) {
	t.Parallel()
	server, frozen := redistest.Single(t), redistest.Single(t)
	frozen.Freeze()
	proxy := redistest.NewProxy(t, server.Addr)
	storetest.RunRevocations(t, storetest.RevocationConfig{
		New: func(t *testing.T) stores.RevocationList { return newRevocations(t, server.Client(), ownPrefix()) },
		Unreachable: func(t *testing.T) stores.RevocationList {
			return newRevocations(t, newClient(t, &redis.Options{Addr: frozen.Addr}), redisstore.WithTimeout(100*time.Millisecond))
		},
		Lossy: func(t *testing.T) stores.RevocationList {
			proxy.LoseEvery(5)
			t.Cleanup(func() { proxy.LoseEvery(0) })
			return newRevocations(t, newClient(t, &redis.Options{Addr: proxy.Addr}))
		},
		Small: func(t *testing.T) stores.RevocationList {
			return newRevocations(t, server.Client(), ownPrefix(), redisstore.WithMaxRevocations(500))
		},
	})
	require.Positive(t, proxy.Lost())
}

func TestRevocationOptions(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	for name, opt := range map[string]redisstore.Option{
		"no room":  redisstore.WithMaxRevocations(0),
		"key func": redisstore.WithKeyFunc(func(k stores.Key) string { return k.Name() }),
		"no time":  redisstore.WithTimeout(0),
	} {
		_, err := redisstore.NewRevocations(client, opt)
		require.Error(t, err, name)
	}
	_, err := redisstore.NewRevocations(nil)
	require.Error(t, err)
	_, err = redisstore.New(client, redisstore.WithMaxRevocations(1))
	require.ErrorContains(t, err, "NewRevocations")
}

// What is over goes with the writes that follow, from both keys, and a full list has room again.
func TestRevocationsAreBounded(t *testing.T) {
	t.Parallel()
	client := redistest.Single(t).Client()
	list := newRevocations(t, client, redisstore.WithMaxRevocations(100))
	add := func(life time.Duration) error {
		_, err := list.Swap(t.Context(), "", stores.Revocation{Key: newKey(), Value: "x", Until: time.Now().Add(life)})
		return err
	}
	const brief = 3 * time.Second // longer than a hundred calls take on a busy machine
	for range 100 {
		require.NoError(t, add(brief))
	}
	require.ErrorIs(t, add(brief), stores.ErrFull)
	time.Sleep(brief + 100*time.Millisecond)
	for range 100 {
		require.NoError(t, add(brief))
	}
	for key, most := range map[string]int64{"bulla:{revoked}": 101, "bulla:{revoked}:log": 100} {
		n, err := client.Do(t.Context(), map[bool]string{true: "XLEN", false: "HLEN"}[most == 100], key).Int64()
		require.NoError(t, err)
		require.LessOrEqual(t, n, most, key)
		ttl, err := client.TTL(t.Context(), key).Result()
		require.NoError(t, err)
		require.Equal(t, time.Duration(-1), ttl, "Redis may sacrifice what has an expiry, when memory is short")
	}
	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 2)
}

// An entry that was written again stays when its first place in the stream is over.
func TestRevocationsWrittenAgainStay(t *testing.T) {
	t.Parallel()
	list := newRevocations(t, redistest.Single(t).Client())
	kept := newKey()
	const life = 3 * time.Second // long, so that nothing is over too early on a busy machine
	swap := func(key stores.Key, old, value string) {
		t.Helper()
		now, err := list.Swap(t.Context(), old, stores.Revocation{Key: key, Value: value, Until: time.Now().Add(life)})
		require.NoError(t, err)
		require.Equal(t, value, now)
	}
	swap(kept, "", "1")
	over := time.Now().Add(life)
	time.Sleep(life / 2)
	swap(kept, "1", "2")
	time.Sleep(time.Until(over) + 100*time.Millisecond)
	swap(newKey(), "", "x")
	values, err := list.Get(t.Context(), kept)
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, values)
	page, err := list.Since(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, page.Entries, 2)
	require.Equal(t, "2", page.Entries[0].Value)
}

func TestRevocationsOfOthers(t *testing.T) {
	client := redistest.Single(t).Client()
	list := newRevocations(t, client)
	require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: "bulla:{revoked}:log", Values: []string{"a", "b"}}).Err())
	_, err := list.Since(t.Context(), "")
	require.ErrorIs(t, err, stores.ErrUnavailable)
	key := newKey()
	hash := key.Hash()
	require.NoError(t, client.HSet(t.Context(), "bulla:{revoked}", string(hash[:]), "x").Err())
	_, err = list.Get(t.Context(), key)
	require.ErrorIs(t, err, stores.ErrUnavailable)
}

// The bytes in Redis are those of docs/format.md: read, and written.
func TestDocumentedList(t *testing.T) {
	client := redistest.Single(t).Client()
	list, ctx := newRevocations(t, client), t.Context()
	hash := [24]byte{1, 23: 24}
	key, value := stores.NewKey(hash), formattest.Bytes(t, "Redis: the list")
	const field = "bulla:{revoked}"
	require.NoError(t, client.HSet(ctx, field, hash[:], value).Err())
	require.NoError(t, client.XAdd(ctx, &redis.XAddArgs{Stream: field + ":log", Values: []any{"e", append(hash[:], value...)}}).Err())
	page, err := list.Since(ctx, "")
	require.NoError(t, err)
	require.Equal(t, []stores.Revocation{{Key: key, Value: string(value[8:]), Until: time.UnixMilli(1774958400123)}}, page.Entries)
	there, err := list.Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, []string{string(value[8:])}, there)

	hash[0]++
	until := time.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
	_, err = list.Swap(ctx, "", stores.Revocation{Key: stores.NewKey(hash), Value: "E", Until: until})
	require.NoError(t, err)
	want := string(binary.BigEndian.AppendUint64(nil, uint64(until.UnixMilli()))) + "E"
	require.Equal(t, want, client.HGet(ctx, field, string(hash[:])).Val())
	log, err := client.XRange(ctx, field+":log", "-", "+").Result()
	require.NoError(t, err)
	require.Equal(t, map[string]any{"e": string(hash[:]) + want}, log[len(log)-1].Values)
	longest := client.HGet(ctx, field, "longest").Val()
	require.Len(t, longest, 8)
	require.InDelta(t, time.Hour.Milliseconds(), binary.BigEndian.Uint64([]byte(longest)), 60_000)
}
