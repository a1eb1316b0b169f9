//go:build unix

package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// ownedManager is a manager whose sessions have owners.
func ownedManager(t testing.TB, store stores.Store, change func(*sessions.Config)) *sessions.Manager {
	t.Helper()
	c := sessions.Config{
		Encryptor: ring(t), Owners: []encrypt.Key{encrypt.GenerateKey()},
		Lifetime: time.Hour, CommitTimeout: time.Minute,
	}
	if change != nil {
		change(&c)
	}
	m, err := sessions.NewManager(store, c)
	require.NoError(t, err)
	return m
}

// login makes j's session user's.
func (j *jar) login(ctx context.Context, m *sessions.Manager, user, label string) error {
	return j.do(ctx, m, func(ctx context.Context, s *sessions.Session) error {
		if err := s.SetOwner(ctx, user); err != nil {
			return err
		}
		return s.SetLabel(label)
	})
}

// ownedLogin returns the client of a new session of user.
func ownedLogin(ctx context.Context, m *sessions.Manager, user, label string) (*jar, error) {
	j := new(jar)
	return j, j.login(ctx, m, user, label)
}

// ownedLogins returns the clients of n new sessions of user.
func ownedLogins(t testing.TB, m *sessions.Manager, user string, n int) []*jar {
	t.Helper()
	const workers = 8
	jars := make([]*jar, n)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := w; i < n; i += workers {
				var err error
				if jars[i], err = ownedLogin(t.Context(), m, user, fmt.Sprint("device ", i)); err != nil {
					t.Errorf("login %d: %v", i, err)
					return
				}
			}
		})
	}
	running.Wait()
	require.False(t, t.Failed())
	return jars
}

func requireOut(t testing.TB, m *sessions.Manager, j *jar) {
	t.Helper()
	alive, err := j.alive(t.Context(), m)
	require.NoError(t, err)
	require.False(t, alive)
}

func requireIn(t testing.TB, m *sessions.Manager, j *jar) {
	t.Helper()
	alive, err := j.alive(t.Context(), m)
	require.NoError(t, err)
	require.True(t, alive)
}

// fillOwners makes n sessions of others, ten for each of them, with the layout
// that docs/architecture.md gives. The server does it itself.
func fillOwners(t testing.TB, client *redis.Client, n int) {
	t.Helper()
	const fill = `
local head, data = ARGV[1], ARGV[2]
local owner
for i = tonumber(ARGV[3]), tonumber(ARGV[4]) do
	local key = string.sub(redis.sha1hex('session' .. i), 1, 32)
	if i % 10 == 0 then
		owner = 'bulla:' .. string.sub(redis.sha1hex('owner' .. i), 1, 32) .. ':owner'
	end
	redis.call('SET', 'bulla:' .. key, head .. struct.pack('>I8', ARGV[5]) .. data, 'PX', 3600000)
	redis.call('HSET', owner,
		string.sub(key, 1, 24), struct.pack('>I8I8I8I8', i + 1, ARGV[5], 0, ARGV[5] * 1000) .. data,
		'n', struct.pack('>I8', i + 1))
	redis.call('PEXPIRE', owner, 3600000)
end
return 'ok'`
	const step = 10_000
	deadline := time.Now().Add(time.Hour).UnixMilli()
	for i := 0; i < n; i += step {
		err := client.Eval(t.Context(), fill, nil, strings.Repeat("m", 16), string(make([]byte, 200)), i, i+step-1, deadline).Err()
		require.NoError(t, err)
	}
}

var statLine = regexp.MustCompile(`(?m)^cmdstat_(\S+):calls=(\d+)`)

// commands returns how often the server carried out which command since it was
// last asked.
func commands(t testing.TB, client *redis.Client) map[string]int {
	t.Helper()
	info, err := client.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	calls := make(map[string]int)
	for _, match := range statLine.FindAllStringSubmatch(info, -1) {
		calls[match[1]], err = strconv.Atoi(match[2])
		require.NoError(t, err)
	}
	require.NoError(t, client.ConfigResetStat(t.Context()).Err())
	for _, other := range []string{"info", "config|resetstat", "hello", "client|setinfo", "client|maint_notifications"} {
		delete(calls, other) // the test's own, and new connections'
	}
	return calls
}

