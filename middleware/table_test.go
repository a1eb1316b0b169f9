package middleware_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
)

// world is what an answer begins with: whether the client had a session, of one
// visit, and whether the client or the server holds it.
type world struct {
	existing bool
	client   bool
}

func (w world) visits() int {
	if w.existing {
		return 1
	}
	return 0
}

// outcome is what the client sees and what the next request finds.
type outcome struct {
	cookies int  // Set-Cookie lines of ours
	visits  int  // on the next request
	lost    bool // a change was discarded, and that is reported
}

// committed: the visit was counted before the first byte.
func committed(w world) outcome {
	cookies := 1
	if w.existing && !w.client {
		cookies = 0 // the token has not changed
	}
	return outcome{cookies: cookies, visits: w.visits() + 1}
}

// untouched: nothing was written.
func untouched(w world) outcome { return outcome{visits: w.visits()} }

// late: the visit was counted after the first byte. It is saved only where the
// client's token can stay.
func late(w world) outcome {
	if w.existing && !w.client {
		return outcome{visits: w.visits() + 1}
	}
	return outcome{visits: w.visits(), lost: true}
}

// renewed: the visit was counted, and the ID has changed.
func renewed(w world) outcome { return outcome{cookies: 1, visits: w.visits() + 1} }

// ended: the session was destroyed in time.
func ended(w world) outcome {
	if w.existing {
		return outcome{cookies: 1}
	}
	return outcome{}
}

// endedLate: the server's record goes, the cookie can't.
func endedLate(w world) outcome {
	if w.client {
		return outcome{visits: w.visits(), lost: w.existing}
	}
	return outcome{}
}

// endedLateAndChanged: what is set after an end would need a new ID.
func endedLateAndChanged(w world) outcome {
	o := endedLate(w)
	o.lost = true
	return o
}

// deed is one way to answer.
type deed struct {
	name   string
	http1  bool // HTTP/1.1 only
	do     http.HandlerFunc
	want   func(world) outcome
	status int  // 0: 200
	breaks bool // the client gets no whole answer
}

func flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(err)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func deeds(file string) []deed {
	return []deed{
		{name: "session not used", want: untouched, do: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "body")
		}},
		{name: "read only", want: untouched, do: func(w http.ResponseWriter, r *http.Request) {
			_, err := visits.GetOr(session(r), 0)
			check(err)
			io.WriteString(w, "body")
		}},
		{name: "Write", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			w.Write([]byte("body"))
		}},
		{name: "empty Write", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			w.Write(nil)
		}},
		{name: "WriteString", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			_, err := w.(io.StringWriter).WriteString("body")
			check(err)
		}},
		{name: "WriteHeader", want: committed, status: 204, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			w.WriteHeader(http.StatusNoContent)
		}},
		{name: "no write", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
		}},
		{name: "large body", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			for range 100 {
				w.Write(make([]byte, 8<<10))
			}
		}},
		{name: "Flush first", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			w.(http.Flusher).Flush()
			io.WriteString(w, "body")
		}},
		{name: "ResponseController.Flush first", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			flush(w)
			io.WriteString(w, "body")
		}},
		{name: "Unwrap first", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			io.WriteString(w.(interface{ Unwrap() http.ResponseWriter }).Unwrap(), "body")
		}},
		{name: "103 then 200", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			increment(session(r))
			w.WriteHeader(http.StatusEarlyHints)
			increment(session(r))
			_, err := visits.Update(session(r), func(n int) int { return n - 1 })
			check(err)
			w.WriteHeader(http.StatusOK)
		}},
		{name: "ReadFrom a file", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			f, err := os.Open(file)
			check(err)
			defer f.Close()
			n, err := w.(io.ReaderFrom).ReadFrom(f)
			check(err)
			if n != 100_000 {
				panic(n)
			}
		}},
		{name: "ServeFile", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			http.ServeFile(w, r, file)
		}},
		{name: "redirect", want: committed, status: 303, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			http.Redirect(w, r, "/peek", http.StatusSeeOther)
		}},
		{name: "the handler's own error", want: committed, status: 500, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			http.Error(w, "sorry", http.StatusInternalServerError)
		}},
		{name: "WriteHeader, Write, Flush", want: committed, status: 202, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, "body")
			flush(w)
		}},
		{name: "several goroutines", want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			done := make(chan struct{})
			for range 8 {
				go func() {
					session(r)
					done <- struct{}{}
				}()
			}
			increment(session(r))
			for range 8 {
				<-done
			}
		}},

		{name: "101", http1: true, want: committed, status: 101, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}},
		{name: "hijack", http1: true, want: committed, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			conn, rw, err := w.(http.Hijacker).Hijack()
			check(err)
			defer conn.Close()
			// The headers of an upgrade are the handler's; ours are among them.
			fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n")
			check(w.Header().Write(rw))
			fmt.Fprint(rw, "\r\nbody")
			rw.Flush()
		}},
		{name: "ResponseController.Hijack", http1: true, want: committed, status: 101, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			conn, rw, err := http.NewResponseController(w).Hijack()
			check(err)
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n")
			check(w.Header().Write(rw))
			fmt.Fprint(rw, "\r\n")
			rw.Flush()
		}},

		{name: "panic", want: untouched, breaks: true, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			panic("a bug")
		}},
		{name: "ErrAbortHandler", want: untouched, breaks: true, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			panic(http.ErrAbortHandler)
		}},
		{name: "panic after the first byte", want: untouched, breaks: true, do: func(w http.ResponseWriter, r *http.Request) {
			session(r)
			io.WriteString(w, "body")
			incrementLate(session(r))
			panic(http.ErrAbortHandler)
		}},

		{name: "change after Write", want: late, do: func(w http.ResponseWriter, r *http.Request) {
			session(r)
			io.WriteString(w, "body")
			incrementLate(session(r))
		}},
		{name: "change after Flush", want: late, do: func(w http.ResponseWriter, r *http.Request) {
			session(r)
			flush(w)
			incrementLate(session(r))
			io.WriteString(w, "body")
		}},
		{name: "loaded and changed after Write", want: late, do: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "body")
			incrementLate(session(r))
		}},
		{name: "change in time and change after Write", do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			io.WriteString(w, "body")
			incrementLate(session(r))
		}, want: func(w world) outcome {
			o := committed(w)
			if o.lost = w.client; !o.lost {
				o.visits++
			}
			return o
		}},

		{name: "login", want: renewed, do: func(w http.ResponseWriter, r *http.Request) {
			check(session(r).Regenerate())
			increment(session(r))
			io.WriteString(w, "body")
		}},
		{name: "login after Write", want: late, do: func(w http.ResponseWriter, r *http.Request) {
			s := session(r)
			io.WriteString(w, "body")
			id := s.ID()
			if err := s.Regenerate(); !errors.Is(err, sessions.ErrTooLate) || !s.ID().Equal(id) {
				panic(err)
			}
			incrementLate(s)
		}},
		{name: "loaded, then login after Write", want: late, do: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "body")
			s := session(r)
			if err := s.Regenerate(); !errors.Is(err, sessions.ErrTooLate) {
				panic(err)
			}
			incrementLate(s)
		}},
		{name: "logout", want: ended, do: func(w http.ResponseWriter, r *http.Request) {
			session(r).Destroy()
			io.WriteString(w, "body")
		}},
		{name: "clear, then no write", want: ended, do: func(w http.ResponseWriter, r *http.Request) {
			increment(session(r))
			session(r).Destroy()
		}},
		{name: "logout after Write", want: endedLate, do: func(w http.ResponseWriter, r *http.Request) {
			s := session(r)
			io.WriteString(w, "body")
			s.Destroy()
		}},
		{name: "logout and change after Write", want: endedLateAndChanged, do: func(w http.ResponseWriter, r *http.Request) {
			s := session(r)
			io.WriteString(w, "body")
			s.Destroy()
			incrementLate(s)
		}},
	}
}

