//go:build unix

package starsessions

import (
	"crypto/fips140"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/interop/internal/signed"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

func sealingOf(t testing.TB, v interoptest.Vector) Encryptor {
	p := pair{Encryptor: v.Encryptor, Key: v.KeyB64URL}
	return p.sealing(t)
}

// The vectors of the real library: cookies and records.
func TestCase06Vectors(t *testing.T) {
	for _, v := range interoptest.Read(t).Starsessions {
		t.Run(fmt.Sprint(v.Name, v.Lifetime), func(t *testing.T) {
			l := &layout{Serializer: serialize.JSON, lifetime: time.Duration(v.Lifetime) * time.Second, encryptor: sealingOf(t, v)}
			var data []byte
			if v.Store == "cookie" {
				l.signed = true
				store, err := Cookie(v.SecretKey)
				require.NoError(t, err)
				data, _, err = signed.Codec{Signer: store.signer}.Decode(v.Cookie, nil)
				require.NoError(t, err)
				text, err := signed.Codec{Signer: store.signer}.Encode(data, nil)
				require.NoError(t, err)
				require.Equal(t, v.Cookie, text)
			} else {
				var err error
				data, err = base64.StdEncoding.DecodeString(v.RedisB64)
				require.NoError(t, err)
				require.Equal(t, v.RedisKey, Prefix+v.Cookie)
				require.True(t, isID(v.Cookie))
			}
			env, err := l.Split(data)
			require.NoError(t, err)
			require.Equal(t, v.Session, decoded(t, env.Values))
			require.Equal(t, int64(1795267761), env.Created.Unix())

			// Written and read again, it is the same.
			env.Deadline = env.Created.Add(time.Hour)
			again, err := l.Join(nil, env)
			require.NoError(t, err)
			second, err := l.Split(again)
			require.NoError(t, err)
			require.Equal(t, env, second)

			// Wrong keys, and every cut.
			other := *l
			other.encryptor = (pair{}).withKey(map[string]string{"": "fernet", "fernet": "aesgcm", "aesgcm": "fernet"}[v.Encryptor], 32).sealing(t)
			_, err = other.Split(data)
			require.Error(t, err)
			for n := range data {
				if _, err = l.Split(data[:n:n]); v.Encryptor != "" || n < len(data) {
					require.Error(t, err, n)
				}
			}
		})
	}
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

func TestCase06Keys(t *testing.T) {
	for _, size := range []int{16, 24, 32} {
		e, err := AESGCM(make([]byte, size))
		require.NoError(t, err)
		sealed, err := e.seal([]byte("text"))
		require.NoError(t, err)
		require.Len(t, sealed, 12+4+16)
		plain, err := e.open(sealed)
		require.NoError(t, err)
		require.Equal(t, "text", string(plain))
		for n := range sealed {
			_, err = e.open(sealed[:n])
			require.ErrorIs(t, err, errOpen)
		}
	}
	for _, size := range []int{0, 8, 31, 33} {
		_, err := AESGCM(make([]byte, size))
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
	}
	for _, key := range []string{"", "short", strings.Repeat("A", 43), strings.Repeat("A", 44), base64.URLEncoding.EncodeToString(make([]byte, 16))} {
		_, err := Fernet(key)
		require.ErrorIs(t, err, encrypt.ErrInvalidKey)
	}
}

// Keys that users of Python have copied from documentation.
func TestCase07DocumentationKeys(t *testing.T) {
	_, err := Fernet(base64.URLEncoding.EncodeToString([]byte("Thirty  two  length  bytes  key.")))
	require.NoError(t, err)
	_, err = AESGCM([]byte("Thirty  two  length  bytes  key."))
	require.NoError(t, err)
}

// One key, as Python's Fernet takes it: of its own alphabet, of openssl's, with bits that
// no byte has, with the end of a file's line.
func TestCase07SpellingsOfAKey(t *testing.T) {
	const key = "4OHi4-Tl5ufo6err7O3u7_Dx8vP09fb3-Pn6-_z9_v8="
	first, err := Fernet(key)
	require.NoError(t, err)
	sealed, err := first.seal([]byte("text"))
	require.NoError(t, err)
	for _, same := range []string{"4OHi4+Tl5ufo6err7O3u7/Dx8vP09fb3+Pn6+/z9/v8=", "4OHi4-Tl5ufo6err7O3u7_Dx8vP09fb3-Pn6-_z9_v9=", key + "\n"} {
		e, err := Fernet(same)
		require.NoError(t, err)
		text, err := e.open(sealed)
		require.NoError(t, err)
		require.Equal(t, "text", string(text))
	}
}

// What is no ID of either side's does not reach Redis.
func TestIDs(t *testing.T) {
	for _, id := range []string{"12f1834681ae40c6bbede30efc6cdbad", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "----____----____----____----____"} {
		require.True(t, isID(id), id)
	}
	for _, id := range []string{"", "a", "12f1834681ae40c6bbede30efc6cdba", "12f1834681ae40c6bbede30efc6cdbad0", "12f1834681ae40c6bbede30efc6cdba.", "12f1834681ae40c6bbede30efc6cdba~", "{0123456789abcdef0123456789abcd}", "../../../../../../../../../../..", "éééééééééééééééé"} {
		require.False(t, isID(id), id)
	}
}

// What seals here is no encrypt.Encryptor: it can't be given to a store of Bulla's own.
func TestCase34NoEncryptorForOthers(t *testing.T) {
	var e any = Unencrypted()
	_, ok := e.(encrypt.Encryptor)
	require.False(t, ok)
	_, ok = any(&e).(encrypt.Encryptor)
	require.False(t, ok)
	_, ok = any(new(Store)).(stores.Store)
	require.False(t, ok, "nor can its stores be wrapped in another")
}

// Under FIPS 140 there are no cookies signed by HMAC-SHA1; Redis does.
func TestFIPS(t *testing.T) {
	if !fips140.Enforced() {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Regexp(t, "--- (PASS|SKIP): TestFIPS", string(out))
		return
	}
	_, err := Cookie("secret")
	require.ErrorContains(t, err, "fips140=only")
	server, port := newRedis(t)
	for _, encryptor := range []string{"fernet", "aesgcm"} {
		goes := pair{Store: "redis", Redis: port, Lifetime: 3600}.withKey(encryptor, 32).serve(t, server.Client())
		b := browse(t)
		b.Do(goes, "login=alice")
		require.Equal(t, "alice", b.User(goes))
		b.Do(goes, "logout=1")
		require.Nil(t, b.User(goes))
	}
}

func plain(signed bool) *layout {
	return &layout{Serializer: serialize.JSON, lifetime: time.Hour, encryptor: Unencrypted(), signed: signed}
}

func TestCase08Metadata(t *testing.T) {
	l := plain(false)
	for text, want := range map[string]float64{
		`{"a": 1}`:                                              0,
		`{"a": 1, "__metadata__": {}}`:                          0,
		`{"__metadata__": {"created": 1700000000}}`:             1700000000,
		`{"__metadata__": {"created": 1700000000.25}}`:          1700000000.25,
		`{"__metadata__": {"created": 17e8}}`:                   1700000000,
		`{"__metadata__": {"created": 0}}`:                      0,
		`{"__metadata__": 1, "__metadata__": {"created": 1.5}}`: 1.5,
	} {
		env, err := l.Split([]byte(text))
		require.NoError(t, err, text)
		if want == 0 {
			require.True(t, env.Created.IsZero() || env.Created.Unix() == 0, text)
			continue
		}
		require.Equal(t, int64(want*1000), env.Created.UnixMilli(), text)
		env.Deadline = env.Created.Add(time.Hour)
		again, err := l.Join(nil, env)
		require.NoError(t, err)
		require.Contains(t, string(again), text[strings.Index(text, `"created"`):len(text)-2], "as it was written")
	}
	env, err := l.Split([]byte(`{"__metadata__": {"created": 9000000000}}`))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), env.Created, time.Second, "of the future: begun now")
	for _, about := range []string{
		`1`, `null`, `"x"`, `[]`, `{"created": "1"}`, `{"created": null}`, `{"created": -1}`, `{"created": 1e300}`, `{"created": NaN}`, `{"created": Infinity}`,
		`{"created": []}`, `{"bulla": 1}`, `{"bulla": "x"}`, `{"bulla": "AQ"}`,
	} {
		_, err := l.Split([]byte(`{"a": 1, "__metadata__": ` + about + `}`))
		require.ErrorIs(t, err, errMetadata, about)
	}
}