// Ending all sessions of a user costs what that user has, however many others
// there are.
func TestLogOutEverywhere(t *testing.T) {
	const others = 100_000
	crowd := many(2000, 10_000)
	server := redistest.Single(t)
	direct := server.Client()
	store, err := redisstore.New(redisClient(t, server.Addr))
	require.NoError(t, err)
	m := ownedManager(t, store, nil)
	ownedLogins(t, m, "first", 1) // the server learns the scripts
	_, err = m.RevokeAll(t.Context(), "first")
	require.NoError(t, err)

	for _, among := range []int{0, others} {
		if among > 0 {
			fillOwners(t, direct, among)
		}
		bystander, err := ownedLogin(t.Context(), m, "bystander", "")
		require.NoError(t, err)
		before := direct.DBSize(t.Context()).Val()
		for _, n := range []int{1, 10, crowd} {
			if n == crowd && among == 0 {
				continue
			}
			user := fmt.Sprintf("user of %d among %d", n, among)
			jars := ownedLogins(t, m, user, n)
			commands(t, direct)
			batches := (n + 499) / 500

			began := time.Now()
			list, err := m.Sessions(t.Context(), user)
			listed := time.Since(began)
			require.NoError(t, err)
			require.Len(t, list, n)
			reads := map[string]int{
				"eval": 1, "time": 1, "hgetall": 1, // the list
				"get": n, // what its records say
			}
			require.Equal(t, reads, commands(t, direct))

			began = time.Now()
			ended, err := m.RevokeAll(t.Context(), user)
			took := time.Since(began)
			require.NoError(t, err)
			require.Equal(t, n, ended)
			reads["get"] += 2 // the epoch, which is looked for and then made
			reads["set"] = n + 1
			reads["evalsha"], reads["getrange"] = n, n // the stubs
			reads["hdel"] = batches
			require.Equal(t, reads, commands(t, direct))
			t.Logf("%6d sessions among %d others: listed in %v, ended in %v", n, among, listed, took)

			for _, j := range []*jar{jars[0], jars[n/2], jars[n-1]} {
				requireOut(t, m, j)
			}
			before += int64(n) + 2
			require.Equal(t, before, direct.DBSize(t.Context()).Val(), "the stubs, the epoch and the list's last number")
		}
		requireIn(t, m, bystander)
	}
}

