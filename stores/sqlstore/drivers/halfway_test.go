//go:build unix

package drivers_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/failtest"
	"github.com/bulla-go/bulla/middleware"
)

// What a handler that fails halfway leaves behind: nothing.
func TestHalfway(t *testing.T) {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	each(t, func(t *testing.T, db database) {
		failtest.Run(t, db.store(t), middleware.WithEncryptor(enc))
	})
}
