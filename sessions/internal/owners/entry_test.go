package owners

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/swap"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)

func newOwners(t testing.TB, enc encrypt.Encryptor, audience string) *Owners {
	o, err := New(Config{
		Engine: &swap.Engine{Config: swap.Config{Sealer: record.NewSealer(enc, serialize.JSON, audience, "session")}},
		Keys:   []encrypt.Key{encrypt.GenerateKey()}, Audience: audience, Name: "session",
	})
	require.NoError(t, err)
	return o
}

func TestEntry(t *testing.T) {
	ring, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	full := content{
		Label: "phone", Created: began, Deadline: began.Add(time.Hour), LoggedIn: began.Add(time.Minute),
		replaced: []replaced{{testKey(1), began.Unix()}, {testKey(2), began.Unix() + 1}},
	}
	for name, enc := range map[string]encrypt.Encryptor{"sealed": ring, "plain": nil} {
		o := newOwners(t, enc, "shop")
		for _, want := range []content{full, {Created: began, Deadline: began}} {
			data, err := o.sealEntry(testKey(9), want)
			require.NoError(t, err)
			if enc != nil {
				require.NotContains(t, string(data), "phone")
			}
			got, err := o.openEntry(testKey(9), data)
			require.NoError(t, err, name)
			require.Equal(t, want, got)
		}
		_, err := o.openEntry(testKey(9), []byte("garbled"))
		require.ErrorIs(t, err, record.ErrUnreadable, name)
	}

	// It opens in no other owner's list, and in no other application's.
	o := newOwners(t, ring, "shop")
	data, err := o.sealEntry(testKey(9), full)
	require.NoError(t, err)
	_, err = o.openEntry(testKey(8), data)
	require.ErrorIs(t, err, record.ErrUnreadable)
	require.ErrorIs(t, err, encrypt.ErrTampered)
	_, err = newOwners(t, ring, "mail").openEntry(testKey(9), data)
	require.ErrorIs(t, err, encrypt.ErrTampered)
}

func TestEntryIs(t *testing.T) {
	e := One{content: content{replaced: []replaced{{testKey(1), 0}, {testKey(2), 0}}}}
	e.Key = testKey(3)
	for i := range byte(5) {
		require.Equal(t, i >= 1 && i <= 3, e.is(testKey(i)), i)
	}
}

// Whatever stands in a list that is not sealed, it is an entry or an error.
func FuzzOpenEntry(f *testing.F) {
	o := newOwners(f, nil, "shop")
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := o.openEntry(testKey(9), data)
		if err != nil {
			require.ErrorIs(t, err, record.ErrUnreadable)
			require.Zero(t, c)
			return
		}
		require.LessOrEqual(t, len(c.replaced), len(data)/replacedSize)
		again, err := o.sealEntry(testKey(9), c)
		require.NoError(t, err)
		same, err := o.openEntry(testKey(9), again)
		require.NoError(t, err)
		require.Equal(t, c, same)
	})
}
