package token_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions/internal/token"
)

func newSigner(t testing.TB, audience, name string, keys ...encrypt.Key) *token.Signer {
	s, err := token.NewSigner(audience, name, keys)
	require.NoError(t, err)
	return s
}

func TestSigner(t *testing.T) {
	key, other := encrypt.GenerateKey(), encrypt.GenerateKey()
	s := newSigner(t, "shop", "session", key)
	id := token.NewID()
	mac := s.Sign(id)
	require.Len(t, mac, token.MACSize)
	ok, retired := s.Verify(id, mac)
	require.True(t, ok)
	require.False(t, retired)

	// It goes out with the ID and comes back.
	tok, back, err := token.Parse(token.Token{ID: id}.Value(mac))
	require.NoError(t, err)
	ok, _ = s.Verify(tok.ID, back)
	require.True(t, ok)

	ok, _ = s.Verify(token.NewID(), mac)
	require.False(t, ok, "of another ID")
	for i := range mac {
		changed := bytes.Clone(mac)
		changed[i] ^= 1
		ok, _ = s.Verify(id, changed)
		require.False(t, ok, "byte %d", i)
	}
	for _, short := range [][]byte{nil, {}, mac[:1], mac[:15], append(bytes.Clone(mac), 0)} {
		ok, _ = s.Verify(id, short)
		require.False(t, ok, "%d bytes", len(short))
	}

	// A signed ID is worth nothing elsewhere.
	for what, elsewhere := range map[string]*token.Signer{
		"key":           newSigner(t, "shop", "session", other),
		"audience":      newSigner(t, "admin", "session", key),
		"name":          newSigner(t, "shop", "other", key),
		"split earlier": newSigner(t, "sho", "psession", key),
		"split later":   newSigner(t, "shops", "ession", key),
		"swapped":       newSigner(t, "session", "shop", key),
	} {
		ok, _ = elsewhere.Verify(id, mac)
		require.False(t, ok, what)
	}

	// Keys rotate.
	both := newSigner(t, "shop", "session", other, key)
	ok, retired = both.Verify(id, mac)
	require.True(t, ok)
	require.True(t, retired)
	ok, retired = both.Verify(id, both.Sign(id))
	require.True(t, ok)
	require.False(t, retired)
	ok, _ = s.Verify(id, both.Sign(id))
	require.False(t, ok)

	_, err = token.NewSigner("", "", nil)
	require.Error(t, err)
	_, err = token.NewSigner("", "", []encrypt.Key{key, key})
	require.Error(t, err)
}
