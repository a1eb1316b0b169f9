package main

import (
	"bytes"
	"context"
	"encoding/base64"
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

func (k *keeper) Save(ctx context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	k.data = bytes.Clone(rec.Data)
	return k.Store.Save(ctx, tok, rec)
}

// cookieOf returns the cookie of a session that was written by the middleware.
func cookieOf(t *testing.T, store stores.Store, options ...middleware.Option) string {
	t.Helper()
	mw, err := middleware.New(store, append(options, middleware.WithLifetime(time.Hour), middleware.WithRolling())...)
	require.NoError(t, err)
	h := mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		require.NoError(t, err)
		require.NoError(t, sessions.Key[string]("user").Set(s, "Zoë \u009b31m"))
		require.NoError(t, sessions.Key[[]int]("cart").Set(s, []int{7, 8}))
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	return cookies[0].Name + "=" + cookies[0].Value
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
		"AES-GCM": encrypt.NewAESGCM, "XChaCha20-Poly1305": encrypt.NewXChaCha20Poly1305, "Fernet": encrypt.NewFernet,
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
	write := func(data []byte) string {
		path := filepath.Join(t.TempDir(), "record")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	mark := bytes.Repeat([]byte{'m'}, markSize)
	for name, data := range map[string][]byte{
		"raw": store.data, "raw with a line end": append(bytes.Clone(store.data), '\n'),
		"base64": []byte(base64.StdEncoding.EncodeToString(store.data) + "\n"), "behind a mark": append(mark, store.data...),
	} {
		out, err := inspected(t, key.ExportSecret(), cookie, "-name", "sid", "-audience", "shop", "-record", write(data))
		require.NoError(t, err, name)
		require.Contains(t, out, "record on a server")
		require.Contains(t, out, `"cart": [7, 8]`)
	}

	path := write(store.data)
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
	s := mw.Manager().New()
	require.NoError(t, s.SetOwner(t.Context(), "zoë\x1b[31m"))
	change, err := mw.Manager().Commit(t.Context(), s, sessions.BeforeResponse)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "record")
	require.NoError(t, os.WriteFile(path, store.data, 0o600))

	out, err := inspected(t, key.ExportSecret(), change.Token.Value(nil), "-record", path)
	require.NoError(t, err)
	require.Contains(t, out, "owner          zoë\ufffd[31m\n")
}
