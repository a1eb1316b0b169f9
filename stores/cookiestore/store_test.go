package cookiestore_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/storetest"
)

func newSigned(t testing.TB, keys ...encrypt.Key) *cookiestore.SignedStore {
	store, err := cookiestore.Signed(keys...)
	require.NoError(t, err)
	return store
}

func TestSealedStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New:        func(t *testing.T) stores.Store { return cookiestore.Sealed() },
		ClientRoom: storetest.MinClientRoom,
		Synctest:   true,
	})
}

func TestSignedStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New:        func(t *testing.T) stores.Store { return newSigned(t, encrypt.GenerateKey(), encrypt.GenerateKey()) },
		ClientRoom: storetest.MinClientRoom,
		Synctest:   true,
	})
}

func TestDescribe(t *testing.T) {
	require.Equal(t, stores.Info{Name: "cookie", Sealing: stores.SealAlways, NoIO: true}, stores.Describe(cookiestore.Sealed()))
	require.Equal(t, stores.Info{Name: "signed cookie", Sealing: stores.SealNever, NoIO: true}, stores.Describe(newSigned(t, encrypt.GenerateKey())))
}

func newToken(cookie string) stores.Token {
	id := stores.NewID()
	return stores.Token{ID: id, Binding: id.AppendSecret([]byte("application, " + cookie + ", "))}
}

func record(data string) stores.Record {
	return stores.Record{Data: []byte(data), Expires: time.Now().Add(time.Hour), Room: 4000}
}

func save(t *testing.T, store stores.Store, tok stores.Token, data string) stores.Token {
	saved, rev, err := store.Save(t.Context(), tok, record(data))
	require.NoError(t, err)
	require.Empty(t, rev)
	return saved
}

// The payload of a sealed record is its base64, once.
func TestSealedPayload(t *testing.T) {
	tok := save(t, cookiestore.Sealed(), newToken("session"), "sealed bytes")
	require.Equal(t, base64.RawURLEncoding.EncodeToString([]byte("sealed bytes")), tok.Payload)
}

func TestSealedRefusesNoData(t *testing.T) {
	tok, _, err := cookiestore.Sealed().Save(t.Context(), newToken("session"), record(""))
	require.ErrorIs(t, err, stores.ErrInvalidRecord)
	require.Empty(t, tok.Payload)
}

func TestTooLarge(t *testing.T) {
	for name, c := range map[string]struct {
		store stores.Store
		data  int
		fits  int // characters
	}{
		"sealed": {cookiestore.Sealed(), 300, 400},
		"signed": {newSigned(t, encrypt.GenerateKey()), 300, 592},
	} {
		t.Run(name, func(t *testing.T) {
			rec := record(strings.Repeat("x", c.data))
			for _, room := range []int{c.fits + 1, c.fits} {
				rec.Room = room
				tok, _, err := c.store.Save(t.Context(), newToken("session"), rec)
				require.NoError(t, err)
				require.Len(t, tok.Payload, c.fits)
			}
			for _, room := range []int{c.fits - 1, 1, 0, -1} {
				rec.Room = room
				tok, _, err := c.store.Save(t.Context(), newToken("session"), rec)
				require.ErrorIs(t, err, stores.ErrTooLarge)
				require.ErrorContains(t, err, fmt.Sprintf("takes %d characters, the cookie has room for %d;", c.fits, room))
				require.Empty(t, tok.Payload)
			}
		})
	}
}

func TestSignedIsReadable(t *testing.T) {
	tok := save(t, newSigned(t, encrypt.GenerateKey()), newToken("session"), `{"theme":"dark"}`)
	outer, err := tok.DecodePayload()
	require.NoError(t, err)
	inner := strings.Split(string(outer), "|")[1]
	data, err := base64.URLEncoding.DecodeString(inner)
	require.NoError(t, err)
	require.Equal(t, `{"theme":"dark"}`, string(data))
}

