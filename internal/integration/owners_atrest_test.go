//go:build unix

package integration_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/redisstore"
)

const (
	ownedUser  = "bob.builder@example.com"
	ownedLabel = "Bob's telephone with the cracked glass"
	ownedText  = "what Bob keeps in his session"
)

// ownedRedis returns everything that a Redis keeps: what RESTORE would bring
// back, and the raw keys, fields and values.
func ownedRedis(t testing.TB, client *redis.Client) (found string, records, entries map[string]string) {
	t.Helper()
	ctx := t.Context()
	records, entries = make(map[string]string), make(map[string]string)
	var all strings.Builder
	keys, err := client.Keys(ctx, "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		all.WriteString(key + "\n" + client.Dump(ctx, key).Val() + "\n")
		switch client.Type(ctx, key).Val() {
		case "string":
			records[key] = client.Get(ctx, key).Val()
			all.WriteString(records[key] + "\n")
		case "hash":
			for field, value := range client.HGetAll(ctx, key).Val() {
				all.WriteString(field + "\n" + value + "\n")
				if len(field) == 24 { // the other one is the list's last number
					entries[key] = value[32:]
				}
			}
		}
	}
	return all.String(), records, entries
}

// ownedBinding is that of what is sealed, as package sessions makes it.
func ownedBinding(domain string, secret []byte) []byte {
	var b []byte
	for _, s := range []string{domain, "", ""} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return append(append(b, byte(len(secret))), secret...)
}

// Where sessions have owners, the database still does not show whose they are.
func TestOwnersAtRest(t *testing.T) {
	// live gives Bob sessions by whatever way writes to the store.
	live := func(t *testing.T, m *sessions.Manager) *jar {
		j := new(jar)
		require.NoError(t, j.do(t.Context(), m, func(ctx context.Context, s *sessions.Session) error {
			require.NoError(t, text.Set(s, ownedText))
			require.NoError(t, s.SetLabel("before"))
			require.NoError(t, s.SetOwner(ctx, ownedUser))
			require.NoError(t, sessions.Commit(ctx))
			require.NoError(t, s.SetLabel(ownedLabel))
			return s.Regenerate()
		}))
		require.NoError(t, j.do(t.Context(), m, func(ctx context.Context, s *sessions.Session) error {
			_, err := m.RevokeOthers(ctx, s)
			return err
		}))
		list, err := m.Sessions(t.Context(), ownedUser)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, ownedLabel, list[0].Label)
		return j
	}
	requireNothing := func(t *testing.T, found string, j *jar) {
		t.Helper()
		for _, secret := range []string{ownedUser, ownedLabel, ownedText, string(j.browser().secret())} {
			for _, form := range formsOf(secret) {
				require.False(t, strings.Contains(found, form), "%q is there", secret)
			}
		}
	}

	t.Run("Redis", func(t *testing.T) {
		client := redistest.Single(t, "--rdbcompression", "no").Client()
		store, err := redisstore.New(client)
		require.NoError(t, err)
		enc := ring(t)
		j := live(t, ownedManager(t, store, func(c *sessions.Config) { c.Encryptor = enc }))
		found, records, entries := ownedRedis(t, client)
		require.Contains(t, found, j.browser().key().String())
		requireNothing(t, found, j)

		// Who has the dump and the encryption key reads the label: its binding
		// is in the name of the list's key. Not whose it is, nor the record:
		// that takes the ID, which only the client has.
		require.Len(t, entries, 1)
		for name, sealed := range entries {
			hash, err := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(strings.TrimPrefix(name, "bulla:"), ":owner"))
			require.NoError(t, err)
			plain, err := enc.Decrypt(nil, []byte(sealed), ownedBinding("bulla entry of an owner", hash))
			require.NoError(t, err)
			env, err := envelope.Split(plain)
			require.NoError(t, err)
			require.Equal(t, ownedLabel, env.Label)
			require.Empty(t, env.Owner)
			require.NotContains(t, string(plain), ownedUser)
		}
		key := j.browser().key()
		hash := key.Hash()
		record, ok := records["bulla:"+key.Name()]
		require.True(t, ok)
		sealed := []byte(record[redisHead:])
		const domain = "bulla record on a server"
		for _, guess := range [][]byte{hash[:], nil, make([]byte, 24)} {
			_, err = enc.Decrypt(nil, sealed, ownedBinding(domain, guess))
			require.Error(t, err)
		}
		plain, err := enc.Decrypt(nil, sealed, ownedBinding(domain, j.browser().secret()))
		require.NoError(t, err)
		require.Contains(t, string(plain), ownedUser, "with the ID it opens, and the test looks at the right place")
		require.Contains(t, string(plain), ownedText)
	})

	t.Run("Redis unencrypted", func(t *testing.T) { // the search finds what it looks for
		client := redistest.Single(t, "--rdbcompression", "no").Client()
		store, err := redisstore.New(client)
		require.NoError(t, err)
		live(t, ownedManager(t, store, func(c *sessions.Config) { c.Encryptor, c.WithoutEncryption = nil, true }))
		found, _, entries := ownedRedis(t, client)
		require.Contains(t, found, ownedUser)
		require.Contains(t, found, ownedLabel)
		for name, entry := range entries {
			require.NotContains(t, name+entry, ownedUser, "the index knows only a hash of the owner")
		}
	})

	t.Run("Firestore", func(t *testing.T) {
		b := firestore(t)
		j := live(t, ownedManager(t, b.store, nil))
		raw := b.raw(t)
		var all strings.Builder
		for _, name := range slices.Sorted(maps.Keys(raw)) {
			all.WriteString(name + "\n" + raw[name] + "\n")
		}
		require.Contains(t, all.String(), "/sessions_owners/")
		require.Contains(t, all.String(), "/sessions_entries/s"+j.browser().key().String())
		requireNothing(t, all.String(), j)
	})
}

// The keys of the owners' hashes rotate: sessions from before are still listed
// and ended, and move to the new key as they are used.
func TestOwnerKeysRotateOnServers(t *testing.T) {
	for _, where := range outside {
		t.Run(where.name, func(t *testing.T) {
			b := where.make(t)
			old, fresh, enc := encrypt.GenerateKey(), encrypt.GenerateKey(), ring(t)
			with := func(keys ...encrypt.Key) *sessions.Manager {
				return ownedManager(t, b.store, func(c *sessions.Config) { c.Owners, c.Encryptor = keys, enc })
			}
			labels := func(m *sessions.Manager) (all []string) {
				list, err := m.Sessions(t.Context(), "ann")
				require.NoError(t, err)
				for _, s := range list {
					all = append(all, s.Label)
				}
				return all
			}
			login := func(m *sessions.Manager, label string) *jar {
				j, err := ownedLogin(t.Context(), m, "ann", label)
				require.NoError(t, err)
				return j
			}
			used, unused, ended := login(with(old), "used"), login(with(old), "unused"), login(with(old), "ended")
			both := with(fresh, old)
			newest := login(both, "newest")
			require.ElementsMatch(t, []string{"used", "unused", "ended", "newest"}, labels(both))
			require.ElementsMatch(t, []string{"newest"}, labels(with(fresh)))

			require.NoError(t, both.Revoke(t.Context(), "ann", sessions.Handle(ended.browser().key().String())))
			requireOut(t, both, ended)
			require.NoError(t, used.do(t.Context(), both, func(_ context.Context, s *sessions.Session) error { return visits.Set(s, 1) }))
			require.ElementsMatch(t, []string{"used", "unused", "newest"}, labels(both))
			require.ElementsMatch(t, []string{"used", "newest"}, labels(with(fresh)))

			// A login that began under the old key alone, as on a machine that
			// does not have the new configuration yet, does not survive either.
			err := new(jar).do(t.Context(), with(old), func(ctx context.Context, s *sessions.Session) error {
				require.NoError(t, s.SetOwner(ctx, "ann"))
				_, err := both.RevokeAll(ctx, "ann")
				require.NoError(t, err)
				return sessions.Commit(ctx)
			})
			require.ErrorIs(t, err, sessions.ErrEnded)
			for _, j := range []*jar{used, unused, newest} {
				requireOut(t, both, j)
			}
			require.Empty(t, labels(both))
			requireIn(t, both, login(both, "after"))
		})
	}
}
