package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// defaultCommitTimeout bounds a commit with all its replays. It is longer than
// the stores' own limits for one call, and shorter than most clients wait.
const defaultCommitTimeout = 5 * time.Second

// maxCookieCache bounds how long an ended session can be read from a copy. A
// cache is meant for seconds.
const maxCookieCache = time.Hour

// Config configures a [Manager]. Package middleware sets each field with the
// option of the same name ("With" in front), and errors name that option. The
// zero Config is a session-only manager that serializes as JSON.
type Config struct {
	Encryptor         encrypt.Encryptor    // nil: records are not sealed
	WithoutEncryption bool                 // a nil Encryptor is meant, for a store outside the process
	Serializer        serialize.Serializer // nil: serialize.JSON

	Audience string // the application's name, part of every binding
	Name     string // the token's name (its cookie's), part of every binding

	Lifetime      time.Duration // 0: ends with the browser, and after MaxLifetime on the server
	Rolling       bool          // Lifetime is an idle timeout
	MaxLifetime   time.Duration // from creation; 0: 30 days
	TouchInterval time.Duration // 0: a twentieth of Lifetime, at most 5 minutes

	Owners              []encrypt.Key // keys of the owners' hashes; none: no owners
	MaxSessionsPerOwner int           // 0: any number
	EndOldest           bool          // over that number, end the oldest instead of refusing the new one

	CookieCache         time.Duration // 0: none; else how long a copy in the token serves reads
	CookieCacheFallback time.Duration // how long it does while the store is unavailable

	CommitTimeout time.Duration // 0: 5 seconds
	Room          int           // characters of payload that a token has room for; 0: no limit

	Logger *slog.Logger // nil: no log
	Hooks  Hooks
}

// Manager loads and commits sessions of one store. It is safe for concurrent
// use; the zero Manager is not usable.
type Manager struct {
	store      stores.Store
	toucher    stores.Toucher      // nil where the store is none
	holder     stores.ClientHolder // nil where the store is none
	ender      stores.Ender        // nil where the store is none
	info       stores.Info
	encryptor  encrypt.Encryptor
	serializer serialize.Serializer
	join       joinFunc  // of a record
	split      splitFunc // of a record
	bindings   bindings
	expiry     expiry
	cache      time.Duration
	fallback   time.Duration
	outage     outage
	timeout    time.Duration
	room       int
	logger     *slog.Logger
	hooks      Hooks
	observed   bool // there is a logger or a hook
	queue      queue
	owners     *owners // nil without owners
}

type (
	joinFunc  func(dst []byte, env serialize.Envelope) ([]byte, error)
	splitFunc func(data []byte) (serialize.Envelope, error)
)

// NewManager returns a manager of the sessions in store. What can't work, or
// would store records unprotected, is an error that wraps [ErrConfig].
func NewManager(store stores.Store, c Config) (*Manager, error) {
	// A nil pointer is what a constructor returns whose error was not looked at.
	if v := reflect.ValueOf(store); store == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, fmt.Errorf("%w: the store is nil; use memstore.New, cookiestore.Sealed or another, and check the error of its constructor", ErrConfig)
	}
	info := stores.Describe(store)
	if err := checkSealing(info, c); err != nil {
		return nil, err
	}
	exp, err := newExpiry(c)
	if err != nil {
		return nil, err
	}
	if c.CommitTimeout < 0 {
		return nil, fmt.Errorf("%w: WithCommitTimeout(%v) is negative; leave it out for %v", ErrConfig, c.CommitTimeout, defaultCommitTimeout)
	}
	m := &Manager{
		store:      store,
		info:       info,
		encryptor:  c.Encryptor,
		serializer: c.Serializer,
		join:       serialize.Join,
		split:      serialize.Split,
		bindings:   newBindings(c.Audience, c.Name),
		expiry:     exp,
		timeout:    c.CommitTimeout,
		room:       c.Room,
		logger:     c.Logger,
		hooks:      c.Hooks,
		observed:   c.Logger != nil || c.Hooks.any(),
	}
	m.toucher, _ = store.(stores.Toucher)
	m.holder, _ = store.(stores.ClientHolder)
	m.ender, _ = store.(stores.Ender)
	if err := m.setCache(c); err != nil {
		return nil, err
	}
	if m.owners, err = newOwners(store, c); err != nil {
		return nil, err
	}
	if m.serializer == nil {
		m.serializer = serialize.JSON
	}
	if l, ok := m.serializer.(serialize.Layout); ok {
		m.join, m.split = l.Join, l.Split
	}
	if m.timeout == 0 {
		m.timeout = defaultCommitTimeout
	}
	if m.room == 0 {
		m.room = math.MaxInt
	}
	return m, nil
}

