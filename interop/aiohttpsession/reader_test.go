//go:build unix

package aiohttpsession

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/sessions"
)

func requireValues(t testing.TB, want map[string]any, got Session) {
	t.Helper()
	text, err := json.Marshal(got.Values)
	require.NoError(t, err)
	wanted, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, string(wanted), string(text))
}

// changed is when the vectors' sessions were last changed.
var changed = time.Unix(1795267798, 0)

// The real library's cookies are read for a migration, until they are too old there.
func TestReaderOfCookies(t *testing.T) {
	for _, v := range interoptest.Read(t).Named(t, "aiohttp_session.EncryptedCookieStorage") {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(changed.Add(time.Minute)))
			key := []byte(v.KeyText)
			if v.KeyText == "" {
				var err error
				key, err = base64.StdEncoding.DecodeString(v.KeyB64)
				require.NoError(t, err)
			}
			store, err := EncryptedCookie(key)
			require.NoError(t, err)
			var c Config
			if v.MaxAge != nil {
				c.MaxAge = time.Duration(*v.MaxAge) * time.Second
			}
			src, err := NewReader(store, c, time.Time{})
			require.NoError(t, err)
			require.NoError(t, src.Retire(t.Context(), "x"))
			cookie, err := http.ParseSetCookie(v.SetCookie)
			require.NoError(t, err)
			for _, value := range []string{cookie.Value, `"` + cookie.Value + `"`} {
				s, err := src.Read(t.Context(), value)
				require.NoError(t, err)
				requireValues(t, v.Session, s)
				require.Equal(t, changed.Unix(), s.Changed.Unix())
			}
			_, err = src.Read(t.Context(), cookie.Value[1:])
			require.ErrorIs(t, err, migrate.ErrNone)
			if c.MaxAge > 0 {
				time.Sleep(c.MaxAge)
				_, err = src.Read(t.Context(), cookie.Value)
				require.ErrorIs(t, err, migrate.ErrNone)
			}
		})
	}
	_, err := NewReader(nil, Config{}, time.Time{})
	require.ErrorIs(t, err, sessions.ErrConfig)
	store, err := EncryptedCookie(make([]byte, 32))
	require.NoError(t, err)
	_, err = NewReader(store, Config{MaxAge: time.Millisecond}, time.Time{})
	require.ErrorIs(t, err, sessions.ErrConfig)
}

// So are its records in Redis; what invalidate leaves, and one that is too old, are
// nobody's, and a key without an end gets one.
func TestReaderOfRecords(t *testing.T) {
	client := redistest.Single(t).Client()
	ctx := t.Context()
	for _, v := range interoptest.Read(t).Named(t, "aiohttp_session.RedisStorage") {
		id := strings.TrimPrefix(v.RedisKey, Prefix)
		store, err := Redis(client)
		require.NoError(t, err)
		var c Config
		if v.MaxAge != nil {
			c.MaxAge = time.Duration(*v.MaxAge) * time.Second
		}
		src, err := NewReader(store, c, time.Time{})
		require.NoError(t, err)
		record := func(at time.Time) string {
			return strings.Replace(v.RedisValue, fmt.Sprint(changed.Unix()), fmt.Sprint(at.Unix()), 1)
		}
		now := time.Now()
		require.NoError(t, client.Set(ctx, v.RedisKey, record(now), 0).Err())
		s, err := src.Read(ctx, id)
		require.NoError(t, err)
		requireValues(t, v.Session, s)
		require.Equal(t, now.Unix(), s.Changed.Unix())
		require.NoError(t, src.Retire(ctx, id))
		left, err := client.PTTL(ctx, v.RedisKey).Result()
		require.NoError(t, err)
		require.LessOrEqual(t, left, migrate.Grace)
		require.Positive(t, left)
		require.Equal(t, record(now), client.Get(ctx, v.RedisKey).Val())

		if c.MaxAge > 0 {
			require.NoError(t, client.Set(ctx, v.RedisKey, record(now.Add(-c.MaxAge)), 0).Err())
			_, err = src.Read(ctx, id)
			require.ErrorIs(t, err, migrate.ErrNone)
		}
		require.NoError(t, client.Set(ctx, v.RedisKey, "{}", time.Hour).Err())
		_, err = src.Read(ctx, id)
		require.ErrorIs(t, err, migrate.ErrNone)
		require.NoError(t, src.Retire(ctx, id))
	}
}
