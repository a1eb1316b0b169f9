package storetest

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// RevocationConfig tells [RunRevocations] what to test. Only New is required; with
// each way to make the list fail, what must hold then is tested too.
type RevocationConfig struct {
	// New returns the list under test. Every subtest calls it once. The lists may
	// share one backing: each subtest uses keys of its own.
	New func(t *testing.T) stores.RevocationList

	// Late begins a Swap of e, of a key without a value, in the backing of list, which
	// New has returned: it takes its place in the order of writes, but nobody sees it
	// until commit is called. It is for lists in which a transaction can be late.
	Late func(t *testing.T, list stores.RevocationList, e stores.Revocation) (commit func())

	// Unreachable returns a list whose server does not answer; see [Config].
	Unreachable func(t *testing.T) stores.RevocationList

	// Lossy returns a list that loses replies now and then; see [Config].
	Lossy func(t *testing.T) stores.RevocationList

	// Small returns an empty list that has a limit of 100 to 20,000 entries.
	Small func(t *testing.T) stores.RevocationList

	// Synctest runs every subtest in a bubble of testing/synctest; see [Config].
	Synctest bool
}

// RunRevocations tests a list of what has ended, rule by rule.
func RunRevocations(t *testing.T, cfg RevocationConfig) {
	if cfg.New == nil {
		t.Fatal("storetest: RevocationConfig.New is missing")
	}
	cfg.Synctest = cfg.Synctest && !fips140.Enabled()
	for _, c := range revocationChecks(cfg) {
		t.Run(c.name, func(t *testing.T) {
			test := func(t *testing.T) { c.run(newRevocations(t, t, cfg)) }
			if cfg.Synctest {
				synctest.Test(t, test)
			} else {
				test(t)
			}
		})
	}
}

// revocations is the list under test, with what the checks do to it.
type revocations struct {
	reporter
	t    *testing.T
	cfg  RevocationConfig
	ctx  context.Context
	list stores.RevocationList
}

func newRevocations(t *testing.T, r reporter, cfg RevocationConfig) *revocations {
	return &revocations{reporter: r, t: t, cfg: cfg, ctx: t.Context(), list: cfg.New(t)}
}

type revocationCheck struct {
	name string
	run  func(*revocations)
}

func revocationChecks(cfg RevocationConfig) []revocationCheck {
	list := []revocationCheck{
		{"list rule 1 add", (*revocations).add},
		{"list rule 1 add where a value is", (*revocations).addTwice},
		{"list rule 1 replace", (*revocations).replace},
		{"list rule 1 many at once", (*revocations).atOnce},
		{"list rule 2 get", (*revocations).get},
		{"list rule 3 since", (*revocations).since},
		{"list rule 3 pages", (*revocations).pages},
		{"list rule 3 writes beside a reader", (*revocations).beside},
		{"list rule 4 until", (*revocations).until},
		{"list rule 4 until moves on", (*revocations).movesOn},
		{"list rule 4 invalid", (*revocations).invalid},
		{"list rule 4 any value", (*revocations).anyValue},
		{"list rule 6 cancelled", (*revocations).cancelled},
	}
	if cfg.Late != nil {
		list = append(list, revocationCheck{"list rule 3 late", (*revocations).late})
	}
	if cfg.Small != nil {
		list = append(list, revocationCheck{"list rule 5 limit", (*revocations).limit})
	}
	if cfg.Unreachable != nil {
		list = append(list, revocationCheck{"list rule 6 unreachable", (*revocations).unreachable})
	}
	if cfg.Lossy != nil {
		list = append(list, revocationCheck{"list rule 1 lost replies", (*revocations).lossy})
	}
	return list
}

func revocation(key stores.Key, value string) stores.Revocation {
	return stores.Revocation{Key: key, Value: value, Until: time.Now().Add(longLife)}
}

// swap makes a Swap that must be possible, and tests what it returns.
func (r *revocations) swap(what, old string, e stores.Revocation, want string) {
	r.Helper()
	now, err := r.list.Swap(r.ctx, old, e)
	if err != nil {
		r.Fatalf("list rule 1: Swap %s: %v", what, err)
	}
	if now != want {
		r.Errorf("list rule 1: Swap %s returned %q, want %q", what, now, want)
	}
}

