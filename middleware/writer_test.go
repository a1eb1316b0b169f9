package middleware_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// The writers that a middleware may find beneath it.
type (
	plainWriter struct{ http.ResponseWriter }
	flusher     struct{ plainWriter }
	hijacker    struct{ plainWriter }
	both        struct{ plainWriter }
)

func (flusher) Flush()                                        {}
func (both) Flush()                                           {}
func (hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errHijacked }
func (both) Hijack() (net.Conn, *bufio.ReadWriter, error)     { return nil, nil, errHijacked }

var errHijacked = errors.New("hijacked")

// A handler that asks for a Flusher or a Hijacker gets the answer that it would
// get without us.
func TestInterfacesAsBeneath(t *testing.T) {
	mw := memory(t).new(t)
	plain := plainWriter{httptest.NewRecorder()}
	for _, tt := range []struct {
		beneath         http.ResponseWriter
		flushes, hijack bool
	}{
		{plain, false, false},
		{flusher{plain}, true, false},
		{hijacker{plain}, false, true},
		{both{plain}, true, true},
	} {
		ran := false
		mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ran = true
			_, flushes := w.(http.Flusher)
			_, flushErrors := w.(interface{ FlushError() error })
			_, hijacks := w.(http.Hijacker)
			require.Equal(t, tt.flushes, flushes, "%T", tt.beneath)
			require.Equal(t, tt.flushes, flushErrors, "%T", tt.beneath)
			require.Equal(t, tt.hijack, hijacks, "%T", tt.beneath)

			rc := http.NewResponseController(w)
			if !tt.flushes {
				require.ErrorIs(t, rc.Flush(), http.ErrNotSupported)
			} else {
				require.NoError(t, rc.Flush())
			}
			_, _, err := rc.Hijack()
			if tt.hijack {
				require.ErrorIs(t, err, errHijacked)
			} else {
				require.ErrorIs(t, err, http.ErrNotSupported)
			}
			require.ErrorIs(t, w.(http.Pusher).Push("/style.css", nil), http.ErrNotSupported)
		})).ServeHTTP(tt.beneath, httptest.NewRequest("GET", "/", nil))
		require.True(t, ran)
	}
}

// controlled is a writer beneath that knows deadlines and full duplex.
type controlled struct {
	http.ResponseWriter
	calls []string
}

func (c *controlled) SetReadDeadline(time.Time) error { c.calls = append(c.calls, "read"); return nil }
func (c *controlled) SetWriteDeadline(time.Time) error {
	c.calls = append(c.calls, "write")
	return nil
}
func (c *controlled) EnableFullDuplex() error { c.calls = append(c.calls, "duplex"); return nil }

func TestControllerDoesNotCommit(t *testing.T) {
	for _, s := range setups(t) {
		beneath := &controlled{ResponseWriter: httptest.NewRecorder()}
		var ev events
		s.new(t, ev.option()).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			rc := http.NewResponseController(w)
			require.NoError(t, rc.SetReadDeadline(time.Now()))
			require.NoError(t, rc.SetWriteDeadline(time.Now()))
			require.NoError(t, rc.EnableFullDuplex())
			require.Equal(t, []string{"read", "write", "duplex"}, beneath.calls)
			require.Empty(t, ev.take(), "committed too early")
			require.NoError(t, session(r).Regenerate())
		})).ServeHTTP(beneath, httptest.NewRequest("GET", "/", nil))
		require.Equal(t, []string{"created"}, ev.take())
	}
}

// They work on a real connection too, and without a session.
func TestDeadlinesOfARealConnection(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		site := serveProto(t, memory(t).new(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			check(rc.SetReadDeadline(time.Now().Add(time.Minute)))
			check(rc.SetWriteDeadline(time.Now().Add(time.Minute)))
			if !http2 {
				check(rc.EnableFullDuplex())
			}
			increment(session(r))
			io.WriteString(w, "body")
		})), http2)
		a := site.get("/")
		require.Equal(t, "body", a.body)
		require.Len(t, a.ours(), 1)
	}
}

// readerFrom is a writer beneath that counts what comes the way of sendfile.
type readerFrom struct {
	http.ResponseWriter
	src io.Reader
}

func (w *readerFrom) ReadFrom(src io.Reader) (int64, error) {
	w.src = src
	return io.Copy(io.Discard, src)
}

func TestReadFromReachesTheServer(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, []byte("content"), 0o600))
	for _, how := range []string{"Copy", "CopyN", "ServeFile"} {
		rec := httptest.NewRecorder()
		beneath := &readerFrom{ResponseWriter: rec}
		memory(t).new(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			f, err := os.Open(name)
			require.NoError(t, err)
			defer f.Close()
			switch how {
			case "Copy":
				_, err = io.Copy(w, f)
			case "CopyN":
				_, err = io.CopyN(w, f, 4)
			case "ServeFile":
				http.ServeFile(w, r, name)
			}
			require.NoError(t, err)
		})).ServeHTTP(beneath, httptest.NewRequest("GET", "/", nil))
		require.NotNil(t, beneath.src, how)
		require.Len(t, oursIn(rec.Header()), 1, how)
	}

	// Without one beneath, the bytes are copied.
	a := ask(memory(t).new(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("content"))
		require.NoError(t, err)
		require.EqualValues(t, 7, n)
	})), "/")
	require.Equal(t, "content", a.body)
}

