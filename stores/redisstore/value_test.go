package redisstore

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

// Whatever stands in Redis, a value is read as it was written, or is an error.
func FuzzParse(f *testing.F) {
	corpus, err := os.ReadDir("testdata/fuzz/FuzzParse")
	require.NoError(f, err)
	require.NotEmpty(f, corpus)
	value, _, err := newValue(stores.Record{Data: []byte("data"), Expires: time.Now().Add(time.Hour)})
	require.NoError(f, err)
	f.Add(string(value))
	f.Fuzz(func(t *testing.T, value string) {
		rec, err := parse([]byte(value), "name")
		if err != nil {
			require.Zero(t, rec)
			return
		}
		again := binary.BigEndian.AppendUint64([]byte(rec.Revision), uint64(rec.Expires.UnixMilli()))
		require.Equal(t, value, string(append(again, rec.Data...)))
		require.True(t, rec.Expires.After(time.Now().Add(-time.Minute)))
	})
}

// Whatever stands in a list, an entry is one that could have been written, or an
// error.
func FuzzParseEntry(f *testing.F) {
	corpus, err := os.ReadDir("testdata/fuzz/FuzzParseEntry")
	require.NoError(f, err)
	require.NotEmpty(f, corpus)
	f.Fuzz(func(t *testing.T, field, value string, at int64) {
		e, ok := parseEntry(field, value, at)
		if !ok {
			return
		}
		hash := e.Key.Hash()
		require.Equal(t, field, string(hash[:]))
		head := binary.BigEndian.AppendUint64(nil, e.Number)
		head = binary.BigEndian.AppendUint64(head, uint64(e.Expires.UnixMilli()))
		require.Equal(t, value[:16], string(head))
		require.Equal(t, value[32:], string(e.Data))
		require.GreaterOrEqual(t, e.Age, time.Duration(0))
	})
}
