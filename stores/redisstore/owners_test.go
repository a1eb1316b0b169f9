//go:build unix

package redisstore_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// listOf is the Redis key of an owner's list, with the default prefix.
func listOf(owner stores.Key) string { return keyOf(owner) + ":owner" }

func entry(key stores.Key, life time.Duration) stores.Entry {
	return stores.Entry{Key: key, Data: []byte("sealed entry"), Expires: time.Now().Add(life)}
}

// add adds n entries of owner, and returns their keys and the last number.
func add(t testing.TB, store *redisstore.Store, owner stores.Key, n int, life time.Duration) (keys []stores.Key, last uint64) {
	t.Helper()
	for range n {
		e := entry(newKey(), life)
		number, err := store.AddEntry(t.Context(), owner, e)
		require.NoError(t, err)
		require.Greater(t, number, last)
		keys, last = append(keys, e.Key), number
	}
	return keys, last
}

func list(t testing.TB, store *redisstore.Store, owner stores.Key) []stores.Entry {
	t.Helper()
	entries, err := store.Entries(t.Context(), owner)
	require.NoError(t, err)
	return entries
}

// The layout, byte for byte.
func TestOwnerLayout(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	owner, e := newKey(), entry(newKey(), time.Hour)
	began := time.Now()
	number, err := store.AddEntry(t.Context(), owner, e)
	require.NoError(t, err)
	require.InDelta(t, began.UnixMicro(), number, 1e6)
	field := e.Key.Hash()
	hash := client.HGetAll(t.Context(), listOf(owner)).Val()
	value := hash[string(field[:])]
	u64 := func(s string) uint64 { return binary.BigEndian.Uint64([]byte(s)) }
	require.Len(t, hash, 2)
	require.Len(t, hash["n"], 8)
	require.Equal(t, number, u64(hash["n"]))
	require.Equal(t, number, u64(value))
	require.EqualValues(t, e.Expires.UnixMilli(), u64(value[8:]))
	require.InDelta(t, began.UnixMicro(), u64(value[16:]), 1e6)
	require.InDelta(t, e.Expires.UnixMicro(), u64(value[24:]), 1e6)
	require.Equal(t, "sealed entry", value[32:])
	require.InDelta(t, time.Hour, client.PTTL(t.Context(), listOf(owner)).Val(), float64(time.Minute))
}

// Numbers do not come again: not when all entries are gone, not when the list
// has vanished, and not when the server's clock has gone back.
func TestNumbersNeverRepeat(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	owner := newKey()
	keys, last := add(t, store, owner, 3, time.Hour)
	next := func() uint64 {
		t.Helper()
		_, number := add(t, store, owner, 1, time.Hour)
		require.Greater(t, number, last)
		last = number
		return number
	}
	require.NoError(t, store.RemoveEntries(t.Context(), owner, keys...))
	next()
	require.NoError(t, client.Del(t.Context(), listOf(owner)).Err())
	next()
	e := entry(newKey(), time.Hour) // another clock gave this number
	e.Number = uint64(time.Now().Add(time.Hour).UnixMicro())
	number, err := store.AddEntry(t.Context(), owner, e)
	require.NoError(t, err)
	require.Equal(t, e.Number, number)
	last = number
	require.Equal(t, e.Number+1, next())
	require.NoError(t, store.RemoveEntries(t.Context(), owner, e.Key))
	require.Equal(t, e.Number+2, next())

	e.Number = 1 << 53
	_, err = store.AddEntry(t.Context(), owner, e)
	require.ErrorIs(t, err, stores.ErrInvalidRecord)
	next()
}

// The age is by the server's clock, and that of the last write.
func TestAge(t *testing.T) {
	store := newStore(t, redistest.Single(t).Client())
	owner, e := newKey(), entry(newKey(), time.Hour)
	for range 2 {
		began := time.Now()
		_, err := store.AddEntry(t.Context(), owner, e)
		require.NoError(t, err)
		age := list(t, store, owner)[0].Age
		require.LessOrEqual(t, age, time.Since(began)+time.Millisecond)
		redistest.Wait(t, "it is older", elapsed(100*time.Millisecond))
		require.GreaterOrEqual(t, list(t, store, owner)[0].Age, 100*time.Millisecond)
	}
}

