package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
)

const (
	room     = 1000      // characters of payload
	value    = room + 33 // of the cookie's value
	idle     = 20 * time.Minute
	lifetime = time.Hour
)

// newHybrid returns a manager of sessions that are in the cookie while they have room
// there, and on the server st otherwise.
func newHybrid(t testing.TB, st *store, c sessions.Config) *sessions.Manager {
	t.Helper()
	both, err := hybridstore.New(cookiestore.Sealed(), st)
	require.NoError(t, err)
	c.Room = value
	return newManager(t, both, c)
}

// state is what a session holds and when it ends.
type state struct {
	content  map[string]string
	expires  time.Time
	deadline time.Time
}

// cookie is one that a client was given. With a payload it has a state of its
// own; otherwise it names one on the server.
type cookie struct {
	tok    token.Token
	sealed state
}

func (c cookie) inCookie() bool { return c.tok.Payload != "" }

// model is what must be seen. It knows every cookie that was ever given out, and
// what the server must hold under each ID.
type model struct {
	t       *testing.T
	rng     *rand.Rand
	rolling bool
	m       *sessions.Manager
	server  *store
	upFor   int  // calls until the server goes down; negative: it stays up
	hit     bool // it went down
	cookies []cookie
	held    map[stores.Key]state
	ended   map[stores.Key]time.Time  // until then a stub is on the server
	moved   map[stores.Key]stores.Key // and names this key
	counts  map[string]int            // what has happened
}

func newModel(t *testing.T, seed uint64) *model {
	rng := rand.New(rand.NewPCG(seed, 0))
	x := &model{
		t: t, rng: rng, rolling: rng.IntN(2) == 0, server: newStore(t), upFor: -1,
		held: make(map[stores.Key]state), ended: make(map[stores.Key]time.Time), moved: make(map[stores.Key]stores.Key), counts: make(map[string]int),
	}
	x.server.before = func(context.Context, call) error {
		if x.upFor == 0 {
			x.hit = true
			return errOutage
		}
		x.upFor = max(x.upFor-1, -1)
		return nil
	}
	c := sessions.Config{Lifetime: lifetime}
	if x.rolling {
		c.Rolling, c.TouchInterval = idle, time.Nanosecond
	}
	x.m = newHybrid(t, x.server, c)
	return x
}

// expires is when a session ends that is saved now.
func (x *model) expires(deadline time.Time) time.Time {
	if end := time.Now().Add(idle); x.rolling && end.Before(deadline) {
		return end
	}
	return deadline
}

// of returns the state that a cookie stands for, if it is alive.
func (x *model) of(c cookie) (state, bool) {
	st, ok := c.sealed, true
	if !c.inCookie() {
		st, ok = x.held[c.tok.ID.Key()]
	}
	return st, ok && time.Now().Before(st.expires)
}

var names = []string{"a", "b", "c", "d"}

// look tests that a cookie shows what the model says, and nothing else.
func (x *model) look(c cookie) *sessions.Session {
	x.t.Helper()
	want, alive := x.of(c)
	s, err := x.m.Load(x.t.Context(), c.tok)
	if !alive {
		var rejected *sessions.RejectedError
		require.ErrorAs(x.t, err, &rejected, "a cookie works after the end of what it stands for")
		x.counts["rejected"]++
		return nil
	}
	require.NoError(x.t, err)
	x.same(want.content, s)
	return s
}

func (x *model) same(want map[string]string, s *sessions.Session) {
	x.t.Helper()
	for _, name := range names {
		got, err := sessions.Key[string](name).GetOr(s, "none")
		require.NoError(x.t, err)
		value, ok := want[name]
		if !ok {
			value = "none"
		}
		require.Equal(x.t, value, got, name)
	}
}

// change is one change of a session's values, for a session and for the model.
type change struct{ name, value string } // no value: delete

func (c change) do(s *sessions.Session) error {
	if c.value == "" {
		return sessions.Key[string](c.name).Delete(s)
	}
	return sessions.Key[string](c.name).Set(s, c.value)
}

// effective returns those of changes that change something in content: others are
// no operations, and are not made again elsewhere.
func effective(content map[string]string, changes []change) (list []change) {
	for _, c := range changes {
		if content[c.name] != c.value {
			list = append(list, c)
			content = apply(content, []change{c})
		}
	}
	return list
}

