package sessions

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions/internal/expiry"
	"github.com/bulla-go/bulla/sessions/internal/owners"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/revoked"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/sessions/internal/watch"
	"github.com/bulla-go/bulla/stores"
)

const (
	// defaultCommitTimeout bounds a commit with all its replays. It is longer
	// than the stores' own limits for one call, and shorter than most clients
	// wait.
	defaultCommitTimeout = 5 * time.Second

	// defaultStubLife is longer than the longest handler and any late packet.
	defaultStubLife = 10 * time.Minute

	// grace is how long a request with the old ID counts as one that was under
	// way when the ID changed.
	grace = 10 * time.Second
)

// Overflow says what a login does that would give its owner too many sessions.
type Overflow int

const (
	// RefuseNew refuses the login, with [ErrTooManySessions] at commit.
	RefuseNew Overflow = iota

	// EndOldest ends the owner's oldest logins.
	EndOldest
)

// Config configures a [Manager]. Package middleware sets each field with the
// option of the same name ("With" in front), and errors name that option. Most
// users won't need it.
type Config struct {
	Encryptor         encrypt.Encryptor    // nil: records are not sealed
	WithoutEncryption bool                 // a nil Encryptor is meant, for a store outside the process
	Serializer        serialize.Serializer // nil: serialize.JSON

	Audience  string        // the application's name, part of every binding
	Name      string        // the token's name (its cookie's), part of every binding
	SignedIDs []encrypt.Key // keys of the IDs' MAC; none: IDs are not signed
	Room      int           // characters that a token's value has room for; 0: no limit

	Lifetime         time.Duration // from creation or login to the absolute end; 0: 30 days
	Rolling          time.Duration // idle time that ends a session; 0: none
	TouchInterval    time.Duration // 0: a twentieth of the idle time, at most 5 minutes; a nanosecond: every response
	PersistentCookie bool          // the client keeps the token when it is closed

	Owners              []encrypt.Key // keys of the owners' hashes; none: no owners
	MaxSessionsPerOwner int           // 0: any number
	Overflow            Overflow      // beyond that number

	CookieCache         time.Duration // 0: none; else how long a copy in the token serves reads
	CookieCacheFallback time.Duration // how long it does while the store is unavailable

	CommitTimeout time.Duration // 0: 5 seconds
	StubLifetime  time.Duration // how long the end of a session is remembered; 0: 10 minutes

	Revocation Revocation // the list of what has ended; zero: none

	WatchInterval time.Duration // 0: 5 seconds; how often the store is asked about sessions that are watched

	Logger *slog.Logger // nil: no log
	Hooks  Hooks
}

// Manager keeps the sessions of one store. It is safe for concurrent use; the zero
// Manager is not usable.
type Manager struct {
	place      stores.Place
	engine     *swap.Engine // nil where no server keeps records
	sealer     *record.Sealer
	serializer serialize.Serializer
	policy     expiry.Policy
	persistent bool
	owners     *owners.Owners // nil without owners
	signer     *token.Signer  // nil without signed IDs
	cache      time.Duration
	fallback   time.Duration
	outage     outage
	watcher    *watch.Watcher
	revocation *revocation // nil without a list of what has ended
	timeout    time.Duration
	room       int // characters of payload
	logger     *slog.Logger
	hooks      Hooks
	observed   bool // there is a logger or a hook
	full       fullness
}

// NewManager returns a manager of the sessions in store. What can't work, or
// would store records unprotected, is an error that wraps [ErrConfig]. Most users
// won't need it: middleware.New makes one.
func NewManager(store stores.Store, c Config) (*Manager, error) {
	// A nil pointer is what a constructor returns whose error was not looked at.
	if v := reflect.ValueOf(store); store == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, fmt.Errorf("%w: the store is nil; use memstore.New, cookiestore.Sealed or another, and check the error of its constructor", ErrConfig)
	}
	place := store.Place()
	if place.Server == nil && place.Cookie == nil {
		return nil, fmt.Errorf("%w: the %s store keeps nothing anywhere; check its Place", ErrConfig, place.Name)
	}
	if place.Foreign != nil {
		var err error
		if c, err = setForeign(place, c); err != nil {
			return nil, err
		}
	} else if err := checkSealing(place, c); err != nil {
		return nil, err
	}
	policy, err := expiry.New(c.Lifetime, c.Rolling, c.TouchInterval)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := checkTimes(c); err != nil {
		return nil, err
	}
	m := &Manager{
		place:      place,
		serializer: c.Serializer,
		policy:     policy,
		persistent: c.PersistentCookie,
		timeout:    c.CommitTimeout,
		room:       math.MaxInt,
		logger:     c.Logger,
		hooks:      c.Hooks,
		observed:   c.Logger != nil || c.Hooks.any(),
	}
	if m.serializer == nil {
		m.serializer = serialize.JSON
	}
	m.sealer = record.NewSealer(c.Encryptor, m.serializer, c.Audience, c.Name)
	if m.timeout == 0 {
		m.timeout = defaultCommitTimeout
	}
	switch {
	case c.Room > 0 && place.Foreign != nil: // its payload is all of the cookie's value
		m.room = c.Room
	case c.Room > 0:
		m.room = c.Room - token.HeadChars(len(c.SignedIDs) > 0)
	}
	if len(c.SignedIDs) > 0 {
		if m.signer, err = token.NewSigner(c.Audience, c.Name, c.SignedIDs); err != nil {
			return nil, fmt.Errorf("%w: WithSignedIDs: %w", ErrConfig, err)
		}
	}
	if place.Server != nil {
		m.engine = swap.New(swap.Config{
			Server: place.Server, Sealer: m.sealer, Policy: policy, Timeout: m.timeout, StubLife: c.StubLifetime,
			StaleReads: place.StaleReads, ShareLoads: !place.InProcess && !place.StaleReads,
			KeepStubs: place.Cookie != nil, Conflict: m.conflict, Ended: m.ended,
		})
		if c.StubLifetime == 0 {
			m.engine.StubLife = defaultStubLife
		}
	}
	if err := m.setCache(c); err != nil {
		return nil, err
	}
	if err := m.setOwners(c); err != nil {
		return nil, err
	}
	if err := m.setRevocation(c); err != nil {
		return nil, err
	}
	if err := m.setWatcher(c); err != nil {
		return nil, err
	}
	if m.revocation != nil {
		m.revocation.Start(c.Revocation.Context)
	}
	return m, nil
}