func TestSignedRotation(t *testing.T) {
	old, current := encrypt.GenerateKey(), encrypt.GenerateKey()
	tok := save(t, newSigned(t, old), newToken("session"), "data")

	both := newSigned(t, current, old)
	rec, err := both.Load(t.Context(), tok)
	require.NoError(t, err)
	require.Equal(t, "data", string(rec.Data))
	require.True(t, rec.Stale, "a record under a retired key must be signed afresh")

	fresh := save(t, both, tok, "data")
	rec, err = newSigned(t, current).Load(t.Context(), fresh)
	require.NoError(t, err)
	require.False(t, rec.Stale)

	// A key that was taken out of the list verifies nothing any more.
	_, err = newSigned(t, current).Load(t.Context(), tok)
	require.ErrorIs(t, err, stores.ErrTampered)
	// Nor does a key of this list sign for another.
	_, err = newSigned(t, old).Load(t.Context(), fresh)
	require.ErrorIs(t, err, stores.ErrTampered)
}

func TestSignedBinding(t *testing.T) {
	store := newSigned(t, encrypt.GenerateKey())
	tok := save(t, store, newToken("session"), "data")
	for name, binding := range map[string][]byte{
		"another session":  newToken("session").Binding,
		"another cookie":   tok.ID.AppendSecret([]byte("application, other, ")),
		"one byte more":    append(append([]byte(nil), tok.Binding...), 0),
		"one byte less":    tok.Binding[1:],
		"a separator more": append(append([]byte(nil), tok.Binding...), '|'),
		"none":             nil,
	} {
		moved := tok
		moved.Binding = binding
		_, err := store.Load(t.Context(), moved)
		require.ErrorIs(t, err, stores.ErrTampered, name)
	}

	tok.Binding = nil
	got, _, err := store.Save(t.Context(), tok, record("data"))
	require.ErrorContains(t, err, "Binding")
	require.Empty(t, got.Payload)
}

// Two bindings must not meet where securecookie joins name, date and value.
func TestSignedBindingWithSeparators(t *testing.T) {
	store := newSigned(t, encrypt.GenerateKey())
	tok := newToken("session")
	tok.Binding = []byte("a|1|b")
	tok = save(t, store, tok, "data")
	_, err := store.Load(t.Context(), tok)
	require.NoError(t, err)
	for _, binding := range []string{"a", "a|1", "a|1|", "1|b", "b"} {
		tok.Binding = []byte(binding)
		_, err := store.Load(t.Context(), tok)
		require.ErrorIs(t, err, stores.ErrTampered)
	}
}

// The manager enforces the deadlines in the record. securecookie's own limit of
// 30 days would end sessions that have not ended.
func TestSignedHasNoAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSigned(t, encrypt.GenerateKey())
		tok := save(t, store, newToken("session"), "data")
		time.Sleep(2 * 365 * 24 * time.Hour)
		rec, err := store.Load(t.Context(), tok)
		require.NoError(t, err)
		require.Equal(t, "data", string(rec.Data))
		require.Zero(t, rec.Expires)
	})
}

// securecookie refuses more than 4096 characters by default; Room is the limit.
func TestSignedHasNoLength(t *testing.T) {
	store := newSigned(t, encrypt.GenerateKey())
	rec := record(strings.Repeat("x", 10_000))
	rec.Room = 20_000
	tok, _, err := store.Save(t.Context(), newToken("session"), rec)
	require.NoError(t, err)
	got, err := store.Load(t.Context(), tok)
	require.NoError(t, err)
	require.Equal(t, rec.Data, got.Data)
}

func TestSignedErrors(t *testing.T) {
	store := newSigned(t, encrypt.GenerateKey())
	tok := save(t, store, newToken("session"), "data")
	for payload, want := range map[string]error{
		"":                                       stores.ErrNotFound,
		"A":                                      stores.ErrMalformed,
		"AB":                                     stores.ErrMalformed, // unused bits
		tok.Payload + "=":                        stores.ErrMalformed,
		tok.Payload[:8] + "\n" + tok.Payload[8:]: stores.ErrMalformed,
		"AAAA":                                   stores.ErrTampered,
		base64.RawURLEncoding.EncodeToString([]byte("|||")): stores.ErrTampered,
	} {
		tok.Payload = payload
		rec, err := store.Load(t.Context(), tok)
		require.ErrorIs(t, err, want, payload)
		require.Equal(t, stores.Record{}, rec)
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

	var zero cookiestore.SignedStore
	_, _, err := zero.Save(t.Context(), newToken("session"), record("data"))
	require.Error(t, err)
	_, err = zero.Load(t.Context(), save(t, newSigned(t, key), newToken("session"), "data"))
	require.ErrorIs(t, err, stores.ErrTampered)
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
		for _, v := range []any{store, *store, hidden} {
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
