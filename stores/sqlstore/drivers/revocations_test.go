//go:build unix

package drivers_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// revocations returns a list with its table, and a pool of its own.
func (d database) revocations(t testing.TB, opts ...sqlstore.Option) *sqlstore.Revocations {
	t.Helper()
	list, err := sqlstore.NewRevocations(d.open(t), d.dialect, append([]sqlstore.Option{sqlstore.WithTimeout(d.timeout())}, opts...)...)
	require.NoError(t, err)
	require.NoError(t, list.Migrate(t.Context()))
	return list
}

func revocation(value string) stores.Revocation {
	return stores.Revocation{Key: newKey(), Value: value, Until: time.Now().Add(time.Hour)}
}

// late takes a number as a Swap does, and commits what it writes when it is told to.
func (d database) late(t *testing.T, list stores.RevocationList, e stores.Revocation) (commit func()) {
	_, err := list.Swap(t.Context(), "", revocation("before")) // makes the row of numbers
	require.NoError(t, err)
	db := d.open(t)
	var number int64
	if d.dialect == sqlstore.MySQL {
		res, err := db.ExecContext(t.Context(), "UPDATE bulla_sessions_revoked SET number = LAST_INSERT_ID(number + 1) WHERE name = ''")
		require.NoError(t, err)
		number, err = res.LastInsertId()
		require.NoError(t, err)
	} else {
		require.NoError(t, db.QueryRowContext(t.Context(), "UPDATE bulla_sessions_revoked SET number = number + 1 WHERE name = '' RETURNING number").Scan(&number))
	}
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	insert := "INSERT INTO bulla_sessions_revoked (name, value, expires, number) VALUES (?, ?, ?, ?)"
	if d.dialect == sqlstore.PostgreSQL {
		insert = "INSERT INTO bulla_sessions_revoked (name, value, expires, number) VALUES ($1, $2, $3, $4)"
	}
	_, err = tx.ExecContext(t.Context(), insert, e.Key.Name(), []byte(e.Value), e.Until.UnixMilli(), number)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Commit()) }
}

// The contract of a list, also with an entry that commits late, where the server does
// not answer, and where replies get lost.
func TestRevocations(t *testing.T) {
	servers(t, func(t *testing.T, d database) {
		brief := sqlstore.WithTimeout(2 * time.Second)
		list, unreachable, proxy := d.revocations(t), d.revocations(t, brief), redistest.NewProxy(t, d.server.Addr)
		storetest.RunRevocations(t, storetest.RevocationConfig{
			New:  func(t *testing.T) stores.RevocationList { return list },
			Late: d.late,
			Unreachable: func(t *testing.T) stores.RevocationList {
				d.server.Freeze()
				t.Cleanup(d.server.Thaw)
				return unreachable
			},
			Lossy: func(t *testing.T) stores.RevocationList {
				list := d.at(proxy.Addr).revocations(t, brief)
				proxy.LoseEvery(20) // a new connection alone takes several
				t.Cleanup(func() { proxy.LoseEvery(0) })
				return list
			},
			Small: func(t *testing.T) stores.RevocationList {
				_, err := d.open(t).Exec("DELETE FROM bulla_sessions_revoked")
				require.NoError(t, err)
				return d.revocations(t, sqlstore.WithMaxRevocations(100))
			},
		})
		require.Positive(t, proxy.Lost())
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		list := sqlite(t).revocations(t)
		storetest.RunRevocations(t, storetest.RevocationConfig{
			New: func(t *testing.T) stores.RevocationList { return list },
			// Without write-ahead logging, so that readers have to wait too.
			Unreachable: func(t *testing.T) stores.RevocationList {
				locked := database{sqlstore.SQLite, "sqlite", "file:" + filepath.Join(t.TempDir(), "locked.db"), nil, 0}
				list := locked.revocations(t, sqlstore.WithTimeout(200*time.Millisecond))
				conn, err := locked.open(t).Conn(t.Context())
				require.NoError(t, err)
				_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
				require.NoError(t, err)
				t.Cleanup(func() { conn.Close() })
				return list
			},
			Small: func(t *testing.T) stores.RevocationList {
				return sqlite(t).revocations(t, sqlstore.WithMaxRevocations(100))
			},
		})
	})
}

// Two processes that write at once miss no number: who reads on from any cursor, a
// minute old at most, finds all.
func TestRevocationsOfTwoProcesses(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const writers, entries = 4, 25
		one, two := d.revocations(t), d.revocations(t)
		before, err := one.Since(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, before.Entries)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for range entries {
					list := one
					if w%2 == 1 {
						list = two
					}
					now, err := list.Swap(t.Context(), "", revocation("ended"))
					if err != nil || now != "ended" {
						t.Errorf("Swap: %q and %v", now, err)
					}
				}
			})
		}
		wg.Wait()
		all, err := two.Since(t.Context(), before.Next)
		require.NoError(t, err)
		require.Len(t, all.Entries, writers*entries)
		none, err := one.Since(t.Context(), all.Next)
		require.NoError(t, err)
		require.Empty(t, none.Entries)
	})
}

