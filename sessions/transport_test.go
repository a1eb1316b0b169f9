package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// page is what most handlers of these tests are: the session is there.
func page(f func(ctx context.Context, s *sessions.Session) error) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := sessions.Load(ctx)
		if err != nil {
			return err
		}
		return f(ctx, s)
	}
}

func counting(_ context.Context, s *sessions.Session) error {
	_, err := count.Update(s, func(n int) int { return n + 1 })
	return err
}

// requireVisits asks, as the client with these cookies, how often it was there.
func requireVisits(t *testing.T, m *sessions.Manager, cookies map[string]string, want int) {
	t.Helper()
	require.NoError(t, serve(t.Context(), m, cookies, page(func(_ context.Context, s *sessions.Session) error {
		require.Equal(t, want == 0, s.IsNew())
		n, err := count.GetOr(s, 0)
		require.Equal(t, want, n)
		return err
	})))
}

// All that a session is can be had by functions over a map.
func TestTransport(t *testing.T) {
	ring := newRing(t)
	for what, st := range map[string]stores.Store{"server": newStore(t), "client": clientStore{}} {
		t.Run(what, func(t *testing.T) {
			m := newManager(t, st, sessions.Config{Encryptor: ring})
			cookies := make(map[string]string)
			requireVisits(t, m, cookies, 0)
			require.Empty(t, cookies, "a session that stays empty")

			for i := range 3 {
				require.NoError(t, serve(t.Context(), m, cookies, page(counting)))
				require.Len(t, cookies, 1)
				requireVisits(t, m, cookies, i+1)
			}
			before := cookies["session"]
			require.NoError(t, serve(t.Context(), m, cookies, page(func(ctx context.Context, s *sessions.Session) error {
				require.NoError(t, counting(ctx, s))
				return s.Regenerate()
			})))
			requireVisits(t, m, cookies, 4)
			require.NotEqual(t, before[:32], cookies["session"][:32])

			require.NoError(t, serve(t.Context(), m, cookies, page(func(_ context.Context, s *sessions.Session) error {
				s.Destroy()
				return nil
			})))
			require.Empty(t, cookies)
			requireVisits(t, m, cookies, 0)
		})
	}
}

// bare is a transport whose calls are counted.
type counted struct {
	values   []string
	autoload bool
	asked    int
	replies  []sessions.Reply
}

func (c *counted) Values() []string       { c.asked++; return c.values }
func (c *counted) Autoload() bool         { return c.autoload }
func (c *counted) Reply(r sessions.Reply) { c.replies = append(c.replies, r) }

// told returns what the client is told in the end.
func (c *counted) told() sessions.Reply {
	if len(c.replies) == 0 {
		return sessions.Reply{}
	}
	return c.replies[len(c.replies)-1]
}

// exchange begins an exchange with these values of the cookie.
func exchangeOf(t testing.TB, m *sessions.Manager, values ...string) (context.Context, *sessions.Exchange, *counted) {
	x, c := new(sessions.Exchange), &counted{values: values}
	return x.Begin(t.Context(), m, c), x, c
}

func TestLoadAsksOnce(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	ctx, x, c := exchangeOf(t, m, tok.Value(nil))
	require.Zero(t, c.asked)
	_, err := sessions.FromContext(ctx)
	require.ErrorIs(t, err, sessions.ErrNotLoaded)
	require.Nil(t, x.Loaded())

	s, err := sessions.Load(ctx)
	require.NoError(t, err)
	for _, find := range []func(context.Context) (*sessions.Session, error){sessions.Load, sessions.FromContext} {
		again, err := find(ctx)
		require.NoError(t, err)
		require.Same(t, s, again)
	}
	require.Same(t, s, x.Loaded())
	require.Equal(t, 1, c.asked)
	require.EqualValues(t, 1, st.loads.Load())

	// What failed is not asked again, but for a caller that gave up.
	for want, err := range map[int32]error{1: errOutage, 2: context.DeadlineExceeded} {
		ctx, _, _ := exchangeOf(t, m, tok.Value(nil))
		loads := st.loads.Load()
		st.before = on("load", 1, func() error { return err })
		for range 3 {
			s, got := sessions.Load(ctx)
			if got == nil {
				require.NotNil(t, s)
				break
			}
			require.ErrorIs(t, got, err)
		}
		require.Equal(t, loads+want, st.loads.Load(), "%v", err)
		if want == 1 {
			require.ErrorIs(t, sessions.Commit(ctx), stores.ErrUnavailable)
		}
	}
}

