//go:build unix

package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// One name leads from a page that lists a user's sessions to the log and to the store:
// docs/operating.md says so.
func TestOneNameForASession(t *testing.T) {
	for name, start := range map[string]func(*testing.T) (store stores.Store, prefix string, names func() []string){
		"Redis": func(t *testing.T) (stores.Store, string, func() []string) {
			server := redistest.Single(t)
			return redisBackend(t, redisClient(t, server.Addr)).store, "bulla:", func() []string {
				names, err := server.Client().Keys(t.Context(), "*").Result()
				require.NoError(t, err)
				return names
			}
		},
		"Firestore": func(t *testing.T) (stores.Store, string, func() []string) {
			b, server := firestoreServer(t)
			return b.store, "projects/test-project/databases/(default)/documents/sessions/s", func() []string {
				return slices.Collect(maps.Keys(server.Documents()))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			var told []string
			note := func(_ context.Context, ev sessions.Event) { told = append(told, ev.Key.String()) }
			store, prefix, names := start(t)
			mw := middlewareOf(t, store, middleware.WithEncryptor(ring(t)), middleware.WithOwners(encrypt.GenerateKey()),
				middleware.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
				middleware.WithHooks(sessions.Hooks{Created: note, Revoked: note, Rejected: note}))
			var handle string
			ada := new(browser)
			ada.must(t, mw, func(s *sessions.Session) error {
				require.NoError(t, s.SetOwner(t.Context(), "ada"))
				handle = string(s.Handle())
				require.Equal(t, handle, s.ID().String())
				require.Equal(t, "session "+handle, fmt.Sprint(s))
				return nil
			})
			list, err := mw.Manager().Sessions(t.Context(), "ada")
			require.NoError(t, err)
			require.Len(t, list, 1)
			require.Equal(t, handle, string(list[0].Handle))
			require.Equal(t, handle, ada.key().Name())

			require.Contains(t, names(), prefix+handle)

			// Why Ada was logged out: two lines of one name, neither of them for debugging.
			require.NoError(t, mw.Manager().Revoke(t.Context(), "ada", sessions.Handle(handle)))
			ada.send(mw, look)
			require.Equal(t, []string{handle, handle, handle}, told)
			var lines []string
			for line := range strings.Lines(log.String()) {
				var l struct{ Level, Msg, Session, Reason string }
				require.NoError(t, json.Unmarshal([]byte(line), &l))
				require.Equal(t, handle, l.Session, line)
				if l.Level != "DEBUG" {
					lines = append(lines, strings.TrimSpace(l.Level+" "+l.Msg+" "+l.Reason))
				}
			}
			require.Equal(t, []string{"INFO session revoked", "INFO session token rejected ended"}, lines)
			require.NotContains(t, log.String(), ada.cookie[:idSize])
		})
	}
}
