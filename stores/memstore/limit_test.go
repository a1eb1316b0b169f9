package memstore_test

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestInvalidLimits(t *testing.T) {
	for _, n := range []int{0, -1, 1 << 40} {
		_, err := memstore.New(memstore.WithMaxSessions(n))
		require.ErrorContains(t, err, fmt.Sprintf("WithMaxSessions(%d)", n))
	}
	for _, n := range []int{0, -1, 1023} {
		_, err := memstore.New(memstore.WithMaxRecordSize(n))
		require.ErrorContains(t, err, fmt.Sprintf("WithMaxRecordSize(%d)", n))
	}
	_, err := memstore.New(nil)
	require.ErrorContains(t, err, "Option is nil")
}

func refused(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, stores.ErrFull)
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.ErrorContains(t, err, "WithMaxSessions")
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 200
		store := newStore(t, memstore.WithMaxSessions(limit))
		live := newKeys(limit)
		for i, key := range live {
			save(t, store, key, time.Hour+time.Duration(i)*time.Second)
		}
		full := func() {
			t.Helper()
			_, err := store.Save(t.Context(), newKey(), record(time.Hour))
			refused(t, err)
			require.Equal(t, limit, store.Len())
		}
		full()

		// No live session was dropped for the refused one, and all can be
		// written and touched.
		for _, key := range live {
			rec, err := store.Load(t.Context(), key, stores.Fresh)
			require.NoError(t, err)
			rec.Data = []byte("changed, and longer than before")
			rev, err := store.Save(t.Context(), key, rec)
			require.NoError(t, err)
			_, err = store.Touch(t.Context(), key, rev, rec.Expires)
			require.NoError(t, err)
		}
		_, err := store.Save(t.Context(), live[0], record(time.Hour))
		require.ErrorIs(t, err, stores.ErrConflict)

		// A session that has ended gives its place to one new one, when the
		// stub is over.
		rec, err := store.Load(t.Context(), live[0], stores.Fresh)
		require.NoError(t, err)
		_, err = store.Save(t.Context(), live[0], stores.Record{Data: []byte("e"), Expires: time.Now().Add(10 * time.Minute), Revision: rec.Revision})
		require.NoError(t, err)
		full()
		time.Sleep(10 * time.Minute)
		save(t, store, newKey(), 24*time.Hour)
		full()

		// So does an expired one, in whatever shard it lies.
		time.Sleep(50*time.Minute + time.Second + time.Millisecond) // the session 1 ends, 2 lives
		save(t, store, newKey(), 24*time.Hour)
		full()
		_, err = store.Load(t.Context(), live[2], stores.Fresh)
		require.NoError(t, err)

		// And all together.
		time.Sleep(limit * time.Second)
		for range limit - 2 {
			save(t, store, newKey(), 24*time.Hour)
		}
		full()
	})
}

// Touched sessions outlive the time that their shard remembers.
func TestLimitAfterTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, memstore.WithMaxSessions(1))
		key := newKey()
		rev := save(t, store, key, time.Minute)
		_, err := store.Touch(t.Context(), key, rev, time.Now().Add(time.Hour))
		require.NoError(t, err)

		time.Sleep(30 * time.Minute)
		_, err = store.Save(t.Context(), newKey(), record(time.Hour))
		require.ErrorIs(t, err, stores.ErrFull)
		_, err = store.Load(t.Context(), key, stores.Fresh)
		require.NoError(t, err)

		time.Sleep(31 * time.Minute)
		save(t, store, newKey(), time.Hour)
	})
}

