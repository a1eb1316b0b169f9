package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkHandler(b *testing.B) {
	page := []byte("page")
	ignore := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := visits.Get(session(r)); err != nil {
			panic(err)
		}
		w.Write(page)
	})
	change := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		increment(session(r))
		w.Write(page)
	})
	for _, bm := range []struct {
		name    string
		setup   setup
		handler http.Handler
		cookie  bool
	}{
		{"no cookie, untouched", sealed(b), ignore, false},
		{"cookie, untouched", sealed(b), ignore, true},
		{"sealed, read", sealed(b), read, true},
		{"sealed, read and change", sealed(b), change, true},
		{"memory, read", memory(b), read, true},
		{"memory, read and change", memory(b), change, true},
	} {
		b.Run(bm.name, func(b *testing.B) {
			mw := bm.setup.new(b)
			req := httptest.NewRequest("GET", "/page", nil)
			if bm.cookie {
				req.Header.Set("Cookie", cookieName+"="+visited(b, mw.Handler(count)))
			}
			h := mw.Handler(bm.handler)
			w := discard{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, req)
			}
			require.LessOrEqual(b, len(oursIn(w.header)), 1)
		})
	}
}

// discard is a response writer that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
func (d discard) Flush()                      {}
