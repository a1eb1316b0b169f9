package record_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

var at = time.UnixMilli(1772366400123)

func key(b byte) stores.Key { return stores.NewKey([24]byte(bytes.Repeat([]byte{b}, 24))) }

// Another release, and another program, must read them.
func TestStubVectors(t *testing.T) {
	const magic, moment, to = "0062756c6c61207374756200", "0000019ca9450a7b", "abababababababababababababababababababababababab"
	for name, c := range map[string]struct {
		stub record.Stub
		want string
	}{
		"ended":              {record.Stub{At: at}, magic + "45" + moment},
		"revoked":            {record.Stub{At: at, Revoked: true}, magic + "52" + moment},
		"moved":              {record.Stub{At: at, To: key(0xab)}, magic + "4d" + moment + "3d" + to},
		"moved to another's": {record.Stub{At: at, To: key(0xab), OwnerChanged: true}, magic + "4d" + moment + "21" + to},
	} {
		t.Run(name, func(t *testing.T) {
			data := c.stub.Data()
			require.Equal(t, c.want, hex.EncodeToString(data))
			got, ok := record.ParseStub(data)
			require.True(t, ok)
			require.Equal(t, c.stub, got)
			require.Equal(t, strings.HasPrefix(name, "moved"), got.Moved())
		})
	}
}

// What says that it is a stub is never a session, even if it says nothing else.
func TestStubsThatAreNotUnderstoodHaveEnded(t *testing.T) {
	moved := record.Stub{At: at, To: key(0xab)}.Data()
	for n := range moved {
		stub, ok := record.ParseStub(moved[:n])
		require.Equal(t, n >= 12, ok, n)
		require.False(t, stub.Moved(), n)
	}
	stub, ok := record.ParseStub(append(bytes.Clone(moved), 0))
	require.True(t, ok)
	require.False(t, stub.Moved())
	unknown := bytes.Clone(moved)
	unknown[12] = 'X'
	stub, ok = record.ParseStub(unknown)
	require.True(t, ok)
	require.False(t, stub.Moved())

	// Of the owner, doubt counts as another: a logout must not end the session of
	// who logged in with a planted ID.
	unknown = bytes.Clone(moved)
	unknown[21] = '?'
	stub, _ = record.ParseStub(unknown)
	require.True(t, stub.Moved())
	require.True(t, stub.OwnerChanged)
}

// No record is taken for a stub, however it is sealed.
func TestRecordsAreNoStubs(t *testing.T) {
	env := envelope.Envelope{Metadata: envelope.Metadata{Created: at, Deadline: at.Add(time.Hour)}}
	for name, newRing := range map[string]func(...encrypt.Key) (*encrypt.Keyring, error){
		"AES-256-GCM": encrypt.NewAESGCM, "XChaCha20-Poly1305": encrypt.NewXChaCha20Poly1305, "plain": nil,
	} {
		var enc encrypt.Encryptor
		if newRing != nil {
			ring, err := newRing(encrypt.GenerateKey())
			require.NoError(t, err)
			enc = ring
		}
		sealer := record.NewSealer(enc, serialize.JSON, "", "")
		bound, err := sealer.Bind(record.Server, token.NewID())
		require.NoError(t, err)
		data, err := sealer.Seal(bound, record.Server, env)
		require.NoError(t, err)
		_, ok := record.ParseStub(data)
		require.False(t, ok, name)
		_, _, err = sealer.Open(bound, record.Server, record.Stub{At: at}.Data())
		require.Error(t, err, name)
	}
	_, ok := record.ParseStub(nil)
	require.False(t, ok)
}

// Whatever stands in a store: it is no stub, or an end, or leads to one key and is
// written back as it was read.
func FuzzParseStub(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		stub, ok := record.ParseStub(data)
		require.Equal(t, before, data)
		require.Equal(t, bytes.HasPrefix(data, []byte("\x00bulla stub\x00")), ok)
		if !ok {
			require.Zero(t, stub)
			return
		}
		again, ok := record.ParseStub(stub.Data())
		require.True(t, ok)
		if stub.Moved() {
			require.Equal(t, stub, again)
			require.GreaterOrEqual(t, len(data), 46)
		} else {
			require.False(t, again.Moved())
			require.Equal(t, stub.Revoked, again.Revoked)
		}
	})
}

func TestFuzzCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzParseStub")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}

// To a foreign key a stub leads by its name.
func TestStubToAForeignKey(t *testing.T) {
	to := stores.ForeignKey("804ff84bb994e2764d537b2e40b3237c")
	data := record.Stub{At: at, To: to}.Data()
	require.Len(t, data, 46+32)
	stub, ok := record.ParseStub(data)
	require.True(t, ok)
	require.Equal(t, to, stub.To)
	require.False(t, stub.OwnerChanged)
	data[len(data)-1] ^= 1 // a name that does not go with the hash
	stub, ok = record.ParseStub(data)
	require.True(t, ok)
	require.False(t, stub.Moved())
}
