package aiohttp

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/fernet"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

func tokens(t testing.TB, key []byte) *fernet.Tokens {
	k, err := encrypt.InsecureKey(key)
	require.NoError(t, err)
	tokens, err := fernet.New(k)
	require.NoError(t, err)
	return tokens
}

func decoded(t testing.TB, vals envelope.Values) map[string]any {
	all := map[string]any{}
	for name, data := range vals.All() {
		var v any
		require.NoError(t, json.Unmarshal(data, &v))
		all[name] = v
	}
	return all
}

// Among the keys is the one of aiohttp-session's documentation (case 7).
func TestCase06And07Vectors(t *testing.T) {
	v := interoptest.Read(t)
	for i, one := range v.Named(t, "aiohttp_session.EncryptedCookieStorage") {
		key := []byte(one.KeyText)
		if one.KeyB64 != "" {
			var err error
			key, err = base64.StdEncoding.DecodeString(one.KeyB64)
			require.NoError(t, err)
		}
		value, _, _ := strings.Cut(strings.TrimPrefix(one.SetCookie, CookieName+"="), ";")
		require.True(t, strings.HasPrefix(value, `"`))
		c := codec{tokens(t, key), 0}
		for _, spelled := range []string{value, strings.Trim(value, `"`)} {
			data, _, err := c.Decode(spelled, nil)
			require.NoError(t, err)
			env, err := layout{serialize.JSON, time.Hour}.Split(data)
			require.NoError(t, err)
			require.Equal(t, one.Session, decoded(t, env.Values))
			require.Equal(t, int64(1795267798), env.Sealed.Unix(), i)
		}
		for _, text := range []string{"", `"`, `""`, value[1:], value + `"`, `"` + value + `"`, strings.Replace(value, "=", `\075`, 1)} {
			_, _, err := c.Decode(text, nil)
			require.ErrorIs(t, err, stores.ErrMalformed, text)
		}
		_, _, err := codec{tokens(t, make([]byte, 32)), 0}.Decode(value, nil)
		require.ErrorIs(t, err, stores.ErrTampered)
	}
	for _, one := range v.Named(t, "aiohttp_session.RedisStorage") {
		l := layout{serialize.JSON, time.Hour}
		env, err := l.Split([]byte(one.RedisValue))
		require.NoError(t, err)
		require.Equal(t, one.Session, decoded(t, env.Values))
		again, err := l.Join(nil, env)
		require.NoError(t, err)
		require.Regexp(t, `^\{"created": \d+, "session": \{.*\}\}$`, string(again))
	}
}

func TestCase08Created(t *testing.T) {
	for text, want := range map[string]int64{
		`{"session": {"a": 1}}`: 0, `{"created": null, "session": {"a": 1}}`: 0, `{"created": 0, "session": {"a": 1}}`: 0,
		`{"created": 1795267798, "session": {"a": 1}, "other": [NaN]}`: 1795267798, `{"created": 17.9, "session": null}`: 17,
	} {
		env, err := layout{serialize.JSON, time.Hour}.Split([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, env.Sealed.Unix(), text)
		env, err = layout{serialize.JSON, 0}.Split([]byte(text))
		require.NoError(t, err)
		if want == 0 {
			require.WithinDuration(t, time.Now(), env.Sealed, time.Second, "without a max_age the time does not count")
		}
	}
	for _, text := range []string{"", "[]", `{"created": "1"}`, `{"created": -1}`, `{"created": 1e300}`, `{"created": NaN}`, `{"created": 1, "session": []}`, `{"created": 1, "session": 1}`} {
		_, err := layout{serialize.JSON, time.Hour}.Split([]byte(text))
		require.Error(t, err, text)
	}
}

// A name that no session of ours can have comes through, and a clock that is ahead does
// not make a session of the future.
func TestCase09NamesAndClocks(t *testing.T) {
	l := layout{serialize.JSON, time.Hour}
	env, err := l.Split(fmt.Appendf(nil, `{"created": %d, "session": {"": 1, "a": NaN, "\ud800": 2}}`, time.Now().Add(time.Minute).Unix()))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), env.Sealed, 10*time.Second)
	require.False(t, env.Sealed.After(time.Now()))
	data, err := l.Join(nil, env)
	require.NoError(t, err)
	require.Regexp(t, `"session": \{"a": NaN, "": 1, "\\ud800": 2\}`, string(data))
}