// Sweeping takes what is over, and neither the others nor the row of numbers.
func TestSweepRevocations(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		list := d.revocations(t)
		_, err := list.Swap(t.Context(), "", revocation("lives"))
		require.NoError(t, err)
		over := revocation("over")
		over.Until = time.Now().Add(500 * time.Millisecond)
		_, err = list.Swap(t.Context(), "", over)
		require.NoError(t, err)
		page, err := list.Since(t.Context(), "")
		require.NoError(t, err)
		time.Sleep(time.Until(over.Until) + 10*time.Millisecond)
		n, err := list.Sweep(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		var rows int
		require.NoError(t, d.open(t).QueryRow("SELECT COUNT(*) FROM bulla_sessions_revoked").Scan(&rows))
		require.Equal(t, 2, rows)
		later := revocation("later")
		_, err = list.Swap(t.Context(), "", later)
		require.NoError(t, err)
		page, err = list.Since(t.Context(), page.Next)
		require.NoError(t, err)
		require.Len(t, page.Entries, 1)
		require.Equal(t, later.Key, page.Entries[0].Key)
	})
}

// No reading of a list looks at all of it.
func TestRevocationsAreNotScanned(t *testing.T) {
	d := ownPostgreSQL(t)
	list := d.revocations(t)
	_, err := list.Swap(t.Context(), "", revocation("ended"))
	require.NoError(t, err)
	db := d.open(t)
	_, err = db.Exec(`INSERT INTO bulla_sessions_revoked SELECT md5(n::text), 'x', 9e12::bigint, (SELECT number FROM bulla_sessions_revoked WHERE name = '') + n FROM generate_series(1, 20000) AS n`)
	require.NoError(t, err)
	_, err = db.Exec("ANALYZE bulla_sessions_revoked")
	require.NoError(t, err)
	requirePlan := func(index, text string) {
		rows, err := db.Query("EXPLAIN " + text)
		require.NoError(t, err)
		defer rows.Close()
		plan := ""
		for rows.Next() {
			var line sql.NullString
			require.NoError(t, rows.Scan(&line))
			plan += line.String + "\n"
		}
		require.NoError(t, rows.Err())
		require.NotContains(t, plan, "Seq Scan")
		require.Contains(t, plan, index)
	}
	requirePlan("bulla_sessions_revoked_pkey", "SELECT value FROM bulla_sessions_revoked WHERE name = 'x' AND expires > 1")
	requirePlan("bulla_sessions_revoked_number", "SELECT name FROM bulla_sessions_revoked WHERE number > (SELECT number FROM bulla_sessions_revoked WHERE name = '') + 19000 AND expires > 1 AND name <> '' ORDER BY number LIMIT 10001")
	requirePlan("bulla_sessions_revoked_expires", "SELECT name FROM bulla_sessions_revoked WHERE expires <= 5 ORDER BY expires LIMIT 100")
}

// An entry that is over and is swept while another takes its place: the Swap of a key
// without a value is carried out, and never answers that there is none.
func TestSwapCrossesSweep(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		list := d.revocations(t)
		stop := make(chan struct{})
		var sweeping sync.WaitGroup
		defer sweeping.Wait()
		defer close(stop)
		sweeping.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := list.Sweep(t.Context(), 10); err != nil {
					t.Errorf("Sweep: %v", err)
				}
			}
		})
		e := revocation("")
		for i := range 400 {
			e.Value, e.Until = []string{"a", "b"}[i%2], time.Now().Add(5*time.Millisecond)
			now, err := list.Swap(t.Context(), "", e)
			if errors.Is(err, stores.ErrInvalidRecord) {
				continue // it was over before the call
			}
			require.NoError(t, err)
			require.NotEmpty(t, now, "Swap %d", i)
		}
	})
}

// What is not the list's is an error, and shows nothing of it.
func TestForeignRevocations(t *testing.T) {
	d := sqlite(t)
	list := d.revocations(t)
	_, err := list.Since(t.Context(), "not a number")
	require.ErrorIs(t, err, stores.ErrUnavailable)
	_, err = d.open(t).Exec("INSERT INTO bulla_sessions_revoked VALUES ('somebody', 'x', 9000000000000000, 1)")
	require.NoError(t, err)
	page, err := list.Since(t.Context(), "")
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.NotContains(t, err.Error(), "somebody")
	require.Empty(t, page)
}

// At the limit only what needs no room goes on, until something is over.
func TestRevocationsLimit(t *testing.T) {
	list := sqlite(t).revocations(t, sqlstore.WithMaxRevocations(10))
	brief := revocation("brief")
	brief.Until = time.Now().Add(1500 * time.Millisecond)
	_, err := list.Swap(t.Context(), "", brief)
	require.NoError(t, err)
	for range 9 {
		_, err := list.Swap(t.Context(), "", revocation("ended"))
		require.NoError(t, err)
	}
	for range 3 {
		_, err = list.Swap(t.Context(), "", revocation("ended"))
		require.ErrorIs(t, err, stores.ErrFull)
		require.ErrorIs(t, err, stores.ErrUnavailable)
	}
	time.Sleep(time.Until(brief.Until) + 10*time.Millisecond)
	require.Eventually(t, func() bool { // a full list is counted once a second
		_, err := list.Swap(t.Context(), "", revocation("ended"))
		return err == nil
	}, 10*time.Second, 100*time.Millisecond)
}
