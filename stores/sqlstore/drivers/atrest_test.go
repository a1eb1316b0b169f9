//go:build unix

package drivers_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/sqltest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

const (
	note       = sessions.Key[string]("what she noted down")
	secretUser = "alice@example.com"
	secretText = "the content of her session"
)

// everything returns every byte that the database keeps: all rows, and all its files.
func (d database) everything(t testing.TB) string {
	t.Helper()
	db := d.open(t)
	var all strings.Builder
	for _, table := range []string{"bulla_sessions", "bulla_sessions_owners", "bulla_sessions_revoked"} {
		if table == "bulla_sessions_revoked" {
			d.revocations(t) // makes it where there is none
		}
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
		require.NoError(t, err)
		defer rows.Close()
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			row := make([]any, len(columns))
			for i := range row {
				row[i] = new([]byte)
			}
			require.NoError(t, rows.Scan(row...))
			for _, value := range row {
				fmt.Fprintf(&all, "%s\n", *value.(*[]byte))
			}
		}
		require.NoError(t, rows.Err())
	}
	dir := filepath.Dir(strings.TrimPrefix(d.dsn, "file:"))
	if d.server != nil {
		dir = d.server.Dir
		d.server.Stop() // so that all is in the files
	}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	}))
	return all.String()
}

// Who has all that the database keeps, its log of changes included, finds neither what
// is in a session, nor whose it is, nor the ID that would log him in. Where the
// sessions are not encrypted, the same search finds them.
func TestAtRest(t *testing.T) {
	for name, start := range map[string]func(testing.TB) database{
		"SQLite":     sqlite,
		"PostgreSQL": func(t testing.TB) database { return postgresql(t) },
		"MariaDB":    func(t testing.TB) database { return mariadb(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			atRest(t, start(t))
		})
	}
	t.Run("unencrypted", func(t *testing.T) {
		d := sqlite(t)
		mw, err := middleware.New(d.store(t), middleware.WithoutEncryption())
		require.NoError(t, err)
		new(browser).must(t, mw, func(s *sessions.Session) error { return note.Set(s, secretText) })
		require.Contains(t, d.everything(t), secretText)
	})
}

func atRest(t *testing.T, d database) {
	store := d.store(t)
	mw := middlewareOf(t, store, encrypt.GenerateKey(), middleware.WithOwners(encrypt.GenerateKey()), middleware.WithRolling(time.Hour))
	var cookies []string
	for range 3 {
		b := new(browser)
		for _, do := range []func(*sessions.Session) error{
			func(s *sessions.Session) error { return note.Set(s, secretText) },
			func(s *sessions.Session) error { return s.SetOwner(t.Context(), secretUser) },
			func(s *sessions.Session) error { return s.SetLabel(secretText) },
			(*sessions.Session).Regenerate,
			count,
		} {
			b.must(t, mw, do)
			cookies = append(cookies, b.cookie)
		}
	}
	list := d.revocations(t)
	sealed := sealedOf(t, list)
	b := new(browser)
	for _, do := range []func(*sessions.Session) error{
		func(s *sessions.Session) error { return s.SetOwner(t.Context(), secretUser) },
		func(s *sessions.Session) error { s.Destroy(); return nil },
	} {
		b.must(t, sealed, do)
	}
	ended, err := list.Since(t.Context(), "")
	require.NoError(t, err)
	require.NotEmpty(t, ended.Entries)

	found := d.everything(t)
	for _, cookie := range cookies {
		require.Len(t, cookie, idSize)
		id, err := base64.RawURLEncoding.DecodeString(cookie)
		require.NoError(t, err)
		for _, form := range append(formsOf(string(id)), cookie) {
			require.False(t, strings.Contains(found, form), "an ID is there")
		}
	}
	for _, secret := range []string{secretUser, secretText, string(note)} {
		for _, form := range formsOf(secret) {
			require.False(t, strings.Contains(found, form), "%q is there as %q", secret, form)
		}
	}
}

// sealedOf returns one that keeps sessions in cookies, and a list of what has ended.
func sealedOf(t *testing.T, list stores.RevocationList) *middleware.Middleware {
	t.Helper()
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc), middleware.WithAutoload(),
		middleware.WithOwners(encrypt.GenerateKey()), middleware.WithRevocation(t.Context(), list, time.Minute))
	require.NoError(t, err)
	return mw
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

// A dump, as the database's own program makes it, together with the key opens nothing:
// what is in it leads to no ID, and no record opens without.
func TestDumpWithKey(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		key := encrypt.GenerateKey()
		mw := middlewareOf(t, d.store(t), key)
		b := new(browser)
		b.must(t, mw, func(s *sessions.Session) error { return note.Set(s, secretText) })

		// The thief has the rows, the key, and this program.
		db := d.open(t)
		var name string
		var data []byte
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT name, data FROM bulla_sessions").Scan(&name, &data))
		if d.server != nil && strings.HasPrefix(d.dsn, "postgres:") {
			dump, err := exec.Command(sqltest.LookPath("pg_dump"), "--dbname="+d.dsn).Output()
			require.NoError(t, err)
			require.Contains(t, string(dump), name)
			require.Contains(t, string(dump), hex.EncodeToString(data))
		}
		hash, err := stores.ParseKey(name)
		require.NoError(t, err)
		bytes := hash.Hash()
		enc, err := encrypt.NewAESGCM(key)
		require.NoError(t, err)
		id, err := base64.RawURLEncoding.DecodeString(b.cookie)
		require.NoError(t, err)

		require.Equal(t, secretText, noteOf(t, mw, b.cookie), "the ID opens it")
		_, err = enc.Decrypt(nil, data, binding(id))
		require.NoError(t, err, "and so does the same by hand")
		for what, guess := range map[string][]byte{
			"the name's bytes": bytes[:], "the name": []byte(name), "nothing": {}, "zeros": make([]byte, 24),
			"the revision's place": data[:24], "half an ID": append(id[:23:23], id[23]^1),
		} {
			_, err := enc.Decrypt(nil, data, binding(guess))
			require.Error(t, err, what)
		}
		require.Empty(t, noteOf(t, mw, name), "the name is no ID")
	})
}

// noteOf returns what a session that comes with a cookie has.
func noteOf(t *testing.T, mw *middleware.Middleware, cookie string) (text string) {
	b := browser{cookie}
	status, _ := b.send(mw, func(s *sessions.Session) (err error) {
		text, err = note.GetOr(s, "")
		return err
	})
	require.Equal(t, http.StatusOK, status)
	return text
}

// binding is what the format binds a record on a server to.
func binding(id []byte) (b []byte) {
	for _, part := range []string{"bulla record on a server", "", "__Host-Http-session", string(id)} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return b
}
