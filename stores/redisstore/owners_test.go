//go:build unix

package redisstore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

func newOwner() (k stores.OwnerKey) {
	rand.Read(k[:])
	return k
}

// listOf is the Redis key of an owner's list, with the default prefix.
func listOf(owner stores.OwnerKey) string { return "bulla:" + owner.String() + ":owner" }

func epochOf(owner stores.OwnerKey) string { return "bulla:" + owner.String() + ":epoch" }

func entry(tok stores.Token, life time.Duration) stores.Entry {
	return stores.Entry{Key: tok.ID.Key(), Data: []byte("sealed entry"), Deadline: time.Now().Add(life)}
}

// login gives owner n sessions and returns their keys.
func login(t testing.TB, store *redisstore.Store, owner stores.OwnerKey, n int) (keys []stores.Key) {
	t.Helper()
	for range n {
		tok := newToken()
		require.NoError(t, store.AddEntry(t.Context(), owner, entry(tok, time.Hour)))
		save(t, store, tok, "data", "")
		keys = append(keys, tok.ID.Key())
	}
	return keys
}

func list(t testing.TB, store *redisstore.Store, owner stores.OwnerKey) []stores.Entry {
	t.Helper()
	entries, err := store.Entries(t.Context(), owner)
	require.NoError(t, err)
	return entries
}

func epoch(t testing.TB, store *redisstore.Store, owner stores.OwnerKey) string {
	t.Helper()
	epoch, err := store.Epoch(t.Context(), owner)
	require.NoError(t, err)
	return epoch
}

// ownerCalls are all that a store can be asked about an owner.
func ownerCalls(store *redisstore.Store, owner stores.OwnerKey) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"AddEntry": func(ctx context.Context) error { return store.AddEntry(ctx, owner, entry(newToken(), time.Hour)) },
		"Entries": func(ctx context.Context) error {
			_, err := store.Entries(ctx, owner)
			return err
		},
		"RemoveOwned": func(ctx context.Context) error { return store.RemoveOwned(ctx, owner, newToken().ID.Key()) },
		"Epoch": func(ctx context.Context) error {
			_, err := store.Epoch(ctx, owner)
			return err
		},
		"NewEpoch": func(ctx context.Context) error { return store.NewEpoch(ctx, owner) },
	}
}

// The table in the package comment.
func TestOwnerRoundTrips(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	for _, call := range ownerCalls(store, newOwner()) {
		require.NoError(t, call(t.Context())) // the server learns the scripts
	}
	l := new(meter)
	client.AddHook(l)
	save(t, store, newToken(), "data", "")
	for _, n := range []int{0, 1, 10, 500, 501, 1000} {
		owner := newOwner()
		keys := login(t, store, owner, n)
		batches := int64(n+499) / 500
		commands, trips := l.commands, l.trips
		costs := func(what string, wantCommands, wantTrips int64) {
			t.Helper()
			require.Equal(t, wantCommands, l.commands-commands, "commands of %s of %d", what, n)
			require.Equal(t, wantTrips, l.trips-trips, "round trips of %s of %d", what, n)
			commands, trips = l.commands, l.trips
		}
		require.Len(t, list(t, store, owner), n)
		costs("Entries", int64(1+n), 1+batches)
		require.NoError(t, store.RemoveOwned(t.Context(), owner, keys...))
		costs("RemoveOwned", int64(n)+batches, 2*batches)
		require.NoError(t, store.AddEntry(t.Context(), owner, entry(newToken(), time.Hour)))
		costs("AddEntry", 1, 1)
		epoch(t, store, owner)
		costs("Epoch", 1, 1)
		require.NoError(t, store.NewEpoch(t.Context(), owner))
		costs("NewEpoch", 1, 1)
	}
}

// meter counts commands, and how often the client waits for an answer: of a long
// pipeline the answers begin to come while it is still being sent, so that the
// proxy sees more.
type meter struct{ commands, trips int64 }

func (m *meter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *meter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		m.commands++
		m.trips++
		return next(ctx, cmd)
	}
}

func (m *meter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		m.commands += int64(len(cmds))
		m.trips++
		return next(ctx, cmds)
	}
}

