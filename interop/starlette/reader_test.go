package starlette

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/interop/itsdangerous"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/sessions"
)

// The real library's cookies are read for a migration, until they are too old there.
func TestReaderOfVectors(t *testing.T) {
	for _, v := range interoptest.Read(t).Named(t, "starlette") {
		synctest.Test(t, func(t *testing.T) {
			signer, err := itsdangerous.NewTimestampSigner(v.SecretKey)
			require.NoError(t, err)
			signed, err := signer.Unsign(v.Cookie, 0)
			require.NoError(t, err)
			time.Sleep(time.Until(signed.At))

			var maxAge time.Duration
			if v.MaxAge != nil {
				maxAge = time.Duration(*v.MaxAge) * time.Second
			}
			src, err := NewReader(Config{Secrets: []string{"new", v.SecretKey}, MaxAge: maxAge}, time.Time{})
			require.NoError(t, err)
			require.NoError(t, src.Retire(t.Context(), v.Cookie))
			s, err := src.Read(t.Context(), v.Cookie)
			require.NoError(t, err)
			text, err := json.Marshal(s.Values)
			require.NoError(t, err)
			want, err := json.Marshal(v.Session)
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(text))
			require.Equal(t, signed.At, s.Signed)

			for _, bad := range []string{"", "null", v.Cookie[1:], v.Cookie + "A", signer.Sign("")} {
				_, err = src.Read(t.Context(), bad)
				require.ErrorIs(t, err, migrate.ErrNone, bad)
			}
			_, err = src.Read(t.Context(), signer.Sign("c2VjcmV0")) // verifies, and is no JSON
			require.Error(t, err)
			require.NotErrorIs(t, err, migrate.ErrNone)
			require.NotContains(t, err.Error(), "secret")

			if maxAge > 0 {
				time.Sleep(time.Until(signed.At.Add(maxAge - time.Second)))
				_, err = src.Read(t.Context(), v.Cookie)
				require.NoError(t, err)
				time.Sleep(time.Second)
				_, err = src.Read(t.Context(), v.Cookie)
				require.ErrorIs(t, err, migrate.ErrNone)
			}
		})
	}
	_, err := NewReader(Config{}, time.Time{})
	require.ErrorIs(t, err, sessions.ErrConfig)
}
