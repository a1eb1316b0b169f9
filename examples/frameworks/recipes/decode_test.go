package recipes

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware/sessionstest"
	"github.com/bulla-go/bulla/sessions"
)

func TestDecode(t *testing.T) {
	mw := inMemory(t)
	r := sessionstest.Request(t, mw, httptest.NewRequest("GET", "https://example.com/", nil),
		sessionstest.Set(oldSettings, "dark"), sessionstest.Set(sessions.Key[string](count), "many"))
	s := sessionstest.Session(t, mw, r, nil)

	v, err := SettingsOf(s)
	require.NoError(t, err)
	require.Equal(t, Settings{Theme: "dark"}, v)
	_, err = count.GetOr(s, 0)
	require.ErrorIs(t, err, sessions.ErrDecode)
	require.NotContains(t, err.Error(), "many")
	n, err := Count(s)
	require.NoError(t, err)
	require.Zero(t, n)

	r = sessionstest.Request(t, mw, r,
		func(s *sessions.Session) error { return SetSettings(s, Settings{"dark", true}) },
		func(s *sessions.Session) error { _, err := Count(s); return err },
		func(s *sessions.Session) error {
			_, err := count.Update(s, func(n int) int { return n + 1 })
			return err
		})
	s = sessionstest.Session(t, mw, r, nil)
	require.Equal(t, []string{"count", "settings/2"}, s.Names())
	v, err = SettingsOf(s)
	require.NoError(t, err)
	require.Equal(t, Settings{"dark", true}, v)

	// A field more, a field less: JSON takes what it knows.
	type later struct {
		Theme string
		Small bool
	}
	w, err := sessions.Key[later](settings).Get(s)
	require.NoError(t, err)
	require.Equal(t, later{Theme: "dark"}, w)
	v, err = SettingsOf(sessionstest.Session(t, mw, httptest.NewRequest("GET", "https://example.com/", nil), nil))
	require.NoError(t, err)
	require.Equal(t, Settings{Theme: "light"}, v)
}