// A GiB goes through in little memory, by Write and by ReadFrom.
func TestLargeBodyStreams(t *testing.T) {
	const size = 1 << 28
	sparse, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	require.NoError(t, err)
	defer sparse.Close()
	require.NoError(t, sparse.Truncate(size))

	mw := memory(t).new(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		increment(session(r))
		for chunk, n := make([]byte, 1<<20), 0; n < size; n += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				panic(err)
			}
		}
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		increment(session(r))
		http.ServeContent(w, r, "", time.Time{}, sparse)
	})
	server := httptest.NewServer(mw.Handler(mux))
	defer server.Close()
	buf := make([]byte, 1<<20)
	for _, path := range []string{"/write", "/file"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, err := http.Get(server.URL + path)
		require.NoError(t, err)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf)
		resp.Body.Close()
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), path)
		require.Len(t, oursIn(resp.Header), 1)
	}
}

// failing is a middleware whose store is down when the commit comes.
func failing(t *testing.T, h http.HandlerFunc) (*site, *flaky) {
	store := &flaky{Store: memory(t).store}
	mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithCommitTimeout(time.Second))
	mux := http.NewServeMux()
	mux.Handle("/count", count)
	mux.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) {
		increment(session(r))
		store.down.Store(true)
		h(w, r)
	})
	return serve(t, mw.Handler(mux)), store
}

// A change that can't be stored must not look as if it had been: the error
// handler answers, alone, on whatever path the handler's answer would have gone.
func TestFailingCommit(t *testing.T) {
	down := func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.ErrorIs(t, err, errDown)
	}
	for name, do := range map[string]func(t *testing.T, w http.ResponseWriter){
		"no write": func(*testing.T, http.ResponseWriter) {},
		"Write": func(t *testing.T, w http.ResponseWriter) {
			for range 2 {
				n, err := w.Write([]byte("secret page"))
				down(t, err)
				require.Zero(t, n)
			}
		},
		"WriteHeader": func(t *testing.T, w http.ResponseWriter) {
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusCreated)
			_, err := io.WriteString(w, "secret page")
			down(t, err)
		},
		"WriteString": func(t *testing.T, w http.ResponseWriter) {
			_, err := w.(io.StringWriter).WriteString("secret page")
			down(t, err)
		},
		"Flush": func(t *testing.T, w http.ResponseWriter) {
			w.(http.Flusher).Flush()
			down(t, http.NewResponseController(w).Flush())
			_, err := io.WriteString(w, "secret page")
			down(t, err)
		},
		"ReadFrom": func(t *testing.T, w http.ResponseWriter) {
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("secret page"))
			down(t, err)
		},
		"Hijack": func(t *testing.T, w http.ResponseWriter) {
			_, _, err := http.NewResponseController(w).Hijack()
			down(t, err)
		},
		"Unwrap": func(t *testing.T, w http.ResponseWriter) {
			beneath := w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
			beneath.WriteHeader(http.StatusCreated)
			_, err := beneath.Write([]byte("secret page"))
			down(t, err)
		},
		"redirect": func(t *testing.T, w http.ResponseWriter) {
			http.Redirect(w, httptest.NewRequest("GET", "/", nil), "/secret", http.StatusFound)
		},
		"103 before": func(t *testing.T, w http.ResponseWriter) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits until the commit gives up
			site, store := failing(t, func(w http.ResponseWriter, r *http.Request) {
				h := w.Header()
				h.Set("Content-Type", "application/pdf")
				h.Set("Content-Disposition", "attachment")
				h.Set("Content-Encoding", "gzip")
				h.Set("Content-Length", "11")
				h.Set("ETag", `"secret"`)
				h.Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
				h.Set("Location", "/secret")
				h.Set("Cache-Control", "public, max-age=3600")
				h.Set("Content-Security-Policy", "default-src 'none'")
				h.Set("X-Frame-Options", "DENY")
				http.SetCookie(w, &http.Cookie{Name: "other", Value: "x"})
				do(t, w)
			})
			require.Equal(t, "1", site.get("/count").body)
			held := site.held()

			a := site.get("/fail")
			require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			require.Equal(t, "Service Unavailable\n", a.body)
			require.Equal(t, "text/plain; charset=utf-8", a.Header.Get("Content-Type"))
			require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
			for _, stale := range []string{"Content-Disposition", "Content-Encoding", "ETag", "Last-Modified", "Location"} {
				require.Empty(t, a.Header.Get(stale), stale)
			}
			require.EqualValues(t, len(a.body), a.ContentLength)
			require.NotEmpty(t, a.Header.Get("Content-Security-Policy"), "a policy protects the error page too")
			require.NotEmpty(t, a.Header.Get("X-Frame-Options"))
			require.Empty(t, a.ours())
			require.Equal(t, held, site.held())
			require.Empty(t, site.log.String())

			store.down.Store(false)
			require.Equal(t, "2", site.get("/count").body, "the session as it was")
		})
	}
}

