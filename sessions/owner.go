package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/owners"
	"github.com/bulla-go/bulla/stores"
)

// maxExternalSize bounds an issuer, and an ID of its own: a session's record has them.
const maxExternalSize = 255

// maxLabelSize bounds what a list of sessions must read.
const maxLabelSize = 255

// OwnerOption says more of a login; see [Session.SetOwner].
type OwnerOption func(*ownerOptions) error

type ownerOptions struct{ external owners.External }

// WithExternal notes what another system calls the login, so that it can end the session
// ([Manager.RevokeExternal]): of an OpenID Connect provider the issuer and the ID token's
// sid, 255 bytes each at most. Several sessions may have one. A session keeps it through
// new IDs, and until another user, or the same one with another external ID, logs in.
//
// An external ID that was ended stays so: where the provider's logout came before the
// login was finished, SetOwner or the commit is [ErrRevoked].
func WithExternal(issuer, id string) OwnerOption {
	return func(o *ownerOptions) error {
		o.external = owners.External{Issuer: issuer, ID: id}
		return checkExternal(issuer, id)
	}
}

func checkExternal(issuer, id string) error {
	if issuer == "" || id == "" || len(issuer) > maxExternalSize || len(id) > maxExternalSize {
		return fmt.Errorf("%w: an external ID is an issuer and an ID of 1 to %d bytes each", ErrInvalid, maxExternalSize)
	}
	return nil
}

// SetOwner makes the session userID's, so that it is listed by
// [Manager.Sessions] and ended by [Manager.RevokeAll], and gives it a new ID, as
// [Session.Regenerate] does. Call it at login. It asks the store for the owner's
// epoch: a login that is under way while all the user's sessions are ended does
// not survive that. What was another owner's is forgotten: the label, the time of
// the authentication, and what [Session.SetPersistent] was told before. Call it before the login's values are set, and set
// none where it fails: what the session holds when the response begins is committed.
//
// The userID is sealed into the record; the index knows only a keyed hash of it.
func (s *Session) SetOwner(ctx context.Context, userID string, options ...OwnerOption) error {
	if !s.usable() {
		return ErrNotLoaded
	}
	if s.m.owners == nil && !s.m.revocation.listsOwners() {
		return fmt.Errorf("%w: SetOwner needs WithOwners", ErrConfig)
	}
	if userID == "" {
		return fmt.Errorf("%w: SetOwner needs a user's ID; use Destroy for a logout", ErrInvalid)
	}
	var o ownerOptions
	for _, option := range options {
		if option == nil {
			return fmt.Errorf("%w: an option of SetOwner is nil; leave it out", ErrInvalid)
		}
		if err := option(&o); err != nil {
			return err
		}
	}
	old, ok := owners.ParseOwnership(s.metadata().Owner)
	if ok && old.User == userID && o.external.IsZero() { // as for a second proof within one login
		o.external = old.External()
	}
	w, epochs, err := s.m.beginOwned(ctx, s, userID, o.external)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.regenerate(); err != nil {
		return err
	}
	s.log.Edit(func(md *envelope.Metadata) {
		if old, ok := owners.ParseOwnership(md.Owner); ok && old.User != userID {
			md.Authenticated, md.Label, md.Persistent = time.Time{}, "", 0
		}
		md.Owner = w.String()
		if epochs != nil {
			md.Epochs = epochs
		}
	})
	return nil
}

// beginOwned returns what the record of a session says that becomes userID's.
func (m *Manager) beginOwned(ctx context.Context, s *Session, userID string, x owners.External) (w owners.Ownership, epochs []byte, err error) {
	if m.revocation != nil {
		s.mu.Lock()
		held := s.held
		s.mu.Unlock()
		user := userID
		if !m.revocation.listsOwners() {
			user = "" // the store's index has them
		}
		if epochs, err = m.beginListed(ctx, held, user, x); err != nil {
			return w, nil, err
		}
	}
	if m.owners == nil {
		return owners.Unlisted(userID, m.revocation.filed, x), epochs, nil
	}
	w, err = m.owners.Begin(ctx, userID, x)
	return w, epochs, err
}

// Owner returns the ID of the session's owner, or "".
func (s *Session) Owner() string {
	w, _ := owners.ParseOwnership(s.metadata().Owner)
	return w.User
}

