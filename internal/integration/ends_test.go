//go:build unix

package integration_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

// ordeal is what a server goes through while sessions end and change their IDs.
type ordeal struct {
	name string

	// there: the server answers within a commit's time, so that no request may
	// fail.
	there bool

	again bool // the client sends a call again by itself
	begin func(shaky)
	end   func(shaky)
}

var ordeals = []ordeal{
	{"one reply in three lost, sent once", true, false, loseEvery(3), loseEvery(0)},
	{"one reply in three lost, sent again", true, true, loseEvery(3), loseEvery(0)},
	{"one reply in a hundred lost", true, true, loseEvery(100), loseEvery(0)},
	{"stopped", false, false, func(s shaky) { s.stop() }, func(s shaky) { s.thaw() }},
	{"a black hole for requests", false, false, func(s shaky) { s.requests.Store(true) }, func(s shaky) { s.requests.Store(false) }},
	{"a black hole for replies", false, true, func(s shaky) { s.replies.Store(true) }, func(s shaky) { s.replies.Store(false) }},
}

func loseEvery(n int64) func(shaky) { return func(s shaky) { s.every.Store(n) } }

// work is how long a handler may take.
const work = 300 * time.Millisecond

// deed is what became of one request.
type deed struct {
	ran    bool // the handler, so that there was something to commit
	status int
	cookie string // that came back
	line   bool   // something did
	took   time.Duration
}

func (d deed) told() bool { return d.status == http.StatusOK }

// perform sends a request with b's cookie. Its handler works for a while, so that the
// trouble begins when the session is loaded already.
func (l *life) perform(mw *middleware.Middleware, b *browser, do handle) (d deed) {
	var begun time.Time
	var a answer
	for range 5 { // else it could not even be read, where replies are lost
		a = b.send(mw, func(s *sessions.Session) error {
			if begun = time.Now(); s.IsNew() {
				return nil // another request was quicker
			}
			d.ran = true
			l.loaded.Add(1)
			time.Sleep(rand.N(work))
			begun = time.Now()
			return do(s)
		})
		if !begun.IsZero() {
			break
		}
	}
	d.status, d.line = a.status, len(a.lines) > 0
	if d.took = time.Since(begun); d.line {
		d.cookie = b.cookie
	}
	return d
}

// life is one session and what was done to it.
type life struct {
	first   *browser
	loaded  *atomic.Int64 // requests of the round that have their session
	moves   []deed        // regenerations, one after the other
	ends    []deed        // logouts
	changes []deed
}

// The ways to treat a session; between them five regenerations and three logouts.
var treatments = []func(mw *middleware.Middleware, l *life){
	func(mw *middleware.Middleware, l *life) { l.move(mw, 1) },
	func(mw *middleware.Middleware, l *life) { l.end(mw) },
	func(mw *middleware.Middleware, l *life) {
		atOnceDo(func() { l.move(mw, 1) }, func() { l.change(mw) })
	},
	func(mw *middleware.Middleware, l *life) {
		atOnceDo(func() { l.move(mw, 1) }, func() { l.end(mw) })
	},
	func(mw *middleware.Middleware, l *life) {
		atOnceDo(func() { l.move(mw, 2) }, func() { l.end(mw) })
	},
}

// firsts is how many requests they begin with, of five sessions.
const firsts = 8

// atOnceDo does all of these.
func atOnceDo(all ...func()) {
	var running sync.WaitGroup
	for _, do := range all {
		running.Go(func() {
			do()
		})
	}
	running.Wait()
}

func (l *life) move(mw *middleware.Middleware, times int) {
	b := l.first.clone()
	for range times {
		l.moves = append(l.moves, l.perform(mw, b, (*sessions.Session).Regenerate))
	}
}

func (l *life) end(mw *middleware.Middleware) {
	l.ends = append(l.ends, l.perform(mw, l.first.clone(), logout))
}

func (l *life) change(mw *middleware.Middleware) {
	l.changes = append(l.changes, l.perform(mw, l.first.clone(), count))
}

// Whatever happens on the way to the server: no new ID loses the session, no logout
// that was answered is undone, and a session ends by a regeneration only where no
// answer came for as long as a commit may take.
func TestEndsUnderTrouble(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"Redis", "Firestore"} {
		for _, o := range ordeals {
			t.Run(store+", "+o.name, func(t *testing.T) {
				t.Parallel()
				endsUnder(t, o, shakyStores[store](t, o.again))
			})
		}
	}
}

// verdict is what was found of all sessions.
type verdict struct {
	moves, ends  int // that were tried
	moved, ended int // that were told as done
	failed       int // told as failed, when there was something to commit
	endedByMove  int // sessions that a regeneration has ended
	unheld       int // live records whose ID nobody holds
	changes      int
}

