package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// keeper lets the test see what a store on a server is given.
type keeper struct {
	*memstore.Store
	data []byte
}

// Place implements [stores.Store]: this is the server that is asked.
func (k *keeper) Place() stores.Place {
	p := k.Store.Place()
	p.Server = k
	return p
}

func (k *keeper) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	k.data = bytes.Clone(rec.Data)
	return k.Store.Save(ctx, key, rec)
}

// cookieOf returns the cookie of a session that was written by the middleware.
func cookieOf(t *testing.T, store stores.Store, options ...middleware.Option) string {
	t.Helper()
	mw, err := middleware.New(store, append(options, middleware.WithRolling(time.Hour))...)
	require.NoError(t, err)
	return request(t, mw, "", func(s *sessions.Session) error {
		return errors.Join(sessions.Key[string]("user").Set(s, "Zoë \u009b31m"), sessions.Key[[]int]("cart").Set(s, []int{7, 8}))
	})
}

// request is one that comes with a cookie, or with none, and returns the new one.
func request(t *testing.T, mw *middleware.Middleware, cookie string, do func(*sessions.Session) error) string {
	t.Helper()
	h := mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		require.NoError(t, err)
		require.NoError(t, do(s))
	}))
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "https://example.com/", nil)
	r.Header.Set("Cookie", cookie)
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	return cookies[0].Name + "=" + cookies[0].Value
}

// write returns a file with data.
func write(t *testing.T, data []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "record")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func inspected(t *testing.T, keys, stdin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(append([]string{"inspect"}, args...), strings.NewReader(stdin), &out, keys)
	return out.String(), err
}

func TestKeygenMakesAKeyThatParses(t *testing.T) {
	var a, b bytes.Buffer
	require.NoError(t, run([]string{"keygen"}, nil, &a, ""))
	require.NoError(t, run([]string{"keygen"}, nil, &b, ""))
	_, err := encrypt.ParseKey(a.String())
	require.NoError(t, err)
	require.NotEqual(t, a.String(), b.String())
}

func TestInspectOpensACookieOfEveryAlgorithm(t *testing.T) {
	key := encrypt.GenerateKey()
	for name, algorithm := range map[string]func(...encrypt.Key) (*encrypt.Keyring, error){
		"AES-GCM": encrypt.NewAESGCM, "XChaCha20-Poly1305": encrypt.NewXChaCha20Poly1305, "AES-CBC-HMAC": encrypt.NewAESCBCHMAC,
	} {
		enc, err := algorithm(key)
		require.NoError(t, err)
		cookie := cookieOf(t, cookiestore.Sealed(), middleware.WithEncryptor(enc))
		_, value, _ := strings.Cut(cookie, "=")
		for form, stdin := range map[string]string{
			"pair": cookie, "value": value + "\n", "header": "Cookie: a=b; " + cookie + "; c=d\n",
		} {
			out, err := inspected(t, encrypt.GenerateKey().ExportSecret()+" "+key.ExportSecret(), stdin)
			require.NoError(t, err, "%s, %s", name, form)
			require.Contains(t, out, "record in a cookie")
			require.Contains(t, out, "idle timeout   1h0m0s")
			require.Contains(t, out, "2 values\n\"cart\": [7,8]\n\"user\": \"Zoë \ufffd31m\"\n")
			require.Less(t, strings.Index(out, "created"), strings.Index(out, "values"), "metadata comes first")
			require.NotContains(t, out, value[:32], "the ID is the secret")
		}
	}
}

func TestInspectOpensASignedCookie(t *testing.T) {
	a, b := encrypt.GenerateKey(), encrypt.GenerateKey()
	store, err := cookiestore.Signed(a)
	require.NoError(t, err)
	cookie := cookieOf(t, store)
	out, err := inspected(t, b.ExportSecret()+" "+a.ExportSecret(), cookie)
	require.NoError(t, err)
	require.Contains(t, out, "record in a signed cookie")
	require.Contains(t, out, "a key or algorithm that is not the first")
	require.Contains(t, out, `"cart": [7,8]`)
	_, err = inspected(t, b.ExportSecret(), cookie)
	require.Error(t, err)
}

func TestInspectOpensAStoredRecordWithItsCookieOnly(t *testing.T) {
	key := encrypt.GenerateKey()
	enc, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	inner, err := memstore.New()
	require.NoError(t, err)
	store := &keeper{Store: inner}
	cookie := cookieOf(t, store, middleware.WithEncryptor(enc), middleware.WithSerializer(serialize.CBOR),
		middleware.WithCookieName("sid"), middleware.WithAudience("shop"))
	for name, data := range map[string][]byte{
		"raw": store.data, "raw with a line end": append(bytes.Clone(store.data), '\n'),
		"base64": []byte(base64.StdEncoding.EncodeToString(store.data) + "\n"),
	} {
		out, err := inspected(t, key.ExportSecret(), cookie, "-name", "sid", "-audience", "shop", "-record", write(t, data))
		require.NoError(t, err, name)
		require.Contains(t, out, "record on a server")
		require.Contains(t, out, `"cart": [7, 8]`)
	}

	path := write(t, store.data)
	for name, args := range map[string][]string{
		"another audience": {"-name", "sid", "-record", path},
		"another name":     {"-name", "tid", "-audience", "shop", "-record", path},
		"no record":        {"-name", "sid", "-audience", "shop"},
	} {
		_, value, _ := strings.Cut(cookie, "=")
		_, err := inspected(t, key.ExportSecret(), value, args...)
		require.Error(t, err, name)
	}
	other := cookieOf(t, store, middleware.WithEncryptor(enc), middleware.WithCookieName("sid"), middleware.WithAudience("shop"))
	_, err = inspected(t, key.ExportSecret(), other, "-name", "sid", "-audience", "shop", "-record", path)
	require.ErrorIs(t, err, encrypt.ErrTampered, "another session's cookie")
}

