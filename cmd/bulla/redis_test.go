//go:build unix

package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// A record as redis-cli gets it.
func TestInspectOpensWhatRedisHas(t *testing.T) {
	key := encrypt.GenerateKey()
	enc, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	client := redistest.Single(t).Client()
	store, err := redisstore.New(client)
	require.NoError(t, err)
	cookie := cookieOf(t, store, middleware.WithEncryptor(enc))
	names := client.Keys(t.Context(), "*").Val()
	require.Len(t, names, 1)
	data, err := client.Get(t.Context(), names[0]).Bytes()
	require.NoError(t, err)

	out, err := inspected(t, key.ExportSecret(), cookie, "-record", write(t, data))
	require.NoError(t, err)
	require.Contains(t, out, "record on a server")
	require.Contains(t, out, `"cart": [7,8]`)
}
