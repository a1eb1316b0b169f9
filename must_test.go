package bulla_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestMust(t *testing.T) {
	require.NotNil(t, bulla.Must(middleware.New(bulla.Must(memstore.New()))))
	defer func() {
		err, _ := recover().(error)
		require.ErrorIs(t, err, sessions.ErrConfig, "a sealed cookie without an encryptor")
	}()
	bulla.Must(middleware.New(cookiestore.Sealed()))
}
