package token_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

func TestForeignID(t *testing.T) {
	const text = "804ff84bb994e2764d537b2e40b3237c"
	id := token.ForeignID(text)
	require.True(t, id.Equal(token.ForeignID(text)))
	require.False(t, id.Equal(token.ForeignID(text[1:])))
	require.Equal(t, stores.ForeignKey(text), id.Key())
	require.Len(t, id.AppendSecret(nil), 24)
	require.Equal(t, text, token.Token{ID: id}.Value(nil))
	require.Equal(t, "payload", token.Token{ID: id, Payload: "payload"}.Value(nil))
	require.Equal(t, len(text), id.Chars())
	require.Equal(t, 100, token.ForeignID(fmt.Sprintf("%100d", 1)).Chars())
	for _, v := range []any{id, token.Token{ID: id}, struct{ id token.ID }{id}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			require.NotContains(t, fmt.Sprintf(verb, v), text)
		}
	}
}

// An ID of our own that another system is to know is 24 random bytes as ever.
func TestNewForeignID(t *testing.T) {
	id, other := token.NewForeignID(), token.NewForeignID()
	require.False(t, id.Equal(other))
	text := token.Token{ID: id}.Value(nil)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	require.NoError(t, err)
	require.Len(t, raw, 24)
	require.Equal(t, text, id.Key().Name())
}
