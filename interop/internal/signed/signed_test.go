package signed

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/interop/itsdangerous"
	"github.com/bulla-go/bulla/stores"
)

func newCodec(t testing.TB, secrets ...string) Codec {
	signer, err := itsdangerous.NewTimestampSigner(secrets...)
	require.NoError(t, err)
	return Codec{signer}
}

// What is signed has one spelling.
func TestOneSpelling(t *testing.T) {
	c := newCodec(t, "secret")
	data, retired, err := c.Decode(c.Signer.Sign("e30="), nil)
	require.NoError(t, err)
	require.False(t, retired)
	require.Equal(t, "{}", string(data[TimeSize:]))
	for _, value := range []string{"", "=", "e30", "e30==", "e31=", "e30=\n", "e3\r\n0=", "e30.", "e3-_", " e30=", "é30="} {
		_, _, err := c.Decode(c.Signer.Sign(value), nil)
		require.ErrorIs(t, err, stores.ErrMalformed, "%q", value)
	}
	_, _, err = c.Decode("e30=", nil)
	require.ErrorIs(t, err, stores.ErrTampered)
	_, _, err = newCodec(t, "other").Decode(c.Signer.Sign("e30="), nil)
	require.ErrorIs(t, err, stores.ErrTampered)
	_, retired, err = newCodec(t, "newer", "secret").Decode(c.Signer.Sign("e30="), nil)
	require.NoError(t, err)
	require.True(t, retired)
}

// The other machine's clock may be a minute ahead; what it signs counts as signed now.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCodec(t, "secret")
		for ahead, want := range map[time.Duration]time.Duration{-400 * 24 * time.Hour: -400 * 24 * time.Hour, 0: 0, time.Second: 0, time.Minute: 0} {
			data, _, err := c.Decode(c.Signer.SignAt("e30=", time.Now().Add(ahead)), nil)
			require.NoError(t, err)
			at, rest, err := CutTime(data)
			require.NoError(t, err)
			require.Equal(t, time.Now().Add(want).UTC(), at)
			require.Equal(t, "{}", string(rest))
		}
		_, _, err := c.Decode(c.Signer.SignAt("e30=", time.Now().Add(time.Minute+time.Second)), nil)
		require.ErrorIs(t, err, stores.ErrTampered)
	})
}

func TestNoTime(t *testing.T) {
	for n := range TimeSize {
		_, _, err := CutTime(make([]byte, n))
		require.ErrorIs(t, err, stores.ErrMalformed)
		_, err = newCodec(t, "secret").Encode(make([]byte, n), nil)
		require.ErrorIs(t, err, stores.ErrMalformed)
	}
}