func TestCase10UnknownMetadata(t *testing.T) {
	l := plain(false)
	env, err := l.Split([]byte(`{"a": 1, "": 2, "__metadata__": {"created": 17.5, "x": [NaN], "lifetime": 9, "\ud800": {}, "ü": 1}}`))
	require.NoError(t, err)
	env.Generation = 7
	env.Marks = env.Marks.With(envelope.Mark{Writer: [8]byte{1}, Count: 2}, time.Now())
	env.Deadline = time.UnixMilli(99_000_000).UTC()
	data, err := l.Join(nil, env)
	require.NoError(t, err)
	require.Regexp(t, `^\{"a": 1, "__metadata__": \{"lifetime": 3600, "created": 17\.5, "last_access": \d+\.\d{6}, "x": \[NaN\], "\\u00fc": 1, "\\ud800": \{\}, "bulla": "[\w-]+"\}, "": 2\}$`, string(data))
	again, err := l.Split(data)
	require.NoError(t, err)
	env.Metadata.Extra = again.Extra // the order of the members is another
	require.Equal(t, env, again)
	third, err := l.Join(nil, again)
	require.NoError(t, err)
	require.Equal(t, len(data), len(third))
}

// Of what stands in our member of the metadata only what still holds is taken: a deadline
// does not come before the beginning that Python has, and a proof may be another user's.
func TestCase10OurMember(t *testing.T) {
	l := plain(false)
	record := func(env envelope.Envelope, created int) (envelope.Envelope, error) {
		data, err := envelope.Join(nil, env)
		require.NoError(t, err)
		return l.Split(fmt.Appendf(nil, `{"a": 1, "__metadata__": {"created": %d, "bulla": "%s"}}`, created, block.EncodeToString(data)))
	}
	own := envelope.Metadata{Created: time.Unix(1000, 0), Deadline: time.Unix(2000, 0), Generation: 7}
	env, err := record(envelope.Envelope{Metadata: own}, 1000)
	require.NoError(t, err)
	require.EqualValues(t, 2000, env.Deadline.Unix())
	require.EqualValues(t, 7, env.Generation)
	env, err = record(envelope.Envelope{Metadata: own}, 3000)
	require.NoError(t, err)
	require.EqualValues(t, 3000, env.Deadline.Unix(), "it is over")
	_, err = l.Join(nil, env)
	require.NoError(t, err)

	proven := own
	proven.Authenticated, proven.Owner, proven.Label = time.Unix(1500, 0), "alice", "phone"
	env, err = record(envelope.Envelope{Metadata: proven}, 1000)
	require.NoError(t, err)
	require.True(t, env.Authenticated.IsZero() && env.Owner == "" && env.Label == "")

	vals, err := envelope.NewValues(maps.All(map[string][]byte{"user": []byte(`"mallory"`)}))
	require.NoError(t, err)
	_, err = record(envelope.Envelope{Metadata: own, Values: vals}, 1000)
	require.ErrorIs(t, err, errMetadata)
}

