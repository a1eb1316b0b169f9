package cookiestore_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

func newSigned(t testing.TB, keys ...encrypt.Key) stores.Store {
	store, err := cookiestore.Signed(keys...)
	require.NoError(t, err)
	return store
}

func newCodec(t testing.TB, keys ...encrypt.Key) stores.Codec {
	return newSigned(t, keys...).Place().Cookie
}

// binding is that of a new session under a cookie's name.
func binding(cookie string) []byte {
	return []byte("application, " + cookie + ", " + encrypt.GenerateKey().ID())
}

func encode(t testing.TB, codec stores.Codec, data string, binding []byte) string {
	payload, err := codec.Encode([]byte(data), binding)
	require.NoError(t, err)
	return payload
}

func TestSignedPlace(t *testing.T) {
	place := newSigned(t, encrypt.GenerateKey()).Place()
	require.NotNil(t, place.Cookie)
	place.Cookie = nil
	require.Equal(t, stores.Place{Name: "signed cookie", Signed: true}, place)
}

func TestSignedIsReadable(t *testing.T) {
	payload := encode(t, newCodec(t, encrypt.GenerateKey()), `{"theme":"dark"}`, binding("session"))
	outer, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	require.NoError(t, err)
	inner := strings.Split(string(outer), "|")[1]
	data, err := base64.URLEncoding.DecodeString(inner)
	require.NoError(t, err)
	require.Equal(t, `{"theme":"dark"}`, string(data))
}

func TestSignedRotation(t *testing.T) {
	old, current, bind := encrypt.GenerateKey(), encrypt.GenerateKey(), binding("session")
	payload := encode(t, newCodec(t, old), "data", bind)

	both := newCodec(t, current, old)
	data, stale, err := both.Decode(payload, bind)
	require.NoError(t, err)
	require.Equal(t, "data", string(data))
	require.True(t, stale, "a record under a retired key must be signed afresh")

	fresh := encode(t, both, "data", bind)
	data, stale, err = newCodec(t, current).Decode(fresh, bind)
	require.NoError(t, err)
	require.Equal(t, "data", string(data))
	require.False(t, stale)

	// A key that was taken out of the list verifies nothing any more.
	_, _, err = newCodec(t, current).Decode(payload, bind)
	require.ErrorIs(t, err, stores.ErrTampered)
	// Nor does a key of this list sign for another.
	_, _, err = newCodec(t, old).Decode(fresh, bind)
	require.ErrorIs(t, err, stores.ErrTampered)
}

func TestSignedBinding(t *testing.T) {
	codec, bind := newCodec(t, encrypt.GenerateKey()), binding("session")
	payload := encode(t, codec, "data", bind)
	for name, other := range map[string][]byte{
		"another session":  binding("session"),
		"another cookie":   []byte(strings.Replace(string(bind), "session", "other", 1)),
		"one byte more":    append(append([]byte(nil), bind...), 0),
		"one byte less":    bind[1:],
		"a separator more": append(append([]byte(nil), bind...), '|'),
		"none":             nil,
	} {
		data, _, err := codec.Decode(payload, other)
		require.ErrorIs(t, err, stores.ErrTampered, name)
		require.Nil(t, data)
	}

	payload, err := codec.Encode([]byte("data"), nil)
	require.ErrorContains(t, err, "binding")
	require.Empty(t, payload)
}

// Two bindings must not meet where securecookie joins name, date and value.
func TestSignedBindingWithSeparators(t *testing.T) {
	codec := newCodec(t, encrypt.GenerateKey())
	payload := encode(t, codec, "data", []byte("a|1|b"))
	_, _, err := codec.Decode(payload, []byte("a|1|b"))
	require.NoError(t, err)
	for _, bind := range []string{"a", "a|1", "a|1|", "1|b", "b"} {
		_, _, err := codec.Decode(payload, []byte(bind))
		require.ErrorIs(t, err, stores.ErrTampered)
	}
}

// The manager enforces the deadlines in the record. securecookie's own limit of
// 30 days would end sessions that have not ended.
func TestSignedHasNoAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codec, bind := newCodec(t, encrypt.GenerateKey()), binding("session")
		payload := encode(t, codec, "data", bind)
		time.Sleep(2 * 365 * 24 * time.Hour)
		data, _, err := codec.Decode(payload, bind)
		require.NoError(t, err)
		require.Equal(t, "data", string(data))
	})
}

