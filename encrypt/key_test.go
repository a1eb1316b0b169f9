package encrypt_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/stretchr/testify/require"
)

// keyBytes returns 32 bytes that pass for random.
func keyBytes(seed byte) []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)*7 + seed
	}
	return b
}

func mustKey(t testing.TB, b []byte) encrypt.Key {
	t.Helper()
	k, err := encrypt.NewKey(b)
	require.NoError(t, err)
	return k
}

func TestNewKeyRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":                nil,
		"31 bytes":               keyBytes(1)[:31],
		"33 bytes":               append(keyBytes(1), 9),
		"16 bytes":               keyBytes(1)[:16],
		"zeros":                  make([]byte, 32),
		"one byte 32 times":      bytes.Repeat([]byte{0xC3}, 32),
		"16 bytes twice":         bytes.Repeat(keyBytes(1)[:16], 2),
		"8 bytes four times":     bytes.Repeat(keyBytes(1)[:8], 4),
		"a passphrase":           []byte("correct horse battery staple 123"),
		"32 hexadecimal digits":  []byte("00112233445566778899aabbccddeefe"),
		"text with ~ and spaces": []byte("~~~~ ~~~~ ~~~~ ~~~~ ~~~~ ~~~~ ~!"),
	} {
		t.Run(name, func(t *testing.T) {
			k, err := encrypt.NewKey(b)
			require.ErrorIs(t, err, encrypt.ErrInvalidKey)
			require.True(t, k.IsZero())
			if len(b) > 8 {
				require.NotContains(t, err.Error(), string(b[:8]))
			}
		})
	}
}

func TestNewKeyCopies(t *testing.T) {
	b := keyBytes(1)
	k := mustKey(t, b)
	want := k.ExportSecret()
	clear(b)
	require.Equal(t, want, k.ExportSecret())
}

func TestParseKey(t *testing.T) {
	b := keyBytes(0xF8) // its base64 has characters in which the alphabets differ
	want := mustKey(t, b).ExportSecret()
	std, url := base64.StdEncoding.EncodeToString(b), base64.URLEncoding.EncodeToString(b)
	require.NotEqual(t, std, url)

	for name, s := range map[string]string{
		"base64url":              strings.TrimRight(url, "="),
		"base64url, padded":      url,
		"base64":                 strings.TrimRight(std, "="),
		"base64, padded":         std,
		"hex":                    hex.EncodeToString(b),
		"hex, capitals":          strings.ToUpper(hex.EncodeToString(b)),
		"a line of a file":       url + "\n",
		"white space":            " \t" + std + "\r\n",
		"what ExportSecret gave": want,
	} {
		t.Run(name, func(t *testing.T) {
			k, err := encrypt.ParseKey(s)
			require.NoError(t, err)
			require.Equal(t, want, k.ExportSecret())
		})
	}
}

func TestParseKeyRefuses(t *testing.T) {
	b := keyBytes(0xF8)
	url := base64.RawURLEncoding.EncodeToString(b)
	for name, s := range map[string]string{
		"nothing":                "",
		"white space":            " \n",
		"padding twice":          url + "==",
		"text behind it":         url + " x",
		"a line end inside":      url[:20] + "\n" + url[20:],
		"a line end, one less":   url[:20] + "\n" + url[21:],
		"a space inside":         url[:20] + " " + url[20:],
		"both alphabets":         strings.Repeat("-/", 21) + "A",
		"unused bits":            url[:42] + "B", // only every fourth character leaves the two bits zero
		"31 bytes":               base64.RawURLEncoding.EncodeToString(b[:31]),
		"33 bytes":               base64.RawURLEncoding.EncodeToString(append(b, 1)),
		"64 characters, not hex": strings.Repeat("0g", 32),
		"62 hexadecimal digits":  hex.EncodeToString(b[:31]),
		"hex with 0x":            "0x" + hex.EncodeToString(b),
		"quotes":                 `"` + url + `"`,
		"a passphrase":           "correct horse battery staple 123",
		"a passphrase in base64": base64.StdEncoding.EncodeToString([]byte("correct horse battery staple 123")),
		"zeros in hex":           strings.Repeat("00", 32),
	} {
		t.Run(name, func(t *testing.T) {
			k, err := encrypt.ParseKey(s)
			require.ErrorIs(t, err, encrypt.ErrInvalidKey)
			require.True(t, k.IsZero())
			if len(s) > 8 {
				require.NotContains(t, err.Error(), s[:8])
			}
		})
	}
}

func TestGenerateKey(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		k := encrypt.GenerateKey()
		require.False(t, k.IsZero())
		parsed, err := encrypt.ParseKey(k.ExportSecret())
		require.NoError(t, err)
		require.Equal(t, k.ID(), parsed.ID())
		require.False(t, seen[k.ExportSecret()])
		seen[k.ExportSecret()] = true
	}
}

func TestKeyID(t *testing.T) {
	k := mustKey(t, keyBytes(1))
	require.Len(t, k.ID(), 8)
	require.Equal(t, k.ID(), mustKey(t, keyBytes(1)).ID())
	require.NotEqual(t, k.ID(), mustKey(t, keyBytes(2)).ID())
	require.NotContains(t, hex.EncodeToString(keyBytes(1)), k.ID())
}

