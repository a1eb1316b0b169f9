package encrypt

import (
	"bytes"
	"crypto/fips140"
	"encoding/hex"
	"math"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"
)

// Version 0x13 vectors of the reference implementation
// (github.com/P-H-C/phc-winner-argon2, src/test.c). Its salt is shorter than
// KeyFromPassphrase allows.
func TestArgon2idReferenceVector(t *testing.T) {
	got := argon2.IDKey([]byte("password"), []byte("somesalt"), 2, 64<<10, 1, 32)
	require.Equal(t, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7", hex.EncodeToString(got))
}

// What another implementation derives.
func TestKeyFromPassphrase(t *testing.T) {
	var file struct {
		Vectors []struct {
			Passphrase, Salt, Key string
			Passes                uint32
			MemoryKiB             uint32 `json:"memory_kib"`
			Threads               uint8
		}
	}
	readJSON(t, "testdata/argon2id.json", &file)
	require.NotEmpty(t, file.Vectors)
	for _, v := range file.Vectors {
		salt := fromHex(t, v.Salt)
		k, err := KeyFromPassphrase(v.Passphrase, salt, Argon2idParams{v.Passes, v.MemoryKiB, v.Threads})
		require.NoError(t, err)
		require.Equal(t, v.Key, hex.EncodeToString(k.material().secret[:]))
		require.Equal(t, fromHex(t, v.Salt), salt)
	}
}

func TestKeyFromPassphraseRefuses(t *testing.T) {
	salt := bytes.Repeat([]byte{7}, 16)
	good := Argon2idParams{1, minArgon2idMemory, 1}
	for name, test := range map[string]struct {
		passphrase string
		salt       []byte
		params     Argon2idParams
	}{
		"no passphrase": {"", salt, good},
		"no salt":       {"a passphrase", nil, good},
		"short salt":    {"a passphrase", salt[:15], good},
		"zero params":   {"a passphrase", salt, Argon2idParams{}},
		"no passes":     {"a passphrase", salt, Argon2idParams{0, minArgon2idMemory, 1}},
		"no threads":    {"a passphrase", salt, Argon2idParams{1, minArgon2idMemory, 0}},
		"little memory": {"a passphrase", salt, Argon2idParams{1, minArgon2idMemory - 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := KeyFromPassphrase(test.passphrase, test.salt, test.params)
			require.ErrorIs(t, err, ErrInvalidKey)
			require.NotContains(t, err.Error(), "a passphrase")
			require.True(t, k.IsZero())
		})
	}
	// RFC 9106 wants 8 KiB for each thread; the least memory has it for all.
	require.GreaterOrEqual(t, minArgon2idMemory, 8*math.MaxUint8)
}

// Argon2id is not approved, and is refused rather than computed. The test runs
// itself in that mode.
func TestKeyFromPassphraseInFIPS140OnlyMode(t *testing.T) {
	if fips140.Enforced() {
		k, err := KeyFromPassphrase("a passphrase", bytes.Repeat([]byte{7}, 16), DefaultArgon2id)
		require.ErrorContains(t, err, "FIPS 140-only mode")
		require.ErrorContains(t, err, "GenerateKey")
		require.True(t, k.IsZero())
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
