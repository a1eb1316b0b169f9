package oplog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/oplog"
)

// appending returns an operation that appends text, or removes the value.
func appending(text string) oplog.Operation {
	return func(old []byte, ok bool) ([]byte, bool, error) { return []byte(string(old) + text), text != "", nil }
}

func values(t *testing.T, texts ...string) (v envelope.Values) {
	for _, text := range texts {
		name, data, _ := strings.Cut(text, "=")
		var err error
		v, err = v.With(name, []byte(data))
		require.NoError(t, err)
	}
	return v
}

func TestLogIsReplayedInOrder(t *testing.T) {
	var l oplog.Log
	require.Zero(t, l.Len())
	l.Add("a", appending("1"))
	l.Add("a", appending("2"))
	l.Add("b", appending(""))
	l.Add("c", appending("3"))
	require.Equal(t, 4, l.Len())
	require.False(t, l.Edits())

	base := values(t, "a=0", "b=0", "d=0")
	for range 2 { // a replay leaves the log as it was
		got, err := l.Values(base)
		require.NoError(t, err)
		require.Equal(t, values(t, "a=012", "c=3", "d=0"), got)
		require.Equal(t, values(t, "a=0", "b=0", "d=0"), base)
	}
	got, err := l.Values(envelope.Values{})
	require.NoError(t, err)
	require.Equal(t, values(t, "a=12", "c=3"), got)
}

func TestLogFails(t *testing.T) {
	boom := errors.New("boom")
	var l oplog.Log
	l.Add("a", appending("1"))
	l.Add("b", func([]byte, bool) ([]byte, bool, error) { return nil, false, boom })
	l.Add("c", func([]byte, bool) ([]byte, bool, error) { t.Error("runs after an error"); return nil, false, nil })
	got, err := l.Values(values(t, "a=0"))
	require.ErrorIs(t, err, boom)
	require.Zero(t, got)

	var bad oplog.Log
	bad.Add("", appending("1"))
	_, err = bad.Values(envelope.Values{})
	require.ErrorIs(t, err, envelope.ErrInvalid)
}

func TestEdits(t *testing.T) {
	var l oplog.Log
	md := envelope.Metadata{Label: "before", Owner: "ann"}
	require.Equal(t, md, l.Metadata(md))
	l.Edit(func(md *envelope.Metadata) { md.Label += " 1" })
	l.Edit(func(md *envelope.Metadata) { md.Label += " 2" })
	require.True(t, l.Edits())
	require.Equal(t, 2, l.Len())
	require.Equal(t, envelope.Metadata{Label: "before 1 2", Owner: "ann"}, l.Metadata(md))
	require.Equal(t, "before", md.Label)
}

// A commit works on a snapshot; what comes meanwhile is left for the next.
func TestSnapshot(t *testing.T) {
	var l oplog.Log
	l.Add("a", appending("1"))
	l.Edit(func(md *envelope.Metadata) { md.Label = "1" })
	snapshot := l.Snapshot()
	l.Add("a", appending("2"))
	l.Edit(func(md *envelope.Metadata) { md.Label = "2" })
	require.Equal(t, 2, snapshot.Len())
	got, err := snapshot.Values(envelope.Values{})
	require.NoError(t, err)
	require.Equal(t, values(t, "a=1"), got)
	require.Equal(t, "1", snapshot.Metadata(envelope.Metadata{}).Label)

	// What is added to the one is not in the other.
	snapshot.Add("a", appending("3"))
	got, err = l.Values(envelope.Values{})
	require.NoError(t, err)
	require.Equal(t, values(t, "a=12"), got)

	snapshot = l.Snapshot()
	l.Add("b", appending("4"))
	rest := l.After(snapshot)
	require.Equal(t, 1, rest.Len())
	got, err = rest.Values(envelope.Values{})
	require.NoError(t, err)
	require.Equal(t, values(t, "b=4"), got)
	last := l.After(l.Snapshot())
	require.Zero(t, last.Len())
}
