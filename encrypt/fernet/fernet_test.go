package fernet

import (
	"crypto/fips140"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/internal/cbchmac"
	"github.com/stretchr/testify/require"
)

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, v))
}

func mustTokens(t testing.TB, keys ...encrypt.Key) *Tokens {
	t.Helper()
	f, err := New(keys...)
	require.NoError(t, err)
	return f
}

func mustParse(t testing.TB, text string) encrypt.Key {
	t.Helper()
	k, err := encrypt.ParseKey(text)
	require.NoError(t, err)
	return k
}

type specification struct {
	Generate []struct {
		Token, Src, Secret string
		Now                time.Time
		IV                 cbchmac.IV
	}
	Verify []struct {
		Token, Src, Secret string
		Now                time.Time
		TTL                int `json:"ttl_sec"`
	}
	Invalid []struct {
		Desc, Token, Secret string
		Now                 time.Time
		TTL                 int `json:"ttl_sec"`
	}
}

// The vectors of the Fernet specification.
func TestSpecification(t *testing.T) {
	var spec specification
	readJSON(t, "testdata/spec.json", &spec)
	require.NotEmpty(t, spec.Generate)
	require.NotEmpty(t, spec.Verify)

	for _, v := range spec.Generate {
		f := mustTokens(t, mustParse(t, v.Secret))
		require.Equal(t, v.Token, f.encrypt([]byte(v.Src), v.Now.Unix(), v.IV))
	}
	for _, v := range spec.Verify {
		f := mustTokens(t, mustParse(t, v.Secret))
		got, err := f.decrypt(v.Token, time.Duration(v.TTL)*time.Second, v.Now.Unix())
		require.NoError(t, err)
		require.Equal(t, v.Src, string(got))
	}

	want := map[string]error{
		"incorrect mac":  encrypt.ErrTampered,
		"too short":      encrypt.ErrMalformed,
		"invalid base64": encrypt.ErrMalformed,
		"payload size not multiple of block size": encrypt.ErrMalformed,
		"payload padding error":                   encrypt.ErrMalformed,
		"far-future TS (unacceptable clock skew)": ErrExpired,
		"expired TTL":                         ErrExpired,
		"incorrect IV (causes padding error)": encrypt.ErrMalformed,
	}
	require.Len(t, spec.Invalid, len(want))
	for _, v := range spec.Invalid {
		t.Run(v.Desc, func(t *testing.T) {
			f := mustTokens(t, mustParse(t, v.Secret))
			got, err := f.decrypt(v.Token, time.Duration(v.TTL)*time.Second, v.Now.Unix())
			require.ErrorIs(t, err, want[v.Desc])
			require.Nil(t, got)
		})
	}
}

type fixture struct {
	Key, Plaintext, Token string
	Time                  int64
}

func readFixtures(t testing.TB) []fixture {
	t.Helper()
	var file struct{ Tokens []fixture }
	readJSON(t, "testdata/python.json", &file)
	require.NotEmpty(t, file.Tokens)
	return file.Tokens
}

// Tokens that Python's cryptography made.
func TestFromPython(t *testing.T) {
	for _, v := range readFixtures(t) {
		f := mustTokens(t, mustParse(t, v.Key))
		got, err := f.Decrypt(v.Token, 0)
		require.NoError(t, err)
		require.Equal(t, v.Plaintext, hex.EncodeToString(got))

		_, err = f.decrypt(v.Token, time.Minute, v.Time+60)
		require.NoError(t, err)
		_, err = f.decrypt(v.Token, time.Minute, v.Time+61)
		require.ErrorIs(t, err, ErrExpired)

		// From the same time and IV comes the same token.
		raw, err := base64.URLEncoding.DecodeString(v.Token)
		require.NoError(t, err)
		require.Equal(t, v.Token, f.encrypt(got, v.Time, cbchmac.IV(raw[9:25])))
	}
}