// The application's own error handler decides, and is asked once.
func TestFailingCommitErrorHandler(t *testing.T) {
	asked := 0
	mw := sealed(t).new(t, middleware.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, err error) {
		asked++
		require.ErrorIs(t, err, stores.ErrTooLarge)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusInsufficientStorage)
		io.WriteString(w, `{}`)
	}))
	a := ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(5000)(w, r)
		for range 3 {
			fmt.Fprint(w, "secret page")
			require.ErrorIs(t, sessions.Commit(r.Context()), stores.ErrTooLarge)
		}
	})), "/")
	require.Equal(t, 1, asked)
	require.Equal(t, http.StatusInsufficientStorage, a.StatusCode)
	require.Equal(t, "{}", a.body)
	require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
	require.Empty(t, a.Header["Set-Cookie"])
}

// A panic goes on to whoever recovers it, as it was, and nothing is committed.
func TestPanicGoesOn(t *testing.T) {
	for _, s := range setups(t) {
		var ev events
		mw := s.new(t, ev.option(), middleware.WithCommitTimeout(50*time.Millisecond))
		what := errors.New("a bug")
		h := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			panic(what)
		}))
		a := record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				require.Equal(t, what, recover())
				http.Error(w, "recovered", http.StatusInternalServerError)
			}()
			h.ServeHTTP(w, r)
		}), httptest.NewRequest("GET", "/", nil))
		require.Equal(t, http.StatusInternalServerError, a.StatusCode)
		require.Empty(t, a.Header["Set-Cookie"])
		require.Empty(t, ev.take())
	}
}

// An outer handler, such as a log, finds the pattern that the inner mux matched.
func TestPatternReachesTheOriginal(t *testing.T) {
	for _, path := range []string{"/item/7", "/panic"} {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /item/{id}", func(w http.ResponseWriter, r *http.Request) {})
		mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("a bug") })
		inner := memory(t).new(t).Handler(mux)
		req := httptest.NewRequest("GET", path, nil)
		func() {
			defer func() { recover() }()
			inner.ServeHTTP(httptest.NewRecorder(), req)
		}()
		require.Equal(t, map[string]string{"/item/7": "GET /item/{id}", "/panic": "GET /panic"}[path], req.Pattern)
	}
}

// The server removes a form's temporary files when the request is over. It looks
// for them on the request that it made.
func TestMultipartFilesAreRemoved(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		tmp := t.TempDir()
		t.Setenv("TMPDIR", tmp)
		files := func() []string {
			found, err := filepath.Glob(filepath.Join(tmp, "multipart-*"))
			require.NoError(t, err)
			return found
		}
		during := 0
		site := serveProto(t, memory(t).new(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			check(r.ParseMultipartForm(1))
			during = len(files())
			increment(session(r))
		})), http2)

		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("file", "name")
		require.NoError(t, err)
		part.Write(make([]byte, 1<<20))
		require.NoError(t, form.Close())
		req, err := http.NewRequest("POST", site.URL, &body)
		require.NoError(t, err)
		req.Header.Set("Content-Type", form.FormDataContentType())
		require.Len(t, site.do(req).ours(), 1)
		require.Equal(t, 1, during, "the test needs a file on disk")
		site.Close() // waits for the request's end
		require.Empty(t, files())
	}
}

// The same Middleware twice acts once: there is one session, and one cookie.
func TestNestedTwice(t *testing.T) {
	for _, s := range setups(t) {
		mw := s.new(t, middleware.WithAutoload())
		site := serve(t, mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			mw.Handler(count).ServeHTTP(w, r)
		})))
		for i := range 3 {
			a := site.get("/")
			require.Equal(t, fmt.Sprint(2*i+2), a.body)
			if i == 0 || s.mem == nil {
				require.Len(t, a.ours(), 1)
			}
		}
	}
}

// Two Middlewares with two names keep two sessions. Load gives the inner one's.
func TestNestedTwoNames(t *testing.T) {
	outer, inner := sealed(t).new(t, middleware.WithCookieName("outer")), memory(t).new(t, middleware.WithCookieName("inner"))
	site := serve(t, outer.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		check(user.Set(session(r), "outer"))
		inner.Handler(count).ServeHTTP(w, r)
	})))
	for i := range 3 {
		a := site.get("/")
		require.Equal(t, fmt.Sprint(i+1), a.body)
		var names []string
		for _, c := range a.Cookies() {
			names = append(names, c.Name)
		}
		if i == 0 {
			require.ElementsMatch(t, []string{"outer", "inner"}, names)
		} else {
			require.Empty(t, names)
		}
		require.Len(t, a.Header["Vary"], 1)
	}
	require.Empty(t, site.log.String())
}

// Whoever waits for a client to go away, as old frameworks do, is told.
func TestCloseNotify(t *testing.T) {
	memory(t).new(t).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.NotNil(t, w.(http.CloseNotifier).CloseNotify()) //nolint:staticcheck // what is tested
	})).ServeHTTP(plainWriter{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil))
}
