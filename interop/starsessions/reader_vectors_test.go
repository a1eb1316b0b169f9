//go:build unix

package starsessions

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
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

// vectorTime is when the vectors were written.
var vectorTime = time.Unix(1795267761, 0)

// requireValues checks values as JSON has them.
func requireValues(t testing.TB, want map[string]any, got map[string]json.RawMessage) {
	t.Helper()
	text, err := json.Marshal(got)
	require.NoError(t, err)
	var values map[string]any
	require.NoError(t, json.Unmarshal(text, &values))
	require.Equal(t, want, values)
}

// The sessions of the real library are read for a migration, and end when they would
// have ended there.
func TestReaderOfVectors(t *testing.T) {
	client := redistest.Single(t).Client()
	for _, v := range interoptest.Read(t).Starsessions {
		c := Config{Lifetime: time.Duration(v.Lifetime) * time.Second, Encryptor: sealingOf(t, v)}
		if v.Store == "redis" {
			t.Run(v.Name, func(t *testing.T) {
				ctx := t.Context()
				data, err := base64.StdEncoding.DecodeString(v.RedisB64)
				require.NoError(t, err)
				require.NoError(t, client.Set(ctx, v.RedisKey, data, time.Hour).Err())
				store, err := Redis(client)
				require.NoError(t, err)
				src, err := NewReader(store, c, time.Time{})
				require.NoError(t, err)
				s, err := src.Read(ctx, v.Cookie)
				require.NoError(t, err)
				requireValues(t, v.Session, s.Values)
				require.Equal(t, vectorTime.Unix(), s.Created.Unix())

				require.NoError(t, src.Retire(ctx, v.Cookie))
				left, err := client.PTTL(ctx, v.RedisKey).Result()
				require.NoError(t, err)
				require.LessOrEqual(t, left, migrate.Grace)
				require.Positive(t, left)
				s, err = src.Read(ctx, v.Cookie)
				require.NoError(t, err, "within the grace")
				requireValues(t, v.Session, s.Values)
				require.NoError(t, client.PExpire(ctx, v.RedisKey, time.Second).Err())
				require.NoError(t, src.Retire(ctx, v.Cookie), "it never lengthens")
				left, err = client.PTTL(ctx, v.RedisKey).Result()
				require.NoError(t, err)
				require.LessOrEqual(t, left, time.Second)

				for _, bad := range []string{"", "x", "../../etc", strings.Repeat("f", 32)} {
					_, err = src.Read(ctx, bad)
					require.ErrorIs(t, err, migrate.ErrNone, bad)
					require.NoError(t, src.Retire(ctx, bad))
				}
				for _, empty := range []string{"", "{}"} {
					require.NoError(t, client.Set(ctx, v.RedisKey, empty, time.Hour).Err())
					_, err = src.Read(ctx, v.Cookie)
					require.ErrorIs(t, err, migrate.ErrNone, "%q", empty)
				}
				require.NoError(t, client.Set(ctx, v.RedisKey, "secret", time.Hour).Err())
				_, err = src.Read(ctx, v.Cookie)
				require.Error(t, err, "what can't be read is not nothing")
				require.NotErrorIs(t, err, migrate.ErrNone)
				require.NotContains(t, err.Error(), "secret")
			})
			continue
		}
		t.Run(fmt.Sprint(v.Name, v.Lifetime), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(vectorTime.Add(time.Hour)))
				store, err := Cookie("a new secret", v.SecretKey)
				require.NoError(t, err)
				src, err := NewReader(store, c, time.Time{})
				require.NoError(t, err)
				require.NoError(t, src.Retire(t.Context(), v.Cookie))
				s, err := src.Read(t.Context(), v.Cookie)
				require.NoError(t, err)
				requireValues(t, v.Session, s.Values)
				require.Equal(t, vectorTime.Unix(), s.Created.Unix())

				life := c.Lifetime
				if life == 0 {
					life = cookieLife
				}
				time.Sleep(time.Until(vectorTime.Add(life)))
				_, err = src.Read(t.Context(), v.Cookie)
				if err == nil { // the vectors' fractions of a second
					time.Sleep(time.Second)
					_, err = src.Read(t.Context(), v.Cookie)
				}
				require.ErrorIs(t, err, migrate.ErrNone)

				other, err := Cookie("another secret")
				require.NoError(t, err)
				src, err = NewReader(other, c, time.Time{})
				require.NoError(t, err)
				_, err = src.Read(t.Context(), v.Cookie)
				require.ErrorIs(t, err, migrate.ErrNone)
			})
		})
	}
	_, err := NewReader(nil, Config{Encryptor: Unencrypted()}, time.Time{})
	require.ErrorIs(t, err, sessions.ErrConfig)
}

// A cookie without metadata, which starsessions does not write and Starlette does, counts
// from when it was signed: not for ever.
func TestACookieWithoutMetadata(t *testing.T) {
	for what, c := range map[string]Config{
		"fixed":        {Lifetime: time.Hour, Encryptor: Unencrypted()},
		"rolling":      {Lifetime: time.Hour, Rolling: true, Encryptor: Unencrypted()},
		"session only": {Encryptor: Unencrypted()},
	} {
		synctest.Test(t, func(t *testing.T) {
			store, err := Cookie("secret")
			require.NoError(t, err)
			value := store.signer.Sign(base64.StdEncoding.EncodeToString([]byte(`{"user": "ada"}`)))
			r, err := NewReader(store, c, time.Time{})
			require.NoError(t, err)
			mw, err := New(store, c)
			require.NoError(t, err)
			live := func() (user string) {
				req := httptest.NewRequest("GET", "/", nil)
				req.AddCookie(&http.Cookie{Name: CookieName, Value: value})
				mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) (err error) {
					user, err = sessions.Key[string]("user").GetOr(s, "nobody")
					return err
				}).ServeHTTP(httptest.NewRecorder(), req)
				return user
			}
			life := c.Lifetime
			if life == 0 {
				life = cookieLife
			}
			time.Sleep(life - time.Second)
			_, err = r.Read(t.Context(), value)
			require.NoError(t, err, what)
			require.Equal(t, "ada", live(), what)
			time.Sleep(time.Second)
			_, err = r.Read(t.Context(), value)
			require.ErrorIs(t, err, migrate.ErrNone, what)
			require.Equal(t, "nobody", live(), what)
		})
	}
}
