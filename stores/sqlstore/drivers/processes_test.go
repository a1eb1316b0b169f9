//go:build unix

package drivers_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

// helperVariable makes the test binary a helper: another process that serves sessions
// of the same database.
const helperVariable = "BULLA_SQL_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) == "" {
		code := m.Run()
		shared.postgresql.Close()
		shared.mariadb.Close()
		os.Exit(code)
	}
	if err := help(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

// orders are what a helper must do. It is told through a pipe, since they hold a key and
// a cookie.
type orders struct {
	Dialect       sqlstore.Dialect
	Driver, DSN   string
	Timeout       time.Duration
	Key, Cookie   string
	Clients, Each int
}

// outcome is what became of a helper's requests.
type outcome struct {
	Counted int64 // answered with success
	Unknown int64 // answered with an error by the commit
	Unread  int64 // the session could not be loaded, so nothing was counted
	Slowest time.Duration
}

func help(in io.Reader, out io.Writer) error {
	var o orders
	orders := json.NewDecoder(in)
	if err := orders.Decode(&o); err != nil {
		return err
	}
	key, err := encrypt.ParseKey(o.Key)
	if err != nil {
		return err
	}
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		return err
	}
	db, err := sql.Open(o.Driver, o.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	store, err := sqlstore.New(db, o.Dialect, sqlstore.WithTimeout(o.Timeout))
	if err != nil {
		return err
	}
	mw, err := middleware.New(store, middleware.WithEncryptor(enc), middleware.WithAutoload(), middleware.WithCommitTimeout(time.Minute))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	var word string
	if err := orders.Decode(&word); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(count64(mw, o.Cookie, o.Clients, o.Each))
}

// count64 counts in a session, each from many browsers. A request that could not load
// the session is sent again, after a moment.
func count64(mw *middleware.Middleware, cookie string, clients, each int) outcome {
	var counted, unknown, unread, slowest atomic.Int64
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			own := browser{cookie}
			for range each {
				for {
					began := time.Now()
					status, loaded := own.send(mw, count)
					took := int64(time.Since(began))
					for old := slowest.Load(); took > old && !slowest.CompareAndSwap(old, took); old = slowest.Load() {
					}
					if !loaded {
						unread.Add(1)
						time.Sleep(10 * time.Millisecond)
						continue
					}
					if status == http.StatusOK {
						counted.Add(1)
					} else {
						unknown.Add(1)
					}
					break
				}
			}
		})
	}
	running.Wait()
	return outcome{counted.Load(), unknown.Load(), unread.Load(), time.Duration(slowest.Load())}
}

// helper is a running helper.
type helper struct {
	orders *json.Encoder
	out    *bufio.Reader
}

// startHelper returns when the helper is ready.
func startHelper(t testing.TB, o orders) *helper {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill() // fails only if it has ended already
		cmd.Wait()
	})
	h := &helper{json.NewEncoder(in), bufio.NewReader(out)}
	require.NoError(t, h.orders.Encode(o))
	line, err := h.out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return h
}

// soak is for the full numbers; without it the tests repeat less.
var soak = os.Getenv("BULLA_SOAK") == "1"

// processes lets n processes count in one session, 64 clients in all, while during
// runs. It returns what became of it, and the counter.
func (d database) processes(t *testing.T, n, each int, during func()) (all outcome, visits int) {
	t.Helper()
	const clients = 64
	key := encrypt.GenerateKey()
	mw := middlewareOf(t, d.store(t), key)
	b := new(browser)
	b.must(t, mw, count)
	var helpers []*helper
	for range n {
		helpers = append(helpers, startHelper(t, orders{d.dialect, d.driver, d.dsn, d.timeout(), key.ExportSecret(), b.cookie, clients / n, each}))
	}
	began := time.Now()
	for _, h := range helpers {
		require.NoError(t, h.orders.Encode("go"))
	}
	during()
	for _, h := range helpers {
		var o outcome
		require.NoError(t, json.NewDecoder(h.out).Decode(&o), "a helper failed")
		all.Counted += o.Counted
		all.Unknown += o.Unknown
		all.Unread += o.Unread
		all.Slowest = max(all.Slowest, o.Slowest)
	}
	t.Logf("%v: %+v", time.Since(began), all)
	require.EqualValues(t, clients*each, all.Counted+all.Unknown)
	return all, b.visits(t, mw) - 1
}

func times(short int) int {
	if soak {
		return 50
	}
	return short
}

// Processes know of each other only through the database, and lose nothing.
func TestTwoProcesses(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		all, visits := d.processes(t, 2, times(10), func() {})
		require.Zero(t, all.Unknown)
		require.Zero(t, all.Unread)
		require.EqualValues(t, all.Counted, visits)
	})
}

// Nor where one reply in fifty is lost on the way, and what was carried out fails: each
// change is made once, and none is answered with an error.
func TestTwoProcessesOnALossyLine(t *testing.T) {
	servers(t, func(t *testing.T, d database) {
		proxy := redistest.NewProxy(t, d.server.Addr)
		d.limit = 2 * time.Second // what a reply costs that is lost
		all, visits := d.at(proxy.Addr).processes(t, 2, times(10), func() { proxy.LoseEvery(50) })
		proxy.LoseEvery(0)
		t.Logf("%d replies lost", proxy.Lost())
		require.Positive(t, proxy.Lost())
		require.Zero(t, all.Unknown)
		require.EqualValues(t, all.Counted, visits)
	})
}

// Many processes on one file of SQLite wait for each other, and nobody is told that it
// was locked.
func TestManyProcessesOnOneFile(t *testing.T) {
	all, visits := sqlite(t).processes(t, 8, times(5), func() {})
	require.Zero(t, all.Unknown)
	require.Zero(t, all.Unread)
	require.EqualValues(t, all.Counted, visits)
}

// A server that is killed and started again under load loses nothing that was answered,
// and nobody is logged out by it.
func TestServerStartsAgain(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) database{"PostgreSQL": postgresql, "MariaDB": mariadb} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t)
			d.limit = 2 * time.Second
			d.store(t)
			d.server.Stop()
			d.server.Start(t)
			var away time.Duration
			const each = 200 // long enough that the load outlasts both restarts
			all, visits := d.processes(t, 2, each, func() {
				for range 2 {
					time.Sleep(300 * time.Millisecond) // of load
					d.server.Kill()
					began := time.Now()
					d.server.Start(t)
					away = time.Since(began)
				}
			})
			require.True(t, all.Unread > 0 || all.Slowest > away/2, "nobody noticed")
			require.GreaterOrEqual(t, visits, int(all.Counted), "an answered change is lost")
			require.LessOrEqual(t, visits, int(all.Counted+all.Unknown), "a change was made twice")
		})
	}
}
