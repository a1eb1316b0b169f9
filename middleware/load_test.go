package middleware_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// visited returns the value of a cookie with a session of one visit.
func visited(t testing.TB, h http.Handler) string {
	t.Helper()
	a := ask(h, "/")
	require.Equal(t, "1", a.body)
	return a.value(t)
}

// Every token that names no live session ends in a new session: 200, a hook with
// the reason, and the cookie is replaced only where something is written.
func TestRejectedTokens(t *testing.T) {
	key, other := encrypt.GenerateKey(), encrypt.GenerateKey()
	unknown := unknown()
	tamper := func(v string) string {
		// The last character may have unused bits, so the one before it.
		i := len(v) - 2
		return v[:i] + swap(v[i]) + v[i+1:]
	}
	mem := memory(t)
	seal := setup{name: "sealed cookie", store: cookiestore.Sealed(), opts: []middleware.Option{middleware.WithEncryptor(ring(t, key))}}
	sign := signed(t)
	ids := setup{name: "signed IDs", store: mem.store, opts: []middleware.Option{middleware.WithSignedIDs(key)}}

	for _, tt := range []struct {
		name   string
		setup  setup
		cookie func(good string) string
		reason sessions.Reason
	}{
		{"empty", mem, func(string) string { return "" }, sessions.Malformed},
		{"garbage", mem, func(string) string { return "no session" }, sessions.Malformed},
		{"quoted", mem, func(v string) string { return `"` + v + `"` }, sessions.Malformed},
		{"unknown ID", mem, func(string) string { return unknown }, sessions.Unknown},
		{"ID alone", seal, func(v string) string { return v[:32] }, sessions.Unknown},
		{"ID alone, signed cookie", sign, func(v string) string { return v[:32] }, sessions.Unknown},
		{"ID with a dot", seal, func(v string) string { return v[:33] }, sessions.Malformed},
		{"payload under another ID", seal, func(v string) string { return unknown + v[32:] }, sessions.Tampered},
		{"payload under another ID, signed cookie", sign, func(v string) string { return unknown + v[32:] }, sessions.Tampered},
		{"tampered payload", seal, tamper, sessions.Tampered},
		{"tampered payload, signed cookie", sign, tamper, sessions.Tampered},
		{"payload not base64", seal, func(v string) string { return v + "!" }, sessions.Malformed},
		{"short payload", seal, func(v string) string { return v[:37] }, sessions.Tampered},
		{"payload of another key", seal, func(string) string {
			return visited(t, setup{store: cookiestore.Sealed()}.new(t, middleware.WithEncryptor(ring(t, other))).Handler(count))
		}, sessions.Tampered},
		{"forged MAC", ids, func(v string) string { return unknown + v[32:] }, sessions.Forged},
		{"no MAC", ids, func(v string) string { return v[:32] }, sessions.Forged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ev events
			mw := tt.setup.new(t, ev.option())
			cookie := tt.cookie(visited(t, mw.Handler(count)))
			ev.take()

			a := ask(mw.Handler(peek), "/", cookie)
			require.Equal(t, http.StatusOK, a.StatusCode)
			require.Equal(t, "0", a.body)
			require.Empty(t, a.ours(), "the cookie was replaced although nothing was written")
			require.Equal(t, []string{"rejected: " + string(tt.reason)}, ev.take())

			a = ask(mw.Handler(count), "/", cookie)
			require.Equal(t, "1", a.body)
			require.NotContains(t, a.value(t), strings.SplitN(cookie+"!!", ".", 2)[0], "the client's ID was adopted")
		})
	}
	require.Empty(t, ask(mem.new(t).Handler(peek), "/").ours(), "no cookie")
}

// swap returns another character of the base64url alphabet.
func swap(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// The deadline is enforced here, whatever the browser does with Max-Age.
func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range []setup{sealed(t), signed(t), memory(t)} {
			var ev events
			mw := s.new(t, middleware.WithLifetime(time.Hour), ev.option())
			cookie := visited(t, mw.Handler(count))

			time.Sleep(time.Hour - time.Second)
			require.Equal(t, "1", ask(mw.Handler(peek), "/", cookie).body, s.name)
			ev.take()
			time.Sleep(time.Second)
			a := ask(mw.Handler(peek), "/", cookie)
			require.Equal(t, http.StatusOK, a.StatusCode)
			require.Equal(t, "0", a.body, s.name)
			require.Empty(t, a.ours())
			want := "rejected: " + string(sessions.Expired)
			if s.mem != nil {
				want = "rejected: " + string(sessions.Unknown) // the store does not tell
			}
			require.Equal(t, []string{want}, ev.take(), s.name)
		}
	})
}