func (m *Manager) setCache(c Config) error {
	m.cache, m.fallback = c.CookieCache, c.CookieCacheFallback
	switch {
	case m.cache < 0 || m.fallback < 0:
		return fmt.Errorf("%w: WithCookieCache and WithCookieCacheFallback take times that are not negative; leave them out for no cache", ErrConfig)
	case m.cache == 0 && m.fallback > 0:
		return fmt.Errorf("%w: WithCookieCacheFallback has no copies to fall back on; add WithCookieCache", ErrConfig)
	case m.cache > maxCookieCache:
		return fmt.Errorf("%w: WithCookieCache(%v) is over %v, and an ended session could be read for as long; use a shorter one", ErrConfig, m.cache, maxCookieCache)
	case m.fallback > m.expiry.unused():
		return fmt.Errorf("%w: WithCookieCacheFallback(%v) is longer than a session lasts without use, %v; shorten it", ErrConfig, m.fallback, m.expiry.unused())
	case m.cache > 0 && m.fallback > 0 && m.fallback < m.cache:
		return fmt.Errorf("%w: WithCookieCacheFallback(%v) is shorter than WithCookieCache(%v); lengthen it", ErrConfig, m.fallback, m.cache)
	case m.cache > 0 && m.holder != nil:
		return fmt.Errorf("%w: WithCookieCache needs a store that keeps its records on a server; the %s store has them in the cookie already", ErrConfig, m.info.Name)
	case m.cache > 0 && m.encryptor == nil:
		return fmt.Errorf("%w: WithCookieCache puts a copy of the session into the cookie; add WithEncryptor", ErrConfig)
	}
	return nil
}

func checkSealing(info stores.Info, c Config) error {
	switch {
	case c.Encryptor != nil && c.WithoutEncryption:
		return fmt.Errorf("%w: WithEncryptor and WithoutEncryption contradict each other; leave one out", ErrConfig)
	case c.Encryptor != nil && info.Sealing == stores.SealNever:
		return fmt.Errorf("%w: the %s is meant to be readable, so WithEncryptor has no place; use cookiestore.Sealed", ErrConfig, info.Name)
	case c.Encryptor != nil:
		return nil
	case info.Sealing == stores.SealAlways:
		return fmt.Errorf("%w: the %s store has no other protection than encryption; add WithEncryptor", ErrConfig, info.Name)
	case info.Sealing == stores.SealByDefault && !c.WithoutEncryption:
		return fmt.Errorf("%w: the %s store is outside the process; add WithEncryptor, or WithoutEncryption to keep readable records there", ErrConfig, info.Name)
	}
	return nil
}

// New returns a new session. Nothing is stored until it is committed with a
// value in it.
func (m *Manager) New() *Session { return &Session{m: m} }

