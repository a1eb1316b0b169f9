package sessions_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
)

// A copy may be read for longer than the server remembers that its session has ended. When
// a request that asks the server finds nothing at all, the copy goes: its user would see a
// session in which no logout and no login succeeds. While the server still knows of the
// end the token stays, since a newer login's may have taken its place a moment ago.
func TestACopyThatOutlivedItsSessionGoes(t *testing.T) {
	for what, do := range map[string]func(*testing.T, *sessions.Session) sessions.Phase{
		"change": func(t *testing.T, s *sessions.Session) sessions.Phase {
			increment(t, s)
			return sessions.BeforeResponse
		},
		"new ID": func(t *testing.T, s *sessions.Session) sessions.Phase {
			require.NoError(t, s.Regenerate())
			return sessions.BeforeResponse
		},
		"login": func(t *testing.T, s *sessions.Session) sessions.Phase {
			require.NoError(t, s.SetOwner(t.Context(), "ann"))
			return sessions.BeforeResponse
		},
		"question": func(*testing.T, *sessions.Session) sessions.Phase { return sessions.Midway },
		"touch": func(*testing.T, *sessions.Session) sessions.Phase {
			time.Sleep(20 * time.Minute)
			return sessions.BeforeResponse
		},
		"logout": func(_ *testing.T, s *sessions.Session) sessions.Phase {
			s.Destroy()
			return sessions.BeforeResponse
		},
		"logout and login": func(t *testing.T, s *sessions.Session) sessions.Phase {
			s.Destroy()
			require.NoError(t, s.SetOwner(t.Context(), "ann"))
			return sessions.BeforeResponse
		},
	} {
		for _, after := range []time.Duration{5 * time.Minute, 30 * time.Minute} {
			t.Run(what+" after "+after.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := newStore(t)
					o := newOwnersOf(t, store, func(c *sessions.Config) { c.CookieCache = time.Hour })
					tok := begin(t, o.m)
					logOut := o.elsewhere.load(token.Token{ID: tok.ID})
					logOut.Destroy()
					commit(t, o.elsewhere.m, logOut)
					time.Sleep(after)
					s := load(t, o.m, tok)
					change, err := o.m.Commit(t.Context(), s, do(t, s))
					switch {
					case after > 10*time.Minute || what == "touch":
						require.ErrorIs(t, err, sessions.ErrEnded)
						require.Equal(t, sessions.Remove, change.Action)
					case what == "logout":
						require.NoError(t, err)
						require.Equal(t, sessions.Remove, change.Action)
					case what == "logout and login":
						require.NoError(t, err)
						require.Equal(t, sessions.Replace, change.Action)
					default:
						require.ErrorIs(t, err, sessions.ErrEnded)
						require.Equal(t, sessions.Keep, change.Action)
					}
				})
			})
		}
	}
}

// The client hears of it, also from a handler that asks midway and goes on.
func TestTheTokenOfACopyThatOutlivedItsSession(t *testing.T) {
	for what, handler := range map[string]func(context.Context, *sessions.Session) error{
		"change": counting,
		"logout": func(_ context.Context, s *sessions.Session) error { s.Destroy(); return nil },
		"question": func(ctx context.Context, _ *sessions.Session) error {
			require.ErrorIs(t, sessions.Commit(ctx), sessions.ErrEnded)
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, m, other := processes(t, sessions.Config{CookieCache: time.Hour, Name: "session"})
				cookies := make(map[string]string)
				require.NoError(t, serve(t.Context(), m, cookies, page(counting)))
				elsewhere := map[string]string{"session": cookies["session"][:32]}
				require.NoError(t, serve(t.Context(), other, elsewhere, page(func(_ context.Context, s *sessions.Session) error { s.Destroy(); return nil })))
				time.Sleep(30 * time.Minute)
				requireVisits(t, m, cookies, 1)
				require.NoError(t, serve(t.Context(), m, cookies, page(handler)))
				require.Empty(t, cookies)
				requireVisits(t, m, cookies, 0)
			})
		})
	}
}
