package fernet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/internal/cbchmac"
	"github.com/stretchr/testify/require"
)

// findPython returns a Python that has the cryptography package, or "" after it
// has said so. With BULLA_REQUIRE=1, as make test sets it, there must be one.
func findPython(t *testing.T) string {
	t.Helper()
	// A Python in front of the path may not be the one of python3-cryptography.
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import cryptography.fernet").Run() == nil {
			return name
		}
	}
	const text = "no python3 with cryptography; install python3-cryptography"
	if os.Getenv("BULLA_REQUIRE") == "1" {
		require.FailNow(t, text)
	}
	t.Log("left out: " + text)
	return ""
}

type pythonRequest struct {
	Keys    []string `json:"keys"`
	Decrypt []string `json:"decrypt"`
	Times   []string `json:"times"`
	Encrypt []string `json:"encrypt"`
	Rotate  []string `json:"rotate"`
}

type pythonAnswer struct {
	Decrypted, Encrypted, Rotated []string
	Times                         []int64
}

func askPython(t *testing.T, python string, request pythonRequest) (answer pythonAnswer) {
	t.Helper()
	in, err := json.Marshal(request)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), python, "testdata/python.py")
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &answer))
	return answer
}

// Tokens of this package and of Python's cryptography, each read by the other.
func TestWithPython(t *testing.T) {
	python := findPython(t)
	if python == "" {
		return
	}
	newer, older := encrypt.GenerateKey(), encrypt.GenerateKey()
	both, onlyNewer, onlyOlder := mustTokens(t, newer, older), mustTokens(t, newer), mustTokens(t, older)
	keyText := func(k encrypt.Key) string { return k.ExportSecret() + "=" } // Python wants the padding

	var texts [][]byte
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 1000, 70_000} {
		texts = append(texts, bytes.Repeat([]byte{byte(n), 0xff}, n)[:n])
	}
	request := pythonRequest{Keys: []string{keyText(newer), keyText(older)}, Rotate: []string{}}
	start := time.Now().Unix()
	for _, text := range texts {
		for _, f := range []*Tokens{onlyNewer, onlyOlder} {
			token, err := f.Encrypt(text)
			require.NoError(t, err)
			request.Decrypt = append(request.Decrypt, token)
		}
		token, err := onlyNewer.Encrypt(text)
		require.NoError(t, err)
		request.Times = append(request.Times, token)
		old := onlyOlder.encrypt(text, 1_600_000_000, cbchmac.NewIV())
		request.Rotate = append(request.Rotate, old)
		request.Encrypt = append(request.Encrypt, hex.EncodeToString(text))
	}
	foreign, err := mustTokens(t, encrypt.GenerateKey()).Encrypt(texts[1])
	require.NoError(t, err)
	request.Decrypt = append(request.Decrypt, foreign)

	answer := askPython(t, python, request)

	require.Len(t, answer.Decrypted, 2*len(texts)+1)
	require.Equal(t, "refused", answer.Decrypted[2*len(texts)])
	for i, text := range texts {
		require.Equal(t, hex.EncodeToString(text), answer.Decrypted[2*i])
		require.Equal(t, hex.EncodeToString(text), answer.Decrypted[2*i+1])

		got, err := onlyNewer.Decrypt(answer.Encrypted[i], time.Hour)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, got))
		require.InDelta(t, start, answer.Times[i], 60)

		// Python's rotation keeps the time, and so does Rotate.
		ours, err := both.Rotate(request.Rotate[i])
		require.NoError(t, err)
		for _, rotated := range []string{answer.Rotated[i], ours} {
			got, unix, err := onlyNewer.open(rotated)
			require.NoError(t, err)
			require.True(t, bytes.Equal(text, got))
			require.EqualValues(t, 1_600_000_000, unix)
		}
	}
}
