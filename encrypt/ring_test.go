package encrypt_test

import (
	"bytes"
	"crypto/fips140"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/stretchr/testify/require"
)

var (
	plain   = []byte("what is sealed")
	binding = []byte("what it belongs to")
)

func seal(t testing.TB, e encrypt.Encryptor) []byte {
	t.Helper()
	sealed, err := e.Encrypt(nil, plain, binding)
	require.NoError(t, err)
	return sealed
}

func requireOpens(t testing.TB, e encrypt.Encryptor, sealed []byte) {
	t.Helper()
	got, err := e.Decrypt(nil, sealed, binding)
	require.NoError(t, err)
	require.Equal(t, plain, got)
}

// A bad key in a list is never skipped, wherever it stands.
func TestConstructorsRefuseBadLists(t *testing.T) {
	a, b := mustKey(t, keyBytes(1)), mustKey(t, keyBytes(2))
	again := mustKey(t, keyBytes(1)) // equal to a, another pointer
	for name, newRing := range algorithms {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				name string
				keys []encrypt.Key
				text string
			}{
				{"no keys", nil, "no keys"},
				{"zero", []encrypt.Key{{}}, "key 1 "},
				{"zero first", []encrypt.Key{{}, a}, "key 1 "},
				{"zero last", []encrypt.Key{a, b, {}}, "key 3 "},
				{"the same twice", []encrypt.Key{b, a, again}, "key 3 for " + name + " is key 2 again"},
			} {
				t.Run(test.name, func(t *testing.T) {
					ring, err := newRing(test.keys...)
					require.ErrorIs(t, err, encrypt.ErrInvalidKey)
					require.ErrorContains(t, err, test.text)
					require.Nil(t, ring)
				})
			}
		})
	}
}

func TestRotation(t *testing.T) {
	older, newer := encrypt.GenerateKey(), encrypt.GenerateKey()
	for name, newRing := range algorithms {
		t.Run(name, func(t *testing.T) {
			before := mustRing(t, newRing, older)
			rotated := mustRing(t, newRing, newer, older)
			after := mustRing(t, newRing, newer)

			sealed := seal(t, before)
			require.False(t, before.Retired(sealed))
			requireOpens(t, rotated, sealed)
			require.True(t, rotated.Retired(sealed))

			bound, err := rotated.Bind(binding)
			require.NoError(t, err)
			opened, err := bound.Open(bytes.Clone(sealed))
			require.NoError(t, err)
			require.Equal(t, plain, opened)

			_, err = after.Decrypt(nil, sealed, binding)
			require.ErrorIs(t, err, encrypt.ErrUnknownKey)
			require.ErrorContains(t, err, older.ID())

			fresh := seal(t, rotated)
			require.False(t, rotated.Retired(fresh))
			requireOpens(t, after, fresh)
			fresh, err = bound.Seal(bytes.Clone(plain))
			require.NoError(t, err)
			requireOpens(t, after, fresh)
		})
	}
}

// One Bound opens what was sealed under any key of the ring, and seals under the
// first.
func TestBoundHasAllKeys(t *testing.T) {
	keys := []encrypt.Key{encrypt.GenerateKey(), encrypt.GenerateKey(), encrypt.GenerateKey(), encrypt.GenerateKey()}
	for name, newRing := range algorithms {
		bound, err := mustRing(t, newRing, keys...).Bind(binding)
		require.NoError(t, err)
		for range 2 { // the second time with the keys that were derived before
			for _, key := range keys {
				opened, err := bound.Open(seal(t, mustRing(t, newRing, key)))
				require.NoError(t, err, name)
				require.Equal(t, plain, opened)
			}
			sealed, err := bound.Seal(bytes.Clone(plain))
			require.NoError(t, err)
			requireOpens(t, mustRing(t, newRing, keys[0]), sealed)
		}
	}
}

// An operator can tell with errors.Is what happened.
func TestErrorsAreToldApart(t *testing.T) {
	for name, newRing := range algorithms {
		t.Run(name, func(t *testing.T) {
			ring := mustRing(t, newRing, encrypt.GenerateKey())
			sealed := seal(t, ring)
			change := func(i int) []byte {
				b := bytes.Clone(sealed)
				b[i] ^= 0x40
				return b
			}
			last := len(sealed) - 1
			all := []error{encrypt.ErrTampered, encrypt.ErrMalformed, encrypt.ErrUnknownKey, encrypt.ErrNoBinding, encrypt.ErrInvalidKey}
			for _, test := range []struct {
				name    string
				sealed  []byte
				binding []byte
				want    error
			}{
				{"nothing", nil, binding, encrypt.ErrMalformed},
				{"half a header", sealed[:3], binding, encrypt.ErrMalformed},
				{"a header alone", sealed[:6], binding, encrypt.ErrMalformed},
				{"too short", sealed[:20], binding, encrypt.ErrMalformed},
				{"another version", change(0), binding, encrypt.ErrMalformed},
				{"an unknown algorithm", change(1), binding, encrypt.ErrUnknownKey},
				{"another key ID", change(2), binding, encrypt.ErrUnknownKey},
				{"changed in the middle", change(last / 2), binding, encrypt.ErrTampered},
				{"changed at the end", change(last), binding, encrypt.ErrTampered},
				{"moved", sealed, []byte("elsewhere"), encrypt.ErrTampered},
				{"bound to nothing", sealed, nil, encrypt.ErrNoBinding},
			} {
				t.Run(test.name, func(t *testing.T) {
					_, err := ring.Decrypt(nil, test.sealed, test.binding)
					for _, sentinel := range all {
						if sentinel == test.want {
							require.ErrorIs(t, err, sentinel)
						} else {
							require.NotErrorIs(t, err, sentinel)
						}
					}
				})
			}
		})
	}
}

