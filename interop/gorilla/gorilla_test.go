package gorilla_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/base32"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/interop/gorilla"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/sessions"
)

// cartItem is a type of an application's.
type cartItem struct {
	Name string
	N    int
}

func init() { gob.Register(cartItem{}) }

var values = map[any]any{"user": "ada", 7: int64(8), "cart": cartItem{"tea", 2}}

func key(n int) []byte { return securecookie.GenerateRandomKey(n) }

// encode makes a cookie as gorilla's stores do.
func encode(t testing.TB, name string, v any, keyPairs ...[]byte) string {
	text, err := securecookie.EncodeMulti(name, v, securecookie.CodecsFromPairs(keyPairs...)...)
	require.NoError(t, err)
	return text
}

func gobOf(t testing.TB, v any) []byte {
	var b bytes.Buffer
	require.NoError(t, gob.NewEncoder(&b).Encode(v))
	return b.Bytes()
}

func newID(n int) string {
	return strings.TrimRight(base32.StdEncoding.EncodeToString(securecookie.GenerateRandomKey(n)), "=")
}

func TestCookie(t *testing.T) {
	sign, block, older := key(64), key(32), key(32)
	for what, c := range map[string]struct{ made, known [][]byte }{
		"signed":                   {[][]byte{sign}, [][]byte{sign}},
		"signed, nil block":        {[][]byte{sign, nil}, [][]byte{sign, nil}},
		"encrypted":                {[][]byte{sign, block}, [][]byte{sign, block}},
		"AES-128":                  {[][]byte{sign, block[:16]}, [][]byte{sign, block[:16]}},
		"a key from before":        {[][]byte{older}, [][]byte{sign, block, older}},
		"a pair from before, AES":  {[][]byte{older, block}, [][]byte{sign, nil, older, block}},
		"a short key, as some use": {[][]byte{[]byte("secret")}, [][]byte{[]byte("secret")}},
	} {
		r, err := gorilla.Cookie("session", c.known)
		require.NoError(t, err, what)
		before := time.Now().Truncate(time.Second)
		got, err := r.Read(t.Context(), encode(t, "session", values, c.made...))
		require.NoError(t, err, what)
		require.Equal(t, values, got.Values, what)
		require.WithinRange(t, got.SignedAt, before, time.Now())
		require.NoError(t, r.Retire(t.Context(), "anything"))

		_, err = r.Read(t.Context(), encode(t, "other", values, c.made...))
		require.ErrorIs(t, err, migrate.ErrNone, "%s: under another name", what)
		_, err = r.Read(t.Context(), encode(t, "session", values, key(32)))
		require.ErrorIs(t, err, migrate.ErrNone, "%s: another key", what)
	}
}

// Every changed character is refused, other spellings of the same bytes among them.
func TestChangedCookies(t *testing.T) {
	sign := key(32)
	r, err := gorilla.Cookie("s", [][]byte{sign})
	require.NoError(t, err)
	for n := range 3 { // with no padding, one, two
		good := encode(t, "s", map[any]any{"user": strings.Repeat("a", n)}, sign)
		_, err := r.Read(t.Context(), good)
		require.NoError(t, err)
		for i := range good {
			for _, c := range "AaBz09-_+/=.| \n" {
				bad := good[:i] + string(c) + good[i+1:]
				if bad == good {
					continue
				}
				_, err := r.Read(t.Context(), bad)
				require.ErrorIs(t, err, migrate.ErrNone, "%d %q", i, c)
			}
			for _, bad := range []string{good[:i], good[i+1:], good[:i] + "\n" + good[i:]} {
				_, err = r.Read(t.Context(), bad)
				require.ErrorIs(t, err, migrate.ErrNone)
			}
		}
		_, err = r.Read(t.Context(), good+"=")
		require.ErrorIs(t, err, migrate.ErrNone)
	}
	_, err = r.Read(t.Context(), strings.Repeat("A", 1<<20))
	require.ErrorIs(t, err, migrate.ErrNone)
}

func TestAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sign := key(32)
		made := encode(t, "s", values, sign)
		read := func(opts ...gorilla.Option) error {
			r, err := gorilla.Cookie("s", [][]byte{sign}, opts...)
			require.NoError(t, err)
			_, err = r.Read(t.Context(), made)
			return err
		}
		require.NoError(t, read(gorilla.WithNotAfter(time.Now())))
		require.ErrorIs(t, read(gorilla.WithNotAfter(time.Now().Add(-time.Second))), migrate.ErrNone)
		time.Sleep(time.Hour)
		require.NoError(t, read(gorilla.WithMaxAge(time.Hour)))
		time.Sleep(time.Second)
		require.ErrorIs(t, read(gorilla.WithMaxAge(time.Hour)), migrate.ErrNone)
		time.Sleep(30*24*time.Hour - time.Hour - time.Second)
		require.NoError(t, read())
		time.Sleep(time.Second)
		require.ErrorIs(t, read(), migrate.ErrNone, "gorilla's 30 days")
	})
}

