//go:build unix

package integration_test

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// epochText is what an owner's epoch is as a record, as docs/format.md says.
var epochText = regexp.MustCompile(`^\d+ \d+ \d+$`)

// aliveInRedis returns how many records there are that are neither stubs nor epochs.
func aliveInRedis(t testing.TB, client *redis.Client) (n int) {
	t.Helper()
	const all = `
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
	if redis.call('TYPE', key).ok == 'string' then
		all[#all + 1] = redis.call('GETRANGE', key, 24, 100)
	end
end
return all`
	data, err := client.Eval(t.Context(), all, nil).StringSlice()
	require.NoError(t, err)
	for _, d := range data {
		if !isStub([]byte(d)) && !epochText.MatchString(d) {
			n++
		}
	}
	return n
}

// Logins of one user at once, as with a stolen password. However many there are, as
// many live as the limit allows, and what lives is listed and ends with all others:
// what is not listed nobody could end. Where the limit refuses, nobody is out who was
// told to be in.
func TestLoginsAtOnceUnderALimit(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (stores.Store, func() int){
		"memory": func(t *testing.T) (stores.Store, func() int) {
			l := newLedger(t)
			return l, func() (n int) {
				for key := range l.keys {
					rec, err := l.Store.Load(t.Context(), key, stores.Fresh)
					if err == nil && !isStub(rec.Data) && !epochText.Match(rec.Data) {
						n++
					}
				}
				return n
			}
		},
		"Redis": func(t *testing.T) (stores.Store, func() int) {
			server := redistest.Single(t)
			store, err := redisstore.New(newRedisClient(t, &redis.Options{Addr: server.Addr, PoolSize: 64}))
			require.NoError(t, err)
			direct := server.Client()
			return store, func() int { return aliveInRedis(t, direct) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			rounds := many(15, 300)
			for _, overflow := range []sessions.Overflow{sessions.EndOldest, sessions.RefuseNew} {
				for _, limit := range []int{1, 3, 5} {
					store, alive := open(t)
					var processes []*sessions.Manager
					var config sessions.Config
					processes = append(processes, ownedManager(t, store, func(c *sessions.Config) {
						c.MaxSessionsPerOwner, c.Overflow = limit, overflow
						config = *c
					}))
					processes = append(processes, ownedManager(t, store, func(c *sessions.Config) { *c = config }))
					m := processes[0]
					fewer := 0
					for round := range rounds {
						logins := []int{2, 12, 16}[round%3]
						user := fmt.Sprint(overflow, limit, round)
						in := loginsAtOnce(t, processes, user, logins)
						list, err := m.Sessions(t.Context(), user)
						require.NoError(t, err)
						require.LessOrEqual(t, len(list), limit, "over the limit")
						require.Equal(t, len(list), alive(), "a session lives that is not listed")
						live := 0
						for _, j := range in {
							is, err := j.alive(t.Context(), m)
							require.NoError(t, err)
							if is {
								live++
							}
						}
						require.Equal(t, len(list), live, "a session lives that no client has")
						if overflow == sessions.EndOldest {
							require.Len(t, list, min(limit, logins), "a place stayed empty")
						} else {
							require.Len(t, list, len(in), "an acknowledged login was ended")
							fewer += min(limit, logins) - len(list)
						}
						n, err := m.RevokeAll(t.Context(), user)
						require.NoError(t, err)
						require.Equal(t, live, n)
						require.Zero(t, alive(), "a session survives RevokeAll")
					}
					if overflow == sessions.RefuseNew {
						t.Logf("limit %d: %d places stayed empty in %d rounds", limit, fewer, rounds)
					}
				}
			}
		})
	}
}

// loginsAtOnce returns the clients of those that were let in.
func loginsAtOnce(t *testing.T, processes []*sessions.Manager, user string, n int) (in []*jar) {
	var mu sync.Mutex
	var begun, done sync.WaitGroup
	release := make(chan struct{})
	for i := range n {
		begun.Add(1)
		done.Go(func() {
			j := new(jar)
			err := j.do(t.Context(), processes[i%len(processes)], func(ctx context.Context, s *sessions.Session) error {
				err := s.SetOwner(ctx, user)
				begun.Done()
				<-release
				return err
			})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				in = append(in, j)
			}
		})
	}
	begun.Wait()
	close(release)
	done.Wait()
	return in
}
