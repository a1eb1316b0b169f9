package authx

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/interop/itsdangerous"
)

func TestVectors(t *testing.T) {
	for _, v := range interoptest.Read(t).Named(t, "itsdangerous.URLSafeTimedSerializer") {
		c, err := NewCookie("another secret", v.SecretKey)
		require.NoError(t, err)
		id, at, err := c.SessionID(v.Value, 0)
		require.NoError(t, err)
		require.Equal(t, v.Payload["sid"], id)
		require.Equal(t, int64(1795267797), at.Unix())
		_, _, err = c.SessionID(v.Value, time.Nanosecond)
		require.ErrorIs(t, err, ErrCookie)
		_, _, err = c.SessionID(v.Value[:len(v.Value)-1], 0)
		require.ErrorIs(t, err, ErrCookie)
	}
}

func TestNoID(t *testing.T) {
	s, err := itsdangerous.NewURLSafeTimedSerializer("secret")
	require.NoError(t, err)
	c, err := NewCookie("secret")
	require.NoError(t, err)
	for _, payload := range []string{`{}`, `{"sid": ""}`, `{"sid": 1}`, `[]`, `null`, `x`, ``} {
		_, _, err := c.SessionID(s.Sign([]byte(payload)), 0)
		require.ErrorIs(t, err, ErrCookie, payload)
	}
	_, err = NewCookie("")
	require.Error(t, err)
}

func FuzzSessionID(f *testing.F) {
	s, err := itsdangerous.NewURLSafeTimedSerializer("secret")
	require.NoError(f, err)
	c, err := NewCookie("secret")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, value string, payload []byte) {
		if _, _, err := c.SessionID(value, 0); err == nil {
			t.Fatalf("%q was not signed", value)
		}
		id, at, err := c.SessionID(s.SignAt(payload, time.Unix(1, 0)), 0)
		if err != nil {
			require.ErrorIs(t, err, ErrCookie)
			require.Empty(t, id)
			return
		}
		require.NotEmpty(t, id)
		require.EqualValues(t, 1, at.Unix())
	})
}

func TestCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzSessionID")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}

func ExampleCookie_SessionID() {
	c, err := NewCookie("secret-ü-4dca182530bb1d6d")
	if err != nil {
		panic(err)
	}
	id, at, err := c.SessionID("eyJzaWQiOiIxMzJjZGVkNi0yMzdiLTRlZDktOWUzZi03MjFmY2IxOTcxMTcifQ.awGc1Q.fgjNL7oJpfmLSRy6SQLNINCJJso", 0)
	fmt.Println(id, at, err)
	// Output: 132cded6-237b-4ed9-9e3f-721fcb197117 2026-11-21 13:29:57 +0000 UTC <nil>
}