func TestCase11NotOurs(t *testing.T) {
	for _, text := range []string{"", "[]", "null", "{}x", `{"a": 1`, strings.Repeat("[", 10_000)} {
		_, err := plain(false).Split([]byte(text))
		require.Error(t, err)
		_, err = plain(true).Split([]byte(text))
		require.Error(t, err)
	}
	vals, err := envelope.NewValues(maps.All(map[string][]byte{metadata: []byte("1")}))
	require.NoError(t, err)
	_, err = plain(false).Join(nil, envelope.Envelope{Metadata: envelope.Metadata{Created: time.Now(), Deadline: time.Now()}, Values: vals})
	require.ErrorIs(t, err, envelope.ErrInvalid)
}

func get(h http.Handler, cookies ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range cookies {
		r.Header.Add("Cookie", "session="+c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// app answers who is logged in, and logs in with ?login.
func app(t testing.TB, p pair) http.Handler { return p.middleware(t, nil).HandlerFunc(interoptest.Act) }

func TestCase12And13Cookies(t *testing.T) {
	p := pair{Store: "cookie", Secret: "secret", Encryptor: "none", Lifetime: 3600}
	h := app(t, p)
	store, err := Cookie(p.Secret)
	require.NoError(t, err)
	sign := func(text string) string { return store.signer.Sign(base64.StdEncoding.EncodeToString([]byte(text))) }
	good := sign(`{"user": "alice"}`)
	require.Contains(t, get(h, good).Body.String(), "alice")
	for _, cookie := range []string{
		"''", "null", "", `""`, `"` + good + `"`, `"\054"`, good + "=", "x" + good, store.signer.Sign(""), store.signer.Sign("AAA"), store.signer.Sign("e30=\n"),
		store.signer.SignAt("e30=", time.Now().Add(2*time.Minute)), store.signer.SignAt("e30=", time.Now().Add(-2*time.Hour)),
	} {
		w := get(h, cookie)
		require.Equal(t, 200, w.Code, cookie)
		require.NotContains(t, w.Body.String(), "alice", cookie)
		require.Empty(t, w.Result().Cookies())
	}
	require.NotContains(t, get(h, good, sign(`{"user": "bob"}`)).Body.String(), `"user"`, "which of two is meant nobody knows")
	require.Contains(t, get(h, good, good, "null").Body.String(), "alice")
	require.Contains(t, get(h, store.signer.SignAt(base64.StdEncoding.EncodeToString([]byte(`{"user": "alice"}`)), time.Now().Add(30*time.Second))).Body.String(), "alice",
		"the other machine's clock is a little ahead")
	require.Equal(t, 503, get(h, sign("not JSON")).Code, "authentic, and of a form that nobody knows")

	w := get(h, sign("{}"))
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), `{}`)
}

// The line of a cookie has at most 4096 bytes, of which starsessions' own limit counts
// the value alone.
func TestCase14Room(t *testing.T) {
	p := pair{Store: "cookie", Secret: "secret", Encryptor: "none", Lifetime: 3600}
	mw := p.middleware(t, nil)
	fits, refused := 0, 0
	for n := 2700; n < 2900; n++ {
		h := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			return sessions.Key[string]("a").Set(s, strings.Repeat("x", n))
		})
		w := get(h)
		line := w.Header().Get("Set-Cookie")
		if w.Code == 200 {
			require.LessOrEqual(t, len("Set-Cookie: "+line), 4096)
			require.Zero(t, refused)
			fits = len("Set-Cookie: " + line)
		} else {
			require.Equal(t, 413, w.Code)
			require.Empty(t, line)
			refused++
		}
	}
	require.Greater(t, fits, 4080)
	require.Positive(t, refused)
}

