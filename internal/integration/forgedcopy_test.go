//go:build unix

package integration_test

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores"
)

// tapped is an encryptor that keeps what it was last given to seal as a copy: the
// means to make what another application with the same key would.
type tapped struct {
	encrypt.Encryptor

	mu    sync.Mutex
	plain []byte
}

func (e *tapped) Encrypt(dst, plain, binding []byte) ([]byte, error) {
	if bytes.Contains(binding, []byte(copyDomain)) {
		e.mu.Lock()
		e.plain = bytes.Clone(plain)
		e.mu.Unlock()
	}
	return e.Encryptor.Encrypt(dst, plain, binding)
}

const copyDomain = "bulla copy in a cookie"

// binding is what docs/format.md says.
type binding struct{ domain, audience, name, id string }

func (b binding) bytes() (all []byte) {
	for _, s := range []string{b.domain, b.audience, b.name, b.id} {
		all = binary.AppendUvarint(all, uint64(len(s)))
		all = append(all, s...)
	}
	return all
}

// forge seals plain for to, and returns it as a cookie with b's ID.
func (e *tapped) forge(t testing.TB, b *browser, plain []byte, to binding) string {
	sealed, err := e.Encryptor.Encrypt(nil, plain, to.bytes())
	require.NoError(t, err)
	return b.with(sealed)
}

// with is b's ID with another payload.
func (b *browser) with(data []byte) string {
	return b.cookie[:idSize] + "." + payload.Encode(data)
}

// Of one visit the copy knows, of two the server: so whoever reads one has read
// the copy.
const (
	readCopy  = 1
	askServer = 2
)

// A copy counts only as it was sealed, for this session, this cookie and this
// application, and for a short time. Everything else asks the server.
func TestForgedCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watch(t)
		enc := &tapped{Encryptor: ring(t)}
		mw := cached(t, store, middleware.WithEncryptor(enc), middleware.WithAudience("shop"))
		other := visited(t, mw)
		b := visited(t, mw)
		plain := enc.plain
		id := func(b *browser) string { return string(b.secret()) }
		own := binding{copyDomain, "shop", cookieName, id(b)}
		payload := b.payload(t)
		b.clone().must(t, mw, count)
		sealed := func() time.Time { env, _ := envelope.Split(plain); return env.Sealed }()

		reads := func(what, cookie string, want int) {
			t.Helper()
			thief := &browser{cookie}
			asks := int64(want - readCopy)
			store.costs(t, asks, func() { require.Equal(t, want, thief.visits(t, mw), what) })
		}
		reads("as it is", b.cookie, readCopy)
		reads("the forger's own", enc.forge(t, b, plain, own), readCopy)

		// Every byte, and every character of the text.
		for i := range payload {
			for _, flip := range []byte{0x01, 0x80} {
				changed := bytes.Clone(payload)
				changed[i] ^= flip
				reads("a byte changed", b.with(changed), askServer)
			}
		}
		for i := idSize + 1; i < len(b.cookie); i++ {
			c := byte('A')
			if b.cookie[i] == c {
				c = 'B'
			}
			reads("a character changed", b.cookie[:i]+string(c)+b.cookie[i+1:], askServer)
		}
		for n := range payload[1:] {
			reads("cut off", b.with(payload[:n+1]), askServer)
		}
		reads("longer", b.with(append(bytes.Clone(payload), 0)), askServer)
		reads("not base64", b.cookie+"!", askServer)

		// Whole, but somebody else's.
		reads("another session's", b.cookie[:idSize]+other.cookie[idSize:], askServer)
		for name, to := range map[string]binding{
			"another session's":     {copyDomain, "shop", cookieName, id(other)},
			"another cookie's":      {copyDomain, "shop", "__Host-another", id(b)},
			"another application's": {copyDomain, "blog", cookieName, id(b)},
			"no application's":      {copyDomain, "", cookieName, id(b)},
			"a server's record":     {"bulla record on a server", "shop", cookieName, id(b)},
			"a cookie's record":     {"bulla record in a cookie", "shop", cookieName, id(b)},
			"shifted":               {copyDomain, "shop" + cookieName, "", id(b)},
		} {
			reads(name, enc.forge(t, b, plain, to), askServer)
		}

		// Whole, and this session's, but not what a copy must say.
		for name, tt := range map[string]struct {
			change func(*envelope.Envelope)
			want   int
		}{
			"unchanged":         {func(*envelope.Envelope) {}, readCopy},
			"just fresh":        {func(e *envelope.Envelope) { e.Sealed = sealed.Add(-fresh + time.Millisecond) }, readCopy},
			"old":               {func(e *envelope.Envelope) { e.Sealed = sealed.Add(-fresh) }, askServer},
			"very old":          {func(e *envelope.Envelope) { e.Sealed = sealed.Add(-24 * time.Hour) }, askServer},
			"from the future":   {func(e *envelope.Envelope) { e.Sealed = sealed.Add(time.Second) }, askServer},
			"without time":      {func(e *envelope.Envelope) { e.Sealed = time.Time{} }, askServer},
			"without revision":  {func(e *envelope.Envelope) { e.Revision = "" }, askServer},
			"without expiry":    {func(e *envelope.Envelope) { e.Expires = time.Time{} }, askServer},
			"expired":           {func(e *envelope.Envelope) { e.Expires = sealed }, askServer},
			"past its deadline": {func(e *envelope.Envelope) { e.Created, e.Deadline = sealed.Add(-time.Hour), sealed }, askServer},
		} {
			env, err := envelope.Split(plain)
			require.NoError(t, err)
			tt.change(&env)
			joined, err := envelope.Join(nil, env)
			require.NoError(t, err)
			reads(name, enc.forge(t, b, joined, own), tt.want)
		}

		// The true one, when its time is over.
		time.Sleep(time.Until(sealed.Add(fresh - time.Millisecond)))
		reads("just fresh", b.cookie, readCopy)
		time.Sleep(time.Millisecond)
		reads("old", b.cookie, askServer)
	})
}

// Who can write to the cookie but not to the store, or the other way round, can't
// carry bytes from one to the other.
func TestCopyIsNoRecord(t *testing.T) {
	store := watch(t)
	mw := cached(t, store)
	b := visited(t, mw)
	key := b.key()
	first, err := store.Store.Load(t.Context(), key, stores.Fresh)
	require.NoError(t, err)
	newer := b.clone()
	newer.must(t, mw, count)
	rec, err := store.Store.Load(t.Context(), key, stores.Fresh)
	require.NoError(t, err)

	// An older record of the server's, in the cookie.
	thief := &browser{b.with(first.Data)}
	store.costs(t, 1, func() { require.Equal(t, askServer, thief.visits(t, mw)) })

	// A copy, in the store.
	rec.Data = b.payload(t)
	_, err = store.Store.Save(t.Context(), key, rec)
	require.NoError(t, err)
	for _, do := range []handle{look, count, logout} {
		a := b.id().send(mw, do)
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.Empty(t, a.lines)
	}
	left, err := store.Store.Load(t.Context(), key, stores.Fresh)
	require.NoError(t, err)
	require.Equal(t, b.payload(t), left.Data)

	// The record itself, at the same revision, opens: it was no other fault.
	rec.Data, rec.Revision = first.Data, left.Revision
	_, err = store.Store.Save(t.Context(), key, rec)
	require.NoError(t, err)
	require.Equal(t, 1, b.id().visits(t, mw))
}
