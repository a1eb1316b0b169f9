package revoked

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/formattest"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// The examples of docs/format.md, read and written.
func TestDocumentedList(t *testing.T) {
	tok, _, err := token.Parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")
	require.NoError(t, err)

	value := string(formattest.Bytes(t, "A new ID in the list"))
	m := move{to: tok.ID.Key(), deadline: time.UnixMilli(1774958400123)}
	require.Equal(t, value, m.value(false))
	found, ok := parseMove(value)
	require.True(t, ok)
	require.Equal(t, m, found)
	m.ownerChanged = true
	require.Equal(t, "m!"+value[2:], m.value(true))
	require.Equal(t, "E", endedValue(false))
	require.Equal(t, "e", endedValue(true))

	e := Epochs{Everybody: 1772366402123, Groups: []Group{{tok.ID.Key(), 1772366404123}}}
	require.Equal(t, formattest.Bytes(t, "Epochs of a session"), e.Bytes())
	require.Equal(t, e, ParseEpochs(formattest.Bytes(t, "Epochs of a session")))

	raised := string(formattest.Bytes(t, "Redis: the list")[8:])
	n, born, ok := parseNumber(raised)
	require.True(t, ok)
	require.False(t, born)
	require.Equal(t, uint64(1772366404123), n)
	require.Equal(t, raised[:7], numberValue(kindRaised, n)[:7])
	_, born, ok = parseNumber("B" + raised[1:])
	require.True(t, ok && born)
	require.Len(t, numberValue(kindBorn, n), len(raised))

	// What a later version writes has ended.
	table := newTable()
	hash := [24]byte{7}
	table.add(stores.Revocation{Key: stores.NewKey(hash), Value: "?", Until: time.Now()}, 1)
	require.Equal(t, ended, table.find(&hash))
}