// In a full store a visitor can log in, which is a new ID and a stub over the old
// record, while newcomers are refused. The stubs of ten minutes are what the
// reserve has to hold.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, spare = 800, 100
		store := newStore(t, memstore.WithMaxSessions(limit))
		visitors := newKeys(limit)
		for _, key := range visitors {
			save(t, store, key, 24*time.Hour)
		}
		continued := record(24 * time.Hour)
		continued.Continues = true
		login := func(key stores.Key) (stores.Key, error) {
			rec, err := store.Load(t.Context(), key, stores.Fresh)
			require.NoError(t, err)
			fresh := newKey()
			if _, err = store.Save(t.Context(), fresh, continued); err != nil {
				return key, err
			}
			moved := record(10 * time.Minute)
			moved.Revision = rec.Revision
			_, err = store.Save(t.Context(), key, moved)
			require.NoError(t, err)
			return fresh, nil
		}
		for range 5 { // what a round has used is there again in the next
			for i := range spare {
				fresh, err := login(visitors[i])
				require.NoError(t, err)
				visitors[i] = fresh
				_, err = store.Save(t.Context(), newKey(), record(time.Hour))
				refused(t, err)
			}
			require.Equal(t, limit+spare, store.Len())

			// The reserve has an end; ends have none.
			_, err := login(visitors[spare])
			refused(t, err)
			refused(t, store.Put(t.Context(), newKey(), record(time.Minute)))
			require.NoError(t, store.Put(t.Context(), visitors[spare], record(24*time.Hour)))
			require.Equal(t, limit+spare, store.Len())
			time.Sleep(10 * time.Minute)
		}

		// The first newcomer after the stubs finds no room either: the visitors
		// take it all. When some of them have ended, he does, however much of
		// the reserve is to be freed first.
		_, err := store.Save(t.Context(), newKey(), record(time.Hour))
		refused(t, err)
		for i := range spare {
			_, err := login(visitors[i])
			require.NoError(t, err)
		}
		require.NoError(t, store.Put(t.Context(), visitors[spare], record(time.Minute)))
		time.Sleep(10 * time.Minute)
		require.Equal(t, limit+spare, store.Len())
		save(t, store, newKey(), time.Hour)
		require.Equal(t, limit, store.Len())
	})
}

// The smallest store has a reserve too.
func TestReserveOfOne(t *testing.T) {
	store := newStore(t, memstore.WithMaxSessions(1))
	save(t, store, newKey(), time.Hour)
	rec := record(time.Hour)
	rec.Continues = true
	_, err := store.Save(t.Context(), newKey(), rec)
	require.NoError(t, err)
	_, err = store.Save(t.Context(), newKey(), rec)
	refused(t, err)
}

// A new ID that is given up is ended by a Put, which may find nothing there.
func TestReserveForPut(t *testing.T) {
	store := newStore(t, memstore.WithMaxSessions(1))
	save(t, store, newKey(), time.Hour)
	require.NoError(t, store.Put(t.Context(), newKey(), record(time.Minute)))
	refused(t, store.Put(t.Context(), newKey(), record(time.Minute)))
}

func TestTooLarge(t *testing.T) {
	for name, c := range map[string]struct {
		opts []memstore.Option
		most int
	}{
		"by default": {nil, 1 << 20},
		"chosen":     {[]memstore.Option{memstore.WithMaxRecordSize(1024)}, 1024},
	} {
		t.Run(name, func(t *testing.T) {
			store, key := newStore(t, c.opts...), newKey()
			rec := record(time.Hour)
			rec.Data = bytes.Repeat([]byte("x"), c.most+1)
			check := func(err error) {
				t.Helper()
				require.ErrorIs(t, err, stores.ErrTooLarge)
				require.ErrorContains(t, err, fmt.Sprintf("%d bytes where %d are the limit", c.most+1, c.most))
				require.ErrorContains(t, err, "WithMaxRecordSize")
				require.NotErrorIs(t, err, stores.ErrUnavailable)
			}
			_, err := store.Save(t.Context(), key, rec)
			check(err)
			check(store.Put(t.Context(), key, rec))
			require.Zero(t, store.Len())
			e := stores.Entry{Key: key, Data: rec.Data, Expires: rec.Expires}
			_, err = store.AddEntry(t.Context(), key, e)
			check(err)

			fits := rec
			fits.Data, e.Data = rec.Data[1:], rec.Data[1:]
			rec.Revision, err = store.Save(t.Context(), key, fits)
			require.NoError(t, err)
			_, err = store.AddEntry(t.Context(), key, e)
			require.NoError(t, err)
			_, err = store.Save(t.Context(), key, rec)
			check(err)
			got, err := store.Load(t.Context(), key, stores.Fresh)
			require.NoError(t, err)
			require.Equal(t, fits.Data, got.Data, "what did not fit was written")
		})
	}
}
