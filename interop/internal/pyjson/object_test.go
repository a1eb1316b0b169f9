package pyjson

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/envelope"
)

// What Go's encoding/json can't hold is cut and joined as it was.
func TestCase09Untouched(t *testing.T) {
	long, short := strings.Repeat("n", 256), strings.Repeat("n", 255)
	huge := "1" + strings.Repeat("0", 400)
	text := `{"nan": NaN, "inf": [Infinity, -Infinity, {"a": NaN}], "huge": ` + huge + `, "half": "\ud800", "\udc00": 1, "a\ud83d": 2, ` +
		`"": "empty", "` + long + `": 3, "` + short + `": 4, "\ud83d\ude00": "pair", "twice": 1, "twice": 2, "deep": {"__metadata__": {}}}`
	o, err := Cut([]byte(text))
	require.NoError(t, err)
	for name, want := range map[string]string{
		"nan": "NaN", "inf": `[Infinity, -Infinity, {"a": NaN}]`, "huge": huge, "half": `"\ud800"`,
		short: "4", "😀": `"pair"`, "twice": "2", "deep": `{"__metadata__": {}}`,
	} {
		require.Equal(t, want, string(o.Values[name]), name)
	}
	require.Len(t, o.Values, 8)
	require.Equal(t, `"\udc00": 1, "a\ud83d": 2, "": "empty", "`+long+`": 3`, string(o.Rest))

	vals, err := o.Envelope()
	require.NoError(t, err)
	again, err := Append(nil, vals.All(), o.Rest)
	require.NoError(t, err)
	second, err := Cut(again)
	require.NoError(t, err)
	require.Equal(t, o, second)
	require.Contains(t, string(again), `"\ud83d\ude00": "pair"`)
}

func TestCase11Refused(t *testing.T) {
	for _, text := range []string{
		"", " ", "null", "[]", "1", `"a"`, "{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{'a':1}`, `{"a":1}x`, `{"a":1}{}`,
		`{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":--1}`, `{"a":nan}`, `{"a":-NaN}`, `{"a":True}`, `{"a":tru}`,
		`{"a":"` + "\n" + `"}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"`, `{"a":"\`, `{"a":[1}`, `{"a":[1,]}`, `{"a":{"b":1]}`, `{"a":[}]}`,
		"{\"a\":\"\xff\"}", "{\"\xed\xa0\x80\":1}", "\ufeff{}", `{"a":` + strings.Repeat("[", 1002) + strings.Repeat("]", 1002) + "}",
		strings.Repeat(`{"a":`, 100_000),
	} {
		_, err := Cut([]byte(text))
		require.ErrorIs(t, err, ErrSyntax, "%.40q", text)
	}
	for _, text := range []string{
		"{}", " {\t} \n", `{"a":[],"b":{},"c":-0,"d":1e+5,"e":-1.25E-3,"f":[[],[{}],{"a":[1,2]}]}`,
		`{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}",
	} {
		_, err := Cut([]byte(text))
		require.NoError(t, err, "%.40q", text)
	}
}

func TestAppendRefuses(t *testing.T) {
	for name, value := range map[string]string{"a": "", "b": "1 2", "c": "{", "d": " ", "\xff": "1", "e": "\"\xff\""} {
		_, err := Append(nil, maps.All(map[string][]byte{name: []byte(value)}), nil)
		require.ErrorIs(t, err, envelope.ErrInvalid, name)
	}
	got, err := Append([]byte("x"), maps.All(map[string][]byte{"é\n\"\x7f": []byte("1")}), []byte(`"": 2`))
	require.NoError(t, err)
	require.Equal(t, `x{"\u00e9\n\"\u007f": 1, "": 2}`, string(got))
	got, err = Append(nil, maps.All(map[string][]byte{}), nil)
	require.NoError(t, err)
	require.Equal(t, "{}", string(got))
}

func FuzzCut(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := Cut(text)
		if err != nil {
			require.ErrorIs(t, err, ErrSyntax)
			var m map[string]any
			if json.Unmarshal(text, &m) == nil && m != nil {
				// encoding/json is laxer about UTF-8 and deeper.
				require.False(t, strings.ToValidUTF8(string(text), "") == string(text) && strings.Count(string(text), "[")+strings.Count(string(text), "{") < maxDepth, "%q", text)
			}
			return
		}
		vals, err := o.Envelope()
		require.NoError(t, err)
		again, err := Append(nil, vals.All(), o.Rest)
		require.NoError(t, err)
		second, err := Cut(again)
		require.NoError(t, err)
		require.Equal(t, len(o.Rest), len(second.Rest))
		require.Equal(t, o, second)
	})
}

func TestFuzzCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzCut")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}
