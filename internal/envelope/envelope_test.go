package envelope_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/stretchr/testify/require"
)

var created = time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)

// full has every field of the metadata.
func full() envelope.Envelope {
	var values envelope.Values
	for _, v := range [][2]string{{"visits", "7"}, {"cart", "[1,2]"}, {"empty", ""}} {
		values, _ = values.With(v[0], []byte(v[1]))
	}
	return envelope.Envelope{
		Metadata: envelope.Metadata{
			Created:       created,
			Deadline:      created.Add(30 * 24 * time.Hour),
			Authenticated: created.Add(-time.Second),
			Owner:         "owner-1",
			Label:         "Firefox on Linux",
			Generation:    300,
			Idle:          14 * 24 * time.Hour,
			Sealed:        created.Add(29 * 24 * time.Hour),
			Expires:       created.Add(2 * time.Hour),
			Revision:      "revision-mark-16",
			Marks: envelope.Marks(nil).
				With(envelope.Mark{Writer: [8]byte{1, 2, 3}, Count: 7}, created).
				With(envelope.Mark{Writer: [8]byte{4, 5, 6}, Count: 1 << 31}, created.Add(time.Minute)),
			Persistent: envelope.Persist,
			OwnIdle:    time.Hour,
			Epochs:     []byte("epochs"),
			Latest:     created.Add(31 * 24 * time.Hour),
			Extra:      []envelope.Field{{Tag: 13, Data: []byte("later")}, {Tag: 255, Data: []byte{}}},
		},
		Values: values,
	}
}

func TestJoinAppends(t *testing.T) {
	want := full()
	data, err := envelope.Join([]byte("before"), want)
	require.NoError(t, err)
	require.Equal(t, "before", string(data[:6]))
	got, err := envelope.Split(data[6:])
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestTimesAreCutToMilliseconds(t *testing.T) {
	env := full()
	zone := time.FixedZone("", 3600)
	md := &env.Metadata
	for _, at := range []*time.Time{&md.Created, &md.Deadline, &md.Authenticated, &md.Sealed, &md.Expires, &md.Latest} {
		*at = at.Add(999_999).In(zone)
	}
	md.Idle += 999_999
	md.OwnIdle += 999_999
	data, err := envelope.Join(nil, env)
	require.NoError(t, err)
	got, err := envelope.Split(data)
	require.NoError(t, err)
	require.Equal(t, full(), got)
}

func TestJoinRefuses(t *testing.T) {
	extra := func(tags ...byte) func(*envelope.Envelope) {
		return func(env *envelope.Envelope) {
			env.Extra = nil
			for _, tag := range tags {
				env.Extra = append(env.Extra, envelope.Field{Tag: tag})
			}
		}
	}
	far := time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC)
	early := time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	tests := []struct {
		text  string // in the error
		spoil func(*envelope.Envelope)
	}{
		{"Created is not set", func(env *envelope.Envelope) { env.Created = time.Time{} }},
		{"Deadline is not set", func(env *envelope.Envelope) { env.Deadline = time.Time{} }},
		{"Created", func(env *envelope.Envelope) { env.Created = early }},
		{"Deadline", func(env *envelope.Envelope) { env.Deadline = far }},
		// UnixMilli of this time overflows into a minute after Created.
		{"Deadline", func(env *envelope.Envelope) { env.Deadline = time.Unix(1<<61+env.Created.Unix()+60, 0) }},
		{"Deadline is before Created", func(env *envelope.Envelope) { env.Deadline = env.Created.Add(-time.Millisecond) }},
		{"Authenticated", func(env *envelope.Envelope) { env.Authenticated = early }},
		{"Sealed", func(env *envelope.Envelope) { env.Sealed = far }},
		{"Expires", func(env *envelope.Envelope) { env.Expires = far }},
		{"Latest", func(env *envelope.Envelope) { env.Latest = early }},
		{"Idle", func(env *envelope.Envelope) { env.Idle = -time.Hour }},
		{"Idle", func(env *envelope.Envelope) { env.Idle = time.Millisecond - 1 }},
		{"OwnIdle", func(env *envelope.Envelope) { env.OwnIdle = -time.Hour }},
		{"OwnIdle", func(env *envelope.Envelope) { env.OwnIdle = time.Millisecond - 1 }},
		{"Persistent", func(env *envelope.Envelope) { env.Persistent = envelope.Persist + 1 }},
		{"Marks", func(env *envelope.Envelope) { env.Marks = env.Marks[:35] }},
		{"Marks", func(env *envelope.Envelope) { env.Marks = make(envelope.Marks, 65*18) }},
		{"tag of Extra field 0", extra(0)},
		{"tag of Extra field 0", extra(12)},
		{"tag of Extra field 1", extra(14, 13)},
		{"tag of Extra field 1", extra(14, 14)},
	}
	for _, tt := range tests {
		env := full()
		tt.spoil(&env)
		data, err := envelope.Join([]byte("before"), env)
		require.ErrorIs(t, err, envelope.ErrInvalid)
		require.ErrorContains(t, err, tt.text)
		require.Nil(t, data)
	}
}

// Appending to one field must not write over its neighbour.
func TestSplitCapsExtra(t *testing.T) {
	data, err := envelope.Join(nil, full())
	require.NoError(t, err)
	env, err := envelope.Split(data)
	require.NoError(t, err)
	for _, f := range env.Extra {
		require.Equal(t, len(f.Data), cap(f.Data))
	}
	require.Equal(t, len(env.Marks), cap(env.Marks))
}

// The strings must outlive the bytes, whose buffer may be used again.
func TestSplitCopiesStrings(t *testing.T) {
	data, err := envelope.Join(nil, full())
	require.NoError(t, err)
	env, err := envelope.Split(data)
	require.NoError(t, err)
	clear(data)
	require.Equal(t, "owner-1 Firefox on Linux revision-mark-16", fmt.Sprint(env.Owner, " ", env.Label, " ", env.Revision))
}

// The metadata shares the cookie's 4096 bytes with the values.
func TestMetadataIsSmall(t *testing.T) {
	env := full()
	env.Authenticated, env.Expires, env.Latest = time.Time{}, time.Time{}, time.Time{}
	env.Owner, env.Label, env.Revision, env.Marks, env.Persistent, env.OwnIdle, env.Epochs = "", "", "", nil, 0, 0, nil
	env.Extra, env.Values = nil, envelope.Values{}
	data, err := envelope.Join(nil, env)
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), 32)
}

// A machine whose clock is behind may seal what another has just created.
func TestSealedBeforeCreated(t *testing.T) {
	env := full()
	env.Sealed = env.Created.Add(-3 * time.Millisecond)
	data, err := envelope.Join(nil, env)
	require.NoError(t, err)
	got, err := envelope.Split(data)
	require.NoError(t, err)
	require.Equal(t, env, got)
}