// An owner may have many sessions: a round trip adds one, and one lists all.
func TestManyEntries(t *testing.T) {
	t.Parallel()
	client := newClient(t, &redis.Options{Addr: redistest.Single(t).Addr, ContextTimeoutEnabled: true})
	trips := 0
	client.AddHook(hook{before: func(redis.Cmder) { trips++ }})
	store := newStore(t, client)
	warmUp(t, store)
	for _, n := range []int{0, 1, 500, 501, 5000} {
		owner := newKey()
		trips = 0
		keys, _ := add(t, store, owner, n, time.Hour)
		require.Equal(t, n, trips)
		trips = 0
		require.Len(t, list(t, store, owner), n)
		require.Equal(t, 1, trips)
		trips = 0
		require.NoError(t, store.RemoveEntries(t.Context(), owner, keys...))
		require.Equal(t, (n+499)/500, trips)
		require.Empty(t, list(t, store, owner))
	}
}

// Entries leave the list by themselves, a few with every login, and so does the
// list.
func TestPastEntriesLeave(t *testing.T) {
	t.Parallel()
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	owner := newKey()
	size := func() int64 { return client.HLen(t.Context(), listOf(owner)).Val() - 1 } // without the last number

	add(t, store, owner, 1, time.Hour)
	add(t, store, owner, 50, 3*time.Second)
	require.Equal(t, int64(51), size())
	redistest.Wait(t, "they are past", elapsed(3100*time.Millisecond))
	require.Len(t, list(t, store, owner), 1)
	add(t, store, owner, 1, time.Hour)
	require.Less(t, size(), int64(52), "a login removes some")
	require.GreaterOrEqual(t, size(), int64(44), "but does not look at all")
	add(t, store, owner, 48, time.Hour)
	require.Less(t, size(), int64(75), "many logins remove most")
	require.Len(t, list(t, store, owner), 50)

	// The list lives until its latest entry ends, in whatever order they come.
	require.InDelta(t, time.Hour, client.PTTL(t.Context(), listOf(owner)).Val(), float64(time.Minute))
	owner = newKey()
	add(t, store, owner, 1, 1100*time.Millisecond)
	add(t, store, owner, 1, time.Second)
	redistest.Wait(t, "the list is gone", func() bool { return client.Exists(t.Context(), listOf(owner)).Val() == 0 })
	require.Empty(t, list(t, store, owner))
}

// What some other program left in place of a list is an outage, and stays.
func TestForeignLists(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	key := newKey().Hash()
	hash := func(field, value string) func(string) error {
		return func(key string) error { return client.HSet(t.Context(), key, field, value).Err() }
	}
	for name, put := range map[string]func(key string) error{
		"a list":              func(key string) error { return client.LPush(t.Context(), key, "x").Err() },
		"a string":            func(key string) error { return client.Set(t.Context(), key, "x", 0).Err() },
		"a short field":       hash("field", string(make([]byte, 40))),
		"a short value":       hash(string(key[:]), "x"),
		"a text":              hash(string(key[:]), fmt.Sprintf("%100s", "text")),
		"a text for a number": hash("n", "12"),
	} {
		owner := newKey()
		require.NoError(t, put(listOf(owner)), name)
		before := client.Dump(t.Context(), listOf(owner)).Val()
		if name != "a text for a number" {
			_, err := store.Entries(t.Context(), owner)
			requireOutage(t, err)
		}
		if name != "a short field" && name != "a text" { // which are left alone
			_, err := store.AddEntry(t.Context(), owner, entry(newKey(), time.Hour))
			requireOutage(t, err)
		}
		require.Equal(t, before, client.Dump(t.Context(), listOf(owner)).Val(), "%s was changed", name)
	}
}
