package scs_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/interop/scs"
	"github.com/bulla-go/bulla/sessions"
)

// encode encodes a record as scs's GobCodec does.
func encode(t testing.TB, deadline time.Time, values map[string]any) []byte {
	var b bytes.Buffer
	aux := &struct {
		Deadline time.Time
		Values   map[string]any
	}{deadline, values}
	require.NoError(t, gob.NewEncoder(&b).Encode(&aux))
	return b.Bytes()
}

func newToken() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// ttl returns how long a key lives, as Redis says it.
func ttl(t testing.TB, client *redis.Client, key string) time.Duration {
	left, err := client.PTTL(t.Context(), key).Result()
	require.NoError(t, err)
	return left
}

func TestRedis(t *testing.T) {
	client := redistest.Single(t).Client()
	ctx := t.Context()
	deadline := time.Now().Add(time.Hour).Round(0).UTC()
	values := map[string]any{"user": "ada", "visits": 3, "roles": []string{"admin"}, "__rememberMe": true}
	for what, c := range map[string]struct {
		opts []scs.Option
		key  func(token string) string
	}{
		"plain":  {nil, func(token string) string { return "scs:session:" + token }},
		"prefix": {[]scs.Option{scs.WithPrefix("app:")}, func(token string) string { return "app:" + token }},
		"hashed": {[]scs.Option{scs.WithHashedTokens()}, func(token string) string {
			sum := sha256.Sum256([]byte(token))
			return "scs:session:" + base64.RawURLEncoding.EncodeToString(sum[:])
		}},
	} {
		r, err := scs.Redis(client, c.opts...)
		require.NoError(t, err, what)
		token := newToken()
		key := c.key(token)
		require.NoError(t, client.Set(ctx, key, encode(t, deadline, values), time.Hour).Err())

		got, err := r.Read(ctx, token)
		require.NoError(t, err, what)
		require.Equal(t, scs.Session{Deadline: deadline, Values: values}, got, what)

		// Retired it lives a minute, and a second time brings no more.
		require.NoError(t, r.Retire(ctx, token))
		left := ttl(t, client, key)
		require.LessOrEqual(t, left, migrate.Grace)
		require.Greater(t, left, migrate.Grace-20*time.Second)
		require.NoError(t, client.PExpire(ctx, key, time.Second).Err())
		require.NoError(t, r.Retire(ctx, token))
		require.LessOrEqual(t, ttl(t, client, key), time.Second)
		_, err = r.Read(ctx, token)
		require.NoError(t, err)

		// One without an end gets one.
		require.NoError(t, client.Persist(ctx, key).Err())
		require.NoError(t, r.Retire(ctx, token))
		require.LessOrEqual(t, ttl(t, client, key), migrate.Grace)
		require.Positive(t, ttl(t, client, key))

		unknown := newToken()
		_, err = r.Read(ctx, unknown)
		require.ErrorIs(t, err, migrate.ErrNone)
		require.NoError(t, r.Retire(ctx, unknown))
		require.Zero(t, client.Exists(ctx, c.key(unknown)).Val())
	}
}

func TestRecordsThatDoNotCount(t *testing.T) {
	client := redistest.Single(t).Client()
	ctx := t.Context()
	r, err := scs.Redis(client)
	require.NoError(t, err)
	set := func(data []byte) string {
		token := newToken()
		require.NoError(t, client.Set(ctx, "scs:session:"+token, data, time.Hour).Err())
		return token
	}
	_, err = r.Read(ctx, set(encode(t, time.Now().Add(-time.Second), map[string]any{"user": "ada"})))
	require.ErrorIs(t, err, migrate.ErrNone, "it has expired")

	// What is there and can't be read is not nothing.
	for what, data := range map[string][]byte{
		"no gob": []byte("secret text"), "empty": {}, "no deadline": encode(t, time.Time{}, nil), "too long": make([]byte, 2<<20),
		"another gob": []byte("\x03\x04\x00\x02"),
	} {
		_, err = r.Read(ctx, set(data))
		require.Error(t, err, what)
		require.NotErrorIs(t, err, migrate.ErrNone, what)
		require.NotContains(t, err.Error(), "secret", what)
	}
	require.NoError(t, client.RPush(ctx, "scs:session:"+strings.Repeat("A", 43), "x").Err())
	_, err = r.Read(ctx, strings.Repeat("A", 43))
	require.Error(t, err)
	require.NotErrorIs(t, err, migrate.ErrNone, "a list")

	token := set(encode(t, time.Now().Add(time.Hour), nil))
	got, err := r.Read(ctx, token)
	require.NoError(t, err)
	require.NotNil(t, got.Values)

	down := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { down.Close() })
	r, err = scs.Redis(down)
	require.NoError(t, err)
	_, err = r.Read(ctx, token)
	require.Error(t, err)
	require.NotErrorIs(t, err, migrate.ErrNone)
	require.Error(t, r.Retire(ctx, token))
}