// A request without values counts as loaded, where the transport says so.
func TestAutoload(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	ctx, _, c := exchangeOf(t, m)
	c.autoload = true
	s, err := sessions.FromContext(ctx)
	require.NoError(t, err)
	require.True(t, s.IsNew())

	ctx, _, c = exchangeOf(t, m, begin(t, m).Value(nil))
	c.autoload = true
	_, err = sessions.FromContext(ctx)
	require.ErrorIs(t, err, sessions.ErrNotLoaded, "the transport loads it itself")
	require.Zero(t, st.loads.Load())
}

func TestContext(t *testing.T) {
	for _, ctx := range []context.Context{t.Context(), context.WithValue(t.Context(), t, t)} {
		_, err := sessions.Load(ctx)
		require.ErrorIs(t, err, sessions.ErrNoMiddleware)
		_, err = sessions.FromContext(ctx)
		require.ErrorIs(t, err, sessions.ErrNoMiddleware)
		require.ErrorIs(t, sessions.Commit(ctx), sessions.ErrNoMiddleware)
	}

	_, m := setup(t, sessions.Config{})
	_, other := setup(t, sessions.Config{})
	require.Nil(t, m.Serving(t.Context()))
	ctx, _, _ := exchangeOf(t, m)
	require.NoError(t, sessions.Commit(ctx), "a session that is not loaded has nothing to write")
	s, err := sessions.Load(ctx)
	require.NoError(t, err)
	below, cancel := context.WithCancel(context.WithValue(ctx, t, "found"))
	defer cancel()
	again, err := sessions.Load(below)
	require.NoError(t, err)
	require.Same(t, s, again)
	require.True(t, m.Serving(below) != nil)
	require.Nil(t, other.Serving(below))
	require.Equal(t, "found", below.Value(t))
	require.Nil(t, ctx.Value("nothing"))

	var inner sessions.Exchange
	innermost := inner.Begin(below, other, sent(nil))
	_, err = sessions.FromContext(innermost)
	require.ErrorIs(t, err, sessions.ErrNotLoaded, "the innermost exchange counts")
	require.True(t, other.Serving(innermost) != nil)
	require.Nil(t, m.Serving(innermost))
}

// What runs within a load or commit finds the session, and does not wait for itself.
func TestHooksHaveTheContext(t *testing.T) {
	var m *sessions.Manager
	var seen []string
	look := func(what string) func(context.Context, sessions.Event) {
		return func(ctx context.Context, _ sessions.Event) {
			s, err := sessions.Load(ctx)
			_, also := sessions.FromContext(ctx)
			require.Equal(t, err, also)
			require.Error(t, sessions.Commit(ctx), "a hook can't commit")
			require.True(t, m.Serving(ctx) != nil)
			seen = append(seen, fmt.Sprint(what, " ", s != nil, " ", errors.Is(err, sessions.ErrNotLoaded)))
		}
	}
	_, m = setup(t, sessions.Config{Hooks: sessions.Hooks{Loaded: look("loaded"), Created: look("created"), Saved: look("saved"), Rejected: look("rejected")}})
	within(t, func() {
		cookies := make(map[string]string)
		require.NoError(t, serve(t.Context(), m, cookies, page(counting)))
		require.NoError(t, serve(t.Context(), m, cookies, page(counting)))
		require.NoError(t, serve(t.Context(), m, map[string]string{"session": "garbage"}, page(counting)))
	})
	require.Equal(t, []string{"created true false", "loaded false true", "saved true false", "rejected false true", "created true false"}, seen)
}

// The error handler reads the session as it was last stored.
func TestFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		cookie := begin(t, m).Value(nil)
		_, x, _ := exchangeOf(t, m, cookie)
		failed := errors.New("failed")
		answer := x.Fail(t.Context(), failed)
		_, err := sessions.Load(answer)
		require.ErrorIs(t, err, failed, "it is not loaded any more")
		require.ErrorIs(t, sessions.Commit(answer), failed)

		ctx, x, _ := exchangeOf(t, m, cookie)
		s, err := sessions.Load(ctx)
		require.NoError(t, err)
		increment(t, s)
		st.before = down(errOutage, "save")
		_, err = x.Respond()
		require.ErrorIs(t, err, stores.ErrUnavailable)
		answer = x.Fail(context.WithValue(ctx, t, "the handler's"), err)
		require.Equal(t, "the handler's", answer.Value(t))
		s, err = sessions.Load(answer)
		require.NoError(t, err)
		n, err := count.Get(s)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.ErrorIs(t, sessions.Commit(answer), stores.ErrUnavailable)
	})
}

func TestRespondOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, m := setup(t, sessions.Config{})
		ctx, x, c := exchangeOf(t, m)
		s, err := sessions.Load(ctx)
		require.NoError(t, err)
		increment(t, s)
		first, err := x.Respond()
		require.NoError(t, err)
		require.True(t, first)
		first, err = x.Respond()
		require.NoError(t, err)
		require.False(t, first)
		require.Len(t, c.replies, 1)
		tok, _, err := token.Parse(c.told().Value())
		require.NoError(t, err)
		requireCount(t, m, tok, 1)

		// What comes after the first byte is saved at the end.
		increment(t, s)
		require.ErrorIs(t, s.Regenerate(), sessions.ErrTooLate)
		x.Finish()
		requireCount(t, m, tok, 2)
		require.Len(t, c.replies, 1)

		// An error stays one, and nothing is written after it.
		ctx, x, c = exchangeOf(t, m, tok.Value(nil))
		s, err = sessions.Load(ctx)
		require.NoError(t, err)
		increment(t, s)
		st.before = down(errOutage, "save")
		first, failed := x.Respond()
		require.True(t, first)
		require.ErrorIs(t, failed, stores.ErrUnavailable)
		st.before = nil
		for range 2 {
			first, err = x.Respond()
			require.False(t, first)
			require.Equal(t, failed, err)
			require.Equal(t, failed, sessions.Commit(ctx))
		}
		x.Finish()
		require.Empty(t, c.replies)
		requireCount(t, m, tok, 2)

		// A transport that answers before the handler runs commits nothing.
		_, x, c = exchangeOf(t, m)
		x.Fail(t.Context(), failed)
		_, err = x.Respond()
		require.Equal(t, failed, err)
		x.Finish()
		require.Empty(t, c.replies)
	})
}

// Finish alone commits a response that was never begun.
func TestFinish(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	ctx, x, c := exchangeOf(t, m)
	s, err := sessions.Load(ctx)
	require.NoError(t, err)
	increment(t, s)
	x.Finish()
	tok, _, err := token.Parse(c.told().Value())
	require.NoError(t, err)
	requireCount(t, m, tok, 1)
}

// A session that is loaded after the first byte can't be begun any more.
func TestLoadAfterTheFirstByte(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	ctx, x, c := exchangeOf(t, m)
	_, err := x.Respond()
	require.NoError(t, err)
	s, err := sessions.Load(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, count.Set(s, 1), sessions.ErrTooLate)
	x.Finish()
	require.Empty(t, c.replies)
	require.Zero(t, st.Len())

	tok := begin(t, m)
	ctx, x, c = exchangeOf(t, m, tok.Value(nil))
	_, err = x.Respond()
	require.NoError(t, err)
	s, err = sessions.Load(ctx)
	require.NoError(t, err)
	increment(t, s)
	require.ErrorIs(t, s.Regenerate(), sessions.ErrTooLate)
	require.NoError(t, sessions.Commit(ctx))
	x.Finish()
	require.Empty(t, c.replies)
	requireCount(t, m, tok, 2)
}

// Where a Commit has told the client of a new token, and the session is ended
// elsewhere before the first byte, that is taken back: the client may have a newer
// login's.
func TestReplyIsTakenBack(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	ctx, x, c := exchangeOf(t, m)
	s, err := sessions.Load(ctx)
	require.NoError(t, err)
	increment(t, s)
	require.NoError(t, sessions.Commit(ctx))
	require.False(t, c.told().IsZero())
	st.end(t, s.ID().Key())
	increment(t, s)
	_, err = x.Respond()
	require.NoError(t, err, "the handler's answer stands")
	require.True(t, c.told().IsZero())
}

