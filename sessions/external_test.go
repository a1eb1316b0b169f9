package sessions_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

const issuer = "https://op.example"

// loginWith returns the token of a new session of user, which the provider calls sid.
func (o *ownersOf) loginWith(user, sid string) token.Token {
	o.t.Helper()
	s := o.m.New()
	require.NoError(o.t, s.SetOwner(o.t.Context(), user, sessions.WithExternal(issuer, sid)))
	return commit(o.t, o.m, s).Token
}

// change commits what f does to tok's session.
func (o *ownersOf) change(tok token.Token, f func(*sessions.Session) error) token.Token {
	o.t.Helper()
	s := o.load(tok)
	require.NoError(o.t, f(s))
	if c := commit(o.t, o.m, s); c.Action == sessions.Replace {
		return c.Token
	}
	return tok
}

func (o *ownersOf) requireLives(tok token.Token) {
	o.t.Helper()
	_, err := o.m.Load(o.t.Context(), tok)
	require.NoError(o.t, err)
}

// A provider's logout ends the sessions of one login at the provider, whatever ID they
// have by now, and no others of the user.
func TestRevokeExternal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		o := newOwnersOf(t, st, func(c *sessions.Config) { c.Lifetime = 40 * 24 * time.Hour; c.Rolling = 0 })
		first, second := o.loginWith("ada", "s1"), o.loginWith("ada", "s1")
		other, without, bob := o.loginWith("ada", "s2"), o.login("ada", ""), o.loginWith("bob", "s1 ")
		for range 3 {
			time.Sleep(time.Hour)
			first = o.change(first, (*sessions.Session).Regenerate)
			first = o.change(first, func(s *sessions.Session) error { return s.SetLabel(time.Now().String()) })
		}
		// A second proof is the same login, one with another ID is not.
		first = o.change(first, func(s *sessions.Session) error { return s.SetOwner(t.Context(), "ada") })
		again := o.change(o.loginWith("ada", "s1"), func(s *sessions.Session) error {
			return s.SetOwner(t.Context(), "ada", sessions.WithExternal(issuer, "s3"))
		})
		taken := o.change(o.loginWith("ada", "s1"), func(s *sessions.Session) error { return s.SetOwner(t.Context(), "bob") })
		watched, err := o.load(first).Watch(t.Context())
		require.NoError(t, err)

		n, err := o.elsewhere.m.RevokeExternal(t.Context(), "https://other.example", "s1")
		require.NoError(t, err)
		require.Zero(t, n, "another provider's")
		n, err = o.elsewhere.m.RevokeExternal(t.Context(), issuer, "s1")
		require.NoError(t, err)
		require.Equal(t, 2, n)
		requireRejected(t, o.m, first, sessions.Ended)
		requireRejected(t, o.m, second, sessions.Ended)
		for _, tok := range []token.Token{other, without, bob, again, taken} {
			o.requireLives(tok)
		}
		requireEnds(t, watched, interval, sessions.ErrRevoked)

		// Of the user's list they are gone as well, and once more is no error.
		list, err := o.m.Sessions(t.Context(), "ada")
		require.NoError(t, err)
		require.Len(t, list, 3)
		n, err = o.m.RevokeExternal(t.Context(), issuer, "s1")
		require.NoError(t, err)
		require.Zero(t, n)

		n, err = o.m.RevokeExternal(t.Context(), issuer, "s3")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		requireRejected(t, o.m, again, sessions.Ended)

		// All of the user is all, whatever they are called.
		n, err = o.m.RevokeAll(t.Context(), "ada")
		require.NoError(t, err)
		require.Equal(t, 2, n)
		requireRejected(t, o.m, other, sessions.Ended)
	})
}

// A logout that comes before its login is finished, at any step of it.
func TestRevokeExternalBeforeTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStore(t)
		o := newOwnersOf(t, st, nil)
		revoke := func() {
			_, err := o.elsewhere.m.RevokeExternal(t.Context(), issuer, "s1")
			require.NoError(t, err)
		}
		with := sessions.WithExternal(issuer, "s1")

		s := o.m.New()
		require.NoError(t, s.SetOwner(t.Context(), "ada", with))
		revoke()
		_, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrRevoked)
		require.ErrorIs(t, err, sessions.ErrEnded)
		require.Zero(t, st.Len())

		s = o.m.New()
		require.ErrorIs(t, s.SetOwner(t.Context(), "ada", with), sessions.ErrRevoked)
		require.Empty(t, s.Owner(), "half a login")
		commit(t, o.m, s)
		require.Zero(t, st.Len())

		// It is remembered for a day.
		time.Sleep(23 * time.Hour)
		require.ErrorIs(t, o.m.New().SetOwner(t.Context(), "ada", with), sessions.ErrRevoked)
		time.Sleep(2 * time.Hour)
		tok := o.loginWith("ada", "s1")

		// Between each two of a login's, and of a new ID's, calls of the store.
		for _, op := range []string{"add", "save", "load", "remove", "move"} {
			for n := int32(1); n <= 4; n++ {
				for _, begin := range []func() *sessions.Session{
					func() *sessions.Session {
						s := o.m.New()
						require.NoError(t, s.SetOwner(t.Context(), "ada", with))
						return s
					},
					func() *sessions.Session {
						s := o.load(o.loginWith("ada", "s1"))
						require.NoError(t, s.Regenerate())
						return s
					},
				} {
					time.Sleep(25 * time.Hour)
					s := begin()
					done := false
					st.before = on(op, n, func() error {
						st.before = nil
						done = true
						revoke()
						return nil
					})
					c, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
					st.before = nil
					if !done {
						revoke()
					}
					if err == nil && c.Action == sessions.Replace {
						tok = c.Token
					}
					_, err = o.m.Load(t.Context(), tok)
					require.Error(t, err, "%s %d", op, n)
					require.Zero(t, st.Len(), "%s %d: something lives", op, n)
				}
			}
		}
	})
}