// A new deployment with the wrong key must not log anybody out: the next one may
// have the right key again.
func TestWrongKeyDeployed(t *testing.T) {
	mem := memory(t)
	right, wrong := ring(t, encrypt.GenerateKey()), ring(t, encrypt.GenerateKey())
	good := mem.new(t, middleware.WithEncryptor(right), middleware.WithAutoload())
	cookie := visited(t, good.Handler(count))

	var ev events
	bad := mem.new(t, middleware.WithEncryptor(wrong), middleware.WithAutoload(), ev.option())
	for range 2 {
		ran := false
		a := ask(bad.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true })), "/", cookie)
		require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		require.False(t, ran)
		require.Empty(t, a.Header["Set-Cookie"])
		require.NotContains(t, a.body, "key", "the client learns the cause")
		require.Equal(t, []string{"store error"}, ev.take())
	}
	// Without autoload the handler is told, and whatever it does changes nothing.
	lazy := mem.new(t, middleware.WithEncryptor(wrong))
	a := ask(lazy.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := sessions.Load(r.Context())
		require.ErrorIs(t, err, sessions.ErrUnreadable)
		_, err = sessions.FromContext(r.Context())
		require.ErrorIs(t, err, sessions.ErrNotLoaded)
		require.ErrorIs(t, sessions.Commit(r.Context()), sessions.ErrUnreadable)
	})), "/", cookie)
	require.Empty(t, a.Header["Set-Cookie"])

	require.Equal(t, 1, mem.mem.Len())
	require.Equal(t, "2", ask(good.Handler(count), "/", cookie).body)
}

func TestStoreFails(t *testing.T) {
	mem := memory(t)
	store := &flaky{Store: mem.store}
	for _, autoload := range []bool{true, false} {
		var ev events
		opts := []middleware.Option{middleware.WithoutEncryption(), ev.option()}
		if autoload {
			opts = append(opts, middleware.WithAutoload())
		}
		mw := setup{store: store}.new(t, opts...)
		mw2, err := middleware.New(store, opts...)
		require.NoError(t, err)
		cookie := visited(t, mw.Handler(count))
		ev.take()

		store.down.Store(true)
		store.loads.Store(0)
		a := ask(mw2.Handler(count), "/", cookie)
		require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		require.Empty(t, a.Header["Set-Cookie"])
		require.Equal(t, []string{"store error"}, ev.take())
		require.EqualValues(t, 1, store.loads.Load())

		store.down.Store(false)
		require.Equal(t, "2", ask(mw.Handler(count), "/", cookie).body)
	}
}

// A load that failed is not tried again in the same request: a store in trouble
// must not be asked by every helper that wants the session.
func TestFailedLoadIsRemembered(t *testing.T) {
	store := &flaky{Store: memory(t).store}
	mw := setup{store: store}.new(t, middleware.WithoutEncryption())
	cookie := visited(t, mw.Handler(count))
	store.down.Store(true)
	store.loads.Store(0)
	ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			_, err := sessions.Load(r.Context())
			require.ErrorIs(t, err, stores.ErrUnavailable)
			require.ErrorIs(t, err, errDown)
		}
	})), "/", cookie)
	require.EqualValues(t, 1, store.loads.Load())
}

func TestDuplicateCookies(t *testing.T) {
	for _, s := range []setup{sealed(t), signed(t), memory(t)} {
		t.Run(s.name, func(t *testing.T) {
			var ev events
			mw := s.new(t, ev.option())
			h := mw.Handler(peek)
			one, two := visited(t, mw.Handler(count)), visited(t, mw.Handler(count))
			two = cmpValue(ask(mw.Handler(count), "/", two), two) // two visits
			ev.take()

			require.Equal(t, "1", ask(h, "/", one, one).body, "the same value twice")
			require.Equal(t, []string{"loaded"}, ev.take())

			for _, pair := range [][2]string{{one, two}, {two, one}} {
				a := ask(h, "/", pair[0], pair[1])
				require.Equal(t, http.StatusOK, a.StatusCode)
				require.Equal(t, "0", a.body, "two live sessions: neither")
				require.Empty(t, a.ours())
				ambiguous := "rejected: " + string(sessions.Ambiguous)
				require.Equal(t, []string{"loaded", "loaded", ambiguous, ambiguous}, ev.take())
			}

			for _, pair := range [][2]string{{one, "garbage"}, {"garbage", one}, {one, unknown()}} {
				require.Equal(t, "1", ask(h, "/", pair[0], pair[1]).body, "one live, one not")
			}

			// In one header line, as browsers send them.
			require.Equal(t, "1", ask(h, "/", "garbage; other=x; "+cookieName+"="+one+" ;"+cookieName+"2=y").body)

			ev.take()
			require.Equal(t, "1", ask(h, "/", "a", "b", "c", one).body, "four")
			ev.take()
			require.Equal(t, "0", ask(h, "/", "a", "b", "c", "d", one).body, "five")
			require.Equal(t, []string{"rejected: " + string(sessions.Ambiguous)}, ev.take(), "more than four are not looked at")
		})
	}
}

// cmpValue is the value that a sets, or old where it sets none.
func cmpValue(a answer, old string) string {
	if len(a.ours()) == 0 {
		return old
	}
	value, _, _ := strings.Cut(strings.TrimPrefix(a.ours()[0], cookieName+"="), ";")
	return value
}