// Entries leave the list by themselves, and so does the list.
func TestPastEntriesLeave(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	owner := newOwner()
	size := func() int64 { return client.HLen(t.Context(), listOf(owner)).Val() }
	add := func(n int, life time.Duration) {
		for range n {
			require.NoError(t, store.AddEntry(t.Context(), owner, entry(newToken(), life)))
		}
	}
	wait := func(d time.Duration) { redistest.Wait(t, "deadlines are past", elapsed(d)) }

	add(1, time.Hour)
	add(50, time.Second)
	require.Equal(t, int64(51), size())
	wait(1100 * time.Millisecond)
	add(1, time.Hour)
	require.Less(t, size(), int64(52), "a login removes some")
	require.GreaterOrEqual(t, size(), int64(44), "but does not look at all")
	add(48, time.Hour)
	require.Less(t, size(), int64(75), "many logins remove most")
	add(50, 200*time.Millisecond)
	wait(300 * time.Millisecond)
	require.Greater(t, size(), int64(50))
	require.Len(t, list(t, store, owner), 50)
	require.Equal(t, int64(50), size(), "reading the list removes all")

	// The list lives until its latest deadline, in whatever order they come.
	ends := client.PTTL(t.Context(), listOf(owner)).Val()
	require.InDelta(t, time.Hour, ends, float64(time.Minute))
	require.NoError(t, store.NewEpoch(t.Context(), owner))
	require.InDelta(t, stores.MinEpochAge, client.PTTL(t.Context(), epochOf(owner)).Val(), float64(time.Minute))

	other := newOwner()
	require.NoError(t, store.AddEntry(t.Context(), other, entry(newToken(), 200*time.Millisecond)))
	require.NoError(t, store.AddEntry(t.Context(), other, entry(newToken(), 100*time.Millisecond)))
	redistest.Wait(t, "the list is gone", func() bool { return client.Exists(t.Context(), listOf(other)).Val() == 0 })
	require.Empty(t, list(t, store, other))
}

// A delete of a revision leaves 32 bytes under the session's key for a while.
// They are no session.
func TestTombstonesAreNotListedAsLive(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	owner, tok := newOwner(), newToken()
	require.NoError(t, store.AddEntry(t.Context(), owner, entry(tok, time.Hour)))
	rev := save(t, store, tok, "data", "")
	require.False(t, list(t, store, owner)[0].Expires.IsZero())
	require.NoError(t, store.Delete(t.Context(), tok, rev))
	requireTombstone(t, client, tok)
	require.True(t, list(t, store, owner)[0].Expires.IsZero())
	require.NoError(t, store.RemoveOwned(t.Context(), owner, tok.ID.Key()))
	require.Zero(t, client.DBSize(t.Context()).Val())
}

func TestForeignLists(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	for name, put := range map[string]func(key string) error{
		"a list":              func(key string) error { return client.LPush(t.Context(), key, "x").Err() },
		"a string":            func(key string) error { return client.Set(t.Context(), key, "x", 0).Err() },
		"a short field":       func(key string) error { return client.HSet(t.Context(), key, "field", "9999999999999 x").Err() },
		"a field without end": func(key string) error { return client.HSet(t.Context(), key, string(make([]byte, 24)), "x").Err() },
	} {
		owner := newOwner()
		require.NoError(t, put(listOf(owner)), name)
		before := client.Dump(t.Context(), listOf(owner)).Val()
		_, err := store.Entries(t.Context(), owner)
		requireOutage(t, err)
		require.Equal(t, before, client.Dump(t.Context(), listOf(owner)).Val(), "%s was changed", name)
	}

	// Beside a session whose key has something else in it the others are
	// still listed, and all can be ended.
	owner := newOwner()
	login(t, store, owner, 2)
	for i, put := range []func(key string) error{
		func(key string) error { return client.LPush(t.Context(), key, "x").Err() },
		func(key string) error { return client.Set(t.Context(), key, "x", 0).Err() },
	} {
		tok := newToken()
		require.NoError(t, put(keyOf(tok)))
		require.NoError(t, store.AddEntry(t.Context(), owner, entry(tok, time.Hour)))
		live := 0
		var keys []stores.Key
		for _, e := range list(t, store, owner) {
			keys = append(keys, e.Key)
			if !e.Expires.IsZero() {
				live++
			}
		}
		require.Equal(t, 2, live)
		if i == 1 {
			require.NoError(t, store.RemoveOwned(t.Context(), owner, keys...))
			require.Empty(t, list(t, store, owner))
			require.Zero(t, client.Exists(t.Context(), keyOf(tok)).Val())
		}
	}
}

