package payload_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/stores"
)

func Example() {
	text := payload.Encode([]byte("sealed bytes"))
	data, err := payload.Decode(text)
	fmt.Printf("%s %s %v\n", text, data, err)

	_, err = payload.Decode(text + "\n")
	fmt.Println(err)
	// Output:
	// c2VhbGVkIGJ5dGVz sealed bytes <nil>
	// stores: malformed payload: not base64url
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{"AA": "\x00", "_w": "\xff", "AAA": "\x00\x00", "-_-_": "\xfb\xff\xbf"} {
		data, err := payload.Decode(text)
		require.NoError(t, err, text)
		require.Equal(t, want, string(data))
		require.Equal(t, text, payload.Encode(data))
	}
	for _, text := range []string{
		"", "A", "AAAAA", "AA==", "AB", "AAB", "+/", "A A", "AAAA\n", "AAA\n", "AA\n", "A\n", "AA\r\nAA", "AAAA\r\n\r\n", "AAAAAAA\r\n", "\n", "\r\n\r\n", "AAAA.AAAA", "é", "\x00\x00",
	} {
		data, err := payload.Decode(text)
		require.ErrorIs(t, err, stores.ErrMalformed, "%q", text)
		require.Nil(t, data)
		if len(text) > 3 {
			require.NotContains(t, err.Error(), text, "the error shows the text")
		}
	}
}

func TestEncodeOfEveryLength(t *testing.T) {
	data := make([]byte, 1200)
	rand.Read(data)
	for n := range len(data) {
		require.Equal(t, base64.RawURLEncoding.EncodeToString(data[:n]), payload.Encode(data[:n]))
		require.Len(t, payload.Encode(data[:n]), payload.Chars(n))
	}
}

// Whatever character is changed, the text is refused or means something else.
func TestEveryChangedCharacterMatters(t *testing.T) {
	for _, text := range []string{"AAAA", "_w", "-_8", "AAAAAAA"} {
		want, err := payload.Decode(text)
		require.NoError(t, err)
		for i := range text {
			for c := range 256 {
				changed := text[:i] + string([]byte{byte(c)}) + text[i+1:]
				if changed == text {
					continue
				}
				if got, err := payload.Decode(changed); err == nil {
					require.NotEqual(t, want, got, "%q and %q are one record", text, changed)
				}
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	data := make([]byte, 3000)
	text := strings.Repeat("A", 4000)
	require.EqualValues(t, 1, testing.AllocsPerRun(100, func() { payload.Encode(data) }))
	require.EqualValues(t, 1, testing.AllocsPerRun(100, func() { payload.Decode(text) }))
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { payload.Decode("AB") }), 1.)
}

func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		data, err := payload.Decode(text)
		if err != nil {
			require.ErrorIs(t, err, stores.ErrMalformed)
			require.Nil(t, data)
			return
		}
		require.NotEmpty(t, data)
		require.Equal(t, text, payload.Encode(data), "a record has a second spelling")
	})
}

func TestFuzzCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzDecode")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}