// has tests what Get says of a key.
func (r *revocations) has(what string, key stores.Key, want string) {
	r.Helper()
	values, err := r.list.Get(r.ctx, key)
	if err != nil {
		r.Fatalf("list rule 2: Get %s: %v", what, err)
	}
	if len(values) != 1 || values[0] != want {
		r.Errorf("list rule 2: Get %s returned %q, want %q", what, values, want)
	}
}

// read returns what is new, the last of each key, and the cursor behind it.
func (r *revocations) read(after stores.Cursor) (map[stores.Key]stores.Revocation, stores.Cursor) {
	r.Helper()
	all := make(map[stores.Key]stores.Revocation)
	for range 10_000 {
		page, err := r.list.Since(r.ctx, after)
		if err != nil {
			r.Fatalf("list rule 3: Since: %v", err)
		}
		for _, e := range page.Entries {
			all[e.Key] = e
		}
		if page.More && page.Next == after {
			r.Fatalf("list rule 3: Since says that there is more, and gives the same cursor")
		}
		if after = page.Next; !page.More {
			return all, after
		}
	}
	r.Fatalf("list rule 3: Since says that there is more after 10,000 pages")
	return nil, ""
}

// finds tests that what is new after a cursor has e, or with an empty Value that it
// has nothing of its key.
func (r *revocations) finds(what string, after stores.Cursor, e stores.Revocation) {
	r.Helper()
	found, _ := r.read(after)
	got, ok := found[e.Key]
	switch {
	case ok != (e.Value != ""):
		r.Errorf("list rule 3: Since %s: found is %t, want %t", what, ok, !ok)
	case got.Value != e.Value:
		r.Errorf("list rule 3: Since %s: the value is %q, want %q", what, got.Value, e.Value)
	case ok && got.Until.Sub(e.Until).Abs() >= time.Millisecond:
		r.Errorf("list rule 3: Since %s: Until is %v, want %v", what, got.Until, e.Until)
	}
}

func (r *revocations) add() {
	e, other := revocation(newKey(), "ended"), newKey()
	r.has("before it was added", e.Key, "")
	r.finds("before it was added", "", stores.Revocation{Key: e.Key})
	r.swap("of a key without a value", "", e, "ended")
	r.has("after it was added", e.Key, "ended")
	r.finds("after it was added", "", e)
	r.has("of another key", other, "")
}

func (r *revocations) addTwice() {
	e := revocation(newKey(), "first")
	r.swap("of a key without a value", "", e, "first")
	r.swap("a second time", "", e, "first")
	second := e
	second.Value = "second"
	r.swap("to another value, where one is", "", second, "first")
	r.swap("from a value that never was", "other", second, "first")
	r.has("after that", e.Key, "first")
	r.finds("after that", "", e)
}

func (r *revocations) replace() {
	e := revocation(newKey(), "1")
	r.swap("of a key without a value, from one", "0", e, "")
	r.has("after a Swap from a value that is not there", e.Key, "")
	r.swap("of a key without a value", "", e, "1")
	_, cursor := r.read("")
	next := e
	next.Value = "2"
	r.swap("from what is there", "1", next, "2")
	r.swap("a second time", "1", next, "2")
	r.has("after it was replaced", e.Key, "2")
	r.finds("after it was replaced, from a cursor before", cursor, next)
	r.finds("after it was replaced", "", next)
	third := e
	third.Value = "3"
	r.swap("from what was there before", "1", third, "2")
	r.swap("as if nothing was there", "", third, "2")
	r.swap("from what is there now", "2", third, "3")
	r.swap("a second time, after another", "1", next, "3")
	r.has("at last", e.Key, "3")
}

// atOnce: of several that begin at one value exactly one gets its own back, and all
// are told which.
func (r *revocations) atOnce() {
	for round := range 10 {
		key, old := newKey(), ""
		for step := range 3 {
			const n = 8
			answers := make([]string, n)
			goTogether(n, func(i int) {
				now, err := r.list.Swap(r.ctx, old, revocation(key, fmt.Sprintf("%d by %d", step, i)))
				if err != nil {
					r.Errorf("list rule 1: Swap beside others: %v", err)
				}
				answers[i] = now
			})
			own := 0
			for i, answer := range answers {
				if answer == fmt.Sprintf("%d by %d", step, i) {
					own++
				}
				if answer != answers[0] {
					r.Errorf("list rule 1: of two Swaps at once one was told %q and one %q", answer, answers[0])
				}
			}
			if own != 1 {
				r.Errorf("list rule 1: of %d Swaps at once from %q, %d got their own value back (round %d)", n, old, own, round)
				return
			}
			old = answers[0]
			r.has("after Swaps at once", key, old)
		}
	}
}