func TestInspectSaysWhatIsWrongAndShowsNoSecret(t *testing.T) {
	key := encrypt.GenerateKey()
	enc, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	cookie := cookieOf(t, cookiestore.Sealed(), middleware.WithEncryptor(enc))

	_, err = inspected(t, encrypt.GenerateKey().ExportSecret(), cookie)
	require.ErrorIs(t, err, encrypt.ErrUnknownKey)
	_, err = inspected(t, key.ExportSecret(), cookie[:len(cookie)-4]+"AAAA")
	require.ErrorIs(t, err, encrypt.ErrTampered)
	_, err = inspected(t, key.ExportSecret(), "nonsense")
	require.ErrorIs(t, err, stores.ErrMalformed)
	_, err = inspected(t, "", cookie)
	require.ErrorContains(t, err, "BULLA_KEY")
	_, err = inspected(t, key.ExportSecret()+" "+key.ExportSecret(), cookie)
	require.ErrorIs(t, err, encrypt.ErrInvalidKey)
	require.NotContains(t, err.Error(), key.ExportSecret())
	_, err = inspected(t, key.ExportSecret(), cookie, "leftover")
	require.ErrorContains(t, err, "usage")
	require.ErrorContains(t, run(nil, nil, nil, ""), "usage")
}

func TestInspectNamesTheOwner(t *testing.T) {
	key := encrypt.GenerateKey()
	enc, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	inner, err := memstore.New()
	require.NoError(t, err)
	store := &keeper{Store: inner}
	mw, err := middleware.New(store, middleware.WithEncryptor(enc), middleware.WithOwners(encrypt.GenerateKey()))
	require.NoError(t, err)
	cookie := request(t, mw, "", func(s *sessions.Session) error { return s.SetOwner(t.Context(), "zoë\x1b[31m") })

	out, err := inspected(t, key.ExportSecret(), cookie, "-record", write(t, store.data))
	require.NoError(t, err)
	require.Contains(t, out, "owner          zoë\ufffd[31m\n")
}

// What the store has of an old cookie's session after a login, and of any after a
// logout.
func TestInspectExplainsStubs(t *testing.T) {
	key := encrypt.GenerateKey()
	enc, err := encrypt.NewAESGCM(key)
	require.NoError(t, err)
	inner, err := memstore.New()
	require.NoError(t, err)
	store := &keeper{Store: inner}
	mw, err := middleware.New(store, middleware.WithEncryptor(enc))
	require.NoError(t, err)

	visitor := request(t, mw, "", func(s *sessions.Session) error { return sessions.Key[int]("n").Set(s, 1) })
	visitorKey := lineOf(t, key, visitor, store.data, "session")
	user := request(t, mw, visitor, (*sessions.Session).Regenerate)
	moved := store.data // written last, over the old record
	userKey := lineOf(t, key, user, moved, "session")
	require.Equal(t, visitorKey, lineOf(t, key, visitor, moved, "session"))
	require.Equal(t, "stub on a server", lineOf(t, key, visitor, moved, "kind"))
	require.Equal(t, userKey, lineOf(t, key, visitor, moved, "filed under"))
	require.Contains(t, lineOf(t, key, visitor, moved, "new ID since"), "s ago)")

	request(t, mw, user, func(s *sessions.Session) error { s.Destroy(); return nil })
	ended := append(bytes.Repeat([]byte{'m'}, headSize), store.data...) // as Redis has it
	require.Equal(t, "stub on a server", lineOf(t, key, user, ended, "kind"))
	require.Contains(t, lineOf(t, key, user, ended, "ended"), "s ago)")

	out, err := inspected(t, key.ExportSecret(), user, "-record", write(t, ended))
	require.NoError(t, err)
	require.Contains(t, out, "a logout")
	require.Contains(t, out, "nothing proves")
	require.NotContains(t, out, "values")

	_, err = inspected(t, key.ExportSecret(), user)
	require.ErrorContains(t, err, userKey, "it tells where to look")
}

// lineOf returns what stands behind name in what is printed of a stored record.
func lineOf(t *testing.T, key encrypt.Key, cookie string, record []byte, name string) string {
	t.Helper()
	out, err := inspected(t, key.ExportSecret(), cookie, "-record", write(t, record))
	require.NoError(t, err)
	for text := range strings.Lines(out) {
		if value, ok := strings.CutPrefix(text, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	require.Fail(t, "no such line", "%s in\n%s", name, out)
	return ""
}
