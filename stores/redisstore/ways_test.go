//go:build unix

package redisstore

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
)

// Calls have goroutines of their own only where the client needs it.
func TestWhichClientsNeedWorkers(t *testing.T) {
	server := redistest.Single(t)
	plain := redis.NewClient(&redis.Options{Addr: server.Addr})
	contexts := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { plain.Close(); contexts.Close() })
	piped, err := contexts.AutoPipeline()
	require.NoError(t, err)
	async, err := contexts.AsyncAutoPipeline()
	require.NoError(t, err)

	for name, test := range map[string]struct {
		client redis.UniversalClient
		first  bool // when the server does not know the scripts
		later  bool
	}{
		"plain":                 {plain, true, true},
		"contexts enabled":      {contexts, false, false},
		"auto-pipelining":       {piped, true, true},
		"async auto-pipelining": {async, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, plain.ScriptFlush(t.Context()).Err())
			for round, want := range []bool{test.first, test.later} {
				s, err := New(test.client)
				require.NoError(t, err)
				tok := stores.Token{ID: stores.NewID()}
				rec := stores.Record{Data: []byte("data"), Expires: time.Now().Add(time.Hour)}
				_, rev, err := s.Save(t.Context(), tok, rec)
				require.NoError(t, err)
				_, err = s.Load(t.Context(), tok)
				require.NoError(t, err)
				_, err = s.Touch(t.Context(), tok, rev, time.Now().Add(2*time.Hour))
				require.NoError(t, err)
				require.Equal(t, want, size(s.workers) > 0, "round %d", round)
			}
		})
	}
}
