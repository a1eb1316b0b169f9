package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// What the store keeps for those who have a session is not for the newcomers that it
// refuses: nothing of them was written, so nothing needs to be ended.
func TestRefusedNewcomersTakeNoRoom(t *testing.T) {
	mem, err := memstore.New(memstore.WithMaxSessions(20))
	require.NoError(t, err)
	m := newManager(t, mem, sessions.Config{})
	tok := begin(t, m)
	refused := 0
	for range 60 {
		s := m.New()
		require.NoError(t, count.Set(s, 1))
		if _, err := m.Commit(context.Background(), s, sessions.BeforeResponse); err != nil {
			require.ErrorIs(t, err, stores.ErrFull)
			refused++
		}
	}
	require.Equal(t, 41, refused)
	require.Equal(t, 20, mem.Len())
	s := load(t, m, tok)
	require.NoError(t, s.Regenerate())
	commit(t, m, s)
}

// A login continues a session also where the layout of its record does not tell how
// often it was saved.
func TestALoginHasRoomWhateverTheLayout(t *testing.T) {
	for _, server := range []bool{true, false} {
		mem, err := memstore.New(memstore.WithMaxSessions(4))
		require.NoError(t, err)
		place := placed{Name: "full", Server: mem, InProcess: true}
		c := sessions.Config{Serializer: timeless{serialize.JSON}}
		if !server {
			place.Cookie, c.Room = clientStore{}, 100 // from which it grows
		}
		m := newManager(t, place, c)
		s := m.New()
		require.NoError(t, count.Set(s, 1))
		tok := commit(t, m, s).Token
		require.Equal(t, server, tok.Payload == "")
		for i := 0; err == nil; i++ {
			_, err = mem.Save(t.Context(), stores.NewKey([24]byte{byte(i), 1}), stores.Record{Data: []byte("x"), Expires: time.Now().Add(time.Hour)})
		}
		require.ErrorIs(t, err, stores.ErrFull)
		s = load(t, m, tok)
		require.NoError(t, s.Regenerate())
		require.NoError(t, name.Set(s, strings.Repeat("x", 200)))
		commit(t, m, s)
	}
}

// A new ID's record that was written, and then could not be written once more, ends.
func TestARefusalAfterTheFirstWrite(t *testing.T) {
	st, m, other := processes(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	require.NoError(t, s.Regenerate())
	saves := 0
	st.before = func(_ context.Context, c call) error {
		switch {
		case c.op == "move":
			first := load(t, other, tok)
			increment(t, first)
			commit(t, other, first)
		case c.op == "save" && c.key != tok.ID.Key():
			if saves++; saves == 2 {
				return stores.ErrTooLarge
			}
		}
		return nil
	}
	_, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.ErrorIs(t, err, stores.ErrTooLarge)
	require.Equal(t, 1, st.Len())
	requireCount(t, m, tok, 2)
}

// What did not fit was not written, and less may fit.
func TestLessMayFit(t *testing.T) {
	for _, refusal := range []error{errNoRoom, stores.ErrTooLarge} {
		st, m := setup(t, sessions.Config{})
		s := load(t, m, begin(t, m))
		require.NoError(t, name.Set(s, "a long one"))
		st.before = on("save", 1, func() error { return refusal })
		_, err := m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, refusal)
		increment(t, s)
		_, err = m.Commit(t.Context(), s, sessions.Midway)
		require.NoError(t, err)
	}
}

// A logout for which there is no room is told at once, and is tried again.
func TestALogoutForWhichThereIsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		m := newManager(t, placed{Name: "hybrid", Server: st, Cookie: clientStore{}}, sessions.Config{Room: 1000})
		s := load(t, m, begin(t, m))
		st.before = on("end", 1, func() error { return errNoRoom })
		s.Destroy()
		start := time.Now()
		_, err := m.Commit(context.Background(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrFull)
		require.Less(t, time.Since(start), time.Second)
		require.Equal(t, sessions.Remove, commit(t, m, s).Action)
		require.EqualValues(t, 2, st.ends.Load())
	})
}

var errNoRoom = errors.Join(stores.ErrUnavailable, stores.ErrFull)

// A refusal tells of the write that it answers, and nothing of an earlier copy, which
// may be late.
func TestARefusalAfterALostReplyIsDoubted(t *testing.T) {
	for _, refusal := range []error{errNoRoom, stores.ErrTooLarge, stores.ErrInvalidRecord} {
		for what, c := range writings {
			t.Run(fmt.Sprintf("%s/%v", what, refusal), func(t *testing.T) {
				st, m := setup(t, sessions.Config{})
				s := c.start(t, m)
				increment(t, s)
				n := 0
				st.before = func(_ context.Context, c2 call) error {
					if c2.op != c.op {
						return nil
					}
					if n++; n == 1 {
						return errOutage
					}
					return refusal
				}
				_, err := m.Commit(context.Background(), s, sessions.Midway)
				require.ErrorIs(t, err, stores.ErrUnavailable)
				st.before = nil
				increment(t, s)
				_, err = m.Commit(context.Background(), s, sessions.Midway)
				require.ErrorIs(t, err, stores.ErrUnavailable, "what may come late must not be written twice")
			})
		}
	}
}