// A cookie that verifies and does not decode is not nothing: the program lacks a type.
func TestALackingType(t *testing.T) {
	sign := key(32)
	type lacking struct{ A int }
	gob.RegisterName("elsewhere.lacking", lacking{})
	data := bytes.ReplaceAll(gobOf(t, map[any]any{"user": lacking{1}}), []byte("elsewhere.lacking"), []byte("elsewhere.missing"))
	text, err := securecookie.New(sign, nil).SetSerializer(securecookie.NopEncoder{}).Encode("s", data)
	require.NoError(t, err)
	r, err := gorilla.Cookie("s", [][]byte{sign})
	require.NoError(t, err)
	_, err = r.Read(t.Context(), text)
	require.ErrorContains(t, err, "gob.Register")
	require.NotErrorIs(t, err, migrate.ErrNone)
}

func TestJSON(t *testing.T) {
	sign := key(32)
	c := securecookie.New(sign, nil).SetSerializer(securecookie.JSONEncoder{})
	r, err := gorilla.Cookie("s", [][]byte{sign}, gorilla.WithJSON())
	require.NoError(t, err)
	text, err := c.Encode("s", map[string]any{"user": "ada", "n": 1})
	require.NoError(t, err)
	got, err := r.Read(t.Context(), text)
	require.NoError(t, err)
	require.Equal(t, map[any]any{"user": "ada", "n": 1.0}, got.Values)
	for _, bad := range []any{[]string{"secret"}, "secret", nil} {
		text, err = c.Encode("s", bad)
		require.NoError(t, err)
		got, err = r.Read(t.Context(), text)
		if bad == nil {
			require.NoError(t, err)
			require.Empty(t, got.Values)
			continue
		}
		require.Error(t, err)
		require.NotErrorIs(t, err, migrate.ErrNone)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestRedis(t *testing.T) {
	client := redistest.Single(t).Client()
	ctx := t.Context()
	sign := key(32)
	jsonText, err := json.Marshal(map[string]any{"user": "ada"})
	require.NoError(t, err)
	signed := func(opts ...gorilla.Option) func() (*gorilla.Reader, error) {
		return func() (*gorilla.Reader, error) { return gorilla.Redis(client, "s", [][]byte{sign}, opts...) }
	}
	plain := func(opts ...gorilla.Option) func() (*gorilla.Reader, error) {
		return func() (*gorilla.Reader, error) { return gorilla.RedisUnsigned(client, opts...) }
	}
	for what, c := range map[string]struct {
		open   func() (*gorilla.Reader, error)
		bytes  int
		signed bool
		prefix string
		record []byte
		want   map[any]any
	}{
		"boj":                {signed(), 32, true, "session_", gobOf(t, values), values},
		"boj, prefix":        {signed(gorilla.WithPrefix("p")), 32, true, "p", gobOf(t, values), values},
		"boj, JSON":          {signed(gorilla.WithJSON()), 32, true, "session_", jsonText, map[any]any{"user": "ada"}},
		"rbcervilla":         {plain(), 64, false, "session:", gobOf(t, values), values},
		"rbcervilla, prefix": {plain(gorilla.WithPrefix("")), 64, false, "", gobOf(t, values), values},
		"rbcervilla, JSON":   {plain(gorilla.WithJSON()), 64, false, "session:", jsonText, map[any]any{"user": "ada"}},
	} {
		r, err := c.open()
		require.NoError(t, err, what)
		cookie := func(id string) string {
			if c.signed {
				return encode(t, "s", id, sign)
			}
			return id
		}
		id := newID(c.bytes)
		require.NoError(t, client.Set(ctx, c.prefix+id, c.record, time.Hour).Err())
		got, err := r.Read(ctx, cookie(id))
		require.NoError(t, err, what)
		require.Equal(t, c.want, got.Values, what)
		require.Equal(t, c.signed, !got.SignedAt.IsZero())

		require.NoError(t, r.Retire(ctx, cookie(id)))
		left, err := client.PTTL(ctx, c.prefix+id).Result()
		require.NoError(t, err)
		require.LessOrEqual(t, left, migrate.Grace)
		require.Positive(t, left)

		for _, bad := range []string{newID(c.bytes), "", "x", strings.ToLower(id), id + "A", id[1:], "../" + id[3:], id[:len(id)-1] + "1"} {
			_, err = r.Read(ctx, cookie(bad))
			require.ErrorIs(t, err, migrate.ErrNone, "%s %q", what, bad)
			require.NoError(t, r.Retire(ctx, cookie(bad)))
		}
		if c.signed {
			_, err = r.Read(ctx, id)
			require.ErrorIs(t, err, migrate.ErrNone, "not signed")
			require.NoError(t, r.Retire(ctx, id))
			_, err = r.Read(ctx, encode(t, "s", values, sign))
			require.ErrorContains(t, err, "CookieStore")
			require.NotErrorIs(t, err, migrate.ErrNone)
			require.Error(t, r.Retire(ctx, encode(t, "s", values, sign)))
		}
		require.NoError(t, client.Set(ctx, c.prefix+id, "secret", time.Hour).Err())
		_, err = r.Read(ctx, cookie(id))
		require.Error(t, err)
		require.NotErrorIs(t, err, migrate.ErrNone)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestFiles(t *testing.T) {
	dir, sign := t.TempDir(), key(32)
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	r, err := gorilla.Files(root, "s", [][]byte{sign})
	require.NoError(t, err)
	id := newID(32)
	cookie := encode(t, "s", id, sign)
	_, err = r.Read(t.Context(), cookie)
	require.ErrorIs(t, err, migrate.ErrNone)
	require.NoError(t, r.Retire(t.Context(), cookie))
	require.Empty(t, files(t, dir))

	// As long as it likes: gorilla's limit of 4096 can be raised for files.
	long := map[any]any{"user": "ada", "text": strings.Repeat("x", 10_000)}
	codec := securecookie.New(sign, nil).MaxLength(0)
	text, err := codec.Encode("s", long)
	require.NoError(t, err)
	path := filepath.Join(dir, "session_"+id)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	got, err := r.Read(t.Context(), cookie)
	require.NoError(t, err)
	require.Equal(t, long, got.Values)

	require.NoError(t, r.Retire(t.Context(), cookie))
	_, err = r.Read(t.Context(), cookie)
	require.NoError(t, err, "within the grace")
	mark := filepath.Join(dir, "retired_"+id)
	past := time.Now().Add(-migrate.Grace)
	require.NoError(t, os.Chtimes(mark, past, past))
	require.NoError(t, r.Retire(t.Context(), cookie), "the first time counts")
	_, err = r.Read(t.Context(), cookie)
	require.ErrorIs(t, err, migrate.ErrNone)
	require.NoError(t, os.Remove(mark))

	for what, text := range map[string]string{"garbage": "secret", "empty": "", "another key's": encode(t, "s", values, key(32))} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err = r.Read(t.Context(), cookie)
		require.ErrorIs(t, err, migrate.ErrNone, what)
	}
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("A"), 4<<20), 0o600))
	_, err = r.Read(t.Context(), cookie)
	require.ErrorIs(t, err, migrate.ErrNone)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	_, err = r.Read(t.Context(), cookie)
	require.Error(t, err)
	require.NotErrorIs(t, err, migrate.ErrNone, "what can't be read is not nothing")
	require.NotContains(t, err.Error(), id, "who reads the log must not be able to log in")
	require.NoError(t, root.Close())
	for _, err := range []error{second(r.Read(t.Context(), cookie)), r.Retire(t.Context(), cookie)} {
		require.Error(t, err)
		require.NotErrorIs(t, err, migrate.ErrNone)
		require.NotContains(t, err.Error(), id)
	}
}