func endsUnder(t *testing.T, o ordeal, line shaky) {
	const atOnce = 50 // sessions
	enc := middleware.WithEncryptor(ring(t))
	steady := middlewareOf(t, line.store, enc)
	patience, limit := commitTime, limit
	if o.there {
		patience, limit = time.Minute, 0 // the machine may be busy
	}
	var mws []*middleware.Middleware
	for range 2 {
		mws = append(mws, middlewareOf(t, line.open(t, limit), enc, middleware.WithCommitTimeout(patience)))
	}

	var v verdict
	for v.moves < many(50, 1000) || v.ends < many(30, 1000) {
		var loaded atomic.Int64
		lives := make([]*life, atOnce)
		for i := range lives {
			lives[i] = &life{first: visited(t, steady), loaded: &loaded}
		}
		var running sync.WaitGroup
		for i, l := range lives {
			running.Go(func() {
				treatments[i%len(treatments)](mws[i/len(treatments)%len(mws)], l)
			})
		}
		for end := time.Now().Add(time.Second); loaded.Load() < atOnce/5*firsts*9/10 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(rand.N(work / 2))
		o.begin(line)
		if !o.there {
			// Around the time limit of a commit.
			time.Sleep(patience/2 + rand.N(patience))
			o.end(line)
		}
		running.Wait()
		o.end2(line)
		line.calm()
		left := 0
		for _, l := range lives {
			left += v.judge(t, o, steady, l, patience)
		}
		v.unheld += line.records(t) - left
		if t.Failed() {
			return
		}
		for _, l := range lives { // the server is empty for the next round
			for _, c := range l.cookies() {
				(&browser{c}).must(t, steady, logout)
			}
		}
		v.unheld -= line.records(t)
	}
	t.Logf("%+v, %d replies lost", v, line.lost.Load())
}

// end2 ends what begin began where that is not done yet.
func (o ordeal) end2(line shaky) {
	if o.there {
		o.end(line)
	}
}

// cookies are all that named the session.
func (l *life) cookies() []string {
	all := []string{l.first.cookie}
	for _, d := range l.moves {
		if d.cookie != "" {
			all = append(all, d.cookie)
		}
	}
	return all
}

// judge returns how many live records a session has by what its holders know.
func (v *verdict) judge(t *testing.T, o ordeal, steady *middleware.Middleware, l *life, patience time.Duration) (alive int) {
	t.Helper()
	cookies := l.cookies()
	var holds, seen []int
	for i, c := range cookies {
		if n := (&browser{c}).visits(t, steady); n > 0 {
			holds, seen = append(holds, i), append(seen, n)
		}
	}
	story := fmt.Sprintf("%+v, alive %v", *l, holds)
	require.LessOrEqual(t, len(holds), 1, "two IDs of one session: %s", story)

	silent := false // no answer came to some request within its time
	for _, all := range [][]deed{l.moves, l.ends, l.changes} {
		for _, d := range all {
			switch {
			case d.told():
			case d.status != http.StatusServiceUnavailable:
				t.Errorf("status %d: %s", d.status, story)
			case d.ran:
				v.failed++
				require.False(t, o.there, "a failure, though the server was there: %s", story)
				if d.took >= patience*9/10 {
					silent = true
				} else {
					t.Errorf("it failed before its time was over: %s", story)
				}
			}
		}
	}
	v.moves, v.ends, v.changes = v.moves+len(l.moves), v.ends+len(l.ends), v.changes+len(l.changes)

	out, wasTold := false, false
	for _, d := range l.ends {
		if d.ran && d.told() {
			v.ended++
			out = true
			require.True(t, d.line && d.cookie == "", "a logout that keeps the cookie: %s", story)
		}
		wasTold = wasTold || d.ran
	}
	for _, d := range l.moves {
		if d.ran && d.told() && d.line {
			v.moved++
		}
		if d.ran && d.told() && !d.line {
			require.True(t, wasTold, "it has no new ID, and nobody had ended it: %s", story)
		}
	}
	if out {
		require.Empty(t, holds, "a logout was undone: %s", story)
		return 0
	}
	if wasTold { // it may have been carried out, or not
		return len(holds)
	}
	last := len(cookies) - 1
	switch {
	case len(holds) == 0:
		v.endedByMove++
		require.True(t, silent, "lost: %s", story)
		if last > 0 {
			d := l.moves[len(l.moves)-1]
			require.False(t, d.ran && d.told() && d.line, "a 200 that lost it: %s", story)
		}
	default:
		require.Equal(t, last, holds[0], "an old ID is alive: %s", story)
		require.Positive(t, seen[0], story)
	}
	return len(holds)
}
