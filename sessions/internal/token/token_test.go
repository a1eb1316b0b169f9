package token_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

var (
	head   = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xFB}, 24))
	signed = base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xFB}, 40))
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		value, payload string
		mac            int
	}{
		"ID":                       {head, "", 0},
		"signed ID":                {signed, "", token.MACSize},
		"ID and payload":           {head + ".AA", "AA", 0},
		"signed ID and payload":    {signed + ".AAAA", "AAAA", token.MACSize},
		"a payload with all of it": {head + ".-_azAZ09", "-_azAZ09", 0},
		"all zero bytes":           {strings.Repeat("A", 32), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			tok, mac, err := token.Parse(c.value)
			require.NoError(t, err)
			require.False(t, tok.ID.IsZero())
			require.Equal(t, c.payload, tok.Payload)
			require.Len(t, mac, c.mac)
			require.Equal(t, c.mac == 0, mac == nil)
			require.Equal(t, c.value, tok.Value(mac))
			if c.payload != "" {
				require.Equal(t, len(c.value), token.HeadChars(c.mac > 0)+len(c.payload))
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"nothing":                        "",
		"a dot":                          ".",
		"payload alone":                  ".AAAA",
		"one character less":             head[1:],
		"one character more":             head + "A",
		"between the two lengths":        strings.Repeat("A", 43),
		"one less than signed":           signed[1:],
		"one more than signed":           signed + "A",
		"longer than both":               strings.Repeat("A", 64),
		"empty payload":                  head + ".",
		"empty payload, signed":          signed + ".",
		"padding":                        head[:31] + "=",
		"padding behind":                 head + "=",
		"padding behind, signed":         signed + "==",
		"the other base64":               "+" + head[1:],
		"the other base64, slash":        "/" + head[1:],
		"a space in front":               " " + head[1:],
		"a line end":                     head[:31] + "\n",
		"line ends that a decoder drops": head[:16] + "\r\n" + head[16:],
		"32 characters with line ends":   head[:28] + "\r\n\r\n",
		"unused bits set":                signed[:53] + "B",
		"not ASCII":                      head[:30] + "é",
		"a zero byte":                    head[:31] + "\x00",
		"quotes":                         `"` + head[:30] + `"`,
		"a second dot first":             "." + head + ".AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			tok, mac, err := token.Parse(value)
			require.ErrorIs(t, err, stores.ErrMalformed)
			require.Equal(t, token.Token{}, tok)
			require.Nil(t, mac)
			if len(value) > 8 {
				require.NotContains(t, err.Error(), value[:8], "the error shows the token")
			}
		})
	}
}

// One token has one spelling: whatever character is changed, the text is
// refused or names another token.
func TestEveryChangedCharacterMatters(t *testing.T) {
	for _, value := range []string{head, signed, head + ".AAAA", signed + "._w"} {
		tok, mac, err := token.Parse(value)
		require.NoError(t, err)
		headChars, _, _ := strings.Cut(value, ".")
		for i := range headChars {
			for c := range 256 {
				changed := value[:i] + string([]byte{byte(c)}) + value[i+1:]
				if changed == value {
					continue
				}
				other, otherMAC, err := token.Parse(changed)
				if err != nil {
					require.ErrorIs(t, err, stores.ErrMalformed)
					continue
				}
				if tok.ID.Equal(other.ID) && bytes.Equal(mac, otherMAC) {
					t.Fatalf("%q and %q are one token", value, changed)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, value string) {
		tok, mac, err := token.Parse(value)
		if err != nil {
			require.ErrorIs(t, err, stores.ErrMalformed)
			require.Equal(t, token.Token{}, tok)
			return
		}
		require.False(t, tok.ID.IsZero())
		require.Contains(t, []int{0, token.MACSize}, len(mac))
		require.Equal(t, value, tok.Value(mac), "a token has a second spelling")
	})
}

func TestFuzzCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzParse")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}