// A revocation that broke off has refused logins, and what it did not come to ends when
// it would get a new ID.
func TestRevokeExternalBreaksOff(t *testing.T) {
	st := newStore(t)
	o := newOwnersOf(t, st, nil)
	tok, other := o.loginWith("ada", "s1"), o.loginWith("ada", "s2")
	s := o.load(other)
	require.NoError(t, s.SetOwner(t.Context(), "ada", sessions.WithExternal(issuer, "s1")))
	st.before = down(errOutage, "list")
	_, err := o.m.RevokeExternal(t.Context(), issuer, "s1")
	require.ErrorIs(t, err, stores.ErrUnavailable)
	st.before = nil
	o.requireLives(tok)
	turned := o.load(tok)
	require.NoError(t, turned.Regenerate())
	_, err = o.m.Commit(t.Context(), turned, sessions.BeforeResponse)
	require.ErrorIs(t, err, sessions.ErrRevoked)
	requireRejected(t, o.m, tok, sessions.Ended)

	_, err = o.m.Commit(t.Context(), s, sessions.BeforeResponse)
	require.ErrorIs(t, err, sessions.ErrRevoked)
	o.requireLives(other) // it was to become one of those, and is none
}

// Nothing is left in either list of a session that ended by itself.
func TestExternalEntries(t *testing.T) {
	st := newStore(t)
	o := newOwnersOf(t, st, nil)
	entries := make(map[stores.Key]int)
	var mu sync.Mutex
	st.before = func(_ context.Context, c call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.op == "add" {
			entries[c.key] = 0
		}
		return nil
	}
	tok := o.loginWith("ada", "s1")
	for range 3 {
		tok = o.change(tok, (*sessions.Session).Regenerate)
	}
	require.Len(t, entries, 2, "two lists")
	for key := range entries {
		list, err := st.Store.Entries(t.Context(), key)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, tok.ID.Key(), list[0].Key)
	}
	o.change(tok, destroy)
	for key := range entries {
		list, err := st.Store.Entries(t.Context(), key)
		require.NoError(t, err)
		require.Empty(t, list)
	}
}

// While the owners' keys change, sessions are found under the old and the new.
func TestRevokeExternalWhileKeysChange(t *testing.T) {
	st := newStore(t)
	ring := newRing(t)
	old, next := encrypt.GenerateKey(), encrypt.GenerateKey()
	process := func(keys ...encrypt.Key) *ownersOf {
		return &ownersOf{t: t, m: newManager(t, st, sessions.Config{Encryptor: ring, Owners: keys}), store: st}
	}
	before, during, after := process(old), process(next, old), process(next)
	first, second := before.loginWith("ada", "s1"), during.loginWith("ada", "s1")
	n, err := during.m.RevokeExternal(t.Context(), issuer, "s1")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	requireRejected(t, before.m, first, sessions.Ended)
	requireRejected(t, before.m, second, sessions.Ended)
	for _, o := range []*ownersOf{before, during, after} {
		require.ErrorIs(t, o.m.New().SetOwner(t.Context(), "ada", sessions.WithExternal(issuer, "s1")), sessions.ErrRevoked)
	}

	// The next save files a session under the new key, and nowhere else.
	lists := make(map[stores.Key]bool)
	st.before = func(_ context.Context, c call) error {
		if c.op == "add" {
			lists[c.key] = true
		}
		return nil
	}
	first = during.change(before.loginWith("ada", "s2"), func(s *sessions.Session) error { increment(t, s); return nil })
	require.Len(t, lists, 4)
	filed := 0
	for key := range lists {
		list, err := st.Store.Entries(t.Context(), key)
		require.NoError(t, err)
		for _, e := range list {
			if e.Key == first.ID.Key() {
				filed++
			}
		}
	}
	require.Equal(t, 2, filed)
	n, err = after.m.RevokeExternal(t.Context(), issuer, "s2")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	requireRejected(t, before.m, first, sessions.Ended)
}