func apply(content map[string]string, changes []change) map[string]string {
	content = maps.Clone(content)
	if content == nil {
		content = make(map[string]string)
	}
	for _, c := range changes {
		if c.value == "" {
			delete(content, c.name)
		} else {
			content[c.name] = c.value
		}
	}
	return content
}

// changes draws what a request does: small values, one that no cookie has room
// for, fewer values.
func (x *model) changes() (list []change) {
	for range x.rng.IntN(3) {
		c := change{name: names[x.rng.IntN(len(names))]}
		switch x.rng.IntN(5) {
		case 0: // delete
		case 1:
			c.value = strings.Repeat(fmt.Sprint(x.rng.IntN(10)), room)
		case 2: // near the limit
			c.value = strings.Repeat("x", 100+x.rng.IntN(700))
		default:
			c.value = fmt.Sprint(x.rng.Uint32())
		}
		list = append(list, c)
	}
	return list
}

// request lets a client come with a cookie, or without one if it is nil.
func (x *model) request(c *cookie) {
	x.t.Helper()
	x.upFor, x.hit = -1, false
	var s *sessions.Session
	var base state
	if c != nil {
		if s = x.look(*c); s != nil {
			base, _ = x.of(*c)
		}
	}
	isNew := s == nil
	if isNew {
		s = x.m.New()
		base.deadline = time.Now().Add(lifetime)
	}

	changes := x.changes()
	destroy := !isNew && x.rng.IntN(12) == 0
	regenerate := !destroy && x.rng.IntN(8) == 0
	if destroy {
		s.Destroy()
		base = state{deadline: time.Now().Add(lifetime)}
	}
	for _, ch := range changes {
		require.NoError(x.t, ch.do(s))
	}
	if regenerate {
		require.NoError(x.t, s.Regenerate())
		base.deadline = time.Now().Add(lifetime)
	}
	if x.rng.IntN(6) == 0 {
		x.upFor = x.rng.IntN(3)
	}
	got, err := x.m.Commit(x.t.Context(), s, sessions.BeforeResponse)
	hit := x.hit
	x.upFor = -1
	if ms := time.Now().Truncate(time.Millisecond); !ms.Equal(time.Now()) { // waits are not of whole ones, and records are
		time.Sleep(time.Until(ms.Add(time.Millisecond)))
	}
	x.commit(c, base, isNew || destroy, destroy, regenerate, changes, got, err, hit)
}

// commit brings the model to where the store must be.
func (x *model) commit(c *cookie, base state, fresh, destroy, regenerate bool, changes []change, got sessions.Change, err error, hit bool) {
	x.t.Helper()
	onServer := c != nil && !c.inCookie()
	if destroy {
		// Only a stub that came through ended the session: where the server was
		// down after it, the new session is what failed.
		if err == nil || got.Action == sessions.Remove {
			x.end(c)
			x.counts["ended on the server"]++
		}
	}
	if errors.Is(err, sessions.ErrEnded) {
		require.True(x.t, c != nil && c.inCookie() && !fresh && !regenerate)
		require.True(x.t, time.Now().Before(x.ended[c.tok.ID.Key()]))
		require.Equal(x.t, sessions.Keep, got.Action)
		x.counts["met the end"]++
		return
	}
	if err != nil {
		require.ErrorIs(x.t, err, stores.ErrUnavailable)
		require.True(x.t, hit)
		require.NotEqual(x.t, sessions.Replace, got.Action)
		x.counts["failed"]++
		return
	}
	changes = effective(base.content, changes)
	content := apply(base.content, changes)
	if fresh && len(content) == 0 {
		require.NotEqual(x.t, sessions.Replace, got.Action, "an empty session is written")
		return
	}
	if got.Action != sessions.Replace {
		// On the server, and the client's ID stays good.
		require.Equal(x.t, sessions.Keep, got.Action)
		// A cookie whose session has moved to the server meanwhile, by another
		// copy of it, or was ended there, is not given a later expiry when it
		// outgrows its room.
		_, moved := x.held[c.tok.ID.Key()]
		moved = moved || time.Now().Before(x.ended[c.tok.ID.Key()])
		unchanged := maps.Equal(content, base.content) && (moved || x.expires(base.deadline).Equal(base.expires))
		require.True(x.t, onServer || unchanged, "a change in a cookie was not handed out")
		if onServer && !hit {
			x.held[c.tok.ID.Key()] = state{content, x.expires(base.deadline), base.deadline}
		}
		return
	}

	given := cookie{tok: got.Token}
	key := got.Token.ID.Key()
	require.Equal(x.t, fresh || regenerate, c == nil || !got.Token.ID.Equal(c.tok.ID), "the ID stays, unless it is to change")
	if given.inCookie() {
		require.False(x.t, onServer && !fresh, "a session left the server")
		require.LessOrEqual(x.t, len(given.tok.Payload), room)
		given.sealed = state{content, x.expires(base.deadline), base.deadline}
		x.counts["in the cookie"]++
	} else {
		size := 0
		for name, value := range content {
			size += len(name) + len(value)
		}
		// What is on the server already has the last word: there the changes
		// were made again.
		expires := x.expires(base.deadline)
		if there, ok := x.held[key]; ok && time.Now().Before(there.expires) {
			content = apply(there.content, changes)
			base.deadline, expires = there.deadline, x.expires(there.deadline)
			if !onServer {
				x.counts["met the server"]++
				if maps.Equal(content, there.content) {
					expires = there.expires // nothing was left to write
				}
			}
		} else if fresh || !onServer {
			require.Greater(x.t, size, room/2, "a small session is on the server")
			x.counts["moved"]++
		}
		if old := c; regenerate && onServer && !fresh {
			key := old.tok.ID.Key()
			x.ended[key], x.moved[key] = stubbed(x.held[key].deadline), given.tok.ID.Key()
			delete(x.held, key)
		}
		require.Zero(x.t, x.ended[key], "a session that was ended on the server is there again")
		x.held[key] = state{content, expires, base.deadline}
		if size < room/4 {
			x.counts["small on the server"]++
		}
	}
	x.cookies = append(x.cookies, given)
}

