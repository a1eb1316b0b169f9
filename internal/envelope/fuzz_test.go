package envelope_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/stretchr/testify/require"
)

// What Split accepts is exactly what Join writes, and its times are safe to
// reckon with.
func FuzzSplit(f *testing.F) {
	v := readVectors(f)
	for _, valid := range v.Valid {
		f.Add(unhex(f, valid.Hex))
	}
	for _, malformed := range v.Malformed {
		f.Add(unhex(f, malformed.Hex))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		env, err := envelope.Split(data)
		if err != nil {
			require.ErrorIs(t, err, envelope.ErrMalformed)
			return
		}
		again, err := envelope.Join(nil, env)
		require.NoError(t, err)
		require.Equal(t, data, again)

		require.False(t, env.Deadline.Before(env.Created))
		require.Equal(t, env.Deadline, env.Created.Add(env.Deadline.Sub(env.Created)))
		require.Equal(t, env.Created, time.Unix(0, env.Created.UnixNano()).UTC())
		require.GreaterOrEqual(t, env.Idle, time.Duration(0))
		require.GreaterOrEqual(t, env.OwnIdle, time.Duration(0))

		// Marks can be asked and added to, whatever wrote them.
		mark := envelope.Mark{Writer: [8]byte{1}, Count: 1}
		env.Marks = env.Marks.With(mark, env.Created)
		require.True(t, env.Marks.Has(mark))
		again, err = envelope.Join(nil, env)
		require.NoError(t, err)
		_, err = envelope.Split(again)
		require.NoError(t, err)
	})
}

func TestFuzzCorpus(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("testdata", "fuzz", "FuzzSplit"))
	require.NoError(t, err)
	require.NotEmpty(t, entries)
}
