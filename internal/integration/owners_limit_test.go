//go:build unix

package integration_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// Logins of one user at once, as with a stolen password. However many there are,
// no more live than the limit allows, and what lives is listed and ends with all
// others: what is not listed nobody could end.
func TestLoginsAtOnceUnderALimit(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (store stores.Store, records func() int){
		"memory": func(t *testing.T) (stores.Store, func() int) {
			store, err := memstore.New()
			require.NoError(t, err)
			return store, store.Len
		},
		"Redis": func(t *testing.T) (stores.Store, func() int) {
			server := redistest.Single(t)
			client := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 64, ContextTimeoutEnabled: true})
			t.Cleanup(func() { client.Close() })
			store, err := redisstore.New(client)
			require.NoError(t, err)
			direct := server.Client()
			return store, func() (n int) {
				keys, err := direct.Keys(t.Context(), "*").Result()
				require.NoError(t, err)
				for _, key := range keys {
					if !strings.Contains(key, ":epoch") {
						n++ // a record, or a list that is not empty
					}
				}
				return n
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, records := open(t)
			for endOldest, rounds := range map[bool]int{true: 300, false: 60} {
				for _, limit := range []int{1, 3, 5} {
					m := ownedManager(t, store, func(c *sessions.Config) {
						c.MaxSessionsPerOwner, c.EndOldest = limit, endOldest
					})
					over, hidden, fewer := 0, 0, 0
					for round := range rounds {
						logins := []int{2, 12, 16}[round%3]
						user := fmt.Sprint(endOldest, limit, round)
						toks := loginsAtOnce(t, m, user, logins)
						list, err := m.Sessions(t.Context(), user)
						require.NoError(t, err)
						over += max(0, len(list)-limit)
						fewer += max(0, min(limit, logins)-len(list))
						_, err = m.RevokeAll(t.Context(), user)
						require.NoError(t, err)
						for _, tok := range toks {
							if _, err := m.Load(t.Context(), tok); err == nil {
								hidden++
							}
						}
					}
					hidden += records() // those whose ID no login was given, too
					require.Zero(t, hidden, "sessions survive RevokeAll, limit %d", limit)
					require.Zero(t, over, "sessions over the limit %d", limit)
					require.Zero(t, fewer, "places under the limit %d stayed empty", limit)
				}
			}
		})
	}
}

// loginsAtOnce returns the tokens of those that were let in.
func loginsAtOnce(t *testing.T, m *sessions.Manager, user string, n int) (toks []stores.Token) {
	var mu sync.Mutex
	var begun, done sync.WaitGroup
	release := make(chan struct{})
	for range n {
		begun.Add(1)
		done.Go(func() {
			s := m.New()
			if err := s.SetOwner(t.Context(), user); err != nil {
				t.Error(err)
			}
			begun.Done()
			<-release
			if change, err := m.Commit(t.Context(), s, sessions.BeforeResponse); err == nil {
				mu.Lock()
				defer mu.Unlock()
				toks = append(toks, change.Token)
			}
		})
	}
	begun.Wait()
	close(release)
	done.Wait()
	return toks
}