// A header that names another algorithm or key never makes the wrong one run:
// even with one key under all algorithms, bytes under a changed header are
// refused, since the header is part of what the key in use is derived from.
func TestHeaderOfAnotherAlgorithm(t *testing.T) {
	one, two := encrypt.GenerateKey(), encrypt.GenerateKey()
	var single, rings []*encrypt.Keyring
	for _, newRing := range algorithms {
		single = append(single, mustRing(t, newRing, one), mustRing(t, newRing, two))
		rings = append(rings, mustRing(t, newRing, one, two))
	}
	joined, err := encrypt.NewKeyring(rings...)
	require.NoError(t, err)

	for i, from := range single {
		sealed := seal(t, from)
		requireOpens(t, joined, sealed)
		for j, to := range single {
			if i == j {
				continue
			}
			forged := append(seal(t, to)[:6], sealed[6:]...)
			_, err := joined.Decrypt(nil, forged, binding)
			require.True(t, errors.Is(err, encrypt.ErrTampered) || errors.Is(err, encrypt.ErrMalformed), "got %v", err)
			_, err = from.Decrypt(nil, forged, binding)
			require.ErrorIs(t, err, encrypt.ErrUnknownKey)
		}
	}
}

func TestNewKeyring(t *testing.T) {
	older, newer := encrypt.GenerateKey(), encrypt.GenerateKey()
	cbc := mustRing(t, encrypt.NewAESCBCHMAC, older)
	gcm := mustRing(t, encrypt.NewAESGCM, newer)
	joined, err := encrypt.NewKeyring(gcm, cbc)
	require.NoError(t, err)

	sealed := seal(t, cbc)
	requireOpens(t, joined, sealed)
	require.True(t, joined.Retired(sealed))
	requireOpens(t, gcm, seal(t, joined))
	require.False(t, joined.Retired(seal(t, joined)))

	// Joined rings join again, and the parts stay as they were.
	again, err := encrypt.NewKeyring(mustRing(t, encrypt.NewXChaCha20Poly1305, newer), joined)
	require.NoError(t, err)
	requireOpens(t, again, sealed)
	_, err = gcm.Decrypt(nil, sealed, binding)
	require.ErrorIs(t, err, encrypt.ErrUnknownKey)

	// One key under two algorithms is two keys in use.
	_, err = encrypt.NewKeyring(gcm, mustRing(t, encrypt.NewAESCBCHMAC, newer))
	require.NoError(t, err)
}

func TestNewKeyringRefuses(t *testing.T) {
	key := encrypt.GenerateKey()
	gcm := mustRing(t, encrypt.NewAESGCM, key)
	for _, test := range []struct {
		name  string
		rings []*encrypt.Keyring
		text  string
	}{
		{"no rings", nil, "no rings"},
		{"nil", []*encrypt.Keyring{gcm, nil}, "ring 2 "},
		{"zero", []*encrypt.Keyring{{}, gcm}, "ring 1 "},
		{"the same ring twice", []*encrypt.Keyring{gcm, gcm}, "key 1 of ring 2"},
		{"the same key twice", []*encrypt.Keyring{gcm, mustRing(t, encrypt.NewAESGCM, encrypt.GenerateKey(), key)}, "key 2 of ring 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ring, err := encrypt.NewKeyring(test.rings...)
			require.ErrorIs(t, err, encrypt.ErrInvalidKey)
			require.ErrorContains(t, err, test.text)
			require.Nil(t, ring)
		})
	}
}

// Who ignores a constructor's error gets errors in requests, not panics.
func TestZeroKeyring(t *testing.T) {
	for _, ring := range []*encrypt.Keyring{nil, {}} {
		_, err := ring.Encrypt(nil, plain, binding)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
		_, err = ring.Decrypt(nil, make([]byte, 64), binding)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
		_, err = ring.Bind(binding)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
		require.False(t, ring.Retired(nil))
	}
}

func TestRetiredOfGarbage(t *testing.T) {
	ring := mustRing(t, encrypt.NewAESGCM, encrypt.GenerateKey())
	for _, b := range [][]byte{nil, {1}, {1, 1, 0, 0, 0}, make([]byte, 100)} {
		require.True(t, ring.Retired(b))
	}
}

// dst grows once: what has room is used, what has none is allocated in one go.
func TestGrowsOnce(t *testing.T) {
	for name, newRing := range algorithms {
		t.Run(name, func(t *testing.T) {
			ring := mustRing(t, newRing, encrypt.GenerateKey())
			dst := make([]byte, 3, 4096)
			sealed, err := ring.Encrypt(dst, plain, binding)
			require.NoError(t, err)
			require.Same(t, &dst[0], &sealed[0])
			buf := make([]byte, 3, 4096)
			opened, err := ring.Decrypt(buf, sealed[3:], binding)
			require.NoError(t, err)
			require.Same(t, &buf[0], &opened[0])
		})
	}
}

// What is not approved is refused by the constructor, and the rest works. The test
// runs itself in that mode.
func TestRingsInFIPS140OnlyMode(t *testing.T) {
	if !fips140.Enforced() {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	_, err := encrypt.NewXChaCha20Poly1305(encrypt.GenerateKey())
	require.ErrorContains(t, err, "XChaCha20-Poly1305 can't be used here")
	for _, newRing := range []constructor{encrypt.NewAESGCM, encrypt.NewAESCBCHMAC} {
		ring := mustRing(t, newRing, encrypt.GenerateKey())
		requireOpens(t, ring, seal(t, ring))
		bound, err := ring.Bind(binding)
		require.NoError(t, err)
		opened, err := bound.Open(seal(t, ring))
		require.NoError(t, err)
		require.Equal(t, plain, opened)
	}
}
