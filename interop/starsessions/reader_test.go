//go:build unix

package starsessions

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/interop/internal/interoptest"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// The way out: what was shared moves into sessions of Bulla's own.
func TestMoveOut(t *testing.T) {
	server, port := newRedis(t)
	client := server.Client()
	for _, p := range []pair{{Store: "cookie", Secret: "secret"}, {Store: "redis", Redis: port}} {
		p.Lifetime = 3600
		p = p.withKey("fernet", 32)
		shared := p.serve(t, client)
		b := browse(t)
		b.Do(shared, "login=alice&set=%7B%22n%22%3A7%7D")
		store, err := Cookie(p.Secret)
		if p.Store == "redis" {
			store, err = Redis(client)
		}
		require.NoError(t, err)
		config := Config{Lifetime: time.Hour, Encryptor: p.sealing(t)}
		reader, err := NewReader(store, config, time.Time{})
		require.NoError(t, err)

		got, err := reader.Read(t.Context(), b.Cookie)
		require.NoError(t, err)
		require.Equal(t, `"alice"`, string(got.Values["user"]))
		require.Equal(t, "7", string(got.Values["n"]))
		require.WithinDuration(t, time.Now(), got.Created, 10*time.Second)
		for _, value := range []string{"", "null", "''", "0123456789abcdef0123456789abcdef", b.Cookie + "="} {
			_, err = reader.Read(t.Context(), value)
			require.ErrorIs(t, err, migrate.ErrNone, value)
			require.NoError(t, reader.Retire(t.Context(), value))
		}
		config.Lifetime = time.Second
		short, err := NewReader(store, config, time.Time{})
		require.NoError(t, err)
		time.Sleep(time.Until(got.Created.Add(time.Second)))
		_, err = short.Read(t.Context(), b.Cookie)
		require.ErrorIs(t, err, migrate.ErrNone, "expired")
		late, err := NewReader(store, Config{Encryptor: p.sealing(t)}, time.Now().Add(-time.Hour))
		require.NoError(t, err)
		_, err = late.Read(t.Context(), b.Cookie)
		require.ErrorIs(t, err, migrate.ErrNone, "signed, or begun, after the Python side was switched off")
		wrong := p
		wrong.Lifetime++
		config.Encryptor = wrong.withKey("fernet", 32).sealing(t)
		blind, err := NewReader(store, config, time.Time{})
		require.NoError(t, err)
		_, err = blind.Read(t.Context(), b.Cookie)
		require.Error(t, err)
		require.NotErrorIs(t, err, migrate.ErrNone, "a wrong key is nobody's logout")

		ring, err := encrypt.NewAESGCM(encrypt.GenerateKey())
		require.NoError(t, err)
		mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(ring))
		require.NoError(t, err)
		moving, err := migrate.New(mw, migrate.Source[Session]{
			Cookie: &http.Cookie{Name: CookieName, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode},
			Read:   reader.Read,
			Retire: reader.Retire,
			Until:  time.Now().Add(time.Hour),
			Adopt: func(_ context.Context, s *sessions.Session, old Session) error {
				if err := sessions.Key[string]("user").Set(s, "moved "+string(old.Values["user"])); err != nil {
					return err
				}
				return s.BeganAt(old.Created)
			},
		})
		require.NoError(t, err)
		moved := httptest.NewServer(moving.Handler(mw.HandlerFunc(interoptest.Act)))
		require.Equal(t, `moved "alice"`, browse(t, b.Cookie).User(moved.URL))
		moved.Close()
		if p.Store == "redis" {
			require.LessOrEqual(t, client.PTTL(t.Context(), Prefix+b.Cookie).Val(), migrate.Grace)
			b.Do(shared, "logout=1")
			_, err = reader.Read(t.Context(), b.Cookie)
			require.ErrorIs(t, err, migrate.ErrNone)
		}
	}
}

// When a record counts for a migration.
func TestReaderOfRecords(t *testing.T) {
	client := redistest.Single(t).Client()
	store, err := Redis(client)
	require.NoError(t, err)
	const id = "0123456789abcdef0123456789abcdef"
	begun := time.Now().Add(-2 * time.Hour)
	own := envelope.Metadata{Created: begun, Deadline: begun.Add(time.Hour)}
	data, err := envelope.Join(nil, envelope.Envelope{Metadata: own})
	require.NoError(t, err)
	fixed := Config{Lifetime: time.Hour, Encryptor: Unencrypted()}
	rolling := fixed
	rolling.Rolling = true
	for what, c := range map[string]struct {
		name, more string
		config     Config
		live       bool
	}{
		"rolling":            {id, "", rolling, true},
		"fixed":              {id, "", fixed, false},
		"our deadline":       {id, `, "bulla": "` + block.EncodeToString(data) + `"`, rolling, false},
		"not an ID":          {"~" + id[1:], "", rolling, false},
		"until it is closed": {id, "", Config{Encryptor: Unencrypted()}, true},
	} {
		client.Set(t.Context(), Prefix+c.name, fmt.Sprintf(`{"a": 1, "__metadata__": {"created": %d%s}}`, begun.Unix(), c.more), 90*time.Minute)
		r, err := NewReader(store, c.config, time.Time{})
		require.NoError(t, err)
		_, err = r.Read(t.Context(), c.name)
		if c.live {
			require.NoError(t, err, what)
		} else {
			require.ErrorIs(t, err, migrate.ErrNone, what)
		}
		require.NoError(t, r.Retire(t.Context(), c.name))
		require.Equal(t, c.name == id, client.PTTL(t.Context(), Prefix+c.name).Val() <= migrate.Grace, what)
	}

	// What Python keeps for 30 days where the browser decides, Go does, too.
	b := browse(t)
	require.InDelta(t, redisLife.Seconds(), b.Do(pair{Store: "redis", Encryptor: "none"}.serve(t, client), "login=alice").Remaining, 10)
	require.InDelta(t, redisLife, client.PTTL(t.Context(), Prefix+b.Cookie).Val(), float64(10*time.Second))
}