// end ends the session of a cookie on the server, under whatever ID it is there.
func (x *model) end(c *cookie) {
	key, deadline := c.tok.ID.Key(), c.sealed.deadline
	if !c.inCookie() {
		deadline = x.held[key].deadline
	}
	for time.Now().Before(x.ended[key]) {
		next, ok := x.moved[key]
		if !ok {
			return
		}
		key, deadline = next, x.held[next].deadline
		x.counts["followed"]++
	}
	x.ended[key] = stubbed(deadline)
	delete(x.held, key)
}

// stubbed is how long the stub of a session stays.
func stubbed(deadline time.Time) time.Time {
	if until := time.Now().Add(10 * time.Minute); until.After(deadline) {
		return until
	}
	return deadline
}

// check tests every cookie that was ever given out.
func (x *model) check() {
	x.t.Helper()
	for _, c := range x.cookies {
		x.look(c)
	}
	live := 0
	for _, st := range x.held {
		if time.Now().Before(st.expires) {
			live++
		}
	}
	// Records that no client holds can be left where the server went down, and
	// expired ones are swept late.
	require.GreaterOrEqual(x.t, x.server.Len(), live)
}

func (x *model) step() {
	x.t.Helper()
	if x.rng.IntN(4) == 0 {
		time.Sleep(time.Duration(x.rng.IntN(600)) * time.Second)
	}
	switch n := len(x.cookies); {
	case n == 0 || x.rng.IntN(25) == 0:
		x.request(nil)
	case x.rng.IntN(3) > 0: // the newest
		x.request(&x.cookies[n-1])
	default: // a replay
		x.request(&x.cookies[x.rng.IntN(n)])
	}
}

// Whatever clients do with the cookies that they were ever given: a session that
// the server holds shows what the model says; a cookie with a record in it shows
// only what that cookie was sealed with, and never after its deadline; a server
// that goes down in the middle loses nothing.
func TestHybridModel(t *testing.T) {
	start, counts := rand.Uint64(), make(map[string]int)
	for i := range uint64(90) {
		seed := start + i
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("the seed is %d", seed)
				}
			}()
			x := newModel(t, seed)
			for range 60 {
				x.step()
				x.check()
			}
			// Everything ends.
			time.Sleep(lifetime)
			x.check()
			for what, n := range x.counts {
				counts[what] += n
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Log(counts)
	for _, what := range []string{"in the cookie", "moved", "met the server", "small on the server", "ended on the server", "met the end", "failed", "rejected"} {
		require.Greater(t, counts[what], 2, what) // of some 30 at least
	}
	require.NotZero(t, counts["followed"])
}
