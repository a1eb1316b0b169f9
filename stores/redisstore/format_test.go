package redisstore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/formattest"
	"github.com/bulla-go/bulla/stores"
)

func TestDocumentedValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // long before it expires
		value := formattest.Bytes(t, "Redis")
		rec, err := parse(value, "name")
		require.NoError(t, err)
		require.Equal(t, stores.Record{Data: []byte("ab"), Expires: time.UnixMilli(1774958400123), Revision: stores.Revision(value[:16])}, rec)
	})
}
