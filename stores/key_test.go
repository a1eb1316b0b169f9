package stores_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

// What a store files a record under is a format: what is stored today must be
// found tomorrow. The expected text was computed with
//
//	printf '\0\1...\27' | basenc --base64url
func TestKeyVector(t *testing.T) {
	var hash [24]byte
	for i := range hash {
		hash[i] = byte(i)
	}
	key := stores.NewKey(hash)
	const name = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
	require.Equal(t, name, key.Name())
	require.Equal(t, hash, key.Hash())
	require.False(t, key.IsZero())

	again, err := stores.ParseKey(name)
	require.NoError(t, err)
	require.Equal(t, key, again)
	require.True(t, key == again, "keys compare")

	// Every byte of the hash counts.
	for i := range hash {
		other := hash
		other[i] ^= 1
		require.NotEqual(t, key, stores.NewKey(other))
		require.NotEqual(t, name, stores.NewKey(other).Name())
	}
}

// 0xFB and 0xFF have the two characters that base64url spells its own way.
func TestKeyNameIsURLSafe(t *testing.T) {
	name := stores.NewKey([24]byte{0xfb, 0xff, 0xbf}).Name()
	require.Equal(t, "-_-_", name[:4])
}

func TestZeroKey(t *testing.T) {
	var zero stores.Key
	require.True(t, zero.IsZero())
	require.Equal(t, strings.Repeat("A", 32), zero.Name())
	require.Equal(t, zero, stores.NewKey([24]byte{}))
}

func TestKeyInLogs(t *testing.T) {
	key := stores.NewKey([24]byte{1, 2, 3})
	require.Equal(t, key.Name(), key.String())
	require.Equal(t, key.Name(), fmt.Sprint(key))
	text, err := json.Marshal(map[string]any{"key": key})
	require.NoError(t, err)
	require.JSONEq(t, `{"key":"`+key.Name()+`"}`, string(text))
}

func TestParseKeyIsStrict(t *testing.T) {
	name := stores.NewKey([24]byte{1, 2, 3}).Name()
	for what, text := range map[string]string{
		"nothing":                  "",
		"too short":                name[:31],
		"too long":                 name + "A",
		"a group too many":         name + "AAAA",
		"padding":                  name[:31] + "=",
		"a line end":               name + "\n",
		"line ends inside":         name[:28] + "\r\n\r\n",
		"a line end in the length": name[:16] + "\n" + name[17:],
		"standard base64":          "+/" + name[2:],
		"a space":                  " " + name[1:],
		"not ASCII":                name[:30] + "é",
	} {
		key, err := stores.ParseKey(text)
		require.ErrorIs(t, err, stores.ErrMalformed, what)
		require.True(t, key.IsZero(), what)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, name string) {
		key, err := stores.ParseKey(name)
		if err != nil {
			require.ErrorIs(t, err, stores.ErrMalformed)
			require.True(t, key.IsZero())
			return
		}
		require.Equal(t, name, key.Name(), "a key has a second name")
		require.Equal(t, key, stores.NewKey(key.Hash()))
	})
}

func TestFuzzCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzParseKey")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}

// A foreign key files under the other system's text, and shows a hash of it.
func TestForeignKey(t *testing.T) {
	const name = "804ff84bb994e2764d537b2e40b3237c"
	key := stores.ForeignKey(name)
	require.Equal(t, name, key.Name())
	require.True(t, key.Foreign())
	require.True(t, key == stores.ForeignKey(strings.Clone(name)), "keys compare")
	require.NotEqual(t, key, stores.ForeignKey(name+"x"))
	require.NotEqual(t, key, stores.NewKey(key.Hash()))
	require.False(t, stores.NewKey(key.Hash()).Foreign())
	require.True(t, stores.ForeignKey("").IsZero())
	require.Equal(t, stores.NewKey(key.Hash()).Name(), key.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{key, &key, struct{ k stores.Key }{key}, struct{ k *stores.Key }{&key}, []stores.Key{key}, stores.Entry{Key: key}} {
			require.NotContains(t, fmt.Sprintf(verb, v), name)
			require.NotContains(t, fmt.Sprintf(verb, v), fmt.Sprintf("%x", name))
		}
	}
	text, err := json.Marshal(key)
	require.NoError(t, err)
	require.NotContains(t, string(text), name)
}
