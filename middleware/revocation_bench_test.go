package middleware_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// reads returns a function that reads the session of an anonymous cookie, in a middleware with a
// list of n entries; without a list where n is negative.
func reads(t testing.TB, n int) func() {
	opts := []middleware.Option{middleware.WithEncryptor(ring(t, encrypt.GenerateKey()))}
	if n >= 0 {
		list, err := memstore.NewRevocations()
		require.NoError(t, err)
		for range n {
			var hash [24]byte
			rand.Read(hash[:])
			_, err := list.Swap(t.Context(), "", stores.Revocation{Key: stores.NewKey(hash), Value: "E", Until: time.Now().Add(time.Hour)})
			require.NoError(t, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		opts = append(opts, middleware.WithRevocation(ctx, list, time.Minute), middleware.WithOwners(encrypt.GenerateKey()))
	}
	mw, err := middleware.New(cookiestore.Sealed(), opts...)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	mw.Handler(count).ServeHTTP(w, httptest.NewRequest("GET", "https://example.com/", nil))
	require.Equal(t, "1", w.Body.String())
	h := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		if err != nil || s.IsNew() {
			panic(fmt.Sprint("no session: ", err))
		}
	}))
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	r.Header.Set("Cookie", cookieName+"="+w.Result().Cookies()[0].Value)
	return func() {
		w.HeaderMap = make(http.Header, 4)
		h.ServeHTTP(w, r)
	}
}

// A request costs no allocation more with a list, and a session's bytes are as long as
// ever without one.
func TestRevocationAllocatesNothing(t *testing.T) {
	without, with := reads(t, -1), reads(t, 1000)
	// The least of many: under the race detector a pool loses things at random.
	least := func(f func()) float64 {
		n := testing.AllocsPerRun(1, f)
		for range 200 {
			n = min(n, testing.AllocsPerRun(1, f))
		}
		return n
	}
	require.Equal(t, least(without), least(with))
}

// What the list adds to a request: with and without in turn, so that both have the same
// machine, and of the differences the median.
func BenchmarkRevocation(b *testing.B) {
	without := reads(b, -1)
	for _, n := range []int{0, 1_000_000} {
		with := reads(b, n)
		b.Run(map[int]string{0: "empty", 1_000_000: "million"}[n], func(b *testing.B) {
			const batch = 100
			var more []float64
			for done := 0; done < b.N; done += batch {
				began := time.Now()
				for range batch {
					without()
				}
				between := time.Now()
				for range batch {
					with()
				}
				more = append(more, float64(time.Since(between)-between.Sub(began))/batch)
			}
			slices.Sort(more)
			b.ReportMetric(more[len(more)/2], "ns-more/op")
		})
	}
}
