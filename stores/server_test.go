package stores_test

import (
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

// A caller does something else for each error, so none may be another.
func TestErrorsExcludeEachOther(t *testing.T) {
	all := []error{
		stores.ErrNotFound, stores.ErrConflict, stores.ErrUnavailable, stores.ErrTooLarge,
		stores.ErrInvalidRecord, stores.ErrMalformed, stores.ErrTampered,
	}
	for i, err := range all {
		for j, other := range all {
			if i != j {
				require.NotErrorIs(t, err, other)
				require.NotEqual(t, err.Error(), other.Error())
			}
		}
	}
}