// SetLabel sets what the list of the owner's sessions shows for this one, such
// as the browser's name; 255 bytes at most. A list is read without the sessions'
// IDs, so a label, unlike a record, opens with a dump of the store and the
// encryption key.
func (s *Session) SetLabel(label string) error {
	if len(label) > maxLabelSize {
		return fmt.Errorf("%w: a label has %d bytes at most, this one %d", ErrInvalid, maxLabelSize, len(label))
	}
	if s.usable() && s.metadata().Label == label {
		return nil
	}
	return s.edit(func(md *envelope.Metadata) { md.Label = label })
}

// Handle names a session in the list of its owner's sessions. It can be shown
// on a page: it is the ID's key, and nobody can log in with it.
type Handle string

// Handle returns the session's own handle, to find it in the list.
func (s *Session) Handle() Handle { return Handle(s.ID().Key().String()) }

// OwnedSession is one live session of an owner. Where the key that sealed its
// entry is no longer in the ring, Label, Created, LoggedIn and LastSeen are zero.
type OwnedSession struct {
	Handle   Handle
	Label    string
	Created  time.Time // when it began
	LoggedIn time.Time // when it became the owner's, or had its last new ID
	LastSeen time.Time // to within the touch interval; zero where sessions do not roll
	Expires  time.Time // when it ends unless it is used
}

// carriedOut returns ctx for what a client has asked for and does not wait for: who ends
// all of a user's sessions and closes the page must not have ended half of them. As in a
// commit only time stops it; as there may be many sessions, that is the caller's.
func carriedOut(ctx context.Context) (context.Context, context.CancelFunc) {
	on := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(on, deadline)
	}
	return on, func() {}
}

func (m *Manager) owned(what string) error {
	switch {
	case m.owners == nil && m.revocation.listsOwners():
		return fmt.Errorf("%w: %s needs a list of sessions, which the %s store leaves to the clients; use a store on a server", ErrConfig, what, m.place.Name)
	case m.owners == nil:
		return fmt.Errorf("%w: %s needs WithOwners", ErrConfig, what)
	}
	return nil
}

// Sessions returns userID's live sessions, the latest login first. It costs in
// proportion to them, and to the logins of the last hour.
func (m *Manager) Sessions(ctx context.Context, userID string) ([]OwnedSession, error) {
	if err := m.owned("Sessions"); err != nil {
		return nil, err
	}
	live, err := m.owners.List(ctx, userID)
	if err != nil {
		return nil, err
	}
	var list []OwnedSession
	for i := range live {
		e := &live[len(live)-1-i]
		o := OwnedSession{Handle: Handle(e.Key.String()), Label: e.Label, Created: e.Created, LoggedIn: e.LoggedIn, Expires: e.Ends}
		if e.Idle > 0 && e.Ends.Before(e.Deadline) {
			o.LastSeen = e.Ends.Add(-e.Idle)
		}
		list = append(list, o)
	}
	return list, nil
}

// Revoke ends one of userID's sessions. A handle that is not one of theirs is
// [stores.ErrNotFound]: nobody can end another's session. A handle that the session
// had before its last new ID is as good for some minutes. It does not stop where ctx is
// cancelled; see [Manager.RevokeAll].
func (m *Manager) Revoke(ctx context.Context, userID string, handle Handle) error {
	if err := m.owned("Revoke"); err != nil {
		return err
	}
	key, err := stores.ParseKey(string(handle))
	if err != nil {
		return fmt.Errorf("%w: not a handle", stores.ErrNotFound)
	}
	ctx, cancel := carriedOut(ctx)
	defer cancel()
	started := m.clock()
	if err = m.owners.EndOne(ctx, userID, key); err == nil {
		m.emit(ctx, evRevoked, key, started, Event{})
	}
	return err
}

