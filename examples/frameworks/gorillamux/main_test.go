package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/examples/frameworks/internal/drive"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestGorillaMux(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	drive.Run(t, store, newHandler)
}