func TestMarks(t *testing.T) {
	l := layout{serialize.JSON, time.Hour}
	mark := envelope.Mark{Writer: [8]byte{1}, Count: 7}
	data, err := l.Join(nil, envelope.Envelope{Metadata: envelope.Metadata{Marks: envelope.Marks(nil).With(mark, time.Now())}})
	require.NoError(t, err)
	env, err := l.Split(data)
	require.NoError(t, err)
	require.True(t, env.Marks.Has(mark))
	for _, text := range []string{`1`, `"x"`, `""`, `null`} {
		env, err = l.Split([]byte(`{"created": 1, "session": {}, "bulla": ` + text + `}`))
		require.NoError(t, err)
		require.Empty(t, env.Marks)
	}
}

func TestCase12Empty(t *testing.T) {
	tokens := tokens(t, make([]byte, 32))
	for _, text := range []string{"", "{}"} {
		token, err := tokens.Encrypt([]byte(text))
		require.NoError(t, err)
		_, _, err = codec{tokens, 0}.Decode(token, nil)
		require.ErrorIs(t, err, stores.ErrMalformed)
	}
}

// A token's age counts, with Fernet's minute for clocks.
func TestCase03Age(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := codec{tokens(t, make([]byte, 32)), time.Minute}
		token, err := c.Encode([]byte(`{"created": 1, "session": {}}`), nil)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, _, err = c.Decode(token, nil)
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, _, err = c.Decode(token, nil)
		require.ErrorIs(t, err, stores.ErrTampered)
	})
}

func TestIDs(t *testing.T) {
	for _, id := range []string{"12f1834681ae40c6bbede30efc6cdbad", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "0123456789abcdefGHIJ"} {
		require.True(t, isID(id))
	}
	for _, id := range []string{"", "a", "12f1834681ae40c6bbede30efc6cdba", "12f1834681ae40c6bbede30efc6cdba.", "../../../../../../../../../../..", "0123456789abcdefGHI/"} {
		require.False(t, isID(id))
	}
}

func FuzzSplit(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		l := layout{serialize.JSON, 0}
		env, err := l.Split(data)
		if err != nil {
			return
		}
		again, err := l.Join(nil, env)
		require.NoError(t, err)
		second, err := l.Split(again)
		require.NoError(t, err)
		env.Sealed, second.Sealed = time.Time{}, time.Time{}
		require.Equal(t, fmt.Sprint(env), fmt.Sprint(second))
	})
}

func FuzzDecode(f *testing.F) {
	c := codec{tokens(f, []byte("a key of the test's own: 32 byte")), 0}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		if _, _, err := c.Decode(text, nil); err == nil {
			t.Fatalf("%q was not sealed", text)
		}
		token, err := c.Encode(data, nil)
		require.NoError(t, err)
		for _, spelled := range []string{token, `"` + token + `"`} {
			got, _, err := c.Decode(spelled, nil)
			if len(data) == 0 || string(data) == "{}" {
				require.ErrorIs(t, err, stores.ErrMalformed)
			} else {
				require.NoError(t, err)
				require.Equal(t, data, got)
			}
		}
	})
}

func TestFuzzCorpus(t *testing.T) {
	for _, name := range []string{"FuzzSplit", "FuzzDecode"} {
		files, err := os.ReadDir("testdata/fuzz/" + name)
		require.NoError(t, err)
		require.NotEmpty(t, files)
	}
}
