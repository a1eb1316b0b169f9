package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// writer commits the session before the first byte of the response, on whatever
// path that byte takes. It buffers nothing.
type writer struct {
	http.ResponseWriter
	q *request
}

// wrap returns w with the methods that the writer beneath has too: a handler
// that asks for a Flusher or a Hijacker must get the answer it would get without
// us.
func (w *writer) wrap() http.ResponseWriter {
	_, flushes := w.ResponseWriter.(http.Flusher)
	_, hijacks := w.ResponseWriter.(http.Hijacker)
	switch {
	case flushes && hijacks:
		return flushHijackWriter{w}
	case flushes:
		return flushWriter{w}
	case hijacks:
		return hijackWriter{w}
	}
	return w
}

// WriteHeader commits and sends the headers. Informational headers (1xx) are
// sent without: the response is still to come; but 101 is the last word of HTTP
// on its connection.
func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		if w.q.begin() != nil {
			return
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write returns the commit's error, where it has one, instead of writing after
// the error handler's answer.
func (w *writer) Write(b []byte) (int, error) {
	if err := w.q.begin(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// WriteString is Write for strings, as io.WriteString looks for it.
func (w *writer) WriteString(s string) (int, error) {
	if err := w.q.begin(); err != nil {
		return 0, err
	}
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom lets the writer beneath use sendfile.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	if err := w.q.begin(); err != nil {
		return 0, err
	}
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, src)
}

// Unwrap gives the writer beneath to http.ResponseController and to whoever asks.
// What they write there we do not see, so the commit comes first; where it fails
// they get a writer that returns its error. A ResponseController's deadlines and
// full duplex do not come this way.
func (w *writer) Unwrap() http.ResponseWriter {
	if w.q.begin() != nil {
		return struct{ http.ResponseWriter }{w}
	}
	return w.ResponseWriter
}

// SetReadDeadline is for http.ResponseController.
func (w *writer) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
}

// SetWriteDeadline is for http.ResponseController.
func (w *writer) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// EnableFullDuplex is for http.ResponseController.
func (w *writer) EnableFullDuplex() error {
	return http.NewResponseController(w.ResponseWriter).EnableFullDuplex()
}

// Push answers http.ErrNotSupported where the writer beneath can't push.
func (w *writer) Push(target string, opts *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// CloseNotify serves frameworks that still ask for the deprecated
// http.CloseNotifier and panic without it.
func (w *writer) CloseNotify() <-chan bool {
	if n, ok := w.ResponseWriter.(http.CloseNotifier); ok { //nolint:staticcheck // see above
		return n.CloseNotify()
	}
	gone := make(chan bool, 1)
	done := w.q.r.Context().Done()
	if done != nil {
		go func() { <-done; gone <- true }()
	}
	return gone
}

func (w *writer) flush() error {
	if err := w.q.begin(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.q.begin(); err != nil {
		return nil, nil, err
	}
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

type flushWriter struct{ *writer }

func (w flushWriter) Flush()            { w.flush() }
func (w flushWriter) FlushError() error { return w.flush() }

type hijackWriter struct{ *writer }

func (w hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

type flushHijackWriter struct{ *writer }

func (w flushHijackWriter) Flush()                                       { w.flush() }
func (w flushHijackWriter) FlushError() error                            { return w.flush() }
func (w flushHijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }
