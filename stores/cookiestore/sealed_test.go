package cookiestore_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

func TestSealedPlace(t *testing.T) {
	store := cookiestore.Sealed()
	require.Equal(t, stores.Place{Name: "cookie", Cookie: store.Place().Cookie}, store.Place())
	require.NotNil(t, store.Place().Cookie)
}

// The payload of a sealed record is its base64, once, and has one spelling.
func TestSealed(t *testing.T) {
	codec := cookiestore.Sealed().Place().Cookie
	data := []byte("sealed bytes")
	payload := encode(t, codec, "sealed bytes", nil)
	require.Equal(t, base64.RawURLEncoding.EncodeToString(data), payload)

	got, stale, err := codec.Decode(payload, binding("any"))
	require.NoError(t, err)
	require.Equal(t, data, got)
	require.False(t, stale)

	for _, text := range []string{"", "A", "AB", payload + "=", payload + "\n", payload[:8] + "\r\n" + payload[8:], payload + "."} {
		got, _, err := codec.Decode(text, nil)
		require.ErrorIs(t, err, stores.ErrMalformed, "%q", text)
		require.Nil(t, got)
	}
}

func TestSealedRefusesNoData(t *testing.T) {
	payload, err := cookiestore.Sealed().Place().Cookie.Encode(nil, nil)
	require.ErrorIs(t, err, stores.ErrInvalidRecord)
	require.Empty(t, payload)
}

// What was handed out is the caller's.
func TestSealedKeepsNothing(t *testing.T) {
	codec := cookiestore.Sealed().Place().Cookie
	data := bytes.Repeat([]byte("x"), 100)
	payload := encode(t, codec, string(data), nil)
	first, _, err := codec.Decode(payload, nil)
	require.NoError(t, err)
	clear(first)
	second, _, err := codec.Decode(payload, nil)
	require.NoError(t, err)
	require.Equal(t, data, second)
}
