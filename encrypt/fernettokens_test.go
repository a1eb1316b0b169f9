package encrypt

import (
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func mustTokens(t testing.TB, keys ...Key) *FernetTokens {
	t.Helper()
	f, err := NewFernetTokens(keys...)
	require.NoError(t, err)
	return f
}

func mustParse(t testing.TB, text string) Key {
	t.Helper()
	k, err := ParseKey(text)
	require.NoError(t, err)
	return k
}

type fernetSpec struct {
	Generate []struct {
		Token, Src, Secret string
		Now                time.Time
		IV                 [16]byte
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
func TestFernetSpecification(t *testing.T) {
	var spec fernetSpec
	readJSON(t, "testdata/fernet_spec.json", &spec)
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
		"incorrect mac":  ErrTampered,
		"too short":      ErrMalformed,
		"invalid base64": ErrMalformed,
		"payload size not multiple of block size": ErrMalformed,
		"payload padding error":                   ErrMalformed,
		"far-future TS (unacceptable clock skew)": ErrExpired,
		"expired TTL":                         ErrExpired,
		"incorrect IV (causes padding error)": ErrMalformed,
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

type fernetFixture struct {
	Key, Plaintext, Token string
	Time                  int64
}

func readFixtures(t testing.TB) []fernetFixture {
	t.Helper()
	var file struct{ Tokens []fernetFixture }
	readJSON(t, "testdata/fernet_python.json", &file)
	require.NotEmpty(t, file.Tokens)
	return file.Tokens
}

// Tokens that Python's cryptography made.
func TestFernetTokensFromPython(t *testing.T) {
	for _, v := range readFixtures(t) {
		f := mustTokens(t, mustParse(t, v.Key))
		got, err := f.Decrypt(v.Token, 0)
		require.NoError(t, err)
		require.Equal(t, fromHex(t, v.Plaintext), append([]byte{}, got...))

		_, err = f.decrypt(v.Token, time.Minute, v.Time+60)
		require.NoError(t, err)
		_, err = f.decrypt(v.Token, time.Minute, v.Time+61)
		require.ErrorIs(t, err, ErrExpired)

		// From the same time and IV comes the same token.
		raw, err := base64.URLEncoding.DecodeString(v.Token)
		require.NoError(t, err)
		require.Equal(t, v.Token, f.encrypt(got, v.Time, [16]byte(raw[9:25])))
	}
}

func TestFernetTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mustTokens(t, GenerateKey())
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
			require.NotErrorIs(t, err, ErrTampered)
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

func TestFernetTokensFromTheFuture(t *testing.T) {
	f := mustTokens(t, GenerateKey())
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
		token := f.encrypt(plainText, test.unix, [16]byte{})
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

func TestFernetTokensAreStrict(t *testing.T) {
	f := mustTokens(t, GenerateKey())
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
				require.ErrorIs(t, err, ErrTampered)
			} else {
				require.ErrorIs(t, err, ErrMalformed)
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

func TestFernetTokensRefuseEveryChange(t *testing.T) {
	f := mustTokens(t, GenerateKey(), GenerateKey())
	token, err := f.Encrypt(plainText)
	require.NoError(t, err)
	raw := mustDecode(t, token)
	refused := func(text string) {
		t.Helper()
		_, err := f.Decrypt(text, 0)
		if !errors.Is(err, ErrTampered) && !errors.Is(err, ErrMalformed) {
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

func TestFernetTokensSeveralKeys(t *testing.T) {
	older, newer := GenerateKey(), GenerateKey()
	before, both, after := mustTokens(t, older), mustTokens(t, newer, older), mustTokens(t, newer)

	synctest.Test(t, func(t *testing.T) {
		token, err := before.Encrypt(plainText)
		require.NoError(t, err)
		got, err := both.Decrypt(token, time.Minute)
		require.NoError(t, err)
		require.Equal(t, plainText, got)
		_, err = after.Decrypt(token, 0)
		require.ErrorIs(t, err, ErrTampered)

		time.Sleep(time.Minute)
		rotated, err := both.Rotate(token)
		require.NoError(t, err)
		require.NotEqual(t, token, rotated)
		got, err = after.Decrypt(rotated, time.Minute)
		require.NoError(t, err)
		require.Equal(t, plainText, got)
		_, err = before.Decrypt(rotated, 0)
		require.ErrorIs(t, err, ErrTampered)

		time.Sleep(time.Second) // rotation has not lengthened its life
		_, err = after.Decrypt(rotated, time.Minute)
		require.ErrorIs(t, err, ErrExpired)

		again, err := both.Encrypt(plainText)
		require.NoError(t, err)
		_, err = after.Decrypt(again, 0)
		require.NoError(t, err)
	})
}

func TestFernetTokensRefuseBadKeys(t *testing.T) {
	k := GenerateKey()
	for name, keys := range map[string][]Key{
		"none":      nil,
		"zero":      {{}},
		"zero last": {k, {}},
		"twice":     {k, k},
	} {
		f, err := NewFernetTokens(keys...)
		require.ErrorIs(t, err, ErrInvalidKey, name)
		require.Nil(t, f)
	}
	for _, f := range []*FernetTokens{nil, {}} {
		_, err := f.Encrypt(nil)
		require.ErrorIs(t, err, ErrInvalidKey)
		_, err = f.Decrypt("", 0)
		require.ErrorIs(t, err, ErrInvalidKey)
		_, err = f.Rotate("")
		require.ErrorIs(t, err, ErrInvalidKey)
	}
}

// Padding that a holder of the key got wrong is refused, in each of its forms.
func TestFernetPadding(t *testing.T) {
	block := func(tail ...byte) []byte {
		return append(make([]byte, 16-len(tail)), tail...)
	}
	for _, test := range []struct {
		blocks []byte
		want   int
	}{
		{block(1), 1},
		{block(2, 2), 2},
		{block(9, 2, 2), 2},
		{block(4, 4, 4, 4), 4},
		{append(block(), block(16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16)...), 16},
		{block(0), 0},
		{block(2), 0},
		{block(1, 2), 0},
		{block(3, 4, 4, 4), 0},
		{append(block(), block(17)...), 0},
		{block(255), 0},
	} {
		require.Equal(t, test.want, paddingSize(test.blocks), "%v", test.blocks)
	}
}
