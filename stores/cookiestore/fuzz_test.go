package cookiestore_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// fuzzKey is fixed, so that seeds can hold payloads that verify under it.
func fuzzKey(t testing.TB, first byte) encrypt.Key {
	b := make([]byte, 32)
	for i := range b {
		b[i] = first + byte(i)*7
	}
	key, err := encrypt.NewKey(b)
	require.NoError(t, err)
	return key
}

// FuzzSignedPayload gives any payload with any binding to Signed. Some seeds under
// testdata/fuzz verify, under the first key or the second.
func FuzzSignedPayload(f *testing.F) {
	first, second := fuzzKey(f, 1), fuzzKey(f, 2)
	store, err := cookiestore.Signed(first, second)
	require.NoError(f, err)
	again, err := cookiestore.Signed(second, first)
	require.NoError(f, err)
	other, err := cookiestore.Signed(fuzzKey(f, 3))
	require.NoError(f, err)

	f.Fuzz(func(t *testing.T, payload string, binding []byte) {
		tok := stores.Token{ID: stores.NewID(), Payload: payload, Binding: binding}
		rec, err := store.Load(t.Context(), tok)
		if err != nil {
			require.Zero(t, rec)
			require.True(t, errors.Is(err, stores.ErrNotFound) == (payload == ""), "got %v", err)
			require.True(t, payload == "" || errors.Is(err, stores.ErrMalformed) || errors.Is(err, stores.ErrTampered), "got %v", err)
			return
		}

		// One payload, and only for this binding, under these keys.
		require.Zero(t, rec.Revision)
		require.Zero(t, rec.Expires)
		same, err := again.Load(t.Context(), tok)
		require.NoError(t, err)
		require.Equal(t, rec.Data, same.Data)
		require.NotEqual(t, rec.Stale, same.Stale)
		_, err = other.Load(t.Context(), tok)
		require.ErrorIs(t, err, stores.ErrTampered)
		moved := tok
		moved.Binding = append([]byte("moved "), binding...)
		_, err = store.Load(t.Context(), moved)
		require.ErrorIs(t, err, stores.ErrTampered)
		for i := range len(payload) {
			changed := []byte(payload)
			changed[i] ^= 1
			moved.Binding, moved.Payload = binding, string(changed)
			_, err := store.Load(t.Context(), moved)
			require.Error(t, err, "character %d", i)
		}

		// What was read can be saved.
		rec.Expires, rec.Room = time.Now().Add(time.Hour), 1<<20
		saved, _, err := store.Save(t.Context(), tok, rec)
		require.NoError(t, err)
		back, err := store.Load(t.Context(), saved)
		require.NoError(t, err)
		require.Equal(t, rec.Data, back.Data)
		require.False(t, back.Stale)
	})
}

func TestFuzzCorpus(t *testing.T) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzSignedPayload")
	require.NoError(t, err)
	require.NotEmpty(t, seeds)
}