func (r *revocations) get() {
	a, b := revocation(newKey(), "a"), revocation(newKey(), "b")
	r.swap("of a key without a value", "", a, "a")
	r.swap("of a key without a value", "", b, "b")
	none := newKey()
	keys := []stores.Key{b.Key, none, a.Key, b.Key}
	values, err := r.list.Get(r.ctx, keys...)
	if err != nil {
		r.Fatalf("list rule 2: Get of four keys: %v", err)
	}
	if strings.Join(values, ",") != "b,,a,b" {
		r.Errorf("list rule 2: Get of four keys returned %q, want b, none, a, b", values)
	}
	if values, err := r.list.Get(r.ctx); err != nil || len(values) != 0 {
		r.Errorf("list rule 2: Get of no keys returned %q and %v", values, err)
	}
}

func (r *revocations) since() {
	a, b := revocation(newKey(), "a"), revocation(newKey(), "b")
	_, before := r.read("")
	r.swap("of a key without a value", "", a, "a")
	_, between := r.read(before)
	r.finds("from before both", before, a)
	r.swap("of a key without a value", "", b, "b")
	r.finds("from before both", before, a)
	r.finds("from before both", before, b)
	r.finds("from between them", between, stores.Revocation{Key: a.Key})
	r.finds("from between them", between, b)
	_, after := r.read(between)
	r.finds("from after both", after, stores.Revocation{Key: b.Key})
	if _, again := r.read(after); again != after {
		// Not an error by itself: another subtest may write.
		r.finds("from after both, again", again, stores.Revocation{Key: b.Key})
	}
}

func (r *revocations) pages() {
	const n = 2400
	_, before := r.read("")
	want := make(map[stores.Key]string, n)
	var mu sync.Mutex
	goTogether(8, func(i int) {
		for j := range n / 8 {
			e := revocation(newKey(), fmt.Sprintf("%d/%d", i, j))
			if _, err := r.list.Swap(r.ctx, "", e); err != nil {
				r.Errorf("list rule 1: Swap beside others: %v", err)
				return
			}
			mu.Lock()
			want[e.Key] = e.Value
			mu.Unlock()
		}
	})
	for what, cursor := range map[string]stores.Cursor{"everything": "", "from before": before} {
		found, _ := r.read(cursor)
		missing := 0
		for key, value := range want {
			if found[key].Value != value {
				missing++
			}
		}
		if missing > 0 {
			r.Errorf("list rule 3: Since (%s) lacks %d of %d entries", what, missing, len(want))
		}
	}
}

// beside: a reader that begins each time where it was a moment ago misses nothing that
// is written meanwhile.
func (r *revocations) beside() {
	const writers, each = 4, 100
	found := make(map[stores.Key]bool)
	r.swap("of a key without a value", "", revocation(newKey(), "first"), "first")
	_, first := r.read("")
	done := make(chan struct{})
	var mu sync.Mutex
	var wrote []stores.Key
	go func() {
		defer close(done)
		goTogether(writers, func(int) {
			for range each {
				e := revocation(newKey(), "x")
				if _, err := r.list.Swap(r.ctx, "", e); err != nil {
					r.Errorf("list rule 1: Swap beside others: %v", err)
					return
				}
				mu.Lock()
				wrote = append(wrote, e.Key)
				mu.Unlock()
			}
		})
	}()
	cursors := []stores.Cursor{first}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		news, cursor := r.read(cursors[max(0, len(cursors)-50)])
		for key := range news {
			found[key] = true
		}
		cursors = append(cursors, cursor)
		time.Sleep(100 * time.Microsecond)
	}
	news, _ := r.read(first)
	for _, key := range wrote {
		if !found[key] {
			r.Errorf("list rule 3: a reader that goes on from a cursor misses what was written meanwhile")
			return
		}
		if _, ok := news[key]; !ok {
			r.Errorf("list rule 3: Since from before all lacks what was written")
			return
		}
	}
}