func TestValuesOfACookie(t *testing.T) {
	var ev events
	st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
	one, two := begin(t, m), begin(t, m)
	unknown := token.Token{ID: token.NewID()}
	is := func(want *token.Token, rejected int, values ...string) {
		t.Helper()
		before := len(ev.of("rejected"))
		ctx, _, _ := exchangeOf(t, m, values...)
		s, err := sessions.Load(ctx)
		require.NoError(t, err)
		require.Equal(t, want == nil, s.IsNew())
		if want != nil {
			require.True(t, want.ID.Equal(s.ID()))
		}
		require.Len(t, ev.of("rejected"), before+rejected)
	}
	is(&one, 0, one.Value(nil))
	is(&one, 0, one.Value(nil), one.Value(nil))
	is(&one, 1, one.Value(nil), "garbage")
	is(&one, 1, unknown.Value(nil), one.Value(nil))
	is(nil, 2, "garbage", unknown.Value(nil))
	is(&two, 0, two.Value(nil))

	// Nobody knows which of two live ones the user meant.
	is(nil, 2, one.Value(nil), two.Value(nil))
	for _, e := range ev.of("rejected")[len(ev.of("rejected"))-2:] {
		require.Equal(t, sessions.Ambiguous, e.Reason)
	}

	// More than the limit costs no question to the store.
	loads := st.loads.Load()
	many := []string{one.Value(nil)}
	for range sessions.MaxValues {
		many = append(many, token.Token{ID: token.NewID()}.Value(nil))
	}
	is(nil, 1, many...)
	require.Equal(t, loads, st.loads.Load())
	is(&one, sessions.MaxValues-1, many[:sessions.MaxValues]...)

	// One that does not open may have been planted: the user's own counts. Alone it
	// is an error, and no new session.
	overwrite(t, st, two, []byte("garbled"))
	is(&one, 0, two.Value(nil), one.Value(nil))
	ctx, _, _ := exchangeOf(t, m, two.Value(nil), unknown.Value(nil))
	_, err := sessions.Load(ctx)
	require.ErrorIs(t, err, sessions.ErrUnreadable)
}

// Of two copies of one session that the client holds, the newer one counts.
func TestNewerCopyCounts(t *testing.T) {
	m := newManager(t, clientStore{}, sessions.Config{})
	older := begin(t, m)
	newer := use(t, m, older, true)
	for _, values := range [][]string{{older.Value(nil), newer.Value(nil)}, {newer.Value(nil), older.Value(nil)}} {
		ctx, _, _ := exchangeOf(t, m, values...)
		s, err := sessions.Load(ctx)
		require.NoError(t, err)
		n, err := count.Get(s)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	}
}

func TestSignedIDs(t *testing.T) {
	var ev events
	st, ring, old, key := newStore(t), newRing(t), encrypt.GenerateKey(), encrypt.GenerateKey()
	with := func(keys ...encrypt.Key) *sessions.Manager {
		return newManager(t, st, sessions.Config{Encryptor: ring, SignedIDs: keys, Hooks: ev.hooks()})
	}
	m := with(old)
	cookies := make(map[string]string)
	require.NoError(t, serve(t.Context(), m, cookies, page(counting)))
	requireVisits(t, m, cookies, 1)
	value := cookies["session"]
	require.Len(t, value, 54)

	// A forged one costs no question to the store.
	loads := st.loads.Load()
	tok, mac, err := token.Parse(value)
	require.NoError(t, err)
	mac[3] ^= 1
	for _, forged := range []string{tok.Value(nil), tok.Value(mac), token.Token{ID: token.NewID()}.Value(mac)} {
		requireVisits(t, m, map[string]string{"session": forged}, 0)
	}
	require.Equal(t, loads, st.loads.Load())
	require.Len(t, ev.of("rejected"), 3)
	require.Equal(t, sessions.Forged, ev.of("rejected")[0].Reason)

	// An ID under a retired key is signed afresh, once, without a write.
	writes := st.writes()
	requireVisits(t, with(key, old), cookies, 1)
	require.NotEqual(t, value, cookies["session"])
	require.Equal(t, writes, st.writes())
	fresh := cookies["session"]
	requireVisits(t, with(key, old), cookies, 1)
	require.Equal(t, fresh, cookies["session"])
	requireVisits(t, with(key), cookies, 1)
	requireVisits(t, with(old), cookies, 0)
}

