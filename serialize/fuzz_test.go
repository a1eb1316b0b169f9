package serialize_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/stretchr/testify/require"
)

func FuzzUnmarshalJSON(f *testing.F) { fuzzUnmarshal(f, serialize.JSON) }
func FuzzUnmarshalGob(f *testing.F)  { fuzzUnmarshal(f, serialize.Gob) }
func FuzzUnmarshalCBOR(f *testing.F) { fuzzUnmarshal(f, serialize.CBOR) }

// Whatever the bytes, Unmarshal fails or gives a value; it never panics.
func fuzzUnmarshal(f *testing.F, s serialize.Serializer) {
	for _, v := range []any{new(1), new("text"), new([]byte{1}), &user{Name: "A", Seen: zoned}, new(any(map[string]any{"a": []any{1.5}}))} {
		data, err := s.Marshal(v)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{new(int), new(string), new(time.Time), new([]byte), new(any), new(user), new(*user), new(map[string]any)} {
			if err := s.Unmarshal(data, v); err != nil {
				require.ErrorIs(t, err, serialize.ErrDecode)
				continue
			}
			// What was read can be written, but for what gob and JSON
			// have no form of; that must not panic either.
			if _, err := s.Marshal(v); err != nil {
				require.ErrorIs(t, err, serialize.ErrEncode)
			}
		}
	})
}

func TestFuzzCorpus(t *testing.T) {
	for _, target := range []string{"FuzzPlainJSON", "FuzzUnmarshalJSON", "FuzzUnmarshalGob", "FuzzUnmarshalCBOR"} {
		entries, err := os.ReadDir(filepath.Join("testdata", "fuzz", target))
		require.NoError(t, err)
		require.NotEmpty(t, entries, target)
	}
}
