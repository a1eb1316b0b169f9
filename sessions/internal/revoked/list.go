package revoked

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/stores"
)

// Slack is how much longer than its session an entry is kept, since clocks differ.
const Slack = time.Hour

// maxMoves bounds how many new IDs an end follows: no session has as many within the
// time of one commit, and who can write to the list could make a circle.
const maxMoves = 1000

// grace is how long an entry "moved" is new after it was seen; see sessions.
const grace = 10 * time.Second

// Config is what Start needs. Pass, KeepLost and Anonymous are optional.
type Config struct {
	List        stores.RevocationList
	Every       time.Duration // how often it is read
	RefuseAfter time.Duration // for how long it may be out of reach
	Pass        bool          // an older copy is good for any time
	KeepLost    bool          // sessions from before the list was lost live on
	Anonymous   int           // how many entries there may be of sessions without an owner

	Everybody stores.Key    // the key of everybody's number
	Lifetime  time.Duration // the longest of a session
	Timeout   time.Duration // of a change

	// Failed is told of a reading that failed.
	Failed func(ctx context.Context, err error)
}

// List is a list of what has ended, with its copy in memory. It is safe for concurrent
// use.
type List struct {
	Config
	table   *table
	start   time.Time
	readAt  atomic.Int64 // since start; 0: never
	poke    chan struct{}
	stopped chan struct{}

	pass atomic.Uint32 // how many readings of everything have begun

	// Of the reader alone.
	places  []place         // nil: all is to be read
	pages   []stores.Cursor // how far the first reading of all has come
	known   uint64          // everybody's number, when the list was read
	nextAll time.Duration   // when all is to be read again
	whole   *stores.Cursor  // how far that has come; nil: it is not under way

	mu       sync.Mutex
	attempt  chan struct{} // closed when the next reading has ended
	err      error         // of the last one
	failedAt time.Duration
	moves    map[stores.Key]time.Duration // seen of late
}

// New returns a list that is not read yet.
func New(c Config) *List {
	return &List{
		Config: c, table: newTable(), start: time.Now(),
		poke: make(chan struct{}, 1), stopped: make(chan struct{}), attempt: make(chan struct{}),
		moves: make(map[stores.Key]time.Duration),
	}
}

// Start begins to read the list. The reading ends with ctx.
func (l *List) Start(ctx context.Context) { go l.run(ctx) }

// Verdict is what the copy says of a session.
type Verdict int

// The verdicts.
const (
	Live    Verdict = iota
	Ended           // by itself
	Moved           // it has a new ID,
	Moving          // since a moment ago
	Revoked         // with all of its owner's, or all there are
)

// Look tells what the copy says of a session, with epochs sealed into it. It asks
// nobody, and needs no allocation.
func (l *List) Look(k stores.Key, epochs []byte) Verdict {
	hash := k.Hash()
	switch l.table.find(&hash) {
	case ended:
		return Ended
	case moved:
		if l.moving(k) {
			return Moving
		}
		return Moved
	}
	if l.past(epochs) {
		return Revoked
	}
	return Live
}

// past tells whether a number is above that in epochs.
func (l *List) past(epochs []byte) bool {
	if !wellFormed(epochs) {
		return l.table.raised.Load() > 0
	}
	if l.over(number(epochs)) {
		return true
	}
	for rest := epochs[numberSize:]; len(rest) > 0; rest = rest[groupSize:] {
		if l.table.group((*[keySize]byte)(rest)) > number(rest[keySize:]) {
			return true
		}
	}
	return false
}

// over tells whether everybody with this number has ended.
func (l *List) over(n uint64) bool {
	if n == 0 || l.KeepLost {
		return l.table.raised.Load() > n
	}
	return l.table.number.Load() > n
}

// recent notes that k has moved a moment ago.
func (l *List) recent(k stores.Key) {
	now := time.Since(l.start)
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for other, at := range l.moves { // a few, wherever they are
		if now-at > grace {
			delete(l.moves, other)
		}
		if n++; n == 8 {
			break
		}
	}
	l.moves[k] = now
}

func (l *List) moving(k stores.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.moves[k]
	return ok && time.Since(l.start)-at < grace
}

// Everyone returns what a session that begins now has sealed.
func (l *List) Everyone() uint64 { return l.table.number.Load() }

// patient calls f again where the list did not answer, until the time of a commit is
// over: a lost reply costs a round trip and not an error.
func (l *List) patient(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Timeout)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		err := f(ctx)
		if err == nil || errors.Is(err, stores.ErrFull) || !errors.Is(err, stores.ErrUnavailable) && ctx.Err() == nil {
			return err
		}
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
			timer.Stop()
		}
		if errors.Is(err, stores.ErrUnavailable) {
			return err
		}
		return fmt.Errorf("%w: the list of what has ended did not answer within %v: %w", stores.ErrUnavailable, l.Timeout, err)
	}
}

// swap makes a Swap until it is answered, and puts what is there then into the copy.
func (l *List) swap(ctx context.Context, old string, e stores.Revocation) (now string, err error) {
	err = l.patient(ctx, func(ctx context.Context) (err error) {
		now, err = l.List.Swap(ctx, old, e)
		return err
	})
	if err == nil {
		e.Value = now
		l.note(e, true)
	}
	return now, err
}

// get reads values from the list itself.
func (l *List) get(ctx context.Context, keys ...stores.Key) (values []string, err error) {
	err = l.patient(ctx, func(ctx context.Context) (err error) {
		values, err = l.List.Get(ctx, keys...)
		return err
	})
	if err == nil && len(values) != len(keys) {
		return nil, fmt.Errorf("%w: the list of what has ended answered for %d keys of %d", stores.ErrUnavailable, len(values), len(keys))
	}
	return values, err
}

