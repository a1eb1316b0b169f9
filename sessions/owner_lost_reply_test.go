package sessions_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
)

// Within a login's commit, or that of a new ID, no lost reply is an error, whatever it
// was that was asked.
func TestALoginOutlastsLostReplies(t *testing.T) {
	for _, overflow := range []sessions.Overflow{sessions.RefuseNew, sessions.EndOldest} {
		synctest.Test(t, func(t *testing.T) {
			st := newStore(t)
			o := newOwnersOf(t, st, func(c *sessions.Config) {
				c.MaxSessionsPerOwner, c.Overflow = 3, overflow
				c.Owners = append(c.Owners, encrypt.GenerateKey()) // keys change
			})
			first := o.login("ann", "first")
			for what, start := range map[string]func() *sessions.Session{
				"login": func() *sessions.Session {
					s := o.m.New()
					require.NoError(t, s.SetOwner(t.Context(), "ann"))
					return s
				},
				"new ID": func() *sessions.Session {
					s := o.load(first)
					require.NoError(t, s.Regenerate())
					return s
				},
			} {
				for lost, calls := 1, 1; calls >= lost; lost++ {
					s := start()
					calls = 0
					st.after = func(context.Context, call) error {
						if calls++; calls == lost {
							return errOutage
						}
						return nil
					}
					c, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
					st.after = nil
					require.NoError(t, err, "%s without the reply to call %d", what, lost)
					require.Greater(t, calls, 3)
					if s = o.load(c.Token); what == "login" {
						s.Destroy()
						commit(t, o.m, s)
					} else {
						first = c.Token
					}
				}
			}
		})
	}
}
