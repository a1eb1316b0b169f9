package record_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/formattest"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/token"
)

// The examples of docs/format.md, of an ID and of what stands under the one before it.
func TestDocumentedStub(t *testing.T) {
	tok, _, err := token.Parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")
	require.NoError(t, err)
	require.Equal(t, tok.Value(nil)+"    in the cookie\n"+tok.ID.Key().Name()+"    on the server\n", formattest.Text(t, "An ID and its key"))

	stub := record.Stub{At: time.UnixMilli(1772366402123), To: tok.ID.Key()}
	require.Equal(t, formattest.Bytes(t, "Stubs"), stub.Data())
	found, ok := record.ParseStub(formattest.Bytes(t, "Stubs"))
	require.True(t, ok)
	require.Equal(t, stub, found)
}
