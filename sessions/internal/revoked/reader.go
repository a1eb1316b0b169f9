package revoked

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bulla-go/bulla/stores"
)

const (
	// again is how far back a reader asks: an entry may come into sight behind a
	// cursor that was given meanwhile.
	again = time.Minute

	// everything is how often a reader asks for all there is: a failover may have put
	// an entry behind a cursor that is older than that.
	everything = time.Hour

	// retry is for how long a list that failed is left alone at most.
	retry = time.Second

	// patience is how long a request waits for a first reading.
	patience = 5 * time.Second

	// pagesBack is how many pages before the end of a reading of everything the next
	// one begins, in place of a cursor that is a minute old.
	pagesBack = 5
)

// place is a cursor, and when it was given.
type place struct {
	cursor stores.Cursor
	at     time.Duration // since l.start
}

// run reads the list until ctx ends.
func (l *List) run(ctx context.Context) {
	defer close(l.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.poke:
		}
		began := time.Since(l.start)
		err := l.read(ctx)
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		l.err, l.failedAt = err, time.Since(l.start)
		if err == nil {
			l.readAt.Store(int64(began) + 1) // 0: never
		}
		close(l.attempt)
		l.attempt = make(chan struct{})
		l.mu.Unlock()
		wait := l.Every
		if err == nil {
			err = l.readAgain(ctx, l.Every/2)
		} else {
			wait = min(wait, retry)
		}
		if err != nil && ctx.Err() == nil {
			l.Failed(ctx, fmt.Errorf("reading the list of what has ended: %w", err))
		}
		timer.Reset(max(wait-(time.Since(l.start)-began), 0))
	}
}

// read brings the copy up to date.
func (l *List) read(ctx context.Context) error {
	asked := time.Since(l.start)
	if err := l.begin(ctx); err != nil {
		return err
	}
	if l.places == nil {
		return l.readFirst(ctx, asked)
	}
	cursor := l.from(asked)
	for more := true; more; {
		page, err := l.List.Since(ctx, cursor)
		if err != nil {
			return err
		}
		l.noteAll(page, true)
		cursor, more = page.Next, page.More
	}
	l.places = append(l.places, place{cursor, asked})
	return nil
}

// readFirst reads everything. One that failed is gone on with, or a long list on a bad
// line would never be read.
func (l *List) readFirst(ctx context.Context, asked time.Duration) error {
	if l.pages == nil {
		l.pass.Add(1)
		l.pages = []stores.Cursor{""}
	}
	var cursor stores.Cursor
	for {
		page, err := l.List.Since(ctx, l.pages[len(l.pages)-1])
		if err != nil {
			return err
		}
		l.noteAll(page, false)
		if cursor = page.Next; !page.More {
			break
		}
		l.pages = append(l.pages, cursor)
	}
	l.table.forget(uint8(l.pass.Load()))
	l.whole, l.nextAll = nil, asked+nextAll()
	if len(l.pages) > pagesBack { // what is late may be before the place below
		l.nextAll = asked + again
	}
	// A write that is not in sight yet may have taken its place before the end.
	l.places = []place{{l.pages[max(0, len(l.pages)-pagesBack)], asked - again}, {cursor, asked}}
	l.pages = nil
	return nil
}

// readAgain goes on with a reading of everything, where one is due, for about as long
// as it may. What is new is not to wait until it is over.
func (l *List) readAgain(ctx context.Context, most time.Duration) error {
	began := time.Since(l.start)
	if l.whole == nil {
		if began < l.nextAll {
			return nil
		}
		// What this process writes from now on has the new number, too, and so is not
		// forgotten.
		l.pass.Add(1)
		l.whole = new(stores.Cursor)
	}
	for time.Since(l.start)-began < most {
		page, err := l.List.Since(ctx, *l.whole)
		if err != nil {
			return err
		}
		l.noteAll(page, false)
		*l.whole = page.Next
		if !page.More {
			l.table.forget(uint8(l.pass.Load()))
			l.whole, l.nextAll = nil, began+nextAll()
			break
		}
	}
	return nil
}