func checkTimes(c Config) error {
	switch {
	case c.CommitTimeout < 0:
		return fmt.Errorf("%w: WithCommitTimeout(%v) is negative; leave it out for %v", ErrConfig, c.CommitTimeout, defaultCommitTimeout)
	case c.CommitTimeout > time.Minute:
		return fmt.Errorf("%w: WithCommitTimeout(%v) is over a minute, longer than a commit can recognise what it wrote; shorten it", ErrConfig, c.CommitTimeout)
	case c.StubLifetime < 0 || c.StubLifetime > 0 && c.StubLifetime < time.Minute:
		return fmt.Errorf("%w: WithStubLifetime(%v) is under a minute, shorter than a request may take; leave it out for %v", ErrConfig, c.StubLifetime, defaultStubLife)
	}
	return nil
}

func checkSealing(place stores.Place, c Config) error {
	switch {
	case c.Encryptor != nil && c.WithoutEncryption:
		return fmt.Errorf("%w: WithEncryptor and WithoutEncryption contradict each other; leave one out", ErrConfig)
	case c.Encryptor != nil && place.Signed:
		return fmt.Errorf("%w: the %s store is meant to be readable, so WithEncryptor has no place; use cookiestore.Sealed", ErrConfig, place.Name)
	case c.Encryptor != nil || place.Signed:
		return nil
	case place.Cookie != nil:
		return fmt.Errorf("%w: the %s store has no other protection than encryption; add WithEncryptor", ErrConfig, place.Name)
	case !place.InProcess && !c.WithoutEncryption:
		return fmt.Errorf("%w: the %s store is outside the process; add WithEncryptor, or WithoutEncryption to keep readable records there", ErrConfig, place.Name)
	}
	return nil
}

func (m *Manager) setOwners(c Config) error {
	if len(c.Owners) == 0 {
		if c.MaxSessionsPerOwner != 0 {
			return fmt.Errorf("%w: WithMaxSessionsPerOwner needs to know owners; add WithOwners", ErrConfig)
		}
		return nil
	}
	if c.Revocation.List != nil && m.place.Cookie != nil {
		return ownersInList(c, m.place.Name)
	}
	index, ok := m.place.Server.(stores.OwnerIndex)
	if !ok || m.place.Cookie != nil {
		return fmt.Errorf("%w: WithOwners needs a store on a server that can list sessions, or WithRevocation where they are in cookies; the %s store can't", ErrConfig, m.place.Name)
	}
	if c.MaxSessionsPerOwner < 0 {
		return fmt.Errorf("%w: WithMaxSessionsPerOwner(%d) is negative; leave it out for no limit", ErrConfig, c.MaxSessionsPerOwner)
	}
	o, err := owners.New(owners.Config{
		Index: index, Engine: m.engine, Keys: c.Owners, Audience: c.Audience, Name: c.Name,
		Most: c.MaxSessionsPerOwner, EndOldest: c.Overflow == EndOldest,
		Past: func(epochs []byte) bool {
			return m.revocation != nil && m.revocation.Look(stores.Key{}, epochs) == revoked.Revoked
		},
		Outdone: func(ctx context.Context, key stores.Key) {
			m.emit(ctx, evOutdone, key, time.Time{}, Event{})
		},
		Unreadable: func(ctx context.Context, key stores.Key, err error) {
			m.emit(ctx, evStoreError, key, time.Time{}, Event{Err: err})
		},
	})
	if err != nil {
		return fmt.Errorf("%w: WithOwners: %w", ErrConfig, err)
	}
	m.owners = o
	return nil
}

// now is the time at the precision that records keep.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

// commitContext lets a commit finish although the client is gone, within a time
// limit. A commit that a closed browser tab could cancel would lose changes.
func (m *Manager) commitContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.place.InProcess || m.place.Server == nil { // nothing to wait for, and a timer is not free
		return context.WithoutCancel(ctx), func() {}
	}
	limit := newTimeLimit(ctx, m.timeout)
	return limit, limit.stop
}

// maxAge returns for how long the client should keep a session's token; 0: until it
// is closed.
func (m *Manager) maxAge(st *record.State) time.Duration {
	if st.Meta.Persistent == envelope.Persist || st.Meta.Persistent == 0 && m.persistent {
		return time.Until(m.kept(st))
	}
	return 0
}

// kept returns until when a client should keep a session's token that outlasts its being
// closed. It is the absolute end: an idle time is moved on by a job or a stream, too, with
// which no token goes out, and the server enforces it. Another system's clients may be
// all that enforces it.
func (m *Manager) kept(st *record.State) time.Time {
	if m.place.Foreign != nil {
		return st.Expires
	}
	return st.Meta.Deadline
}