func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mustTokens(t, encrypt.GenerateKey())
		token, err := f.Encrypt(plainText)
		require.NoError(t, err)
		opens := func(ttl time.Duration) {
			t.Helper()
			got, err := f.Decrypt(token, ttl)
			require.NoError(t, err)
			require.Equal(t, plainText, got)
		}
		expired := func(ttl time.Duration) {
			t.Helper()
			got, err := f.Decrypt(token, ttl)
			require.ErrorIs(t, err, ErrExpired)
			require.NotErrorIs(t, err, encrypt.ErrTampered)
			require.Nil(t, got)
		}
		opens(time.Nanosecond) // within the second
		expired(-time.Nanosecond)
		expired(math.MinInt64)

		time.Sleep(10 * time.Second)
		opens(10 * time.Second)
		opens(0)
		opens(math.MaxInt64)
		expired(10*time.Second - 1)
		time.Sleep(time.Second)
		expired(10 * time.Second)
		opens(0)

		const aeon = 400 * 365 * 24 * 60 * 60 // longer than a Duration can say
		_, err = f.decrypt(token, math.MaxInt64, time.Now().Unix()+aeon)
		require.ErrorIs(t, err, ErrExpired)
	})
}

func TestFromTheFuture(t *testing.T) {
	f := mustTokens(t, encrypt.GenerateKey())
	const now = 1_700_000_000
	for _, test := range []struct {
		unix int64
		good bool
	}{
		{now, true},
		{now + 60, true},
		{now + 61, false},
		{math.MaxInt64, false},
		{-1, false}, // 2^64-1 in the token
		{math.MinInt64, false},
	} {
		token := f.encrypt(plainText, test.unix, cbchmac.IV{})
		_, err := f.decrypt(token, time.Hour, now)
		if test.good {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrExpired)
		}
		_, err = f.decrypt(token, 0, now)
		require.NoError(t, err, "without a ttl the time does not count")
	}
}

var plainText = []byte("a token's plaintext")

func TestStrict(t *testing.T) {
	f := mustTokens(t, encrypt.GenerateKey())
	// 15 bytes make a token of 73 bytes: two characters of padding.
	token, err := f.Encrypt(plainText[:15])
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(token, "=="))
	bare := strings.TrimRight(token, "=")
	// The last character of a token with "==" has four unused bits, zero where
	// it is one of A, Q, g and w.
	loose := bare[:len(bare)-1] + string(bare[len(bare)-1]+1) + "=="

	_, err = f.Decrypt(token, 0)
	require.NoError(t, err)
	for name, text := range map[string]string{
		"nothing":             "",
		"no padding":          bare,
		"half the padding":    bare + "=",
		"more padding":        token + "=",
		"more padding, whole": token + "====",
		"unused bits":         loose,
		"line feed behind":    token + "\n",
		"line feed within":    token[:40] + "\n" + token[40:],
		"carriage return":     token[:40] + "\r" + token[40:],
		"space behind":        token + " ",
		"space in front":      " " + token,
		"text behind":         token + "AAAA",
		"a zero byte behind":  token + "\x00",
		"the token twice":     token + token,
		"bytes behind":        base64.URLEncoding.EncodeToString(append(mustDecode(t, token), 0)),
		"a block behind":      base64.URLEncoding.EncodeToString(append(mustDecode(t, token), make([]byte, 16)...)),
		"the other alphabet":  "+" + token[1:],
		"not base64":          "%%%%" + token[4:],
		"another version":     "h" + token[1:],
		"a mere version":      "gA==",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := f.Decrypt(text, 0)
			require.Error(t, err)
			require.Nil(t, got)
			if name == "a block behind" {
				require.ErrorIs(t, err, encrypt.ErrTampered)
			} else {
				require.ErrorIs(t, err, encrypt.ErrMalformed)
			}
			_, err = f.Rotate(text)
			require.Error(t, err)
		})
	}
}

func mustDecode(t testing.TB, token string) []byte {
	t.Helper()
	b, err := base64.URLEncoding.DecodeString(token)
	require.NoError(t, err)
	return b
}

func TestDecryptRefusesEveryChange(t *testing.T) {
	f := mustTokens(t, encrypt.GenerateKey(), encrypt.GenerateKey())
	token, err := f.Encrypt(plainText)
	require.NoError(t, err)
	raw := mustDecode(t, token)
	refused := func(text string) {
		t.Helper()
		_, err := f.Decrypt(text, 0)
		if !errors.Is(err, encrypt.ErrTampered) && !errors.Is(err, encrypt.ErrMalformed) {
			require.FailNow(t, "not refused", "%q: %v", text, err)
		}
	}
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		refused(base64.URLEncoding.EncodeToString(raw))
		raw[bit/8] ^= 1 << (bit % 8)
	}
	for n := range raw {
		refused(base64.URLEncoding.EncodeToString(raw[:n]))
	}
	for n := range token {
		refused(token[:n])
		for _, c := range []byte{token[n] ^ 1, token[n] ^ 0x20, '\n', '.', 0} {
			refused(token[:n] + string(rune(c)) + token[n+1:])
			refused(token[:n] + string(rune(c)) + token[n:])
		}
	}
}

