//go:build unix

package integration_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

const (
	owner      = sessions.Key[string]("whose session this is")
	note       = sessions.Key[string]("what she noted down")
	secretUser = "alice@example.com"
	secretText = "the content of her session"
)

// Who reads the database finds neither what is in a session, nor whose it is,
// nor the ID that would log him in.
func TestAtRest(t *testing.T) {
	for _, where := range []struct {
		name string
		make func(testing.TB) (backend, func(testing.TB) string)
	}{
		{"Redis", func(t testing.TB) (backend, func(testing.TB) string) {
			// Without compression, or a search would find nothing there.
			client := redistest.Single(t, "--rdbcompression", "no").Client()
			b := redisBackend(t, client, client)
			return b, func(t testing.TB) string {
				var all strings.Builder
				for key, value := range b.raw(t) {
					dump, err := client.Dump(context.Background(), key).Result()
					require.NoError(t, err)
					require.Contains(t, dump, value)
					all.WriteString(key + "\n" + value + "\n" + dump + "\n")
				}
				return all.String()
			}
		}},
		{"Firestore", func(t testing.TB) (backend, func(testing.TB) string) {
			b := firestore(t)
			return b, func(t testing.TB) string {
				var all strings.Builder
				for name, doc := range b.raw(t) {
					all.WriteString(name + "\n" + doc + "\n")
				}
				return all.String()
			}
		}},
	} {
		for _, cache := range caches {
			t.Run(where.name+", "+cache.name, func(t *testing.T) {
				b, everything := where.make(t)
				sealed := middlewareOf(t, b.store, middleware.WithEncryptor(ring(t)), middleware.WithCookieCache(cache.fresh),
					middleware.WithRolling(time.Hour), middleware.WithTouchInterval(0))
				cookies, kept := livelySessions(t, sealed)
				require.Equal(t, kept, b.records(t))
				found := everything(t)
				for _, secret := range []string{secretUser, secretText, string(owner), string(note)} {
					for _, form := range formsOf(secret) {
						require.False(t, strings.Contains(found, form), "%q is there as %q", secret, form)
					}
				}
				requireNoID(t, found, cookies)
			})
		}
	}
}

// Without encryption the same search finds what it looks for. The ID it does not
// find even then.
func TestAtRestUnencrypted(t *testing.T) {
	for _, where := range outside {
		t.Run(where.name, func(t *testing.T) {
			b := where.make(t)
			cookies, _ := livelySessions(t, middlewareOf(t, b.store, middleware.WithoutEncryption()))
			found := ""
			for key, value := range b.raw(t) {
				found += key + value
			}
			for _, secret := range []string{secretUser, secretText, string(owner), string(note)} {
				require.True(t, strings.Contains(found, secret), "%q is not there", secret)
			}
			requireNoID(t, found, cookies)
		})
	}
}

// livelySessions makes sessions and does all to them that writes. It returns
// every cookie that was sent, and how many sessions are left.
func livelySessions(t testing.TB, mw *middleware.Middleware) (cookies []string, left int) {
	for range 3 {
		b := new(browser)
		for _, do := range []handle{
			func(s *sessions.Session) error { return owner.Set(s, secretUser) },
			func(s *sessions.Session) error { return note.Set(s, secretText) },
			look, // touches
			(*sessions.Session).Regenerate,
			count,
		} {
			b.must(t, mw, do)
			cookies = append(cookies, b.cookie)
		}
	}
	out := visited(t, mw)
	cookies = append(cookies, out.cookie)
	out.must(t, mw, logout)
	return cookies, 3
}

func requireNoID(t *testing.T, found string, cookies []string) {
	t.Helper()
	for _, cookie := range cookies {
		id := string((&browser{cookie}).secret())
		for _, form := range append(formsOf(id), cookie[:idSize]) {
			require.False(t, strings.Contains(found, form), "an ID is there")
		}
	}
}

// formsOf are the ways in which a database might hold s.
func formsOf(s string) []string {
	forms := []string{s, hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for lead := range 3 { // bytes before it move the boundaries
			coded := enc.EncodeToString([]byte(strings.Repeat("x", lead) + s))
			forms = append(forms, coded[lead*2:len(coded)-2])
		}
	}
	return forms
}
