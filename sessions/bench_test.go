package sessions_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// eachKind runs f with a manager of each kind of session, and with the token of
// one that has about 200 bytes.
func eachKind(b *testing.B, f func(b *testing.B, m *sessions.Manager, tok token.Token)) {
	onServers(b, f)
	b.Run("sealed cookie", func(b *testing.B) { withSession(b, cookiestore.Sealed(), newRing(b), f) })
}

// onServers leaves out what the client holds.
func onServers(b *testing.B, f func(b *testing.B, m *sessions.Manager, tok token.Token)) {
	mem, err := memstore.New()
	require.NoError(b, err)
	b.Run("memory", func(b *testing.B) { withSession(b, mem, nil, f) })
	b.Run("memory sealed", func(b *testing.B) { withSession(b, mem, newRing(b), f) })
}

func withSession(b *testing.B, store stores.Store, enc encrypt.Encryptor, f func(b *testing.B, m *sessions.Manager, tok token.Token)) {
	m, err := sessions.NewManager(store, sessions.Config{Encryptor: enc, Lifetime: time.Hour})
	require.NoError(b, err)
	s := m.New()
	for i := range 8 {
		require.NoError(b, sessions.Key[string](fmt.Sprintf("field%d", i)).Set(s, "a value of some length"))
	}
	require.NoError(b, count.Set(s, 1))
	change, err := m.Commit(b.Context(), s, sessions.BeforeResponse)
	require.NoError(b, err)
	b.ReportAllocs()
	f(b, m, change.Token)
}

// A request that reads a value.
func BenchmarkRead(b *testing.B) {
	eachKind(b, func(b *testing.B, m *sessions.Manager, tok token.Token) {
		for b.Loop() {
			s, err := m.Load(b.Context(), tok)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := count.Get(s); err != nil {
				b.Fatal(err)
			}
			if _, err := m.Commit(b.Context(), s, sessions.BeforeResponse); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A request that changes a value.
func BenchmarkChange(b *testing.B) {
	eachKind(b, func(b *testing.B, m *sessions.Manager, tok token.Token) {
		for b.Loop() {
			s, err := m.Load(b.Context(), tok)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := count.Update(s, func(n int) int { return n + 1 }); err != nil {
				b.Fatal(err)
			}
			change, err := m.Commit(b.Context(), s, sessions.BeforeResponse)
			if err != nil {
				b.Fatal(err)
			}
			if change.Action == sessions.Replace {
				tok = change.Token
			}
		}
	})
}

// A login: the session has a new ID afterwards.
func BenchmarkRegenerate(b *testing.B) {
	eachKind(b, func(b *testing.B, m *sessions.Manager, tok token.Token) {
		for b.Loop() {
			s, err := m.Load(b.Context(), tok)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Regenerate(); err != nil {
				b.Fatal(err)
			}
			change, err := m.Commit(b.Context(), s, sessions.BeforeResponse)
			if err != nil {
				b.Fatal(err)
			}
			tok = change.Token
		}
	})
}

// A change that meets another one: it loads the newer record and is replayed.
func BenchmarkConflict(b *testing.B) {
	onServers(b, func(b *testing.B, m *sessions.Manager, tok token.Token) {
		raise := func(s *sessions.Session) {
			if _, err := count.Update(s, func(n int) int { return n + 1 }); err != nil {
				b.Fatal(err)
			}
			if _, err := m.Commit(b.Context(), s, sessions.BeforeResponse); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			one, err := m.Load(b.Context(), tok)
			if err != nil {
				b.Fatal(err)
			}
			two, err := m.Load(b.Context(), tok)
			if err != nil {
				b.Fatal(err)
			}
			raise(one)
			raise(two)
		}
	})
}

// A token that names no session.
func BenchmarkUnknown(b *testing.B) {
	eachKind(b, func(b *testing.B, m *sessions.Manager, tok token.Token) {
		tok.ID = token.NewID()
		for b.Loop() {
			if _, err := m.Load(b.Context(), tok); err == nil {
				b.Fatal("it was loaded")
			}
		}
	})
}