func second[T any](_ T, err error) error { return err }

func files(t testing.TB, dir string) []os.DirEntry {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	return entries
}

func TestRefusedInNew(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	keys := [][]byte{key(32)}
	for what, try := range map[string]func() (*gorilla.Reader, error){
		"no name":             func() (*gorilla.Reader, error) { return gorilla.Cookie("", keys) },
		"no keys":             func() (*gorilla.Reader, error) { return gorilla.Cookie("s", nil) },
		"an empty key":        func() (*gorilla.Reader, error) { return gorilla.Cookie("s", [][]byte{{}}) },
		"an empty second key": func() (*gorilla.Reader, error) { return gorilla.Cookie("s", [][]byte{key(32), nil, nil}) },
		"no AES key":          func() (*gorilla.Reader, error) { return gorilla.Cookie("s", [][]byte{key(32), key(20)}) },
		"a prefix":            func() (*gorilla.Reader, error) { return gorilla.Cookie("s", keys, gorilla.WithPrefix("p")) },
		"no age":              func() (*gorilla.Reader, error) { return gorilla.Cookie("s", keys, gorilla.WithMaxAge(0)) },
		"no time":             func() (*gorilla.Reader, error) { return gorilla.Cookie("s", keys, gorilla.WithNotAfter(time.Time{})) },
		"a nil option":        func() (*gorilla.Reader, error) { return gorilla.Cookie("s", keys, nil) },
		"a nil client":        func() (*gorilla.Reader, error) { return gorilla.Redis(nil, "s", keys) },
		"a nil client, plain": func() (*gorilla.Reader, error) { return gorilla.RedisUnsigned(nil) },
		"Redis, no keys":      func() (*gorilla.Reader, error) { return gorilla.Redis(client, "s", nil) },
		"unsigned, an age":    func() (*gorilla.Reader, error) { return gorilla.RedisUnsigned(client, gorilla.WithMaxAge(time.Hour)) },
		"unsigned, not after": func() (*gorilla.Reader, error) {
			return gorilla.RedisUnsigned(client, gorilla.WithNotAfter(time.Now()))
		},
		"no folder":          func() (*gorilla.Reader, error) { return gorilla.Files(nil, "s", keys) },
		"a folder, no keys":  func() (*gorilla.Reader, error) { return gorilla.Files(root, "s", nil) },
		"a folder, a prefix": func() (*gorilla.Reader, error) { return gorilla.Files(root, "s", keys, gorilla.WithPrefix("p")) },
		"a folder, JSON":     func() (*gorilla.Reader, error) { return gorilla.Files(root, "s", keys, gorilla.WithJSON()) },
	} {
		r, err := try()
		require.ErrorIs(t, err, sessions.ErrConfig, what)
		require.Nil(t, r, what)
	}
}

