package memstore_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

func newRevocations(t testing.TB, opts ...memstore.Option) *memstore.Revocations {
	t.Helper()
	list, err := memstore.NewRevocations(opts...)
	require.NoError(t, err)
	return list
}

func TestRevocations(t *testing.T) {
	storetest.RunRevocations(t, storetest.RevocationConfig{
		New:      func(t *testing.T) stores.RevocationList { return newRevocations(t) },
		Small:    func(t *testing.T) stores.RevocationList { return newRevocations(t, memstore.WithMaxRevocations(1000)) },
		Synctest: true,
	})
}

func TestRevocationOptions(t *testing.T) {
	for name, opt := range map[string]memstore.Option{
		"nil": nil, "no room": memstore.WithMaxRevocations(0), "sessions": memstore.WithMaxSessions(1), "records": memstore.WithMaxRecordSize(1024),
	} {
		_, err := memstore.NewRevocations(opt)
		require.Error(t, err, name)
	}
	_, err := memstore.New(memstore.WithMaxRevocations(1))
	require.ErrorContains(t, err, "NewRevocations")
}

// What is over goes by itself, and a full list has room again.
func TestRevocationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := newRevocations(t, memstore.WithMaxRevocations(1000))
		add := func(i int) error {
			_, err := list.Swap(t.Context(), "", stores.Revocation{Key: numbered(i), Value: "x", Until: time.Now().Add(time.Hour)})
			return err
		}
		for i := range 1000 {
			require.NoError(t, add(i))
		}
		require.ErrorIs(t, add(1000), stores.ErrFull)
		time.Sleep(time.Hour)
		require.NoError(t, add(1000))
		require.Equal(t, 1, list.Len())

		// One key that is written again and again takes no more room either.
		old := ""
		for i := range 100_000 {
			value := fmt.Sprint(i)
			now, err := list.Swap(t.Context(), old, stores.Revocation{Key: numbered(0), Value: value, Until: time.Now().Add(time.Hour)})
			require.NoError(t, err)
			require.Equal(t, value, now)
			old = now
		}
		page, err := list.Since(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, page.Entries, 2)
		require.False(t, page.More)
		_, err = list.Since(t.Context(), "garbage")
		require.ErrorIs(t, err, stores.ErrUnavailable)
	})
}

func numbered(i int) stores.Key {
	var hash [24]byte
	copy(hash[:], fmt.Sprintf("%024d", i))
	return stores.NewKey(hash)
}
