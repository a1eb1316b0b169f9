package sessions_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/inspect"
)

// A copy needs a revision and a time, whatever the records' layout has place for.
func TestCopyOfALayout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sessions.Config{Encryptor: newRing(t), Serializer: timeless{serialize.JSON}, Lifetime: time.Hour, CookieCache: time.Minute}
		st, m := setup(t, c)
		tok := begin(t, m)
		old := tok
		requireCount(t, m, tok, 1)
		require.Zero(t, st.loads.Load(), "the copy was not read")
		in, err := inspect.Open(st, c, tok.Value(nil), nil)
		require.NoError(t, err)
		require.Equal(t, "copy in a cookie", in.Kind)

		s := load(t, m, tok)
		increment(t, s)
		tok = commit(t, m, s).Token
		requireCount(t, m, tok, 2)
		require.Zero(t, st.loads.Load(), "a change is one round trip")
		require.EqualValues(t, 2, st.saves.Load())

		// A change on an older copy meets the newer record.
		s = load(t, m, old)
		increment(t, s)
		tok = commit(t, m, s).Token
		requireCount(t, m, tok, 3)
		require.EqualValues(t, 1, st.loads.Load())

		time.Sleep(time.Minute)
		requireCount(t, m, tok, 3)
		require.EqualValues(t, 2, st.loads.Load(), "the copy was read for too long")
	})
}