// Under FIPS 140 what is not approved is refused in New, and not by a panic at a request.
func TestFIPS(t *testing.T) {
	if !fips140.Enforced() {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestFIPS")
		return
	}
	_, err := gorilla.Cookie("s", [][]byte{[]byte("short")})
	require.ErrorIs(t, err, sessions.ErrConfig)
	for _, keyPairs := range [][][]byte{{key(32)}, {key(64), key(32)}} {
		r, err := gorilla.Cookie("s", keyPairs)
		require.NoError(t, err)
		got, err := r.Read(t.Context(), encode(t, "s", values, keyPairs...))
		require.NoError(t, err)
		require.Equal(t, values, got.Values)
	}
}

var fuzzKey = []byte("the key that the corpus was made with")

func FuzzCookie(f *testing.F) {
	f.Add(encode(f, "s", values, fuzzKey))
	f.Add(base64.URLEncoding.EncodeToString([]byte("1|QQ==|mac")))
	r, err := gorilla.Cookie("s", [][]byte{fuzzKey})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, value string) {
		s, err := r.Read(t.Context(), value)
		if err != nil {
			require.Empty(t, s)
			return
		}
		require.NotNil(t, s.Values)
	})
}

// FuzzValues gives the decoder what a holder of the key could write.
func FuzzValues(f *testing.F) {
	f.Add(gobOf(f, values), false)
	f.Add([]byte(`{"user":"ada"}`), true)
	codec := securecookie.New(fuzzKey, nil).MaxLength(0).SetSerializer(securecookie.NopEncoder{})
	var readers [2]*gorilla.Reader
	var errs [2]error
	readers[0], errs[0] = gorilla.Cookie("s", [][]byte{fuzzKey})
	readers[1], errs[1] = gorilla.Cookie("s", [][]byte{fuzzKey}, gorilla.WithJSON())
	require.NoError(f, errors.Join(errs[:]...))
	f.Fuzz(func(t *testing.T, data []byte, asJSON bool) {
		if len(data) > 1<<11 {
			return
		}
		text, err := codec.Encode("s", data)
		require.NoError(t, err)
		r := readers[0]
		if asJSON {
			r = readers[1]
		}
		_, err = r.Read(t.Context(), text)
		require.NotErrorIs(t, err, migrate.ErrNone, "it verifies")
	})
}

func TestCorpus(t *testing.T) {
	for _, name := range []string{"FuzzCookie", "FuzzValues"} {
		files, err := os.ReadDir("testdata/fuzz/" + name)
		require.NoError(t, err)
		require.NotEmpty(t, files)
	}
}
