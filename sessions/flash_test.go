package sessions_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
)

const notices = sessions.Flash[string]("notices")

func pop(t testing.TB, s *sessions.Session) []string {
	t.Helper()
	all, err := notices.Pop(s)
	require.NoError(t, err)
	return all
}

func add(t testing.TB, s *sessions.Session, texts ...string) {
	t.Helper()
	for _, text := range texts {
		require.NoError(t, notices.Add(s, text))
	}
}

func TestFlashOrderAndOnce(t *testing.T) {
	for format, serializer := range serializers(t) {
		t.Run(format, func(t *testing.T) {
			_, m := setup(t, sessions.Config{Serializer: serializer})
			s := m.New()
			require.Nil(t, pop(t, s))
			add(t, s, "one", "", "two")
			tok := commit(t, m, s).Token

			s = load(t, m, tok)
			add(t, s, "one", "ünö")
			commit(t, m, s)

			s = load(t, m, tok)
			require.Equal(t, []string{"one", "", "two", "one", "ünö"}, pop(t, s))
			require.Nil(t, pop(t, s))
			commit(t, m, s)
			require.Nil(t, pop(t, load(t, m, tok)))
		})
	}
}

// A message that was added and popped in one request was shown.
func TestFlashWithinOneRequest(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	s := m.New()
	add(t, s, "x")
	require.Equal(t, []string{"x"}, pop(t, s))
	commit(t, m, s)
	require.Zero(t, st.Len())
}

func TestFlashPopKeepsWhatCameBetween(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	s := m.New()
	add(t, s, "same", "same")
	tok := commit(t, m, s).Token

	popper, adder := load(t, m, tok), load(t, m, tok)
	require.Equal(t, []string{"same", "same"}, pop(t, popper))
	add(t, adder, "same", "other")
	commit(t, m, adder)
	add(t, popper, "after")
	commit(t, m, popper) // replayed on the record with four messages

	require.Equal(t, []string{"same", "other", "after"}, pop(t, load(t, m, tok)))
}

func TestFlashAddedByTwoRequests(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	a, b := load(t, m, tok), load(t, m, tok)
	add(t, a, "from a")
	add(t, b, "from b")
	commit(t, m, a)
	commit(t, m, b)
	require.Equal(t, []string{"from a", "from b"}, pop(t, load(t, m, tok)))
}

// Two requests that pop at once both show the messages, and none comes back.
func TestFlashPoppedByTwoRequests(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	s := m.New()
	add(t, s, "x")
	tok := commit(t, m, s).Token
	a, b := load(t, m, tok), load(t, m, tok)
	require.Equal(t, []string{"x"}, pop(t, a))
	require.Equal(t, []string{"x"}, pop(t, b))
	commit(t, m, a)
	commit(t, m, b)
	require.Nil(t, pop(t, load(t, m, tok)))
}
