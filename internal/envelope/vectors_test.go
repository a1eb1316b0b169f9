package envelope_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/internal/formattest"
	"github.com/stretchr/testify/require"
)

// vectors are testdata/envelope.json: records that another implementation of
// docs/format.md must read and write, or refuse. Times are Unix milliseconds.
type vectors struct {
	Valid []struct {
		Name, Hex             string
		Created, Deadline     int64
		Authenticated, Sealed *int64
		Expires, Latest       *int64
		Owner, Label          string
		Generation            uint64
		IdleMS                int64 `json:"idle_ms"`
		Revision              string
		Marks                 []struct { // newest first
			Writer string
			Count  uint32
			At     int64
		}
		Persistent byte
		OwnIdleMS  int64 `json:"own_idle_ms"`
		Epochs     string
		Extra      []struct {
			Tag byte
			Hex string
		}
		Values []struct{ Name, Hex string }
	}
	Malformed []struct{ Name, Reason, Hex string }
}

func readVectors(t testing.TB) (v vectors) {
	data, err := os.ReadFile("testdata/envelope.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &v))
	require.NotEmpty(t, v.Valid)
	require.NotEmpty(t, v.Malformed)
	return v
}

func unhex(t testing.TB, s string) []byte {
	data, err := hex.DecodeString(s)
	require.NoError(t, err)
	return data
}

func TestVectors(t *testing.T) {
	at := func(ms *int64) time.Time {
		if ms == nil {
			return time.Time{}
		}
		return time.UnixMilli(*ms).UTC()
	}
	for _, v := range readVectors(t).Valid {
		t.Run(v.Name, func(t *testing.T) {
			want := envelope.Envelope{Metadata: envelope.Metadata{
				Created:       at(&v.Created),
				Deadline:      at(&v.Deadline),
				Authenticated: at(v.Authenticated),
				Owner:         v.Owner,
				Label:         v.Label,
				Generation:    v.Generation,
				Idle:          time.Duration(v.IdleMS) * time.Millisecond,
				Sealed:        at(v.Sealed),
				Expires:       at(v.Expires),
				Revision:      v.Revision,
				Latest:        at(v.Latest),
				Persistent:    envelope.Persistence(v.Persistent),
				OwnIdle:       time.Duration(v.OwnIdleMS) * time.Millisecond,
			}}
			if v.Epochs != "" {
				want.Epochs = unhex(t, v.Epochs)
			}
			for _, m := range slices.Backward(v.Marks) {
				mark := envelope.Mark{Writer: [8]byte(unhex(t, m.Writer)), Count: m.Count}
				want.Marks = want.Marks.With(mark, time.UnixMilli(m.At))
			}
			for _, f := range v.Extra {
				want.Extra = append(want.Extra, envelope.Field{Tag: f.Tag, Data: unhex(t, f.Hex)})
			}
			for _, value := range v.Values {
				want.Values = with(t, want.Values, value.Name, string(unhex(t, value.Hex)))
			}
			got, err := envelope.Split(unhex(t, v.Hex))
			require.NoError(t, err)
			require.Equal(t, want, got)
			data, err := envelope.Join(nil, want)
			require.NoError(t, err)
			require.Equal(t, v.Hex, hex.EncodeToString(data))
		})
	}
}

func TestMalformed(t *testing.T) {
	for _, v := range readVectors(t).Malformed {
		t.Run(v.Name, func(t *testing.T) {
			env, err := envelope.Split(unhex(t, v.Hex))
			require.ErrorIs(t, err, envelope.ErrMalformed)
			require.EqualError(t, err, "envelope: malformed record: "+v.Reason)
			require.Zero(t, env)
		})
	}
}

// Every record that was cut off anywhere is refused.
func TestCutOff(t *testing.T) {
	for _, v := range readVectors(t).Valid {
		data := unhex(t, v.Hex)
		for i := range data {
			_, err := envelope.Split(data[:i])
			require.ErrorIs(t, err, envelope.ErrMalformed, "%s, first %d bytes", v.Name, i)
		}
	}
}

// The worked example in docs/format.md is the first vector.
func TestDocumentedRecord(t *testing.T) {
	require.Equal(t, readVectors(t).Valid[0].Hex, hex.EncodeToString(formattest.Bytes(t, "Worked example")))
}

func TestDocumentedMark(t *testing.T) {
	env := envelope.Envelope{Metadata: envelope.Metadata{Created: time.UnixMilli(0), Deadline: time.UnixMilli(0)}}
	env.Marks = env.Marks.With(envelope.Mark{
		Writer: [8]byte{0x8f, 0x3a, 0x51, 0xc0, 0x77, 0xe2, 0x04, 0x9d}, Count: 7,
	}, time.UnixMilli(1772366402123))
	data, err := envelope.Join(nil, env)
	require.NoError(t, err)
	field := formattest.Bytes(t, "Marks")
	require.Equal(t, "0100000014"+hex.EncodeToString(field)+"00", hex.EncodeToString(data))
}
