package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// Phase says where a request stands when it commits.
type Phase int

const (
	// Midway: the handler goes on afterwards, and may commit again.
	Midway Phase = iota

	// BeforeResponse: the last moment at which the client can be given a
	// token.
	BeforeResponse

	// AfterResponse: the response has begun. Only what needs no new token is
	// written; everything else is discarded and reported.
	AfterResponse
)

// Action says what the client's token needs after a commit.
type Action int

const (
	Keep    Action = iota // nothing: the client's token is right, or must not be touched
	Replace               // give the client Change.Token
	Remove                // the session was ended: take the client's token away
)

// Change is what a commit asks of the transport.
type Change struct {
	Action Action
	Token  stores.Token  // of a Replace
	MaxAge time.Duration // of a Replace: how long the client should keep it; 0: until the browser closes
}

// job is what one commit has to do: the session's state at its begin.
type job struct {
	held   *held
	id     stores.ID // of a new session, or the new one of a regeneration
	values serialize.Values
	log    []logged
	edits  []edit
	ended  []*held
	began  time.Time
	lives  int
}

func (j *job) dirty() bool {
	return len(j.edits) > 0 || len(j.log) > 0 && !j.values.Equal(j.held.vals())
}

func (j *job) regenerate() bool { return j.held.exists() && !j.id.IsZero() }

// Commit writes what the request changed, with compare-and-swap: what another
// request wrote meanwhile is loaded and this request's operations are replayed
// on it. It does not stop when ctx is cancelled, but after the commit timeout.
//
// [ErrEnded] means that the session was ended elsewhere: nothing was written and
// the client's token must stay as it is, since it may be a newer login's. After a
// Destroy it can also mean that another request has changed the session's ID, and
// that it lives on under the new one; a session with an owner is found and ended.
// [ErrTooLate] means that changes after the response began needed a new token,
// and were discarded.
//
// Whatever else fails, the changes are dropped, and the Session shows what is
// stored: what the caller was told is not written must not be written later, with
// an answer that says the contrary. [stores.ErrUnavailable] leaves open whether
// they were written, and every further commit of this Session answers the same,
// so that nothing is applied twice. After any other error nothing was written;
// further commits are of later changes alone, and one without any answers the same,
// but for the BeforeResponse one. A Destroy that failed is tried again.
func (m *Manager) Commit(ctx context.Context, s *Session, phase Phase) (Change, error) {
	if !s.usable() {
		return Change{}, ErrNotLoaded
	}
	s.mu.Lock()
	if phase != Midway {
		s.fixed = true
	}
	settled := m.settled(s, phase)
	s.mu.Unlock()
	if settled {
		return Change{}, nil
	}

	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	switch {
	case s.unsure != nil:
		defer s.mu.Unlock()
		return Change{}, s.unsure
	case s.gone:
		defer s.mu.Unlock()
		s.log = nil
		return Change{}, ErrEnded
	case phase != BeforeResponse && s.dropped != nil && !s.changed():
		defer s.mu.Unlock()
		return Change{}, s.dropped
	}
	late := phase == AfterResponse && s.discardLate()
	j, dropped := s.job(), s.dropped
	s.mu.Unlock()
	if late { // told without the lock: the hook may look at the session
		m.emit(ctx, evLateChange, j.held.id(), time.Time{}, Event{})
	}

	var tooLate error
	if late {
		tooLate = fmt.Errorf("%w; the changes were discarded", ErrTooLate)
	}
	t := m.plan(&j, phase)
	if t == taskNone && len(j.ended) == 0 {
		return Change{}, tooLate
	}
	ctx, cancel := m.commitContext(ctx)
	defer cancel()
	s.setWriting(true)
	defer s.setWriting(false)
	change, err := m.run(ctx, s, &j, t)
	if t == taskNone && phase != BeforeResponse {
		err = cmp.Or(err, dropped) // the end was written, what was to follow it was not
	}
	return change, cmp.Or(err, tooLate)
}

// overdue tells where a failure is the commit's own time limit.
func (m *Manager) overdue(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return fmt.Errorf("%w: the commit took longer than %v: %w", stores.ErrUnavailable, m.timeout, err)
	}
	return err
}