// RevokeAll ends all of userID's sessions, logins that are under way among them,
// and returns how many it found. Sessions end at their next request; with a
// cookie cache, within its time. A store without room for another byte may have none
// to tell the logins that are under way: then the sessions have ended, and the error
// is [stores.ErrFull].
//
// It does not stop where ctx is cancelled, as that of a request is whose client goes away:
// some of the sessions would live on. A deadline of ctx holds. [ErrBusy] means that others
// kept changing a session, which lives; all the rest have ended.
func (m *Manager) RevokeAll(ctx context.Context, userID string) (int, error) {
	if m.revocation.listsOwners() {
		return 0, m.raise(ctx, m.revocation.groups(userID))
	}
	if err := m.owned("RevokeAll"); err != nil {
		return 0, err
	}
	ctx, cancel := carriedOut(ctx)
	defer cancel()
	_, err := m.owners.Raise(ctx, owners.Ownership{User: userID})
	if err != nil && !errors.Is(err, stores.ErrFull) {
		return 0, err
	}
	n, endErr := m.endAll(ctx, userID, 0)
	return n, cmp.Or(endErr, err)
}

// RevokeOthers is RevokeAll for all sessions of s's owner but s itself. It also
// changes s, which must be committed: the middleware does that. A session in a cookie
// (WithRevocation) gets a new ID, also where the handler fails later; its times stay as
// they are. When the response has begun, which is [ErrTooLate], or the session has ended,
// nothing ends.
func (m *Manager) RevokeOthers(ctx context.Context, s *Session) (int, error) {
	if m.revocation.listsOwners() {
		return 0, m.revokeOthersListed(ctx, s)
	}
	if err := m.owned("RevokeOthers"); err != nil {
		return 0, err
	}
	w, ok := owners.ParseOwnership(s.metadata().Owner)
	if !ok || w.Number() == 0 {
		return 0, fmt.Errorf("%w: the session has no owner yet; call SetOwner at login, and commit", stores.ErrNotFound)
	}
	ctx, cancel := carriedOut(ctx)
	defer cancel()
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held.Exists() && held.Copied {
		// Who comes with a copy of a session that has ended may not end the others.
		if _, err := m.confirm(ctx, held); err != nil {
			return 0, err
		}
	}
	epoch, full := m.owners.Raise(ctx, w)
	if full != nil && !errors.Is(full, stores.ErrFull) {
		return 0, full
	}
	if full == nil {
		// Also where the rest fails: a session that does not know the epoch could
		// not change its ID after the next one.
		err := s.edit(func(md *envelope.Metadata) {
			if now, ok := owners.ParseOwnership(md.Owner); ok && now.User == w.User {
				md.Owner = now.InEpoch(epoch).String()
			}
		})
		if err != nil {
			return 0, err
		}
	}
	n, err := m.endAll(ctx, w.User, w.Number())
	return n, cmp.Or(err, full)
}

// RevokeExternal ends all sessions that have an external ID ([WithExternal]), logins that
// are under way among them, and returns how many it found: for a provider's back-channel
// logout. That there is none is no error. Of sessions in cookies (WithRevocation) nobody
// knows how many there are, and it returns 0. See [Manager.RevokeAll], which is for a logout
// that names a user and no login.
func (m *Manager) RevokeExternal(ctx context.Context, issuer, id string) (int, error) {
	if err := checkExternal(issuer, id); err != nil {
		return 0, err
	}
	x := owners.External{Issuer: issuer, ID: id}
	if m.revocation.listsOwners() {
		return 0, m.raise(ctx, m.revocation.externals(x))
	}
	if err := m.owned("RevokeExternal"); err != nil {
		return 0, err
	}
	ctx, cancel := carriedOut(ctx)
	defer cancel()
	full := m.owners.RaiseExternal(ctx, x)
	if full != nil && !errors.Is(full, stores.ErrFull) {
		return 0, full
	}
	n, err := m.tell(ctx, func() ([]stores.Key, error) { return m.owners.EndExternal(ctx, x) })
	return n, cmp.Or(err, full)
}

func (m *Manager) endAll(ctx context.Context, user string, spared uint64) (int, error) {
	return m.tell(ctx, func() ([]stores.Key, error) { return m.owners.EndAll(ctx, user, spared) })
}

// tell tells hooks and log of the sessions that end has ended.
func (m *Manager) tell(ctx context.Context, end func() ([]stores.Key, error)) (int, error) {
	started := m.clock()
	ended, err := end()
	for _, key := range ended {
		m.emit(ctx, evRevoked, key, started, Event{})
	}
	return len(ended), err
}