// late: what commits late is found from every cursor that was given before it began.
func (r *revocations) late() {
	r.swap("of a key without a value", "", revocation(newKey(), "first"), "first")
	_, before := r.read("")
	e, quick := revocation(newKey(), "late"), revocation(newKey(), "quick")
	commit := r.cfg.Late(r.t, r.list, e)
	r.finds("before a write is committed", before, stores.Revocation{Key: e.Key})
	r.swap("of a key without a value, while another is not committed", "", quick, "quick")
	r.finds("while another write is not committed", before, quick)
	r.read(before)
	commit()
	r.has("after it is committed", e.Key, "late")
	r.finds("of what was committed late, from before", before, e)
	r.finds("of what was committed late", "", e)
}

func (r *revocations) until() {
	e := revocation(newKey(), "brief")
	e.Until = time.Now().Add(2 * time.Second)
	r.swap("of an entry that lives briefly", "", e, "brief")
	time.Sleep(time.Until(e.Until) / 2)
	if time.Until(e.Until) > 100*time.Millisecond { // a busy machine
		r.has("before its Until", e.Key, "brief")
	}
	time.Sleep(time.Until(e.Until) + 100*time.Millisecond)
	// It may be there or not, and there may be another one in its place.
	next := revocation(e.Key, "next")
	now, err := r.list.Swap(r.ctx, "", next)
	if err != nil || now != "next" && now != "brief" {
		r.Errorf("list rule 4: Swap after the Until returned %q and %v", now, err)
	}
}

func (r *revocations) movesOn() {
	if !r.movesOnAfter(time.Second) && !r.movesOnAfter(20*time.Second) {
		r.Fatalf("list rule 4: three calls of Swap took more than 20 s")
	}
}

// movesOnAfter tells whether the list was quick enough for an entry that lives so long.
func (r *revocations) movesOnAfter(life time.Duration) bool {
	e := revocation(newKey(), "stays")
	e.Until = time.Now().Add(life)
	brief := func(what string) (inTime bool) {
		now, err := r.list.Swap(r.ctx, "", e)
		switch {
		case err != nil && !time.Now().Before(e.Until): // a busy machine
			return false
		case err != nil || now != "stays":
			r.Fatalf("list rule 1: Swap %s returned %q and %v, want %q", what, now, err, "stays")
		}
		return true
	}
	if !brief("of an entry that lives briefly") {
		return false
	}
	longer := e
	longer.Until = time.Now().Add(longLife)
	r.swap("a second time, for longer", "", longer, "stays")
	r.finds("of an entry whose Until moved on", "", longer)
	if !brief("a third time, for shorter") {
		return false
	}
	r.finds("of an entry whose Until must not move back", "", longer)
	time.Sleep(time.Until(e.Until) + 100*time.Millisecond)
	r.swap("of a key without a value, so that the list may clean up", "", revocation(newKey(), "x"), "x")
	r.has("after the first Until", e.Key, "stays")
	r.finds("after the first Until", "", longer)
	return true
}

func (r *revocations) invalid() {
	key := newKey()
	for what, c := range map[string]struct {
		old string
		e   stores.Revocation
	}{
		"without a value":       {"", revocation(key, "")},
		"of a value too long":   {"", revocation(key, strings.Repeat("x", stores.MaxRevocationValue+1))},
		"without Until":         {"", stores.Revocation{Key: key, Value: "x"}},
		"whose Until is past":   {"", stores.Revocation{Key: key, Value: "x", Until: time.Now().Add(-time.Second)}},
		"of a value for itself": {"x", revocation(key, "x")},
	} {
		if _, err := r.list.Swap(r.ctx, c.old, c.e); !errors.Is(err, stores.ErrInvalidRecord) {
			r.Errorf("list rule 4: Swap %s: got error %q, want %q", what, text(err), stores.ErrInvalidRecord)
		}
	}
	r.has("after Swaps that are invalid", key, "")
}