// Token returns the token of a session that the store has, as the client should
// hold it, and for how long (see [Change.MaxAge]). It is for a transport that
// must write the token again although the session has not changed.
func (m *Manager) Token(s *Session) (Change, bool) {
	if !s.usable() {
		return Change{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.held.exists() || s.gone {
		return Change{}, false
	}
	return m.replace(s.held), true
}

func (m *Manager) replace(h *held) Change {
	c := Change{Action: Replace, Token: h.token}
	if m.expiry.lifetime > 0 {
		c.MaxAge = time.Until(h.expires)
	}
	return c
}

// now is the time at the precision that records keep.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

// token returns tok with what the store may ask of it: where no encryptor covers
// the binding, a store that puts records into the token must.
func (m *Manager) token(tok stores.Token) stores.Token {
	if m.holder != nil && m.encryptor == nil && tok.Binding == nil {
		// The hash of the ID, since fmt may print the field of a struct.
		key := tok.ID.Key()
		tok.Binding = append(append(make([]byte, 0, len(m.bindings.client)+1+len(key)), m.bindings.client...), byte(len(key)))
		tok.Binding = append(tok.Binding, key[:]...)
	}
	return tok
}

// bind returns what opens and seals one record, or nil where records are not
// sealed.
func (m *Manager) bind(id stores.ID, domain []byte) (encrypt.Bound, error) {
	if m.encryptor == nil {
		return nil, nil
	}
	binding := bind(domain, id)
	if b, ok := m.encryptor.(encrypt.Binder); ok {
		return b.Bind(binding)
	}
	return &binder{m.encryptor, binding}, nil
}

// binder makes an encrypt.Bound of an encryptor that is no Binder. It is used by
// pointer: the binding holds the ID, and fmt prints what stands in a struct itself.
type binder struct {
	encryptor encrypt.Encryptor
	binding   []byte
}

func (b *binder) Seal(plaintext []byte) ([]byte, error) {
	return b.encryptor.Encrypt(nil, plaintext, b.binding)
}

func (b *binder) Open(ciphertext []byte) ([]byte, error) {
	return b.encryptor.Decrypt(nil, ciphertext, b.binding)
}

// seal joins env and seals it with bound.
func (m *Manager) seal(bound encrypt.Bound, env serialize.Envelope) ([]byte, error) {
	return sealed(bound, m.join, env)
}

func sealed(bound encrypt.Bound, join joinFunc, env serialize.Envelope) ([]byte, error) {
	plain, err := join(nil, env)
	if err != nil || bound == nil {
		return plain, err
	}
	return bound.Seal(plain)
}

// open opens data with bound and splits it. data is lost.
func (m *Manager) open(bound encrypt.Bound, data []byte) (env serialize.Envelope, retired bool, err error) {
	return m.opened(bound, m.split, data)
}

func (m *Manager) opened(bound encrypt.Bound, split splitFunc, data []byte) (env serialize.Envelope, retired bool, err error) {
	if bound != nil {
		if r, ok := m.encryptor.(encrypt.Rotator); ok {
			retired = r.Retired(data)
		}
		if data, err = bound.Open(data); err != nil {
			return env, false, err
		}
	}
	if env, err = split(data); err != nil {
		return env, false, fmt.Errorf("%w: %w", errSplit, err)
	}
	return env, retired, nil
}

// errSplit: a record is authentic, but not in a form that is known here.
var errSplit = errors.New("sessions: the opened record can't be taken apart")

// openAs is open for one look at a record. data is lost.
func (m *Manager) openAs(id stores.ID, domain, data []byte) (env serialize.Envelope, retired bool, err error) {
	bound, err := m.bind(id, domain)
	if err != nil {
		return env, false, err
	}
	return m.open(bound, data)
}

// sealAs is seal for a record that was not opened before.
func (m *Manager) sealAs(id stores.ID, domain []byte, env serialize.Envelope) ([]byte, error) {
	bound, err := m.bind(id, domain)
	if err != nil {
		return nil, err
	}
	return m.seal(bound, env)
}

// commitContext lets a commit finish although the client is gone, within a time
// limit. A commit that a closed browser tab could cancel would lose changes.
func (m *Manager) commitContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.info.NoIO { // nothing to wait for, and a timer is not free
		return context.WithoutCancel(ctx), func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), m.timeout)
}
