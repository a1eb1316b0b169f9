package sessions_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// A layout has no room for marks. On a record of the commit's own making the revision
// tells what a lost reply hides; of another there is no telling.
func TestLostReplyWithALayout(t *testing.T) {
	for what, c := range writings {
		for _, carriedOut := range []bool{true, false} {
			t.Run(what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st, m := setup(t, sessions.Config{Serializer: timeless{serialize.JSON}})
					s := c.start(t, m)
					increment(t, s)
					lost := on(c.op, 1, func() error { return errOutage })
					if st.before = lost; carriedOut {
						st.before, st.after = nil, lost
					}
					got, err := m.Commit(context.Background(), s, sessions.BeforeResponse)
					if what == "save" && carriedOut {
						require.ErrorIs(t, err, stores.ErrUnavailable)
						return
					}
					require.NoError(t, err)
					want, err := count.Get(s)
					require.NoError(t, err)
					if got.Action == sessions.Replace {
						requireCount(t, m, got.Token, want)
					}
					require.Equal(t, 1, st.Len())
				})
			})
		}
	}
}
