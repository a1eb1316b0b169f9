package alone

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// A server whose records can't be retired is refused, and not left alone in silence.
func TestNewRefuses(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	r, err := New(store.Place(), time.Hour, time.Time{})
	require.ErrorIs(t, err, sessions.ErrConfig)
	require.ErrorContains(t, err, "Retire")
	require.Nil(t, r)
}