func TestZeroKey(t *testing.T) {
	var k encrypt.Key
	require.True(t, k.IsZero())
	require.Empty(t, k.ID())
	require.Empty(t, k.ExportSecret())
	require.Equal(t, "encrypt.Key(zero)", fmt.Sprint(k))
}

// A secret must not come out of any of these, in any of the forms in which it
// could be recognized.
func TestKeyIsNeverPrinted(t *testing.T) {
	b := keyBytes(1)
	k := mustKey(t, b)
	ring, err := encrypt.NewAESGCM(k)
	require.NoError(t, err)
	bound, err := ring.Bind([]byte("\x01\x08\x0f\x16\x1d\x24\x2b\x32 looks like the key"))
	require.NoError(t, err)
	_, err = bound.Seal(nil) // now it holds a derived key too
	require.NoError(t, err)

	type exported struct{ K encrypt.Key }
	type unexported struct{ k encrypt.Key }
	type deep struct {
		u  *unexported
		ks []encrypt.Key
		m  map[string]encrypt.Key
		a  any
	}
	values := map[string]any{
		"key":          k,
		"pointer":      &k,
		"exported":     exported{k},
		"unexported":   unexported{k},
		"pointer to":   &unexported{k},
		"deep":         deep{&unexported{k}, []encrypt.Key{k}, map[string]encrypt.Key{"k": k}, unexported{k}},
		"slice":        []encrypt.Key{k},
		"map":          map[string]any{"k": k},
		"ring":         ring,
		"ring value":   []any{*ring, struct{ r encrypt.Keyring }{*ring}},
		"bound":        bound,
		"bound within": struct{ b encrypt.Bound }{bound},
		"error":        fmt.Errorf("no good: %w", errors.Join(fmt.Errorf("key %v, %#v, %s", k, unexported{k}, k))),
	}
	forms := []string{
		string(b[:8]),
		hex.EncodeToString(b)[:12],
		strings.ToUpper(hex.EncodeToString(b)[:12]),
		base64.StdEncoding.EncodeToString(b)[:12],
		base64.URLEncoding.EncodeToString(b)[:12],
		fmt.Sprint(b[:4])[1:10],                                    // 1 8 15 22
		strings.Join(strings.Fields(fmt.Sprint(b[:4])[1:10]), ","), // JSON
		fmt.Sprintf("%#v", b[:4])[7:20],                            // 0x1, 0x8, 0xf
		fmt.Sprintf("% x", b[:6]),
		fmt.Sprintf("%q", b)[1:20],
	}
	check := func(t *testing.T, how, text string) {
		t.Helper()
		for _, form := range forms {
			require.NotContains(t, text, form, how)
		}
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			for verb := '!'; verb <= '~'; verb++ {
				for _, flags := range []string{"", "+", "#", " ", "0", "-", "# ", "40.3"} {
					check(t, flags+string(verb), fmt.Sprintf("%"+flags+string(verb), v))
				}
			}
			check(t, "Sprint", fmt.Sprint(v))

			var buf bytes.Buffer
			for _, h := range []slog.Handler{slog.NewTextHandler(&buf, nil), slog.NewJSONHandler(&buf, nil)} {
				slog.New(h).With("with", v).Info("message", "value", v, slog.Group("group", "value", v))
			}
			check(t, "slog", buf.String())

			text, err := json.Marshal(v)
			if err == nil {
				check(t, "json", string(text))
			}
		})
	}

	// It would be no comfort if nothing were printed at all.
	want := "encrypt.Key(id " + k.ID() + ")"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%t", "%c", "%U", "%e"} {
		require.Equal(t, want, fmt.Sprintf(verb, k), verb)
	}
	text, err := json.Marshal(exported{k})
	require.NoError(t, err)
	require.JSONEq(t, `{"K":"`+want+`"}`, string(text))
	var buf bytes.Buffer
	slog.New(slog.NewTextHandler(&buf, nil)).Info("message", "key", k)
	require.Contains(t, buf.String(), want)
	require.Equal(t, slog.StringValue(want), slog.AnyValue(k).Resolve()) // for other handlers
}

// Of another system's key only the length is checked, and it is the same key.
func TestInsecureKey(t *testing.T) {
	for _, text := range []string{"Thirty  two  length  bytes  key.", strings.Repeat("\x00", 32)} {
		_, err := encrypt.NewKey([]byte(text))
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
		key, err := encrypt.InsecureKey([]byte(text))
		require.NoError(t, err)
		require.Equal(t, base64.RawURLEncoding.EncodeToString([]byte(text)), key.ExportSecret())
	}
	for _, n := range []int{0, 16, 31, 33} {
		_, err := encrypt.InsecureKey(make([]byte, n))
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
	}
	good := encrypt.GenerateKey()
	secret, err := base64.RawURLEncoding.DecodeString(good.ExportSecret())
	require.NoError(t, err)
	same, err := encrypt.InsecureKey(secret)
	require.NoError(t, err)
	require.Equal(t, good.ID(), same.ID())
}