func TestCase15Attributes(t *testing.T) {
	for _, p := range []pair{{Lifetime: 3600}, {Lifetime: 3600, Rolling: true}, {}} {
		p.Store, p.Secret, p.Encryptor = "cookie", "secret", "none"
		h := p.middleware(t, nil).HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
			return sessions.Key[string]("a").Set(s, "b")
		})
		c := get(h).Result().Cookies()[0]
		require.Equal(t, "session", c.Name)
		require.True(t, c.HttpOnly && c.Secure && c.SameSite == http.SameSiteLaxMode && c.Path == "/" && c.Domain == "")
		require.InDelta(t, p.Lifetime, c.MaxAge, 1)
	}
}

// A session ends as on the Python side: by its lifetime, counted from the beginning or
// from the last use.
func TestLifetimes(t *testing.T) {
	const day = 24 * 3600
	for _, tt := range []struct {
		p    pair
		uses []time.Duration // between requests
		live bool
	}{
		{pair{Lifetime: 3600}, []time.Duration{50 * time.Minute, 9 * time.Minute}, true},
		{pair{Lifetime: 3600}, []time.Duration{50 * time.Minute, 11 * time.Minute}, false},
		{pair{Lifetime: 3600, Rolling: true}, []time.Duration{50 * time.Minute, 50 * time.Minute, 59 * time.Minute}, true},
		{pair{Lifetime: 3600, Rolling: true}, []time.Duration{61 * time.Minute}, false},
		{pair{Lifetime: 300 * day, Rolling: true}, []time.Duration{250 * day * time.Second, 149 * day * time.Second}, true},
		{pair{Lifetime: 300 * day, Rolling: true}, []time.Duration{250 * day * time.Second, 151 * day * time.Second}, false}, // 400 days
		{pair{}, []time.Duration{359 * 24 * time.Hour}, true},
		{pair{}, []time.Duration{361 * 24 * time.Hour}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			tt.p.Store, tt.p.Secret, tt.p.Encryptor = "cookie", "secret", "none"
			h := tt.p.middleware(t, nil).HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
				if r.Header.Get("Cookie") == "" {
					return sessions.Key[string]("user").Set(s, "alice")
				}
				user, err := sessions.Key[string]("user").GetOr(s, "nobody")
				fmt.Fprint(w, user)
				return err
			})
			cookie := get(h).Result().Cookies()[0].Value
			var w *httptest.ResponseRecorder
			for _, d := range tt.uses {
				time.Sleep(d)
				w = get(h, cookie)
				if set := w.Result().Cookies(); len(set) > 0 {
					cookie = set[0].Value
				}
			}
			require.Equal(t, tt.live, w.Body.String() == "alice", "%v", tt)
		})
	}
}