// Ending is a session to be ended or moved.
type Ending struct {
	Key       stores.Key
	Deadline  time.Time // zero: not known
	Anonymous bool      // it has no owner
}

func (l *List) entry(e Ending, value string) stores.Revocation {
	until := l.until()
	if !e.Deadline.IsZero() {
		until = e.Deadline.Add(Slack)
	}
	return stores.Revocation{Key: e.Key, Value: value, Until: until}
}

// room tells whether there is room for the session.
func (l *List) room(e Ending) error {
	if e.Anonymous && l.table.anonymous.Load() >= int64(l.Anonymous) {
		return fmt.Errorf("%w: %w: the list has %d sessions without an owner already; raise WithAnonymousRevocation, or give sessions owners", stores.ErrUnavailable, stores.ErrFull, l.Anonymous)
	}
	return nil
}

// End adds "ended", and follows "moved" to the last ID. It returns the sessions that it
// came to. [swap.ErrEnded] means that the session may go on: another user logged in
// with it.
func (l *List) End(ctx context.Context, e Ending) (chain []Ending, err error) {
	for range maxMoves {
		if err := l.room(e); err != nil {
			return chain, err
		}
		now, err := l.swap(ctx, "", l.entry(e, endedValue(e.Anonymous)))
		if err != nil {
			return chain, err
		}
		chain = append(chain, e)
		m, isMove := parseMove(now)
		switch {
		case !isMove:
			return chain, nil
		case m.ownerChanged:
			return chain, fmt.Errorf("%w: another user logged in with it", swap.ErrEnded)
		}
		e = Ending{m.to, m.deadline, e.Anonymous}
	}
	return chain, fmt.Errorf("%w: the list of what has ended follows a session through more than %d IDs", stores.ErrUnavailable, maxMoves)
}

// Gone is where a session has gone. The zero Gone is nowhere.
type Gone struct {
	To           stores.Key
	Deadline     time.Time
	OwnerChanged bool
}

// Follow asks the list itself where sessions have gone of which the copy says that they
// have moved.
func (l *List) Follow(ctx context.Context, keys []stores.Key) ([]Gone, error) {
	values, err := l.get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	gone := make([]Gone, len(keys))
	for i, value := range values {
		if m, ok := parseMove(value); ok {
			gone[i] = Gone{m.to, m.deadline, m.ownerChanged}
		}
	}
	return gone, nil
}

// Move adds "moved". [swap.ErrEnded] means that the session has ended, or has another
// new ID.
func (l *List) Move(ctx context.Context, from Ending, to stores.Key, deadline time.Time, ownerChanged bool) error {
	if err := l.room(from); err != nil {
		return err
	}
	value := move{to, ownerChanged, deadline}.value(from.Anonymous)
	now, err := l.swap(ctx, "", l.entry(from, value))
	if err != nil {
		return err
	}
	if m, ok := parseMove(now); !ok || m.to != to {
		return swap.ErrEnded
	}
	return nil
}

// Confirm asks the list itself whether a session with these epochs lives. The zero Key
// is that of a session that begins.
func (l *List) Confirm(ctx context.Context, k stores.Key, epochs []byte, groups ...stores.Key) (now Epochs, err error) {
	sealed := ParseEpochs(epochs)
	keys := append([]stores.Key{l.Everybody}, groups...)
	for _, g := range sealed.Groups {
		keys = append(keys, g.Key)
	}
	if !k.IsZero() {
		keys = append(keys, k)
	}
	values, err := l.get(ctx, keys...)
	if err != nil {
		return now, err
	}
	numbers := make([]uint64, len(keys))
	for i, value := range values {
		if value != "" {
			l.note(stores.Revocation{Key: keys[i], Value: value, Until: l.until()}, true)
			numbers[i], _, _ = parseNumber(value)
		}
	}
	if !k.IsZero() {
		// What is in the copy counts too: the list may have lost it.
		switch l.Look(k, epochs) {
		case Live:
		case Revoked:
			return now, swap.ErrRevoked
		default:
			return now, swap.ErrEnded
		}
	}
	now.Everybody = l.Everyone()
	for i, g := range groups {
		now.Groups = append(now.Groups, Group{g, numbers[1+i]})
	}
	return now, nil
}

// Raise raises the number of a group above all that sessions have sealed.
func (l *List) Raise(ctx context.Context, group stores.Key) error {
	for {
		values, err := l.get(ctx, group)
		if err != nil {
			return err
		}
		n, _, _ := parseNumber(values[0])
		if _, ok, err := l.raise(ctx, group, values[0], n); ok || err != nil {
			return err
		}
	}
}

// RaiseFrom raises the number of a group above n, for a session that has n sealed and
// goes on with the new one. It is [swap.ErrRevoked] where the number is another one:
// somebody else has raised it, and so ended the session.
func (l *List) RaiseFrom(ctx context.Context, group stores.Key, n uint64) (next uint64, err error) {
	values, err := l.get(ctx, group)
	if err != nil {
		return 0, err
	}
	if there, _, ok := parseNumber(values[0]); ok && there != n {
		return 0, swap.ErrRevoked
	}
	next, ok, err := l.raise(ctx, group, values[0], n)
	if err == nil && !ok {
		err = swap.ErrRevoked
	}
	return next, err
}

// raise replaces old by a number above n; ok tells that nobody else was first.
func (l *List) raise(ctx context.Context, group stores.Key, old string, n uint64) (next uint64, ok bool, err error) {
	next = after(n)
	value := numberValue(kindRaised, next)
	now, err := l.swap(ctx, old, stores.Revocation{Key: group, Value: value, Until: l.until()})
	return next, now == value, err
}