// No user is an external ID, however they are called, and the other way round.
func TestExternalIsNoOwner(t *testing.T) {
	o := newOwnersOf(t, newStore(t), nil)
	tok := o.loginWith("ada", "s1")
	name := string(rune(len(issuer))) + issuer + "s1"
	n, err := o.m.RevokeAll(t.Context(), name)
	require.NoError(t, err)
	require.Zero(t, n)
	o.requireLives(tok)
	user := o.login(name, "")
	_, err = o.m.RevokeExternal(t.Context(), issuer, "s1")
	require.NoError(t, err)
	o.requireLives(user)
	// Nor is a part of the issuer a part of the ID.
	tok = o.loginWith("ada", "s2")
	_, err = o.m.RevokeExternal(t.Context(), issuer+"s", "2")
	require.NoError(t, err)
	o.requireLives(tok)
}

func TestExternalIsChecked(t *testing.T) {
	o := newOwnersOf(t, newStore(t), nil)
	long := strings.Repeat("x", 256)
	for _, x := range [][2]string{{"", "s"}, {issuer, ""}, {"", ""}, {long, "s"}, {issuer, long}} {
		s := o.m.New()
		require.ErrorIs(t, s.SetOwner(t.Context(), "ada", sessions.WithExternal(x[0], x[1])), sessions.ErrInvalid)
		require.Empty(t, s.Owner())
		_, err := o.m.RevokeExternal(t.Context(), x[0], x[1])
		require.ErrorIs(t, err, sessions.ErrInvalid)
	}
	o.loginWith("ada", strings.Repeat("\x00", 255))
	_, m := setup(t, sessions.Config{})
	_, err := m.RevokeExternal(t.Context(), issuer, "s")
	require.ErrorIs(t, err, sessions.ErrConfig)
}

// Whatever becomes of the store's replies: when RevokeExternal has answered without an
// error, nothing lives.
func TestRevokeExternalSchedules(t *testing.T) {
	for range many(30, 1000) {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			st := newStore(t)
			o := newOwnersOf(t, st, nil)
			var toks [4]token.Token
			for i := range toks {
				toks[i] = o.loginWith("ada", "s1")
			}
			var mu sync.Mutex
			rng := rand.New(rand.NewPCG(seed, 0))
			chance := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rng.IntN(n)
			}
			st.before = func(ctx context.Context, c call) error {
				time.Sleep(time.Duration(chance(20)) * time.Millisecond)
				if chance(15) == 0 {
					return errOutage
				}
				return nil
			}
			st.after = func(context.Context, call) error {
				if chance(15) == 0 {
					return errOutage
				}
				return nil
			}
			var all sync.WaitGroup
			for i := range toks {
				p := []*ownersOf{o, o.elsewhere}[i%2]
				all.Go(func() {
					for range 3 {
						time.Sleep(time.Duration(chance(200)) * time.Millisecond)
						s, err := p.m.Load(t.Context(), toks[i])
						if err != nil {
							continue
						}
						require.NoError(t, s.Regenerate())
						if c, err := p.m.Commit(t.Context(), s, sessions.BeforeResponse); err == nil && c.Action == sessions.Replace {
							toks[i] = c.Token
						}
					}
				})
				all.Go(func() { // and logins
					time.Sleep(time.Duration(chance(300)) * time.Millisecond)
					s := p.m.New()
					if s.SetOwner(t.Context(), "ada", sessions.WithExternal(issuer, "s1")) == nil {
						p.m.Commit(t.Context(), s, sessions.BeforeResponse)
					}
				})
			}
			all.Go(func() {
				time.Sleep(time.Duration(chance(300)) * time.Millisecond)
				for {
					_, err := o.m.RevokeExternal(t.Context(), issuer, "s1")
					if err == nil {
						return
					}
					require.True(t, errors.Is(err, stores.ErrUnavailable) || errors.Is(err, sessions.ErrBusy), err)
				}
			})
			all.Wait()
			st.before, st.after = nil, nil
			for _, tok := range toks {
				_, err := o.m.Load(t.Context(), tok)
				require.Error(t, err, "seed %d", seed)
			}
		})
	}
}

// What docs/costs.md says.
func TestExternalCosts(t *testing.T) {
	st := newStore(t)
	o := newOwnersOf(t, st, nil)
	var calls map[string]int
	st.before = func(_ context.Context, c call) error {
		calls[c.op]++
		return nil
	}
	count := func(f func()) map[string]int {
		calls = make(map[string]int)
		f()
		return calls
	}
	var plain, with token.Token
	for _, step := range []struct {
		what        string
		plain, with func()
		more        map[string]int
	}{
		{
			"login",
			func() { plain = o.login("ada", "") },
			func() { with = o.loginWith("ada", "s1") },
			map[string]int{"load": 2, "add": 1},
		}, {
			"new ID",
			func() { plain = o.change(plain, (*sessions.Session).Regenerate) },
			func() { with = o.change(with, (*sessions.Session).Regenerate) },
			map[string]int{"load": 1, "add": 1, "remove": 1},
		}, {
			"logout",
			func() { o.change(plain, destroy) },
			func() { o.change(with, destroy) },
			map[string]int{"remove": 1},
		},
	} {
		before, after := count(step.plain), count(step.with)
		for op, n := range step.more {
			before[op] += n
		}
		require.Equal(t, before, after, step.what)
	}
}