// Logins of a user are under way when all sessions of that user are ended. None
// survives that began before, on a good line and on one that loses replies. Where
// the store fails while a login that is refused takes back what it wrote, that can
// stay, under an ID that nobody was given.
func TestLoginsRaceLogOutEverywhere(t *testing.T) {
	const logins = 16
	for name, line := range map[string]struct{ rounds, loseEvery int64 }{
		"good line": {25, 0}, "lossy line": {8, 60},
	} {
		t.Run(name, func(t *testing.T) {
			var failures atomic.Int64
			server := redistest.Single(t)
			direct := server.Client()
			proxy := redistest.NewProxy(t, server.Addr)
			client := redis.NewClient(&redis.Options{Addr: proxy.Addr, MaxRetries: 10, PoolSize: 200, ReadTimeout: time.Second, DialerRetryTimeout: 5 * time.Millisecond})
			t.Cleanup(func() { client.Close() })
			store, err := redisstore.New(client, redisstore.WithTimeout(time.Minute))
			require.NoError(t, err)
			m := ownedManager(t, store, func(c *sessions.Config) {
				c.Hooks.StoreError = func(context.Context, sessions.Event) { failures.Add(1) }
			})
			fillOwners(t, direct, 10_000)
			proxy.LoseEvery(line.loseEvery)

			var survived, refused atomic.Int64
			for range line.rounds {
				old := ownedLogins(t, m, "ann", 20)
				anonymous := new(jar) // one that is there, and becomes hers
				require.NoError(t, anonymous.do(t.Context(), m, func(_ context.Context, s *sessions.Session) error { return visits.Set(s, 1) }))

				var begun, done sync.WaitGroup
				release := make(chan struct{})
				in := make(chan *jar, logins)
				for i := range logins {
					begun.Add(1)
					done.Go(func() {
						j := new(jar)
						if i == 0 {
							j = anonymous.clone()
						}
						err := j.do(t.Context(), m, func(ctx context.Context, s *sessions.Session) error {
							err := s.SetOwner(ctx, "ann")
							begun.Done()
							<-release
							time.Sleep(rand.N(8 * time.Millisecond))
							if err != nil {
								return err
							}
							return sessions.Commit(ctx)
						})
						if err == nil {
							in <- j // ended before it was given out, or after
						} else {
							refused.Add(1)
						}
					})
				}
				begun.Wait()
				close(release)
				time.Sleep(rand.N(4 * time.Millisecond))
				_, err = m.RevokeAll(t.Context(), "ann")
				require.NoError(t, err)
				after, err := ownedLogin(t.Context(), m, "ann", "after")
				require.NoError(t, err)
				done.Wait()
				close(in)

				for _, j := range old {
					requireOut(t, m, j)
				}
				for j := range in {
					survived.Add(1)
					requireOut(t, m, j)
				}
				requireIn(t, m, after)
				list, err := m.Sessions(t.Context(), "ann")
				require.NoError(t, err)
				require.LessOrEqual(t, int64(len(list)), 1+failures.Load())
				require.True(t, slices.ContainsFunc(list, func(o sessions.OwnedSession) bool { return o.Label == "after" }))
				_, err = m.RevokeAll(t.Context(), "ann")
				require.NoError(t, err)
				require.NoError(t, anonymous.do(t.Context(), m, func(_ context.Context, s *sessions.Session) error {
					s.Destroy()
					return nil
				}))
			}
			t.Logf("%d logins were refused, %d ended after they were answered; %d replies lost, the store failed %d times", refused.Load(), survived.Load(), proxy.Lost(), failures.Load())
			require.Positive(t, refused.Load(), "no login met the end")
			if line.loseEvery > 0 {
				require.Positive(t, proxy.Lost())
			} else {
				require.Zero(t, failures.Load())
			}
			const left = `
local n = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
	if redis.call('TYPE', key).ok == 'string' and redis.call('GETRANGE', key, 0, 15) ~= string.rep('m', 16) then
		local data = redis.call('GETRANGE', key, 24, -1)
		local epoch, stub = string.match(data, '^%d+ %d+ %d+$'), string.sub(data, 1, 12) == '\0bulla stub\0'
		if not epoch and not stub then
			n = n + 1
		end
	end
end
return n`
			n, err := direct.Eval(t.Context(), left, nil).Int64()
			require.NoError(t, err)
			require.LessOrEqual(t, n, failures.Load(), "records are left")
		})
	}
}

// With a cookie cache an ended session is out when its copy is no longer fresh.
func TestLogOutEverywhereWithACookieCache(t *testing.T) {
	const fresh = 500 * time.Millisecond
	server := redistest.Single(t)
	store, err := redisstore.New(redisClient(t, server.Addr))
	require.NoError(t, err)
	m := ownedManager(t, store, func(c *sessions.Config) { c.CookieCache = fresh })
	jars := ownedLogins(t, m, "ann", 3)
	list, err := m.Sessions(t.Context(), "ann")
	require.NoError(t, err)
	require.Len(t, list, 3)

	// Who logs in with a session that is read from a copy is still listed.
	require.NoError(t, jars[0].login(t.Context(), m, "ann", ""))
	require.Greater(t, len(jars[0].value), idSize)

	began := time.Now()
	n, err := m.RevokeAll(t.Context(), "ann")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	for _, j := range jars {
		// A change, and an ID without the copy, ask the server at once.
		requireOut(t, m, j.id())
		err := j.clone().do(t.Context(), m, func(ctx context.Context, s *sessions.Session) error {
			if s.IsNew() {
				return sessions.ErrEnded
			}
			if err := visits.Set(s, 1); err != nil {
				return err
			}
			return sessions.Commit(ctx)
		})
		require.ErrorIs(t, err, sessions.ErrEnded)
	}
	for _, j := range jars {
		redistest.Wait(t, "the copy is no longer fresh", func() bool {
			alive, err := j.alive(t.Context(), m)
			return err == nil && !alive
		})
		require.Less(t, time.Since(began), time.Minute) // a copy that never ages stays for longer
		requireOut(t, m, j)
	}
}
