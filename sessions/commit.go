package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/oplog"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// phase says where a request stands when it commits.
type phase int

const (
	midway         phase = iota // the handler goes on afterwards, and may commit again
	beforeResponse              // the last moment at which the client can be given a token
	afterResponse               // only what needs no new token is written
)

// action says what the client's token needs after a commit.
type action int

const (
	keep    action = iota // nothing: the token is right, or must not be touched
	replace               // give the client another one
	remove                // the session was ended: take the token away
)

// change is what a commit asks of the client's token.
type change struct {
	action action
	state  *record.State // of a replace
}

// job is what one commit has to do: the session's state at its begin.
type job struct {
	held   *record.State
	sent   string
	id     token.ID // of a new session, or the new one of a regeneration
	values envelope.Values
	log    oplog.Log
	ended  []ending
	began  time.Time
	lives  uint32
	drops  uint32
	peeks  bool
}

func (j *job) dirty() bool {
	return j.log.Edits() || j.log.Len() > 0 && !j.values.Equal(j.held.AllValues())
}

func (j *job) regenerate() bool { return j.held.Exists() && !j.id.IsZero() }

// commit writes what the request changed. It does not stop when ctx is cancelled,
// but after the commit timeout.
//
// [ErrEnded] means that the session was ended elsewhere: nothing was written and
// the client's token must stay as it is, since it may be a newer login's.
// [ErrTooLate] means that changes after the response began needed a new token,
// and were discarded.
//
// Whatever else fails, the changes are dropped, and the Session shows what is
// stored: what the caller was told is not written must not be written later, with
// an answer that says the contrary. [stores.ErrUnavailable] leaves open whether
// they were written, and every further commit of this Session answers the same,
// so that nothing is applied twice. After any other error nothing was written;
// further commits are of later changes alone, and one without any answers the same,
// but for that before the response. A Destroy that failed is tried again.
func (m *Manager) commit(ctx context.Context, s *Session, p phase) (change, error) {
	s.mu.Lock()
	if p != midway {
		s.fixed = true
	}
	settled := m.settled(s, p)
	s.mu.Unlock()
	if settled {
		return change{}, nil
	}

	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	switch {
	case s.unsure != nil:
		defer s.mu.Unlock()
		return change{}, s.unsure
	case s.gone:
		defer s.mu.Unlock()
		s.discard()
		return change{}, ErrEnded
	case p != beforeResponse && s.dropped != nil && !s.changed():
		defer s.mu.Unlock()
		return change{}, s.dropped
	}
	late := p == afterResponse && s.discardLate()
	j, dropped := s.job(), s.dropped
	s.mu.Unlock()
	if late { // told without the lock: the hook may look at the session
		m.emit(ctx, evLateChange, j.held.SessionID().Key(), time.Time{}, Event{})
	}

	var tooLate error
	if late {
		tooLate = fmt.Errorf("%w; the changes were discarded", ErrTooLate)
	}
	t := m.plan(&j, p)
	// Who commits midway wants to be sure.
	ask := p == midway && m.revocation != nil && j.held.Exists()
	if t == taskNone && len(j.ended) == 0 && !ask {
		return change{}, tooLate
	}
	ctx, cancel := m.commitContext(ctx)
	defer cancel()
	s.setWriting(true)
	defer s.setWriting(false)
	c, err := m.run(ctx, s, &j, t, ask)
	if t == taskNone && p != beforeResponse {
		err = cmp.Or(err, dropped) // the end was written, what was to follow it was not
	}
	return c, cmp.Or(err, tooLate)
}

func (s *Session) setWriting(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = is
}

// overdue tells where a failure is the commit's own time limit.
func (m *Manager) overdue(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil && !errors.Is(err, stores.ErrUnavailable) {
		return fmt.Errorf("%w: the commit took longer than %v: %w", stores.ErrUnavailable, m.timeout, err)
	}
	return err
}

