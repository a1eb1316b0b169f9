package serialize

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzPlainJSON holds the short cuts for text and integers to encoding/json.
func FuzzPlainJSON(f *testing.F) {
	for _, data := range []string{`"abc"`, `"a\"b"`, `"<é>"`, `""`, `"`, `0`, `-0`, `-1`, `007`, `123456789`, `1234567890`, `1e3`, ` 1`, `"a" `, `null`, "\"\x7f\"", "\"\x1f\""} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var text, wantText string
		err, want := unmarshalJSON(data, &text), json.Unmarshal(data, &wantText)
		require.Equal(t, want == nil, err == nil, "%q", data)
		if want == nil {
			require.Equal(t, wantText, text)
		}
		var n, wantN int
		err, want = unmarshalJSON(data, &n), json.Unmarshal(data, &wantN)
		require.Equal(t, want == nil, err == nil, "%q", data)
		if want == nil {
			require.Equal(t, wantN, n)
			checkMarshal(t, &n)
		}
		text = string(data)
		checkMarshal(t, &text)
	})
}

func checkMarshal(t *testing.T, v any) {
	t.Helper()
	got, err := marshalJSON(v)
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(v))
	if err != nil { // not UTF-8, which encoding/json replaces
		require.Contains(t, want.String(), `\ufffd`)
		return
	}
	require.Equal(t, want.String(), string(got)+"\n")
}