// drop takes back what j was to write, but not what was logged meanwhile. Where
// it may have been written nothing is written any more: a later commit could take
// its own write for another request's, and apply the log twice.
func (s *Session) drop(j *job, err error, unsure bool) error {
	if more := s.settle(j, j.held); more != nil {
		err = errors.Join(err, more)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives == j.lives {
		if s.dropped = err; unsure {
			s.unsure = err
		}
	}
	return err
}

// changed tells whether the request has done what is not written yet. It needs
// s.mu.
func (s *Session) changed() bool {
	return len(s.log)+len(s.edits)+len(s.ended) > 0 || s.held.exists() && !s.next.IsZero()
}

// settled tells whether there is plainly nothing to write, as after most
// requests, and no other commit under way that has. It needs s.mu.
func (m *Manager) settled(s *Session, phase Phase) bool {
	if len(s.log)+len(s.edits)+len(s.ended) > 0 || s.gone || s.unsure != nil || s.dropped != nil || s.refused {
		return false
	}
	h := s.held
	if !h.exists() {
		// After a Destroy the commit that creates the session may still be under
		// way, and what it has written must be removed.
		return s.lives == 0
	}
	if phase == AfterResponse {
		return s.next.IsZero()
	}
	return s.next.IsZero() && !h.stale && m.cache == 0 &&
		(m.expiry.idle == 0 || !m.expiry.due(now(), h.expires, h.meta.Deadline))
}

// job needs s.mu.
func (s *Session) job() job {
	j := job{held: s.held, id: s.next, values: s.values, log: s.log, edits: s.edits, ended: s.ended, began: s.began, lives: s.lives}
	if !s.held.exists() && s.values.Len()+len(s.edits) > 0 {
		s.begin()
		j.id, j.began = s.id(), s.began
	}
	return j
}

// discardLate drops a batch of changes that would need a token the client can't
// be given any more, and tells whether there was one. It is all or nothing: half
// of a batch could be worse than none. It needs s.mu.
func (s *Session) discardLate() bool {
	// Of what the client holds only a new token would be the end.
	ends := len(s.ended)
	s.ended = slices.DeleteFunc(s.ended, (*held).clientHeld)
	dropped := len(s.ended) < ends

	regenerate := s.held.exists() && !s.next.IsZero()
	if !s.keepsToken() && (len(s.log)+len(s.edits) > 0 || regenerate) {
		s.values, s.log, s.edits = s.held.vals(), nil, nil
		dropped = true
	}
	if regenerate {
		s.next = stores.ID{}
	}
	if s.refused {
		s.refused, dropped = false, true
	}
	return dropped
}

// keepsToken tells whether a change can be saved under the token that the client
// has. It needs s.mu.
func (s *Session) keepsToken() bool {
	return s.held.exists() && !s.held.clientHeld() && s.next.IsZero()
}

func (s *Session) setWriting(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = is
}

// refuse answers a change that is sure to be discarded since it comes too late,
// as nothing is while a commit may still create the session. The next commit
// reports it, too, for whoever did not look at the error. It needs s.mu.
func (s *Session) refuse() error {
	if !s.fixed || s.writing || s.keepsToken() {
		return nil
	}
	s.refused = true
	return ErrTooLate
}

// task is how a job must be written.
type task int

const (
	taskNone task = iota
	taskCreate
	taskRegenerate
	taskSave
	taskRefresh
	taskConfirm
	taskSame
	taskRenew
)

// plan returns how j must be written.
func (m *Manager) plan(j *job, phase Phase) task {
	switch {
	case !j.held.exists() && j.values.Len()+len(j.edits) == 0:
		return taskNone
	case !j.held.exists():
		return taskCreate
	case j.regenerate():
		return taskRegenerate
	case j.dirty():
		return taskSave
	case phase == AfterResponse:
		return taskNone
	case j.held.copied && phase == Midway:
		return taskConfirm
	case j.held.copied && m.outage.lasts():
		return taskNone // what is best effort does not wait for a failure
	case j.held.stale || m.expiry.due(now(), j.held.expires, j.held.meta.Deadline):
		return taskRefresh
	case m.cache > 0 && !j.held.copied && fresh(j.held, copySlack):
		return taskSame
	case m.cache > 0 && !j.held.copied:
		return taskRenew
	}
	return taskNone
}

// write writes j and returns what the store has then.
func (m *Manager) write(ctx context.Context, j *job, t task) (*held, error) {
	switch t {
	case taskCreate:
		return m.create(ctx, j)
	case taskRegenerate:
		return m.regenerate(ctx, j)
	case taskSave:
		return m.save(ctx, j)
	case taskRefresh:
		return m.refresh(ctx, j)
	case taskConfirm:
		return m.confirm(ctx, j)
	case taskRenew:
		return m.renew(ctx, j)
	}
	return j.held, nil // taskSame: the client lacks a copy of what was read
}

// run does the job. An end comes first: who logs out must be out, whatever
// happens to the session that may begin after.
func (m *Manager) run(ctx context.Context, s *Session, j *job, t task) (Change, error) {
	var change Change
	var elsewhere error
	for i, h := range j.ended {
		err := m.destroy(ctx, h)
		switch {
		case err == nil:
			change.Action = Remove
		case errors.Is(err, ErrEnded):
			elsewhere = err
		default:
			s.mu.Lock()
			s.ended[i] = h.perhapsEnded()
			s.mu.Unlock()
			if err = m.overdue(ctx, err); t != taskNone { // it was to begin after the end
				err = s.drop(j, err, false)
			}
			return change, err
		}
	}
	// One of several is this request's own session of a moment ago.
	if elsewhere != nil && change.Action == Keep {
		m.emit(ctx, evEnded, j.ended[0].id(), time.Time{}, Event{})
	} else {
		elsewhere = nil
	}
	s.mu.Lock()
	s.ended = s.ended[len(j.ended):]
	s.mu.Unlock()
	if t == taskNone {
		return change, elsewhere
	}

	h, err := m.write(ctx, j, t)
	if errors.Is(err, ErrEnded) {
		s.mu.Lock()
		if s.lives == j.lives { // else it is another session that was ended
			s.gone, s.log = true, nil
		}
		s.mu.Unlock()
		m.emit(ctx, evEnded, j.held.id(), time.Time{}, Event{})
		return change, err
	}
	if err != nil {
		if err = m.overdue(ctx, err); t != taskConfirm { // which writes nothing
			err = s.drop(j, err, errors.Is(err, stores.ErrUnavailable))
		}
		return change, err
	}
	if m.cache > 0 && !h.copied {
		h = m.addCopy(h)
	}
	other := !h.token.ID.Equal(j.held.id())
	if other || h.token.Payload != h.sent || m.expiry.idle > 0 && !h.expires.Equal(j.held.expires) {
		change = m.replace(h)
	}
	if h != j.held {
		h.sent = h.token.Payload
	}
	return change, s.settle(j, h)
}

// settle makes h, which is j.held where nothing was written, the state on which
// the session goes on. What was logged while the commit ran stays to be committed;
// where it can't be replayed on h it is dropped, and the error says so.
func (s *Session) settle(j *job, h *held) error {
	s.mu.Lock()
	if s.lives != j.lives { // destroyed while the commit ran: so must this be
		if h != j.held {
			s.ended = append(s.ended, h)
		}
		s.mu.Unlock()
		return nil
	}
	s.held, s.dropped = h, nil
	s.edits = s.edits[len(j.edits):]
	if s.next.Equal(j.id) {
		s.next = stores.ID{}
	}
	s.log = s.log[len(j.log):]
	log := s.log
	if len(log) == 0 {
		s.values = h.vals()
	}
	s.mu.Unlock()

	// Update functions run outside the lock, as in apply.
	for tries := 0; len(log) > 0; tries++ {
		vals, err := replay(h.vals(), log)
		s.mu.Lock()
		if err == nil && s.lives == j.lives && len(s.log) > len(log) {
			if log = s.log; tries < 100 {
				s.mu.Unlock()
				continue
			}
			err = fmt.Errorf("%w: it was changed all the time that it was committed", ErrBusy)
		}
		defer s.mu.Unlock()
		switch {
		case s.lives != j.lives:
			return nil
		case err != nil:
			s.values, s.log = h.vals(), nil
		default:
			s.values = vals
		}
		return err
	}
	return nil
}

func (m *Manager) destroy(ctx context.Context, h *held) error {
	started := m.clock()
	if !h.clientHeld() {
		switch err := m.endSession(ctx, h); {
		case errors.Is(err, ErrEnded):
			return err
		case err != nil:
			m.emit(ctx, evStoreError, h.token.ID, started, Event{Err: err})
			return err
		}
	}
	m.emit(ctx, evDestroyed, h.token.ID, started, Event{})
	return nil
}