// nextAll is until when one reading of everything is enough; not all processes are to
// read at once.
func nextAll() time.Duration { return everything - rand.N(everything/10) }

// from returns a cursor that is a minute old, and drops older ones.
func (l *List) from(now time.Duration) stores.Cursor {
	for len(l.places) > 1 && l.places[1].at <= now-again {
		l.places = l.places[1:]
	}
	return l.places[0].cursor
}

// begin reads everybody's number, and begins the list where there is none, or one that
// has lost the number that is known here.
func (l *List) begin(ctx context.Context) error {
	known := l.table.number.Load() // before asking: the list has no less
	values, err := l.List.Get(ctx, l.Everybody)
	if err != nil {
		return err
	}
	old, value := values[0], values[0]
	n, _, ok := parseNumber(value)
	if lost := value == "" || ok && n < known; lost || l.whole == nil && time.Since(l.start) >= l.nextAll {
		if lost {
			value = numberValue(kindBorn, after(known))
		} else {
			old = "" // where it is there already its time moves on
		}
		if value, err = l.List.Swap(ctx, old, stores.Revocation{Key: l.Everybody, Value: value, Until: l.until()}); err != nil {
			return err
		}
	}
	n, born, ok := parseNumber(value)
	if !ok {
		return nil
	}
	l.table.setEverybody(n, born)
	if l.known > 0 && n > l.known {
		// The list may be another one, in which this one's places say nothing, until
		// all of it is read. That forgets the numbers, which no login finds in the list.
		// (What a login has seen of it meanwhile is in the table, and not in l.known.)
		l.places, l.pages = nil, nil
		if born {
			l.Failed(ctx, fmt.Errorf("%w: the list of what has ended had lost everything, and begins anew", stores.ErrUnavailable))
		}
	}
	l.known = n
	return nil
}

// until is how long a number must be kept: longer than any session of today.
func (l *List) until() time.Time { return time.Now().Add(l.Lifetime + Slack) }

// noteAll puts a page into the copy. fresh: it was written a moment ago; else it may be
// of any age.
func (l *List) noteAll(page stores.RevocationPage, fresh bool) {
	for _, e := range page.Entries {
		l.note(e, fresh)
	}
}

// note puts an entry into the copy. fresh: it was written a moment ago.
func (l *List) note(e stores.Revocation, fresh bool) {
	if e.Key == l.Everybody {
		if n, born, ok := parseNumber(e.Value); ok {
			l.table.setEverybody(n, born)
		}
		return
	}
	if l.table.add(e, uint8(l.pass.Load())) == moved && fresh {
		l.recent(e.Key)
	}
}

// Usable tells whether the copy may be relied on. Where it is too old, or was never
// read, it waits for the reader, unless that has failed a moment ago.
func (l *List) Usable(ctx context.Context) error {
	if at := l.readAt.Load(); at != 0 && int64(time.Since(l.start))-at < int64(l.RefuseAfter) {
		return nil
	}
	return l.late(ctx)
}

func (l *List) late(ctx context.Context) error {
	if l.readAt.Load() != 0 && l.Pass {
		return nil
	}
	l.mu.Lock()
	attempt, err := l.attempt, l.err
	recent := time.Since(l.start)-l.failedAt < patience // which a list that is slow to fail does not exceed
	l.mu.Unlock()
	if err == nil || !recent {
		select {
		case l.poke <- struct{}{}:
		default:
		}
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-attempt:
		case <-l.stopped:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
		err = l.err
		l.mu.Unlock()
	}
	at := l.readAt.Load()
	if at != 0 && int64(time.Since(l.start))-at < int64(l.RefuseAfter) {
		return nil
	}
	select {
	case <-l.stopped:
		return fmt.Errorf("%w: the reading of the list of what has ended was stopped, by the context of WithRevocation", stores.ErrUnavailable)
	default:
	}
	if err == nil {
		err = context.DeadlineExceeded
	}
	if at == 0 {
		return fmt.Errorf("%w: the list of what has ended was never read: %w", stores.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: the list of what has ended was not read for %v: %w", stores.ErrUnavailable, (time.Since(l.start) - time.Duration(at)).Round(time.Second), err)
}