func TestCase35Refusals(t *testing.T) {
	cookie, err := Cookie("secret")
	require.NoError(t, err)
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	server, err := Redis(client)
	require.NoError(t, err)
	ring, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	good := Config{Lifetime: time.Hour, Encryptor: Unencrypted()}
	for text, c := range map[string]struct {
		store  *Store
		config Config
		opts   []middleware.Option
	}{
		"the store is nil":   {nil, good, nil},
		"store is nil":       {new(Store), good, nil},
		"Encryptor":          {cookie, Config{}, nil},
		"whole seconds":      {cookie, Config{Lifetime: 1500 * time.Millisecond, Encryptor: Unencrypted()}, nil},
		"in whole seconds":   {cookie, Config{Lifetime: -time.Second, Encryptor: Unencrypted()}, nil},
		"needs a Lifetime":   {cookie, Config{Rolling: true, Encryptor: Unencrypted()}, nil},
		"400 days":           {cookie, Config{Lifetime: 401 * 24 * time.Hour, Encryptor: Unencrypted()}, nil},
		"WithSignedIDs":      {server, good, []middleware.Option{middleware.WithSignedIDs(encrypt.GenerateKey())}},
		"WithCookieCache":    {server, good, []middleware.Option{middleware.WithCookieCache(time.Minute)}},
		"WithOwners":         {server, good, []middleware.Option{middleware.WithOwners(encrypt.GenerateKey())}},
		"WithEncryptor":      {server, good, []middleware.Option{middleware.WithEncryptor(ring)}},
		"WithoutEncryption":  {cookie, good, []middleware.Option{middleware.WithoutEncryption()}},
		"WithSerializer":     {server, good, []middleware.Option{middleware.WithSerializer(serialize.Gob)}},
		"WithAudience":       {cookie, good, []middleware.Option{middleware.WithAudience("app")}},
		"add WithCookieName": {server, good, []middleware.Option{middleware.WithCookieName("")}},
	} {
		_, err := New(c.store, c.config, c.opts...)
		require.ErrorIs(t, err, sessions.ErrConfig, text)
		require.ErrorContains(t, err, text)
	}
	_, err = Redis(client, redisstore.WithStaleReads())
	require.Error(t, err)
	_, err = Cookie()
	require.Error(t, err)
	_, err = New(server, good, middleware.WithCookieName("sid"))
	require.NoError(t, err)
}

func FuzzSplit(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		l := plain(false)
		env, err := l.Split(data)
		if err != nil {
			return
		}
		if env.Created.IsZero() {
			env.Created = time.Unix(1, 0).UTC()
		}
		if env.Deadline.IsZero() {
			env.Deadline = env.Created.Add(time.Hour)
		}
		again, err := l.Join(nil, env)
		require.NoError(t, err)
		second, err := l.Split(again)
		require.NoError(t, err)
		require.Equal(t, env.Values, second.Values)
		require.Equal(t, env.Created, second.Created)
		third, err := l.Join(nil, second)
		require.NoError(t, err)
		fourth, err := l.Split(third)
		require.NoError(t, err)
		require.Equal(t, second, fourth)
	})
}

func FuzzDecode(f *testing.F) {
	store, err := Cookie("secret")
	require.NoError(f, err)
	c := signed.Codec{Signer: store.signer}
	f.Fuzz(func(t *testing.T, text, value string) {
		if _, _, err := c.Decode(text, nil); err == nil {
			t.Fatalf("%q was not signed", text)
		}
		signed := store.signer.SignAt(value, time.Unix(1795267761, 0))
		data, _, err := c.Decode(signed, nil)
		if err != nil {
			return
		}
		again, err := c.Encode(data, nil)
		require.NoError(t, err)
		require.Equal(t, signed, again, "a record has two spellings")
	})
}

func TestFuzzCorpus(t *testing.T) {
	for _, name := range []string{"FuzzSplit", "FuzzDecode"} {
		files, err := os.ReadDir("testdata/fuzz/" + name)
		require.NoError(t, err)
		require.NotEmpty(t, files)
	}
}
