package sessions

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/watch"
	"github.com/bulla-go/bulla/stores"
)

// defaultWatchInterval is short for who has just logged somebody out, and for a store no
// more than one call in five seconds from each process.
const defaultWatchInterval = 5 * time.Second

// minWatchInterval keeps a typing error from asking a store all the time.
const minWatchInterval = 100 * time.Millisecond

// Watch returns a copy of ctx, a request's context, that is cancelled when the request's
// session ends: for server-sent events, websockets and other responses that may last
// longer than a login. It loads the session where nobody has. What ended it tells
// [context.Cause]: always [ErrEnded], and more exactly [ErrRevoked], [ErrDeadline],
// [ErrIdle] or [ErrOwnerChanged], where that is known.
//
//	ctx, err := sessions.Watch(r.Context())
//	if err != nil {
//		return err
//	}
//	for {
//		select {
//		case <-ctx.Done():
//			return nil // the client is gone, or the session: context.Cause(ctx) says
//		case e := <-events:
//			…
//
// An end in this process is told at once. About others the store is asked every five
// seconds (WithWatchInterval), in one call for all watched sessions of the process. A
// session that gets a new ID goes on, unless another user logs in with it. The deadline
// ends it to the moment, the idle time to within the interval.
//
// To be watched is not to be used: a rolling session whose user has nothing open but a
// stream runs out. What prolongs it is what prolongs it otherwise: a request that loads
// it, such as the stream's own at its begin, and a [Commit] of changes in the stream.
//
// While the store fails, streams go on for as long as the store would remember an end
// (WithStubLifetime, ten minutes), since nobody can end a session there meanwhile; after
// that an answer would not tell a new ID from an end any more, and they are cancelled
// with [stores.ErrUnavailable]. Sessions whose time is over end in spite of it.
//
// Of a session in a cookie an end is seen that happens in this process, by a logout
// there, its deadline, or its idle time, as far as this process has seen it used. With
// WithRevocation ends elsewhere are seen too, when this process has read the list; where
// it can't read it for so long that requests are refused, streams end as well. The
// numbers that a session has sealed by a request elsewhere are not seen: a stream of the
// session that [Manager.RevokeOthers] spares may end, and is to be opened again.
//
// What is not stored can't be watched: a new session is [ErrNotStored], one that has
// ended is [ErrEnded]. With an error the context is cancelled already.
func Watch(ctx context.Context) (context.Context, error) {
	watched, err := watchRequest(ctx)
	if err != nil {
		ended, cancel := context.WithCancelCause(ctx)
		cancel(err)
		return ended, err
	}
	return watched, nil
}

func watchRequest(ctx context.Context) (context.Context, error) {
	x, inner, err := exchangeOf(ctx)
	if err != nil {
		return nil, err
	}
	if inner != nil {
		return nil, cmp.Or(inner.err, fmt.Errorf("%w: a hook can't watch", ErrNotLoaded))
	}
	s, err := x.load(ctx)
	if err != nil {
		return nil, err
	}
	return s.watch(ctx)
}

func (s *Session) watch(ctx context.Context) (context.Context, error) {
	s.commit.Lock() // a commit under way may be giving it a new ID
	defer s.commit.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone || !s.held.Exists() && (s.lives > 0 || s.moved != nil):
		return nil, ErrEnded
	case !s.held.Exists():
		return nil, fmt.Errorf("%w: set a value and call Commit before Watch", ErrNotStored)
	}
	return s.m.watcher.Watch(ctx, s.m.watched(s.held)), nil
}

// watched returns what a watcher must know of a session.
func (m *Manager) watched(st *record.State) watch.Session {
	return watch.Session{
		Key: st.ID.Key(), Client: st.ClientHeld(), Idle: m.policy.IdleOf(&st.Meta) > 0,
		Expires: st.Expires, Deadline: st.Meta.Deadline, Epochs: st.Meta.Epochs,
	}
}

// ended is told of each session that the engine has ended.
func (m *Manager) ended(key stores.Key, revoked bool) {
	if revoked {
		m.watcher.Ended(key, ErrRevoked)
	} else {
		m.watcher.Ended(key, ErrEnded)
	}
}

func (m *Manager) setWatcher(c Config) error {
	w := watch.Config{
		Every: cmp.Or(c.WatchInterval, defaultWatchInterval),
		Failed: func(ctx context.Context, err error) {
			m.emit(ctx, evStoreError, stores.Key{}, time.Time{}, Event{Err: err})
		},
	}
	if m.engine != nil {
		w.Load, w.Patience = m.engine.LoadMany, m.engine.StubLife
	}
	if m.revocation != nil {
		w.List = m.revocation.List
	}
	switch {
	case w.Every < minWatchInterval:
		return fmt.Errorf("%w: WithWatchInterval(%v) is under %v; lengthen it, or leave it out for %v", ErrConfig, c.WatchInterval, minWatchInterval, defaultWatchInterval)
	case m.engine != nil && w.Every > w.Patience/2:
		return fmt.Errorf("%w: WithWatchInterval(%v) is over half of WithStubLifetime, so an end could be overlooked; shorten it", ErrConfig, c.WatchInterval)
	}
	m.watcher = watch.New(w)
	return nil
}
