// Package swap changes the records that a server keeps: with compare-and-swap,
// exactly once, whatever became of a reply.
//
// A write that answers anything but success may have been carried out, or may be
// yet. So there is one way to find out, for all stores: a fresh Load. A commit's own
// mark in the record means that it was carried out; the revision that it was to
// replace means that it was not, and then the same bytes are sent again, so that a
// late first copy meets a conflict; anything else is another request's write, on
// which this one's changes are replayed.
package swap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/expiry"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// Errors of a commit.
var (
	// ErrEnded: the session was ended, or has a new ID, since it was loaded.
	ErrEnded = errors.New("sessions: the session was ended elsewhere")

	// ErrGone: nothing is left of it, not even what tells for a while that it has ended or
	// moved.
	ErrGone = fmt.Errorf("%w: nothing is left of it", ErrEnded)

	// ErrRevoked: it was ended by whoever ends its owner's sessions.
	ErrRevoked = fmt.Errorf("%w: it was revoked", ErrEnded)

	// ErrBusy: others kept changing the session for as long as a commit may
	// take. Nothing was written.
	ErrBusy = errors.New("sessions: too many requests change this session at once")

	// ErrExpired: the record is past its end.
	ErrExpired = fmt.Errorf("%w: it has expired", stores.ErrNotFound)
)

// Config is what an Engine needs. All fields but Toucher are required.
type Config struct {
	Server   stores.Server
	Sealer   *record.Sealer
	Policy   expiry.Policy
	Timeout  time.Duration // of a commit
	StubLife time.Duration // how long a stub stays

	StaleReads bool // see stores.Place
	ShareLoads bool // loads of one session at once may be one call

	// KeepStubs: stubs stay until the session's deadline, since a client may
	// hold an older record of it for as long.
	KeepStubs bool

	// Conflict is told of each conflict, with the attempts so far.
	Conflict func(ctx context.Context, key stores.Key, attempts int)

	// Ended is told of each session that this engine has ended.
	Ended func(key stores.Key, revoked bool)
}

// Engine is safe for concurrent use.
type Engine struct {
	Config
	toucher stores.Toucher // nil where the server is none
	queue   queue
	flights flights
	writer  [8]byte
	commits atomic.Uint32
}

// New returns an engine.
func New(c Config) *Engine {
	e := &Engine{Config: c}
	e.toucher, _ = c.Server.(stores.Toucher)
	rand.Read(e.writer[:]) // never fails: crypto/rand aborts the program instead
	return e
}

func (e *Engine) mark() envelope.Mark {
	return envelope.Mark{Writer: e.writer, Count: e.commits.Add(1)}
}

// Load reads a session from the server: its state, or the stub in its place.
// There is neither with an error: [stores.ErrNotFound], [ErrExpired] among them,
// [record.ErrUnreadable] or a failure.
func (e *Engine) Load(ctx context.Context, id token.ID, fresh stores.Freshness) (*record.State, *record.Stub, error) {
	if !e.ShareLoads || fresh == stores.Fresh {
		return e.load(ctx, id, nil, fresh)
	}
	return e.flights.load(ctx, id.Key(), func() (*record.State, *record.Stub, error) { return e.load(ctx, id, nil, fresh) })
}

func (e *Engine) load(ctx context.Context, id token.ID, bound encrypt.Bound, fresh stores.Freshness) (*record.State, *record.Stub, error) {
	asked := now()
	rec, err := e.Server.Load(ctx, id.Key(), fresh)
	stub, ended := record.ParseStub(rec.Data)
	stale := fresh == stores.MayBeStale && e.StaleReads
	if stale && (ended && err == nil || errors.Is(err, stores.ErrNotFound)) {
		// A session that was begun or moved a moment ago must be found.
		return e.load(ctx, id, bound, stores.Fresh)
	}
	if err != nil {
		return nil, nil, err
	}
	if ended {
		found := stub // here, so that a record costs no allocation for it
		return nil, &found, nil
	}
	if bound == nil {
		if bound, err = e.Sealer.Bind(record.Server, id); err != nil {
			return nil, nil, err
		}
	}
	env, retired, err := e.Sealer.Open(bound, record.Server, rec.Data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", record.ErrUnreadable, err)
	}
	st := &record.State{
		ID: id, Revision: rec.Revision, Meta: env.Metadata, Values: env.Values,
		Stale: retired, Asked: asked, Bound: bound,
	}
	expires, changed, live := e.Policy.Live(now(), rec.Expires, &st.Meta)
	if !live {
		if stale { // its time may have been moved on a moment ago
			return e.load(ctx, id, bound, stores.Fresh)
		}
		return nil, nil, ErrExpired
	}
	st.Expires, st.Stale = expires, retired || changed
	return st, nil, nil
}

// LoadMany loads many records, afresh; one that there is none of has no Revision.
func (e *Engine) LoadMany(ctx context.Context, keys []stores.Key) ([]stores.Record, error) {
	if b, ok := e.Server.(stores.Batcher); ok && len(keys) > 0 {
		return b.LoadMany(ctx, keys)
	}
	recs := make([]stores.Record, len(keys))
	for i, key := range keys {
		var err error
		if recs[i], err = e.Server.Load(ctx, key, stores.Fresh); err != nil && !errors.Is(err, stores.ErrNotFound) {
			return nil, err
		}
	}
	return recs, nil
}

// Touch moves the expiry of base on, or writes it anew where the server can't do
// less. It is best effort: another request's write is as good, and a failure is
// made up for by the next request. It returns base where nothing was written.
func (e *Engine) Touch(ctx context.Context, base *record.State) (*record.State, error) {
	asked := now()
	expires := e.Policy.Expires(asked, &base.Meta)
	rev, err := e.toucher.Touch(ctx, base.ID.Key(), base.Revision, expires)
	if errors.Is(err, stores.ErrConflict) {
		return base, nil
	}
	if err != nil {
		return base, err
	}
	touched := *base
	touched.Revision, touched.Expires, touched.Asked, touched.Copied = rev, expires, asked, false
	return &touched, nil
}

// Touches tells whether the server can move an expiry.
func (e *Engine) Touches() bool { return e.toucher != nil }

// now is the time at the precision that records keep.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }
