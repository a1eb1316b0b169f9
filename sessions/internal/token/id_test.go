package token_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

func TestNewID(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		id := token.NewID()
		require.False(t, id.IsZero())
		secret := id.AppendSecret(nil)
		require.Len(t, secret, 24)
		require.False(t, seen[string(secret)], "an ID came twice")
		seen[string(secret)] = true
	}
}

func TestZeroID(t *testing.T) {
	var zero token.ID
	require.True(t, zero.IsZero())
	require.Empty(t, zero.AppendSecret(nil))
	require.Equal(t, stores.Key{}, zero.Key())
	require.Equal(t, strings.Repeat("A", 32), zero.String())
	require.True(t, zero.Equal(token.ID{}))
	require.False(t, zero.Equal(token.NewID()))
	require.False(t, token.NewID().Equal(zero))
}

func TestIDEqual(t *testing.T) {
	id := token.NewID()
	same, _, err := token.Parse(token.Token{ID: id}.Value(nil))
	require.NoError(t, err)
	require.True(t, id.Equal(id))
	require.True(t, id.Equal(same.ID))
	require.False(t, id.Equal(token.NewID()))

	// The last bit counts too.
	secret := id.AppendSecret(nil)
	secret[23] ^= 1
	other, _, err := token.Parse(base64.RawURLEncoding.EncodeToString(secret))
	require.NoError(t, err)
	require.False(t, id.Equal(other.ID))
}

func TestAppendSecretAppends(t *testing.T) {
	id := token.NewID()
	got := id.AppendSecret([]byte("head"))
	require.Equal(t, "head"+string(id.AppendSecret(nil)), string(got))

	// What the caller does with its copy does not reach the ID.
	clear(got)
	require.NotEqual(t, make([]byte, 24), id.AppendSecret(nil))
}

// The derivation of a Key is a format: records that are stored today must be
// found tomorrow. The expected text was computed with
//
//	(printf 'bulla store key 1\0'; printf '\0\1...\27') | sha256sum
func TestKeyVector(t *testing.T) {
	secret := make([]byte, 24)
	for i := range secret {
		secret[i] = byte(i)
	}
	tok, _, err := token.Parse(base64.RawURLEncoding.EncodeToString(secret))
	require.NoError(t, err)
	key := tok.ID.Key()
	hash := key.Hash()
	require.Equal(t, "50d1034425eb97d337120eab3deaaa131e8665e4abed68f0", hex.EncodeToString(hash[:]))
	require.Equal(t, base64.RawURLEncoding.EncodeToString(hash[:]), key.String())
	require.Len(t, key.String(), 32)

	text, err := key.MarshalText()
	require.NoError(t, err)
	require.Equal(t, key.String(), string(text))
}

// leaks returns the forms of id's secret that text contains.
func leaks(text string, id token.ID) []string {
	secret := id.AppendSecret(nil)
	var found []string
	for _, part := range [][]byte{secret, secret[:12], secret[12:]} { // a half is too much as well
		spaced := fmt.Sprint(part)
		spaced = spaced[1 : len(spaced)-1]
		syntax := fmt.Sprintf("%#v", part)
		syntax = syntax[len("[]byte{") : len(syntax)-1]
		quoted := fmt.Sprintf("%q", part)
		for name, form := range map[string]string{
			"raw":        string(part),
			"quoted":     quoted[1 : len(quoted)-1],
			"base64url":  base64.RawURLEncoding.EncodeToString(part),
			"base64":     base64.RawStdEncoding.EncodeToString(part),
			"hex":        hex.EncodeToString(part),
			"HEX":        strings.ToUpper(hex.EncodeToString(part)),
			"spaced hex": fmt.Sprintf("% x", part),
			"decimal":    spaced,
			"commas":     strings.ReplaceAll(spaced, " ", ","),
			"Go syntax":  syntax,
			"octal":      strings.Trim(fmt.Sprintf("%o", part), "[]"),
			"binary":     strings.Trim(fmt.Sprintf("%b", part), "[]"),
			"characters": strings.Trim(fmt.Sprintf("%c", part), "[]"),
			"unicode":    strings.Trim(fmt.Sprintf("%U", part), "[]"),
		} {
			if strings.Contains(text, form) {
				found = append(found, name)
			}
		}
	}
	return found
}

// The search itself must find what it looks for.
func TestLeaksFindsSecrets(t *testing.T) {
	id := token.NewID()
	secret := id.AppendSecret(nil)
	for _, verb := range []string{"%v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U"} {
		require.NotEmpty(t, leaks(fmt.Sprintf("an error with "+verb+" inside", secret), id), verb)
	}
	require.NotEmpty(t, leaks(token.Token{ID: id}.Value(nil), id))
	require.NotEmpty(t, leaks(fmt.Sprint([24]byte(secret)), id))
	require.Empty(t, leaks(id.Key().String(), id))
}

// verbs are all verbs of fmt, one that it does not know, and flags.
func verbs() []string {
	var all []string
	for _, flags := range []string{"", "+", "#", " ", "-40", "040", ".3"} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspwz" {
			all = append(all, "%"+flags+string(verb))
		}
	}
	return all
}

func TestNothingShowsTheSecret(t *testing.T) {
	type inner struct {
		hidden token.ID
		Shown  token.ID
	}
	id := token.NewID()
	tok := token.Token{ID: id}
	nested := inner{id, id}
	values := map[string]any{
		"ID":               id,
		"pointer":          &id,
		"Token":            tok,
		"Token pointer":    &tok,
		"struct":           nested,
		"struct pointer":   &nested,
		"nested struct":    struct{ a struct{ b inner } }{struct{ b inner }{nested}},
		"interface":        struct{ a any }{id},
		"hidden Token":     struct{ tok token.Token }{tok},
		"hidden pointer":   struct{ tok *token.Token }{&tok},
		"slice":            []token.ID{id},
		"hidden slice":     struct{ ids []token.ID }{[]token.ID{id}},
		"hidden map":       struct{ ids map[string]token.ID }{map[string]token.ID{"id": id}},
		"map":              map[string]token.ID{"id": id},
		"error":            fmt.Errorf("load %v: %w", id, stores.ErrNotFound),
		"error of a Token": fmt.Errorf("load %+v %s %#v", tok, tok, tok),
		"joined errors":    errors.Join(fmt.Errorf("%v", nested), stores.ErrTampered),
	}
	for name, v := range values {
		for _, verb := range verbs() {
			text := fmt.Sprintf(verb, v)
			require.Empty(t, leaks(text, id), "%s formatted with %s: %s", name, verb, text)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "v", v, slog.Group("group", "v", v))
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "v", v, slog.Group("group", "v", v))
		require.Contains(t, log.String(), "text")
		require.Empty(t, leaks(log.String(), id), "%s logged: %s", name, &log)

		if text, err := json.Marshal(v); err == nil {
			require.Empty(t, leaks(string(text), id), "%s as JSON: %s", name, text)
		}
	}
}

// What they show instead finds the session in a log and in the store.
func TestTheKeyIsShown(t *testing.T) {
	id := token.NewID()
	tok := token.Token{ID: id, Payload: "AAAA"}
	key := id.Key().String()
	for _, v := range []any{id, tok} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			require.Equal(t, key, fmt.Sprintf(verb, v), verb)
		}
		text, err := json.Marshal(map[string]any{"v": v})
		require.NoError(t, err)
		require.JSONEq(t, `{"v":"`+key+`"}`, string(text))

		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("", "v", v)
		require.Contains(t, log.String(), "v="+key)
	}
	require.Equal(t, key, fmt.Sprint(id.Key()))
}