func (r *revocations) anyValue() {
	var all strings.Builder
	for i := range 256 {
		all.WriteByte(byte(i))
	}
	for i := 0; i < 256; i += stores.MaxRevocationValue {
		e := revocation(newKey(), all.String()[i:i+stores.MaxRevocationValue])
		r.swap("of any bytes", "", e, e.Value)
		r.has("of any bytes", e.Key, e.Value)
		r.finds("of any bytes", "", e)
	}
	e := revocation(newKey(), "\x00")
	r.swap("of a zero byte", "", e, e.Value)
	next := e
	next.Value = "\x00\x00"
	r.swap("from a zero byte", "\x00", next, next.Value)
	r.has("of two zero bytes", e.Key, next.Value)
}

// cancelled: a list that answers at once may ignore the context, but must not make it
// a failure of its own.
func (r *revocations) cancelled() {
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	for what, call := range r.calls(ctx) {
		if err := call(); err != nil && !errors.Is(err, context.Canceled) {
			r.Errorf("list rule 6: %s with a cancelled context: got error %q, want none or %q", what, err, context.Canceled)
		}
	}
}

func (r *revocations) calls(ctx context.Context) map[string]func() error {
	return map[string]func() error{
		"Swap":  func() error { _, err := r.list.Swap(ctx, "", revocation(newKey(), "x")); return err },
		"Get":   func() error { _, err := r.list.Get(ctx, newKey()); return err },
		"Since": func() error { _, err := r.list.Since(ctx, ""); return err },
	}
}

// limit fills a list and tests what must still be possible.
func (r *revocations) limit() {
	r.list = r.cfg.Small(r.t)
	e := revocation(newKey(), "1")
	r.swap("of a key without a value", "", e, "1")
	var err error
	for n := 0; err == nil; n++ {
		if n == 20_001 {
			r.Fatalf("RevocationConfig.Small: the list takes %d entries", n)
		}
		_, err = r.list.Swap(r.ctx, "", revocation(newKey(), "x"))
	}
	if !errors.Is(err, stores.ErrFull) || !errors.Is(err, stores.ErrUnavailable) {
		r.Errorf("list rule 5: Swap at the limit: got error %q, want one that wraps %q and %q", err, stores.ErrFull, stores.ErrUnavailable)
	}
	r.swap("a second time, at the limit", "", e, "1")
	next := e
	next.Value = "2"
	r.swap("from what is there, at the limit", "1", next, "2")
	r.has("at the limit", e.Key, "2")
	r.finds("at the limit", "", next)
}

func (r *revocations) unreachable() {
	r.list = r.cfg.Unreachable(r.t)
	type outcome struct {
		what string
		err  error
	}
	calls := r.calls(r.ctx)
	outcomes := make(chan outcome, len(calls))
	for what, call := range calls {
		go func() { outcomes <- outcome{what, call()} }()
	}
	limit := time.NewTimer(timeLimit)
	defer limit.Stop()
	for range calls {
		select {
		case o := <-outcomes:
			if !errors.Is(o.err, stores.ErrUnavailable) || !hasCause(o.err) {
				r.Errorf("list rule 6: %s while the server does not answer: got error %q, want one that wraps %q and its cause", o.what, text(o.err), stores.ErrUnavailable)
			}
		case <-limit.C:
			r.Errorf("list rule 6: a call did not return for %v while the server does not answer", timeLimit)
			return
		}
	}
}

// lossy: a Swap that is repeated until it answers does what it would have done once.
func (r *revocations) lossy() {
	r.list = r.cfg.Lossy(r.t)
	again := func(old string, e stores.Revocation) string {
		for range 1000 {
			now, err := r.list.Swap(r.ctx, old, e)
			if err == nil {
				return now
			}
			if !errors.Is(err, stores.ErrUnavailable) {
				r.Fatalf("list rule 6: Swap whose reply may be lost: %v", err)
			}
		}
		r.Fatalf("list rule 6: Swap failed 1000 times")
		return ""
	}
	const writers, each = 4, 8
	key := newKey()
	var mu sync.Mutex
	won := make(map[string]bool)
	goTogether(writers, func(i int) {
		old := ""
		for j, tries := 0, 0; j < each && tries < 200; tries++ {
			value := fmt.Sprintf("%d/%d", i, j)
			now := again(old, revocation(key, value))
			if now == value {
				mu.Lock()
				won[value] = true
				mu.Unlock()
				j++
			}
			old = now
		}
	})
	if len(won) != writers*each {
		r.Errorf("list rule 1: of %d Swaps whose replies were lost now and then, %d were carried out", writers*each, len(won))
	}
}