func TestOwnersOutOfMemory(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	owner := newOwner()
	keys := login(t, store, owner, 2)
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	requireRedisError(t, store.AddEntry(t.Context(), owner, entry(newToken(), time.Hour)), "OOM")
	requireRedisError(t, store.NewEpoch(t.Context(), owner), "OOM")
	require.Empty(t, epoch(t, store, owner))
	require.Len(t, list(t, store, owner), 2)
	require.NoError(t, store.RemoveOwned(t.Context(), owner, keys...))
	require.Empty(t, list(t, store, owner))
	require.Zero(t, client.DBSize(t.Context()).Val())
}

// Whatever reply is lost, the second attempt does the same.
func TestOwnersLostReplies(t *testing.T) {
	proxy := redistest.NewProxy(t, redistest.Single(t).Addr)
	store := newStore(t, newClient(t, &redis.Options{Addr: proxy.Addr}))
	owner := newOwner()
	keys := login(t, store, owner, 3)
	for _, call := range ownerCalls(store, newOwner()) {
		require.NoError(t, call(t.Context())) // the server learns the scripts
	}
	lost := int64(0)
	lose := func() { proxy.Lose(1); lost++ }

	lose()
	require.NoError(t, store.AddEntry(t.Context(), owner, stores.Entry{Key: keys[0], Data: []byte("new"), Deadline: time.Now().Add(time.Hour)}))
	lose()
	entries := list(t, store, owner)
	require.Len(t, entries, 3)
	lose()
	require.NoError(t, store.NewEpoch(t.Context(), owner))
	require.NotEmpty(t, epoch(t, store, owner))
	lose()
	require.NoError(t, store.RemoveOwned(t.Context(), owner, keys[:2]...))
	require.Len(t, list(t, store, owner), 1)
	require.Equal(t, lost, proxy.Lost())
}

// backdate makes the entries of owner's list older, as the layout in the package
// comment has it.
func backdate(t testing.TB, client *redis.Client, owner stores.OwnerKey, by time.Duration, keys ...stores.Key) {
	t.Helper()
	for _, key := range keys {
		value := client.HGet(t.Context(), listOf(owner), string(key[:])).Val()
		parts := strings.SplitN(value, " ", 3)
		require.Len(t, parts, 3)
		added, err := strconv.ParseInt(parts[1], 10, 64)
		require.NoError(t, err)
		parts[1] = strconv.FormatInt(added-by.Microseconds(), 10)
		require.NoError(t, client.HSet(t.Context(), listOf(owner), string(key[:]), strings.Join(parts, " ")).Err())
	}
}

