//go:build unix

package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// readStreams is a helper that holds one stream for each cookie. It says which have
// ended, and closes the rest when it is told to.
func readStreams(o orders, words *json.Decoder, out io.Writer) error {
	conns := make([]net.Conn, len(o.Streams))
	readers := make([]*bufio.Reader, len(o.Streams))
	next, opened := make(chan int), make(chan error, len(conns))
	for range 32 {
		go func() {
			for i := range next {
				conn, err := net.Dial("tcp", o.Site)
				if err == nil {
					conns[i], readers[i] = conn, bufio.NewReaderSize(conn, 512)
					fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: site\r\nCookie: %s=%s\r\n\r\n", cookieName, o.Streams[i])
					err = readUntil(readers[i], "begin")
				}
				opened <- err
			}
		}()
	}
	for i := range conns {
		next <- i
	}
	close(next)
	for range conns {
		if err := <-opened; err != nil {
			return err
		}
	}
	var mu sync.Mutex
	for i, r := range readers {
		go func() {
			if readUntil(r, "end") == nil {
				mu.Lock()
				fmt.Fprintln(out, i)
				mu.Unlock()
			}
		}()
	}
	fmt.Fprintln(out, "ready")
	var word string
	err := words.Decode(&word)
	for _, conn := range conns {
		conn.Close()
	}
	return err
}

func readUntil(r *bufio.Reader, word string) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, word) {
			return err
		}
	}
}

// streamsSite is a process that serves streams.
type streamsSite struct {
	*testing.T
	mw, away *middleware.Middleware // away is another process's
	addr     string
	open     atomic.Int64 // handlers that run
	watches  bool
}

func newStreamsSite(t *testing.T, watches bool) *streamsSite {
	server := redistest.Single(t)
	enc, owners := ring(t, encrypt.GenerateKey()), encrypt.GenerateKey()
	s := &streamsSite{T: t, watches: watches}
	process := func() *middleware.Middleware {
		store, err := redisstore.New(redisClient(t, server.Addr))
		require.NoError(t, err)
		return middlewareOf(t, store, middleware.WithEncryptor(enc), middleware.WithOwners(owners), middleware.WithWatchInterval(200*time.Millisecond))
	}
	s.mw, s.away = process(), process()
	site := httptest.NewServer(s.mw.Handler(http.HandlerFunc(s.events)))
	t.Cleanup(site.Close)
	s.addr = site.Listener.Addr().String()
	return s
}

func (s *streamsSite) events(w http.ResponseWriter, r *http.Request) {
	s.open.Add(1)
	defer s.open.Add(-1)
	_, err := sessions.Load(r.Context())
	ctx := r.Context()
	if err == nil && s.watches {
		ctx, err = sessions.Watch(ctx)
	}
	if err != nil {
		s.Error(err)
		return
	}
	fmt.Fprintln(w, "begin")
	http.NewResponseController(w).Flush()
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), sessions.ErrEnded) {
		fmt.Fprintln(w, "end")
	}
}

// used is what this process uses when all is quiet.
func used() (goroutines int, bytes uint64) {
	for range 3 {
		runtime.GC()
		time.Sleep(50 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapInuse + m.StackInuse
}

// Many streams at one process: an end here reaches its stream within a second, one elsewhere
// within the interval and the time of a look; a stream costs no goroutine beside those that net/http has for it, and
// when they close nothing is left. BULLA_SOAK=1 has ten thousand.
func TestManyStreams(t *testing.T) {
	n := 1000
	if os.Getenv("BULLA_SOAK") == "1" {
		n = 10_000
	}
	cost := make(map[bool]float64)
	for _, watches := range []bool{false, true} { // the first tells what net/http costs
		t.Run(map[bool]string{false: "unwatched", true: "watched"}[watches], func(t *testing.T) {
			cost[watches] = manyStreams(t, n, watches)
		})
	}
	t.Logf("Watch: %.1f KB a stream", (cost[true]-cost[false])/1024)
	require.Less(t, (cost[true]-cost[false])/1024, 6.0, "KB a stream")
}

func manyStreams(t *testing.T, n int, watches bool) (bytesEach float64) {
	s := newStreamsSite(t, watches)
	browsers := make([]*browser, n)
	var cookies []string
	for i := range browsers {
		browsers[i] = new(browser)
		browsers[i].must(t, s.mw, func(session *sessions.Session) error {
			return session.SetOwner(t.Context(), fmt.Sprint("user ", i))
		})
		cookies = append(cookies, browsers[i].cookie)
	}
	goroutines, bytes := used()

	h := startHelper(t, orders{Site: s.addr, Streams: cookies})
	ended := make(chan int, n)
	go func() {
		for {
			var i int
			if _, err := fmt.Fscanln(h.says, &i); err != nil {
				close(ended)
				return
			}
			ended <- i
		}
	}()
	require.EqualValues(t, n, s.open.Load())
	with, bytesWith := used()
	bytesEach = float64(bytesWith-bytes) / float64(n)
	t.Logf("%d streams: %.3f goroutines and %.1f KB each", n, float64(with-goroutines)/float64(n), bytesEach/1024)
	require.Less(t, with-goroutines, 2*n+50, "goroutines")

	if watches {
		for from, times := range map[string]int{"here": 50, "elsewhere": 8} {
			var took []time.Duration
			for range times {
				i := len(browsers) - 1
				b := browsers[i]
				browsers = browsers[:i]
				mw := s.mw
				if from == "elsewhere" {
					mw = s.away
				}
				b.must(t, mw, func(session *sessions.Session) error { session.Destroy(); return nil })
				began := time.Now()
				select {
				case got := <-ended:
					require.Equal(t, i, got)
				case <-time.After(20 * time.Second):
					t.Fatal("the stream goes on")
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			t.Logf("%s: after a logout its stream ended within %v, half of them within %v", from, took[len(took)-1].Round(100*time.Microsecond), took[len(took)/2].Round(100*time.Microsecond))
			// Half of them: single ones wait for a machine that is busy.
			if from == "here" {
				require.Less(t, took[len(took)/2], time.Second)
			} else { // the interval, and a look at all of them: with the race detector and 10,000, a second
				require.Less(t, took[len(took)/2], 3*time.Second)
			}
		}
		// Half of what is left, at once.
		began, most := time.Now(), len(browsers)/2
		for i := range most {
			_, err := s.mw.Manager().RevokeAll(t.Context(), fmt.Sprint("user ", i))
			require.NoError(t, err)
		}
		revoked := time.Since(began)
		for range most {
			<-ended
		}
		t.Logf("%d revocations took %v, and the last stream ended %v after", most, revoked.Round(time.Millisecond), (time.Since(began) - revoked).Round(time.Millisecond))
		require.Less(t, time.Since(began)-revoked, 10*time.Second) // it is milliseconds, where the machine is not busy
	}
	h.start(t) // it closes the rest
	h.wait(t)
	require.Eventually(t, func() bool { return s.open.Load() == 0 }, 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { left, _ := used(); return left <= goroutines+5 }, 20*time.Second, 10*time.Millisecond, "goroutines are left")
	left, bytesLeft := used()
	t.Logf("all closed: %d goroutines and %d KB more than before", left-goroutines, (int64(bytesLeft)-int64(bytes))/1024)
	return bytesEach
}