// drop takes back what j was to write, but not what was logged meanwhile.
func (s *Session) drop(j *job, err error) error {
	if more := s.settle(j, j.held); more != nil {
		err = errors.Join(err, more)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives == j.lives {
		s.dropped = err
		if !doubtful(err) {
			s.spare()
		}
	}
	return err
}

// doubt notes that j may have been written, although it was dropped. Then nothing is
// written any more: a later commit could take its own write for another request's,
// and apply the log twice.
func (s *Session) doubt(j *job, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives == j.lives {
		s.unsure = err
	}
}

// doubtful tells whether a commit that failed may have been carried out.
func doubtful(err error) bool {
	return errors.Is(err, stores.ErrUnavailable) && !errors.Is(err, stores.ErrFull) || errors.Is(err, ErrUnreadable)
}

// changed tells whether the request has done what is not written yet. It needs
// s.mu.
func (s *Session) changed() bool {
	return s.log.Len()+len(s.ended) > 0 || s.held.Exists() && !s.next.IsZero()
}

// settled tells whether there is plainly nothing to write, as after most
// requests, and no other commit under way that has. It needs s.mu.
func (m *Manager) settled(s *Session, p phase) bool {
	if s.log.Len()+len(s.ended) > 0 || s.gone || s.unsure != nil || s.dropped != nil || s.refused {
		return false
	}
	st := s.held
	if !st.Exists() {
		// After a Destroy the commit that creates the session may still be under
		// way, and what it has written must be ended.
		return s.lives == 0
	}
	if p == afterResponse {
		return s.next.IsZero()
	}
	if p == midway && m.revocation != nil {
		return false
	}
	return s.next.IsZero() && !st.Stale && m.cache == 0 && !m.policy.Due(now(), st.Expires, &st.Meta)
}

// job needs s.mu.
func (s *Session) job() job {
	j := job{held: s.held, sent: s.sent, id: s.next, values: s.values, log: s.log.Snapshot(), ended: s.ended, began: s.began, lives: s.lives, drops: s.drops, peeks: s.peeks}
	if !s.held.Exists() && (s.values.Len() > 0 || s.log.Edits()) {
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
	s.ended = slices.DeleteFunc(s.ended, func(e ending) bool {
		return e.here && s.m.engine == nil && !s.m.revocation.lists(&e.meta)
	})
	dropped := len(s.ended) < ends

	regenerates := s.held.Exists() && !s.next.IsZero()
	if !s.keepsToken() && (s.log.Len() > 0 || regenerates) {
		s.discard()
		dropped = true
	}
	if s.refused {
		s.refused, dropped = false, true
	}
	return dropped
}

// keepsToken tells whether a change can be saved under the token that the client
// has. It needs s.mu.
func (s *Session) keepsToken() bool {
	return s.held.Exists() && !s.held.ClientHeld() && s.next.IsZero()
}

// refuse answers a change that is sure to be lost: the session has another ID, or it
// comes too late, as nothing does while a commit may still create the session. The
// next commit reports that, too, for whoever did not look at the error. It needs s.mu.
func (s *Session) refuse() error {
	switch {
	case s.grace && !s.login && !s.held.Exists():
		return fmt.Errorf("%w: it has a new ID since a moment ago", ErrEnded)
	case !s.fixed || s.writing && s.m.engine != nil || s.keepsToken():
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
func (m *Manager) plan(j *job, p phase) task {
	switch {
	case !j.held.Exists() && j.values.Len() == 0 && !j.log.Edits(): // it stayed empty
		return taskNone
	case !j.held.Exists():
		return taskCreate
	case j.regenerate():
		return taskRegenerate
	case j.dirty():
		return taskSave
	case p == afterResponse:
		return taskNone
	case j.held.Copied && p == midway: // whatever else is due: it is to ask the server
		return taskConfirm
	case j.peeks:
		return taskNone
	case j.held.Copied && m.outage.lasts(): // what is best effort does not wait for a failure
		return taskNone
	case j.held.Stale || m.policy.Due(now(), j.held.Expires, &j.held.Meta):
		return taskRefresh
	case m.cache > 0 && !j.held.Copied && j.held.Fresh(copySlack):
		return taskSame
	case m.cache > 0 && !j.held.Copied:
		return taskRenew
	}
	return taskNone
}

// write writes j and returns what the store has then.
func (m *Manager) write(ctx context.Context, j *job, t task) (*record.State, error) {
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
		return m.confirm(ctx, j.held)
	case taskRenew:
		return m.renew(ctx, j)
	}
	return j.held, nil // taskSame: the client lacks a copy of what was read
}

// run does the job. An end comes first: who logs out must be out, whatever
// happens to the session that may begin after.
// With ask the list of what has ended is asked, too.
func (m *Manager) run(ctx context.Context, s *Session, j *job, t task, ask bool) (change, error) {
	var c change
	for i := range j.ended {
		err := m.overdue(ctx, m.end(ctx, &j.ended[i]))
		if err == nil || errors.Is(err, ErrEnded) {
			s.mu.Lock()
			s.ended = s.ended[1:]
			s.mu.Unlock()
		}
		if err != nil {
			if outlived(j.ended[i].held, err) {
				c.action = remove
			}
			if t != taskNone { // it was to begin after the end
				err = s.drop(j, err)
			}
			return c, err
		}
		if !j.ended[i].gone {
			c.action = remove
		}
	}
	if t == taskNone && !ask {
		return c, nil
	}

	err := m.lives(ctx, j, ask)
	if err != nil && !errors.Is(err, ErrEnded) {
		if err = m.failed(ctx, j.held.ID.Key(), time.Time{}, err); t != taskNone {
			err = s.drop(j, err)
		}
		return c, err
	}
	if t == taskNone && err == nil {
		return c, nil
	}
	var st *record.State
	if err == nil {
		st, err = m.write(ctx, j, t)
	}
	if errors.Is(err, ErrEnded) {
		s.mu.Lock()
		if s.lives == j.lives { // else it is another session that was ended
			s.gone = true
			s.discard()
		}
		s.mu.Unlock()
		m.emit(ctx, evEnded, j.held.SessionID().Key(), time.Time{}, Event{Err: err})
		if outlived(j.held, err) {
			c.action = remove
		}
		return c, err
	}
	if err != nil {
		if err = m.overdue(ctx, err); t != taskConfirm { // which writes nothing
			if err = s.drop(j, err); doubtful(err) {
				s.doubt(j, err)
			}
		}
		return c, err
	}
	switch {
	case t == taskConfirm && j.peeks:
		return c, s.settle(j, uncopied(st, j.sent))
	case m.cache > 0 && !st.Copied:
		st = m.addCopy(st)
	}
	other := !st.ID.Equal(j.held.SessionID())
	if other || st.Payload != j.sent || m.maxAge(st) > 0 && !m.kept(st).Equal(m.kept(j.held)) ||
		st.Meta.Persistent != j.held.Meta.Persistent {
		c = change{replace, st}
	}
	return c, s.settle(j, st)
}

// settle makes st, which is j.held where nothing was written, the state on which
// the session goes on. What was logged while the commit ran stays to be committed;
// where it can't be replayed on st it is dropped, and the error says so.
func (s *Session) settle(j *job, st *record.State) error {
	s.mu.Lock()
	if s.lives != j.lives { // destroyed while the commit ran: so must this be
		if st != j.held {
			s.ended = append(s.ended, endingOf(st))
		}
		s.mu.Unlock()
		return nil
	}
	s.held, s.sent, s.dropped = st, j.sent, nil
	if st != j.held {
		s.sent = st.Payload
	}
	if s.next.Equal(j.id) {
		s.next = token.ID{}
	}
	if st != j.held && j.regenerate() {
		s.spared = nil
	}
	if s.drops == j.drops {
		s.log = s.log.After(j.log)
	}
	log, drops := s.log.Snapshot(), s.drops
	if log.Len() == 0 {
		s.values = st.AllValues()
	}
	s.mu.Unlock()

	// Update functions run outside the lock, as in apply.
	for tries := 0; log.Len() > 0; tries++ {
		vals, err := log.Values(st.AllValues())
		s.mu.Lock()
		if s.lives == j.lives && (s.drops != drops || err == nil && s.log.Len() > log.Len()) {
			if log, drops = s.log.Snapshot(), s.drops; tries < 100 {
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
			s.discard()
		default:
			s.values = vals
		}
		return err
	}
	return nil
}