// An entry that has had no record for an hour leaves the list, when it is read or,
// where nobody reads it, with the logins; a younger one may be a login's that is
// under way, and one that has its record stays.
func TestOrphansLeave(t *testing.T) {
	client := redistest.Single(t).Client()
	store := newStore(t, client)
	size := func(owner stores.OwnerKey) int { return int(client.HLen(t.Context(), listOf(owner)).Val()) }
	orphans := func(owner stores.OwnerKey, n int) (keys []stores.Key) {
		for range n {
			e := entry(newToken(), 100*time.Hour)
			require.NoError(t, store.AddEntry(t.Context(), owner, e))
			keys = append(keys, e.Key)
		}
		return keys
	}

	owner := newOwner()
	live := login(t, store, owner, 3)
	old, young := orphans(owner, 600), orphans(owner, 2)
	require.NoError(t, client.Set(t.Context(), "bulla:"+young[0].String(), "not a session", 0).Err())
	backdate(t, client, owner, 2*time.Hour, append(slices.Concat(old, live), young[0])...)
	backdate(t, client, owner, 59*time.Minute, young[1])
	var left []stores.Key
	for _, e := range list(t, store, owner) {
		left = append(left, e.Key)
	}
	require.ElementsMatch(t, append(live, young...), left)
	require.Equal(t, 5, size(owner))

	owner = newOwner()
	live = login(t, store, owner, 10)
	old = orphans(owner, 200)
	backdate(t, client, owner, 2*time.Hour, append(old, live...)...)
	orphans(owner, 600)
	require.Less(t, size(owner), 10+600+100, "the old ones leave as others are added")
	for _, e := range list(t, store, owner) {
		if slices.Contains(live, e.Key) {
			require.NotZero(t, e.Expires)
			live = slices.DeleteFunc(live, func(k stores.Key) bool { return k == e.Key })
		}
	}
	require.Empty(t, live, "an entry with a record was removed")
}

// The reply to NewEpoch is lost; before the second attempt another one has ended
// the epoch. It must not begin again: logins that took note of it would survive.
func TestLostEpochDoesNotComeBack(t *testing.T) {
	server := redistest.Single(t)
	proxy := redistest.NewProxy(t, server.Addr)
	direct, owner := newStore(t, server.Client()), newOwner()
	require.NoError(t, direct.NewEpoch(t.Context(), newOwner())) // the server learns the script
	client := newClient(t, &redis.Options{Addr: proxy.Addr, PoolSize: 1})
	dials, seen := 0, ""
	client.AddHook(hook{dial: func() {
		if dials++; dials != 2 {
			return
		}
		seen = epoch(t, direct, owner)
		require.NoError(t, direct.NewEpoch(t.Context(), owner))
	}})
	require.NoError(t, client.Ping(t.Context()).Err())
	proxy.Lose(1)
	require.NoError(t, newStore(t, client).NewEpoch(t.Context(), owner))
	require.Equal(t, int64(1), proxy.Lost())
	require.NotEmpty(t, seen)
	require.NotEqual(t, seen, epoch(t, direct, owner))
}

// Prefixes and functions name the keys of owners too.
func TestOwnerNames(t *testing.T) {
	client := redistest.Single(t).Client()
	for want, opt := range map[string]redisstore.Option{
		"bulla:%s":     redisstore.WithPrefix("bulla:"),
		"%s":           redisstore.WithPrefix(""),
		"{app}%s":      redisstore.WithPrefix("{app}"),
		"{%s}:session": redisstore.WithKeyFunc(func(k stores.Key) string { return "{" + k.String() + "}:session" }),
	} {
		require.NoError(t, client.FlushDB(t.Context()).Err())
		store, owner := newStore(t, client, opt), newOwner()
		require.NoError(t, store.AddEntry(t.Context(), owner, entry(newToken(), time.Hour)))
		require.NoError(t, store.NewEpoch(t.Context(), owner))
		keys, err := client.Keys(t.Context(), "*").Result()
		require.NoError(t, err)
		name := fmt.Sprintf(want, owner)
		require.ElementsMatch(t, []string{name + ":owner", name + ":epoch"}, keys)
	}
}

// Lists are on the primary, also for a client that reads from replicas.
func TestOwnersOnThePrimary(t *testing.T) {
	client := newClient(t, &redis.Options{})
	info, err := redistest.Single(t).Client().Command(t.Context()).Result()
	require.NoError(t, err)
	for _, name := range []string{"eval", "evalsha", "hdel", "unlink"} {
		require.False(t, info[name].ReadOnly, "%s may go to a replica", name)
	}
	var sent []string
	client.AddHook(hook{before: func(cmd redis.Cmder) {
		sent = append(sent, cmd.Name())
		panic("not sent")
	}})
	store := newStore(t, client)
	for _, call := range ownerCalls(store, newOwner()) {
		require.Panics(t, func() { call(t.Context()) })
	}
	for _, name := range sent {
		require.Contains(t, []string{"eval", "evalsha", "hdel", "unlink"}, name)
	}
}
