package mac_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/mac"
)

func TestSignsWithTheFirstKeyAndVerifiesWithAll(t *testing.T) {
	a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
	old, err := mac.New("test", a)
	require.NoError(t, err)
	both, err := mac.New("test", b, a)
	require.NoError(t, err)
	other, err := mac.New("another", a)
	require.NoError(t, err)
	message := []byte("message")

	tag := old.Append([]byte("head"), message, 16)
	require.Equal(t, "head", string(tag[:4]))
	tag = tag[4:]
	require.Len(t, tag, 16)

	check := func(m *mac.Ring, message, tag []byte, wantOK, wantRetired bool) {
		t.Helper()
		ok, retired := m.Verify(message, tag)
		require.Equal(t, wantOK, ok)
		require.Equal(t, wantRetired, retired)
	}
	require.Equal(t, [][]byte{both.Append(nil, message, 16), tag}, both.All(message, 16))
	check(old, message, tag, true, false)
	check(both, message, tag, true, true)
	check(both, message, both.Append(nil, message, 16), true, false)
	check(old, message, both.Append(nil, message, 16), false, false)
	check(other, message, tag, false, false)
	check(old, []byte("messagf"), tag, false, false)
	check(old, message, tag[:15], false, false) // a short tag is a guess away
	check(old, message, nil, false, false)
	for i := range tag {
		changed := append([]byte(nil), tag...)
		changed[i] ^= 1
		check(old, message, changed, false, false)
	}
}

func TestNewRefusesBadKeys(t *testing.T) {
	k := encrypt.GenerateKey()
	for name, keys := range map[string][]encrypt.Key{
		"none":  nil,
		"zero":  {k, {}},
		"twice": {k, encrypt.GenerateKey(), k},
	} {
		_, err := mac.New("test", keys...)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey, name)
	}
	_, err := mac.New("", k)
	require.ErrorIs(t, err, encrypt.ErrInvalidKey)
}

func BenchmarkVerify(b *testing.B) {
	ring, err := mac.New("bench", encrypt.GenerateKey())
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 48)
	tag := ring.Append(nil, message, 16)
	b.ReportAllocs()
	for b.Loop() {
		if ok, _ := ring.Verify(message, tag); !ok {
			b.Fatal("it does not verify")
		}
	}
}
