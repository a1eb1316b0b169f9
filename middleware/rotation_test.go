package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

func keyring(t *testing.T, f func(...encrypt.Key) (*encrypt.Keyring, error), keys ...encrypt.Key) *encrypt.Keyring {
	t.Helper()
	r, err := f(keys...)
	require.NoError(t, err)
	return r
}

// rollout is a program at one moment of a rotation.
type rollout []middleware.Option

// TestRotationLogsNobodyOut takes a session through three versions of a program.
// The session is only read while both keys are there: that must do.
func TestRotationLogsNobodyOut(t *testing.T) {
	a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
	joined := func(rings ...*encrypt.Keyring) *encrypt.Keyring {
		r, err := encrypt.NewKeyring(rings...)
		require.NoError(t, err)
		return r
	}
	aes, cbc := keyring(t, encrypt.NewAESGCM, a), keyring(t, encrypt.NewAESCBCHMAC, a)
	signed := func(keys ...encrypt.Key) stores.Store {
		s, err := cookiestore.Signed(keys...)
		require.NoError(t, err)
		return s
	}
	memory, err := memstore.New()
	require.NoError(t, err)
	cookie := cookiestore.Sealed()
	with := middleware.WithEncryptor

	type program struct {
		store   stores.Store
		options rollout
	}
	for name, programs := range map[string][3]program{
		"a key, in a cookie": {
			{cookie, rollout{with(keyring(t, encrypt.NewAESGCM, a))}},
			{cookie, rollout{with(keyring(t, encrypt.NewAESGCM, b, a))}},
			{cookie, rollout{with(keyring(t, encrypt.NewAESGCM, b))}},
		},
		"a key, in memory": {
			{memory, rollout{with(keyring(t, encrypt.NewAESGCM, a))}},
			{memory, rollout{with(keyring(t, encrypt.NewAESGCM, b, a))}},
			{memory, rollout{with(keyring(t, encrypt.NewAESGCM, b))}},
		},
		"a key, in memory with a cookie cache": {
			{memory, rollout{with(keyring(t, encrypt.NewAESGCM, a)), middleware.WithCookieCache(time.Nanosecond)}},
			{memory, rollout{with(keyring(t, encrypt.NewAESGCM, b, a)), middleware.WithCookieCache(time.Nanosecond)}},
			{memory, rollout{with(keyring(t, encrypt.NewAESGCM, b)), middleware.WithCookieCache(time.Nanosecond)}},
		},
		"AES-CBC to AES-GCM, in a cookie": {
			{cookie, rollout{with(cbc)}},
			{cookie, rollout{with(joined(aes, cbc))}},
			{cookie, rollout{with(aes)}},
		},
		"AES-CBC to AES-GCM, in memory": {
			{memory, rollout{with(cbc)}},
			{memory, rollout{with(joined(aes, cbc))}},
			{memory, rollout{with(aes)}},
		},
		"the keys of a signed cookie": {{signed(a), nil}, {signed(b, a), nil}, {signed(b), nil}},
		"the keys of signed IDs": {
			{memory, rollout{middleware.WithSignedIDs(a)}},
			{memory, rollout{middleware.WithSignedIDs(b, a)}},
			{memory, rollout{middleware.WithSignedIDs(b)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := &rotatingClient{}
			for i, p := range programs {
				rejected := ""
				mw, err := middleware.New(p.store, append(p.options, middleware.WithHooks(sessions.Hooks{
					Rejected: func(_ context.Context, ev sessions.Event) { rejected = string(ev.Reason) },
				}))...)
				require.NoError(t, err)
				if i == 0 {
					require.Equal(t, "200 1", client.get(mw, "/count"))
				}
				for range 2 {
					require.Equal(t, "200 1", client.get(mw, "/read"), "program %d", i+1)
				}
				require.Empty(t, rejected)
			}
			// The first program's keys are worth nothing any more.
			mw, err := middleware.New(programs[0].store, programs[0].options...)
			require.NoError(t, err)
			require.NotEqual(t, "200 1", client.get(mw, "/read"))
		})
	}
}

// rotatingClient keeps the one cookie that it is given.
type rotatingClient struct{ cookie string }

const rotationCount = sessions.Key[int]("count")

func (c *rotatingClient) get(mw *middleware.Middleware, path string) string {
	h := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		if err != nil {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		n, err := rotationCount.GetOr(s, 0)
		if r.URL.Path == "/count" {
			n, err = rotationCount.Update(s, func(n int) int { return n + 1 })
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, n)
	}))
	r := httptest.NewRequest("GET", path, nil)
	if c.cookie != "" {
		r.Header.Set("Cookie", c.cookie)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	for _, k := range w.Result().Cookies() {
		c.cookie = k.Name + "=" + k.Value
	}
	return fmt.Sprint(w.Code, " ", w.Body.String())
}