// Of an older and a newer copy of one session the newer one counts, whatever
// their order.
func TestTwoCopiesOfOneSession(t *testing.T) {
	mw := sealed(t).new(t)
	older := visited(t, mw.Handler(count))
	newer := ask(mw.Handler(count), "/", older).value(t)
	require.Equal(t, "2", ask(mw.Handler(peek), "/", older, newer).body)
	require.Equal(t, "2", ask(mw.Handler(peek), "/", newer, older).body)
}

// Tens of thousands of different cookies of our name fit into one header. They
// must not be compared each with each.
func TestCookieFlood(t *testing.T) {
	mw := sealed(t).new(t)
	var flood strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&flood, "%d; %s=", i, cookieName)
	}
	line := flood.String()
	started := time.Now()
	for range 20 {
		require.Equal(t, "0", ask(mw.Handler(peek), "/", line).body)
	}
	require.Less(t, time.Since(started), time.Minute) // it takes one second; each with each takes many minutes
}

// Every cookie with one character changed, cut out or doubled, at every position,
// and every cookie that is cut off, ends in a new session and 200.
func TestEveryCharacter(t *testing.T) {
	for _, s := range []setup{
		sealed(t), signed(t),
		{name: "signed IDs", store: memory(t).store, opts: []middleware.Option{middleware.WithSignedIDs(encrypt.GenerateKey())}},
		{name: "sealed, signed IDs", store: cookiestore.Sealed(), opts: []middleware.Option{
			middleware.WithEncryptor(ring(t, encrypt.GenerateKey())), middleware.WithSignedIDs(encrypt.GenerateKey())}},
		memory(t),
	} {
		t.Run(s.name, func(t *testing.T) {
			h := s.new(t, middleware.WithAutoload()).Handler(count)
			good := visited(t, h)
			require.Equal(t, "2", ask(h, "/", good).body)
			try := func(what string, i int, bad string) {
				a := ask(h, "/", bad)
				if a.StatusCode != 200 || a.body != "1" {
					t.Fatalf("%s at %d of %d: status %d, visit %s", what, i, len(good), a.StatusCode, a.body)
				}
			}
			for i := range good {
				for _, c := range []byte("A_.x=") {
					if good[i] != c {
						try("changed to "+string(c), i, good[:i]+string(c)+good[i+1:])
					}
				}
				// The neighbour in the alphabet differs in the lowest bit: in
				// a last character, one that base64 does not use.
				const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
				if at := strings.IndexByte(alphabet, good[i]); at >= 0 {
					try("lowest bit", i, good[:i]+string(alphabet[at^1])+good[i+1:])
				}
				try("cut out", i, good[:i]+good[i+1:])
				try("doubled", i, good[:i+1]+good[i:])
				try("cut off", i, good[:i])
			}
		})
	}
}

// What the client holds shows nothing of the content.
func TestSealedCookieIsOpaque(t *testing.T) {
	const secret = "the user's secret"
	mw := sealed(t).new(t)
	a := ask(mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		require.NoError(t, text.Set(session(r), secret))
	})), "/")
	value := a.value(t)
	_, payload, _ := strings.Cut(value, ".")
	plain, err := base64.RawURLEncoding.DecodeString(payload)
	require.NoError(t, err)
	for _, s := range []string{value, string(plain)} {
		require.NotContains(t, s, secret)
		require.NotContains(t, s, "text")
	}
	// Encoded once: what comes out of base64 is binary.
	_, err = base64.RawURLEncoding.DecodeString(string(plain))
	require.Error(t, err)
}

func TestErrorHandlerOfAutoload(t *testing.T) {
	store := &flaky{Store: memory(t).store}
	var got error
	mw := setup{store: store}.new(t, middleware.WithoutEncryption(), middleware.WithAutoload(),
		middleware.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, err error) {
			got = err
			// The session is beyond reach here, and asking must not hang.
			_, err = sessions.Load(r.Context())
			require.ErrorIs(t, err, errDown)
			w.WriteHeader(http.StatusTeapot)
		}))
	cookie := visited(t, mw.Handler(count))
	store.down.Store(true)
	a := ask(mw.Handler(count), "/", cookie)
	require.Equal(t, http.StatusTeapot, a.StatusCode)
	require.ErrorIs(t, got, errDown)
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
}

// A cancelled request is not a logout.
func TestContextErrorPassesThrough(t *testing.T) {
	mw := setup{store: waits{memory(t).store}}.new(t, middleware.WithoutEncryption())
	cookie := unknown()
	a := ask(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		_, err := sessions.Load(ctx)
		require.ErrorIs(t, err, context.Canceled)
	})), "/", cookie)
	require.Empty(t, a.Header["Set-Cookie"])
}

// waits is a store that gives up with its context.
type waits struct{ stores.Store }

func (w waits) Place() stores.Place { return between(w.Store, w) }

func (w waits) Load(ctx context.Context, _ stores.Key, _ stores.Freshness) (stores.Record, error) {
	<-ctx.Done()
	return stores.Record{}, ctx.Err()
}

func (w waits) Save(context.Context, stores.Key, stores.Record) (stores.Revision, error) {
	return "", errDown
}

func (w waits) Put(context.Context, stores.Key, stores.Record) error { return errDown }