// securecookie refuses more than 4096 characters by default; the length is the
// manager's to limit.
func TestSignedHasNoLength(t *testing.T) {
	codec, bind, data := newCodec(t, encrypt.GenerateKey()), binding("session"), strings.Repeat("x", 10_000)
	payload := encode(t, codec, data, bind)
	got, _, err := codec.Decode(payload, bind)
	require.NoError(t, err)
	require.Equal(t, data, string(got))
}

func TestSignedLength(t *testing.T) {
	require.Len(t, encode(t, newCodec(t, encrypt.GenerateKey()), strings.Repeat("x", 300), binding("session")), 592)
}

func TestSignedErrors(t *testing.T) {
	codec, bind := newCodec(t, encrypt.GenerateKey()), binding("session")
	payload := encode(t, codec, "data", bind)
	for text, want := range map[string]error{
		"":                               stores.ErrMalformed,
		"A":                              stores.ErrMalformed,
		"AB":                             stores.ErrMalformed, // unused bits
		payload + "=":                    stores.ErrMalformed,
		payload[:8] + "\n" + payload[8:]: stores.ErrMalformed,
		"AAAA":                           stores.ErrTampered,
		base64.RawURLEncoding.EncodeToString([]byte("|||")): stores.ErrTampered,
	} {
		data, stale, err := codec.Decode(text, bind)
		require.ErrorIs(t, err, want, text)
		require.Nil(t, data)
		require.False(t, stale)
	}
}

func TestSignedKeys(t *testing.T) {
	key := encrypt.GenerateKey()
	for name, c := range map[string]struct {
		keys []encrypt.Key
		text string
	}{
		"none":    {nil, "no keys"},
		"zero":    {[]encrypt.Key{key, {}}, "key 2"},
		"doubled": {[]encrypt.Key{key, encrypt.GenerateKey(), key}, "key 3 of Signed is the same as key 1"},
	} {
		store, err := cookiestore.Signed(c.keys...)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey, name)
		require.ErrorContains(t, err, c.text)
		require.Nil(t, store)
	}
}

// A store that is printed by mistake shows no key, neither the configured one
// nor the derived one that signs.
func TestSignedShowsNoKey(t *testing.T) {
	key := encrypt.GenerateKey()
	derived, err := key.Derive("bulla cookiestore.Signed 1")
	require.NoError(t, err)
	store := newSigned(t, key)
	hidden := struct{ store any }{store}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%b", "%t"} {
		for _, v := range []any{store, &store, store.Place(), hidden} {
			text := fmt.Sprintf(verb, v)
			for _, form := range []string{
				key.ExportSecret(), string(derived), hex.EncodeToString(derived), strings.ToUpper(hex.EncodeToString(derived)),
				strings.Trim(fmt.Sprint(derived), "[]"), strings.TrimPrefix(fmt.Sprintf("%#v", derived), "[]byte"), fmt.Sprintf("%q", derived),
			} {
				require.NotContains(t, text, form, verb)
			}
		}
	}
}

// FuzzSigned looks for a text that verifies although nobody signed it, and for
// data or bindings that do not come back.
func FuzzSigned(f *testing.F) {
	codec := newCodec(f, encrypt.GenerateKey(), encrypt.GenerateKey())
	f.Fuzz(func(t *testing.T, data, bind []byte, text string, at uint, to byte) {
		if len(bind) == 0 {
			bind = []byte{0}
		}
		payload := encode(t, codec, string(data), bind)
		got, stale, err := codec.Decode(payload, bind)
		require.NoError(t, err)
		require.Equal(t, string(data), string(got))
		require.False(t, stale)

		refused := func(text string, bind []byte) {
			data, _, err := codec.Decode(text, bind)
			require.Nil(t, data)
			if !errors.Is(err, stores.ErrMalformed) && !errors.Is(err, stores.ErrTampered) {
				t.Fatalf("%q: %v", text, err)
			}
		}
		refused(text, bind) // the keys are new: nobody can have signed it
		refused(payload, append(bind[:len(bind):len(bind)], to))
		changed := []byte(payload)
		if i := at % uint(len(changed)); changed[i] != to {
			changed[i] = to
			refused(string(changed), bind)
		}
	})
}

func TestFuzzCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzSigned")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}