// Every way to answer, over both protocols, with the session at the client and on
// the server, new and existing: the cookie goes out exactly once where one is
// due, and the next request finds what it should.
func TestEveryWayToAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, make([]byte, 100_000), 0o600))

	for _, http2 := range []bool{false, true} {
		for _, s := range setups(t) {
			mux := http.NewServeMux()
			mux.Handle("/count", count)
			mux.Handle("/peek", peek)
			all := deeds(file)
			for i, d := range all {
				mux.Handle(fmt.Sprintf("/%d", i), d.do)
			}
			var ev events
			site := serveProto(t, s.new(t, ev.option()).Handler(mux), http2)
			for i, d := range all {
				if d.http1 && http2 {
					continue
				}
				for _, existing := range []bool{false, true} {
					name := fmt.Sprintf("%s/%s/http2=%v/existing=%v", d.name, s.name, http2, existing)
					t.Run(name, func(t *testing.T) {
						site.client = site.newClient()
						if existing {
							require.Equal(t, "1", site.get("/count").body)
						}
						old := site.held()
						ev.take()
						w := world{existing, s.mem == nil}
						want := d.want(w)

						lines := answerOf(t, site, fmt.Sprintf("/%d", i), d)
						require.Len(t, lines, want.cookies, "Set-Cookie lines")
						require.Equal(t, want.visits, atoi(t, site.get("/peek").body), "on the next request")

						// Only a new ID, a new payload or an end makes a line.
						if want.cookies == 0 {
							require.Equal(t, old, site.held())
						} else {
							require.NotEqual(t, old, site.held())
						}
						require.Equal(t, want.lost, slices.Contains(ev.take(), "late"), "a discarded change is reported")
					})
				}
			}
			require.NotContains(t, site.log.String(), "superfluous")
		}
	}
}

// answerOf sends the request and returns our Set-Cookie lines in the answer. It
// fails on any in an informational answer.
func answerOf(t *testing.T, s *site, path string, d deed) []string {
	req := s.request(path)
	hints := 0
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints++
			require.Empty(t, oursIn(http.Header(h)), "a cookie with status %d", code)
			return nil
		},
	}))
	if d.status == http.StatusSwitchingProtocols {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		require.True(t, d.breaks, err)
		return nil
	}
	defer resp.Body.Close()
	if d.status != http.StatusSwitchingProtocols {
		_, err = io.ReadAll(resp.Body)
		require.Equal(t, d.breaks, err != nil, "%v", err)
	}
	require.Equal(t, cmp.Or(d.status, http.StatusOK), resp.StatusCode)
	if strings.HasPrefix(d.name, "103") {
		require.Equal(t, 2, hints)
	}
	return oursIn(resp.Header)
}

// A client that goes away does not undo what its request has done.
func TestClientGone(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, s := range setups(t) {
			for _, existing := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/http2=%v/existing=%v", s.name, http2, existing), func(t *testing.T) {
					var ev events
					if s.mem != nil { // behind a network, a cancelled context ends a call
						s.store = &flaky{Store: s.mem}
					}
					running, gone, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
					var written atomic.Bool
					mw := s.new(t, ev.option())
					mux := http.NewServeMux()
					mux.Handle("/count", count)
					mux.Handle("/peek", peek)
					slow := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						increment(session(r))
						close(running)
						<-r.Context().Done()
						<-gone // TLS says goodbye before it closes: an answer at once could still arrive
						w.WriteHeader(http.StatusOK)
						written.Store(true)
					}))
					site := serveProto(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/slow" {
							defer close(done)
							slow.ServeHTTP(w, r)
							return
						}
						mw.Handler(mux).ServeHTTP(w, r)
					}), http2)
					if existing {
						require.Equal(t, "1", site.get("/count").body)
					}
					ev.take()
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					go func() { <-running; cancel() }()
					_, err := site.client.Do(site.request("/slow").WithContext(ctx))
					close(gone)
					require.ErrorIs(t, err, context.Canceled)
					<-done
					require.True(t, written.Load())
					require.NotContains(t, ev.take(), "store error")
					// As with a late change, the client can't get a new token.
					want := late(world{existing, s.mem == nil})
					require.Equal(t, want.visits, atoi(t, site.get("/peek").body))
				})
			}
		}
	}
}
