package owners

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/formattest"
	"github.com/bulla-go/bulla/stores"
)

func TestDocumentedOwnership(t *testing.T) {
	key, err := stores.ParseKey("UNEDRCXrl9M3Eg6rPeqqEx6GZeSr7Wjw")
	require.NoError(t, err)
	w := Ownership{User: "user-7", filed: "5f3a0c91", number: 1772366402123456, epoch: 2, external: External{"https://op.example", "s-1"}, replaced: []replaced{{key, 1772366402}}}
	text := strings.TrimSuffix(strings.Replace(formattest.Text(t, "The owner field"), "·", "\x00", 1), "\n")
	require.Equal(t, text, w.String())
	found, ok := ParseOwnership(text)
	require.True(t, ok)
	require.Equal(t, w, found)
}