func TestSeveralKeys(t *testing.T) {
	older, newer := encrypt.GenerateKey(), encrypt.GenerateKey()
	before, both, after := mustTokens(t, older), mustTokens(t, newer, older), mustTokens(t, newer)

	synctest.Test(t, func(t *testing.T) {
		token, err := before.Encrypt(plainText)
		require.NoError(t, err)
		got, err := both.Decrypt(token, time.Minute)
		require.NoError(t, err)
		require.Equal(t, plainText, got)
		_, err = after.Decrypt(token, 0)
		require.ErrorIs(t, err, encrypt.ErrTampered)

		time.Sleep(time.Minute)
		rotated, err := both.Rotate(token)
		require.NoError(t, err)
		require.NotEqual(t, token, rotated)
		got, err = after.Decrypt(rotated, time.Minute)
		require.NoError(t, err)
		require.Equal(t, plainText, got)
		_, err = before.Decrypt(rotated, 0)
		require.ErrorIs(t, err, encrypt.ErrTampered)

		time.Sleep(time.Second) // rotation has not lengthened its life
		_, err = after.Decrypt(rotated, time.Minute)
		require.ErrorIs(t, err, ErrExpired)

		again, err := both.Encrypt(plainText)
		require.NoError(t, err)
		_, err = after.Decrypt(again, 0)
		require.NoError(t, err)
	})
}

func TestNewRefusesBadKeys(t *testing.T) {
	k := encrypt.GenerateKey()
	for name, keys := range map[string][]encrypt.Key{
		"none":      nil,
		"zero":      {{}},
		"zero last": {k, {}},
		"twice":     {k, k},
	} {
		f, err := New(keys...)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey, name)
		require.Nil(t, f)
	}
	for _, f := range []*Tokens{nil, {}} {
		_, err := f.Encrypt(nil)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
		_, err = f.Decrypt("", 0)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
		_, err = f.Rotate("")
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
	}
}

// Tokens is under the key's very bytes, which must not come out of it.
func TestNeverPrinted(t *testing.T) {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)*7 + 1
	}
	key, err := encrypt.NewKey(b)
	require.NoError(t, err)
	tokens := mustTokens(t, key)

	var forms []string
	for _, half := range [][]byte{b[:16], b[16:]} { // what signs, and what encrypts
		forms = append(forms, string(half[:8]),
			hex.EncodeToString(half[:6]),
			strings.ToUpper(hex.EncodeToString(half[:6])),
			base64.StdEncoding.EncodeToString(half[:9]),
			fmt.Sprintf("% x", half[:6]),
			strings.Trim(fmt.Sprint(half[:4]), "[]"),
			strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", half[:4]), "[]byte{"), "}"),
			strings.Trim(fmt.Sprintf("%q", half), `"`)[:16])
	}
	check := func(how string, v any) {
		text := fmt.Sprintf(how, v)
		for _, form := range forms {
			require.NotContains(t, text, form, how)
		}
	}
	for _, v := range []any{tokens, *tokens, []any{tokens}, struct{ t Tokens }{*tokens}, struct{ t *Tokens }{tokens}} {
		for verb := '!'; verb <= '~'; verb++ {
			for _, flags := range []string{"", "+", "#", " ", "0", "-", "# ", "40.3"} {
				check("%"+flags+string(verb), v)
			}
		}
	}
	_, err = New(key, key)
	check("%v", err)
}

// Tokens need nothing that is not approved. The test runs itself in that mode.
func TestFIPS140OnlyMode(t *testing.T) {
	if !fips140.Enforced() {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	tokens := mustTokens(t, encrypt.GenerateKey())
	token, err := tokens.Encrypt(plainText)
	require.NoError(t, err)
	got, err := tokens.Decrypt(token, time.Hour)
	require.NoError(t, err)
	require.Equal(t, plainText, got)
}
