package stores_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

func TestCheckExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, expires := range []time.Time{{}, now, now.Add(-1), time.Unix(0, 0), now.Add(-24 * time.Hour).UTC()} {
			require.ErrorIs(t, stores.CheckExpires(stores.Record{Expires: expires}), stores.ErrInvalidRecord, expires)
		}
		for _, expires := range []time.Time{now.Add(1), now.UTC().Add(time.Hour), now.AddDate(400, 0, 0)} {
			require.NoError(t, stores.CheckExpires(stores.Record{Expires: expires}), expires)
		}
	})
}

type plainStore struct{}

func (plainStore) Load(context.Context, stores.Token) (stores.Record, error) {
	return stores.Record{}, stores.ErrNotFound
}

func (plainStore) Save(_ context.Context, tok stores.Token, _ stores.Record) (stores.Token, stores.Revision, error) {
	return tok, "", stores.ErrUnavailable
}

func (plainStore) Delete(context.Context, stores.Token, stores.Revision) error { return nil }

// A store that says nothing of itself is one outside the process, whose records
// need an encryptor.
func TestDescribeDefault(t *testing.T) {
	require.Equal(t, stores.Info{Name: "stores_test.plainStore", Sealing: stores.SealByDefault}, stores.Describe(plainStore{}))
}