// A token has one spelling, and nothing else reaches the store.
func TestTokens(t *testing.T) {
	r, err := scs.Redis(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}))
	require.NoError(t, err)
	good := newToken()
	for _, bad := range []string{
		"", "x", good[:42], good + "A", good + "=", good[:42] + "*", good[:42] + "+", " " + good[:42],
		good[:41] + "A\n",             // 31 bytes, if line ends count for nothing
		strings.Repeat("A", 42) + "B", // bits that no scs sets
		"../../" + good[:37], strings.Repeat("é", 21) + "a",
	} {
		_, err := r.Read(t.Context(), bad)
		require.ErrorIs(t, err, migrate.ErrNone, "%q", bad)
		require.NoError(t, r.Retire(t.Context(), bad), "%q", bad)
	}
}

// jsonCodec is what an application writes to have JSON.
type jsonCodec struct{ err error }

func (c jsonCodec) Decode(data []byte) (time.Time, map[string]any, error) {
	var rec struct {
		Deadline time.Time
		Values   map[string]any
	}
	err := errors.Join(c.err, json.Unmarshal(data, &rec))
	return rec.Deadline, rec.Values, err
}

func TestRefusedInNew(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	for what, try := range map[string]func() (*scs.Reader, error){
		"nil option":   func() (*scs.Reader, error) { return scs.Redis(client, nil) },
		"nil codec":    func() (*scs.Reader, error) { return scs.Redis(client, scs.WithCodec(nil)) },
		"nil client":   func() (*scs.Reader, error) { return scs.Redis(nil) },
		"table, Redis": func() (*scs.Reader, error) { return scs.Redis(client, scs.WithTable("sessions")) },
		"nil database": func() (*scs.Reader, error) { return scs.SQL(nil, scs.SQLite) },
		"a bad table":  func() (*scs.Reader, error) { return scs.Redis(client, scs.WithTable("a; DROP TABLE b")) },
	} {
		r, err := try()
		require.ErrorIs(t, err, sessions.ErrConfig, what)
		require.Nil(t, r, what)
	}
}

func TestCodec(t *testing.T) {
	client := redistest.Single(t).Client()
	r, err := scs.Redis(client, scs.WithCodec(jsonCodec{}))
	require.NoError(t, err)
	token := newToken()
	require.NoError(t, client.Set(t.Context(), "scs:session:"+token, `{"Deadline":"2100-01-01T00:00:00Z","Values":{"user":"ada"}}`, time.Hour).Err())
	got, err := r.Read(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"user": "ada"}, got.Values)
	require.Equal(t, 2100, got.Deadline.Year())

	r, err = scs.Redis(client, scs.WithCodec(jsonCodec{errors.New("broken")}))
	require.NoError(t, err)
	_, err = r.Read(t.Context(), token)
	require.ErrorContains(t, err, "broken")
	require.NotErrorIs(t, err, migrate.ErrNone)
}

// What the real scs has written (v2.9.0, GobCodec) is read.
func TestVector(t *testing.T) {
	data, err := os.ReadFile("testdata/scs-2.9.0.gob")
	require.NoError(t, err)
	gob.Register(time.Time{})
	deadline, values, err := scs.DecodeGob(data)
	require.NoError(t, err)
	require.Equal(t, time.Date(2100, 1, 2, 3, 4, 5, 6000, time.UTC), deadline)
	require.Equal(t, map[string]any{"user": "ada", "visits": 3, "roles": []string{"admin", "éditeur"}, "at": time.Unix(1e9, 0).UTC()}, values)
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, time.Unix(1e9, 0), map[string]any{"user": "ada"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		deadline, values, err := scs.DecodeGob(data)
		if err != nil {
			return
		}
		// What is read can be written and read again.
		var b bytes.Buffer
		aux := struct {
			Deadline time.Time
			Values   map[string]any
		}{deadline, values}
		if gob.NewEncoder(&b).Encode(aux) == nil {
			_, again, err := scs.DecodeGob(b.Bytes())
			require.NoError(t, err)
			require.Len(t, again, len(values))
		}
	})
}

func TestCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzDecode")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}
