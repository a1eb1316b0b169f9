package serialize_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/stretchr/testify/require"
)

// vectors are testdata/envelope.json: records that another implementation of
// docs/format.md must read and write, or refuse. Times are Unix milliseconds.
type vectors struct {
	Valid []struct {
		Name, Hex             string
		Created, Deadline     int64
		Authenticated, Sealed *int64
		Expires               *int64
		Owner, Label          string
		Generation            uint64
		IdleMS                int64 `json:"idle_ms"`
		Revision              string
		Extra                 []struct {
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
			want := serialize.Envelope{Metadata: serialize.Metadata{
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
			}}
			for _, f := range v.Extra {
				want.Extra = append(want.Extra, serialize.Field{Tag: f.Tag, Data: unhex(t, f.Hex)})
			}
			for _, value := range v.Values {
				want.Values = with(t, want.Values, value.Name, string(unhex(t, value.Hex)))
			}
			got, err := serialize.Split(unhex(t, v.Hex))
			require.NoError(t, err)
			require.Equal(t, want, got)
			data, err := serialize.Join(nil, want)
			require.NoError(t, err)
			require.Equal(t, v.Hex, hex.EncodeToString(data))
		})
	}
}

func TestMalformed(t *testing.T) {
	for _, v := range readVectors(t).Malformed {
		t.Run(v.Name, func(t *testing.T) {
			env, err := serialize.Split(unhex(t, v.Hex))
			require.ErrorIs(t, err, serialize.ErrMalformed)
			require.EqualError(t, err, "serialize: malformed record: "+v.Reason)
			require.Zero(t, env)
		})
	}
}

// Every record that was cut off anywhere is refused.
func TestCutOff(t *testing.T) {
	for _, v := range readVectors(t).Valid {
		data := unhex(t, v.Hex)
		for i := range data {
			_, err := serialize.Split(data[:i])
			require.ErrorIs(t, err, serialize.ErrMalformed, "%s, first %d bytes", v.Name, i)
		}
	}
}

// The worked example in docs/format.md is the first vector.
func TestDocumentedExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/format.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(doc), "### Worked example")
	require.True(t, found)
	_, block, found := strings.Cut(section, "```\n")
	require.True(t, found)
	block, _, found = strings.Cut(block, "```")
	require.True(t, found)

	var got strings.Builder
	line := regexp.MustCompile(`^((?:[0-9a-f]{2} )+) *(.*)$`)
	for l := range strings.Lines(block) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		require.NotNil(t, m, "%q", l)
		got.WriteString(strings.ReplaceAll(m[1], " ", ""))
	}
	require.Equal(t, readVectors(t).Valid[0].Hex, got.String())
}