// A request that comes with an ID that was replaced a moment ago was under way. It
// begins no session, and no cookie of ours goes out, unless it logs in. Later it is
// a browser that never got the new ID.
func TestGraceOfAReplacedID(t *testing.T) {
	replaced := func(t *testing.T) (m *sessions.Manager, old map[string]string, st *store) {
		st, m = setup(t, sessions.Config{})
		old = make(map[string]string)
		require.NoError(t, serve(t.Context(), m, old, page(counting)))
		cookies := map[string]string{"session": old["session"]}
		require.NoError(t, serve(t.Context(), m, cookies, page(func(_ context.Context, s *sessions.Session) error { return s.Regenerate() })))
		require.NotEqual(t, old, cookies)
		return m, old, st
	}
	for what, change := range map[string]func(*sessions.Session) error{
		"Set": func(s *sessions.Session) error { return name.Set(s, "x") },
		"Update": func(s *sessions.Session) error {
			_, err := count.Update(s, func(n int) int { return n + 1 })
			return err
		},
		"Flash":            func(s *sessions.Session) error { return notices.Add(s, "x") },
		"SetLabel":         func(s *sessions.Session) error { return s.SetLabel("x") },
		"SetPersistent":    func(s *sessions.Session) error { return s.SetPersistent(true) },
		"Limit":            func(s *sessions.Session) error { return s.Limit(time.Minute, 0) },
		"SetAuthenticated": func(s *sessions.Session) error { return s.SetAuthenticated(time.Now()) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, old, st := replaced(t)
				time.Sleep(10*time.Second - time.Millisecond)
				was := old["session"]
				err := serve(t.Context(), m, old, page(func(_ context.Context, s *sessions.Session) error {
					require.True(t, s.IsNew())
					n, err := count.GetOr(s, 0)
					require.NoError(t, err)
					require.Zero(t, n)
					return change(s)
				}))
				require.ErrorIs(t, err, sessions.ErrEnded)
				require.Equal(t, was, old["session"])
				require.Equal(t, 1, st.Len())

				time.Sleep(time.Millisecond)
				require.NoError(t, serve(t.Context(), m, old, page(func(_ context.Context, s *sessions.Session) error { return change(s) })))
				require.NotEqual(t, was, old["session"])
				require.Equal(t, 2, st.Len())
			})
		})
	}
	t.Run("a login", func(t *testing.T) {
		m, old, st := replaced(t)
		was := old["session"]
		require.NoError(t, serve(t.Context(), m, old, page(func(ctx context.Context, s *sessions.Session) error {
			require.NoError(t, s.Regenerate())
			return counting(ctx, s)
		})))
		require.NotEqual(t, was, old["session"])
		requireVisits(t, m, old, 1)
		require.Equal(t, 2, st.Len())
	})
	t.Run("a logout follows", func(t *testing.T) {
		m, old, st := replaced(t)
		require.NoError(t, serve(t.Context(), m, old, page(func(_ context.Context, s *sessions.Session) error {
			s.Destroy()
			return nil
		})))
		require.Empty(t, old)
		require.Zero(t, st.Len())
	})
	t.Run("a stub that is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, old, _ := replaced(t)
			time.Sleep(11 * time.Minute)
			tok, _, err := token.Parse(old["session"])
			require.NoError(t, err)
			requireRejected(t, m, tok, sessions.Unknown)
		})
	})
}

// Reply, exchange and context go through logs and errors like anything else.
func TestNothingOfAnExchangeIsShown(t *testing.T) {
	key := encrypt.GenerateKey()
	_, m := setup(t, sessions.Config{SignedIDs: []encrypt.Key{key}})
	ctx, x, c := exchangeOf(t, m)
	s, err := sessions.Load(ctx)
	require.NoError(t, err)
	require.NoError(t, name.Set(s, secret))
	_, err = x.Respond()
	require.NoError(t, err)
	require.GreaterOrEqual(t, c.told().Chars(), len(c.told().Value()))
	var written strings.Builder
	c.told().WriteValue(&written)
	require.Equal(t, c.told().Value(), written.String())

	for _, v := range []any{c.told(), x, ctx, x.Fail(ctx, nil), s, fmt.Errorf("of %v: %w", c.told(), sessions.ErrEnded), c.replies, struct{ R sessions.Reply }{c.told()}} {
		var texts []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "v", v)
		for _, text := range append(texts, log.String()) {
			require.NotContains(t, text, "hunter2", "%T", v)
			for _, form := range append(secretTexts(s.ID()), c.told().Value()) {
				require.NotContains(t, strings.ToLower(text), strings.ToLower(form), "%T", v)
			}
		}
	}
}
