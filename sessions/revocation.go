package sessions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/internal/mac"
	"github.com/bulla-go/bulla/sessions/internal/owners"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/revoked"
	"github.com/bulla-go/bulla/stores"
)

const (
	minRevocationEvery = 100 * time.Millisecond
	maxRevocationEvery = time.Hour

	// defaultRefuseAfter is longer than a failover takes.
	defaultRefuseAfter = time.Minute
)

// Revocation configures the list of what has ended. The zero Revocation is none.
// Package middleware sets it with WithRevocation and the options that it names. Most
// users won't need it.
type Revocation struct {
	Context     context.Context       // the list is read until it ends
	List        stores.RevocationList // nil: none
	Every       time.Duration         // how often each process reads it
	Anonymous   int                   // how many ends of sessions without an owner it takes; 0: none are listed
	RefuseAfter time.Duration         // 0: a minute; without a reading for longer, sessions are refused
	Pass        bool                  // then they pass
	KeepLost    bool                  // when the list has lost everything, sessions from before that live on
}

// revocation is how a manager uses a list of what has ended. A nil revocation is none.
type revocation struct {
	*revoked.List
	sessions bool // the client holds records, so each end is listed
	owners   *mac.Ring
	ext      *mac.Ring // of external IDs
	filed    string
	scope    []byte
}

// setRevocation needs m.owners.
func (m *Manager) setRevocation(c Config) error {
	r := c.Revocation
	switch {
	case r.List == nil && (r != Revocation{}):
		return fmt.Errorf("%w: the options of a list of what has ended need one; add WithRevocation", ErrConfig)
	case r.List == nil:
		return nil
	case r.Context == nil:
		return fmt.Errorf("%w: WithRevocation needs a context, with which the reading of the list ends; context.Background() for as long as the process lives", ErrConfig)
	case r.Every < minRevocationEvery || r.Every > maxRevocationEvery:
		return fmt.Errorf("%w: WithRevocation every %v: the time is from %v to %v", ErrConfig, r.Every, minRevocationEvery, maxRevocationEvery)
	case r.RefuseAfter != 0 && r.Pass:
		return fmt.Errorf("%w: WithRevocationRefusal and WithInsecureRevocationPassing contradict each other; leave one out", ErrConfig)
	case r.Anonymous < 0:
		return fmt.Errorf("%w: WithAnonymousRevocation(%d) is negative; leave it out for none", ErrConfig, r.Anonymous)
	case m.place.Foreign != nil || !m.sealer.Marked():
		return fmt.Errorf("%w: WithRevocation has no place in another system's records; leave it out", ErrConfig)
	}
	refuse := cmp.Or(r.RefuseAfter, max(defaultRefuseAfter, 3*r.Every))
	if refuse < 2*r.Every {
		return fmt.Errorf("%w: WithRevocationRefusal(%v) is under twice the %v after which the list is read; lengthen it", ErrConfig, r.RefuseAfter, r.Every)
	}
	v := &revocation{sessions: m.place.Cookie != nil}
	switch {
	case !v.sessions && r.Anonymous > 0:
		return fmt.Errorf("%w: WithAnonymousRevocation lists sessions that a client holds; the %s store ends them itself", ErrConfig, m.place.Name)
	case v.sessions && len(c.Owners) == 0 && r.Anonymous == 0:
		return fmt.Errorf("%w: WithRevocation lists the ends of sessions that have an owner; add WithOwners and call SetOwner at login, or WithAnonymousRevocation to list those without", ErrConfig)
	}
	scope := func(text string) []byte {
		return append(binary.AppendUvarint([]byte(text), uint64(len(c.Audience))), c.Audience...)
	}
	v.scope = scope("")
	if v.sessions && len(c.Owners) > 0 {
		var err error
		if v.owners, err = mac.New("bulla owner", c.Owners...); err != nil {
			return fmt.Errorf("%w: WithOwners: %w", ErrConfig, err)
		}
		if v.ext, err = mac.New("bulla external", c.Owners...); err != nil {
			return fmt.Errorf("%w: WithOwners: %w", ErrConfig, err)
		}
		v.filed = c.Owners[0].ID()
	}
	everybody := sha256.Sum256(scope("bulla everybody 1\x00"))
	v.List = revoked.New(revoked.Config{
		List: r.List, Every: r.Every, RefuseAfter: refuse, Pass: r.Pass, KeepLost: r.KeepLost, Anonymous: r.Anonymous,
		Everybody: stores.NewKey([24]byte(everybody[:24])), Lifetime: m.policy.Lifetime, Timeout: m.timeout,
		Failed: func(ctx context.Context, err error) {
			m.emit(ctx, evStoreError, stores.Key{}, time.Time{}, Event{Err: err})
		},
	})
	m.revocation = v
	return nil
}

// groups returns the keys under which a user's number may be in the list; the first is
// the one that is sealed.
func (v *revocation) groups(user string) []stores.Key { return v.under(v.owners, user) }

// externals is groups for an external ID.
func (v *revocation) externals(x owners.External) []stores.Key {
	return v.under(v.ext, string(x.Text()))
}

func (v *revocation) under(ring *mac.Ring, text string) []stores.Key {
	var all []stores.Key
	for _, tag := range ring.All(append(slices.Clone(v.scope), text...), 24) {
		all = append(all, stores.NewKey([24]byte(tag)))
	}
	return all
}

// listsOwners tells whether owners are known by numbers in the list alone.
func (v *revocation) listsOwners() bool { return v != nil && v.owners != nil }

// lists tells whether the end of a session with this metadata is listed.
func (v *revocation) lists(md *envelope.Metadata) bool {
	return v != nil && v.sessions && (md.Owner != "" || v.Anonymous > 0)
}

// seen returns the stub that stands for a session of which the copy of the list says
// that it has ended or moved; nil where it lives. An error means that nothing is known.
func (v *revocation) seen(ctx context.Context, key stores.Key, st *record.State) (*record.Stub, error) {
	if err := v.Usable(ctx); err != nil {
		return nil, err
	}
	switch v.Look(key, st.Meta.Epochs) {
	case revoked.Live:
		return nil, nil
	case revoked.Moving:
		return &record.Stub{At: now(), To: key}, nil
	case revoked.Moved:
		return &record.Stub{To: key}, nil
	}
	return &record.Stub{}, nil
}

// lives tells whether the session that is to be committed lives: by the copy, and with
// ask by the list itself. Of its epochs those count that it is about to have: who has
// just logged in has asked the list already.
func (m *Manager) lives(ctx context.Context, j *job, ask bool) error {
	if m.revocation == nil || !j.held.Exists() {
		return nil
	}
	md := j.log.Metadata(j.held.Meta)
	key := j.held.ID.Key()
	if ask {
		_, err := m.revocation.Confirm(ctx, key, md.Epochs)
		return err
	}
	switch m.revocation.Look(key, md.Epochs) {
	case revoked.Live:
		return nil
	case revoked.Revoked:
		return ErrRevoked
	}
	return ErrEnded
}

// newcomer returns what a session that begins now has sealed.
func (m *Manager) newcomer(ctx context.Context) ([]byte, error) {
	if m.revocation == nil {
		return nil, nil
	}
	if err := m.revocation.Usable(ctx); err != nil {
		return nil, err
	}
	return revoked.Epochs{Everybody: m.revocation.Everyone()}.Bytes(), nil
}

// moveListed lists that a session which the client holds, or may hold an older record
// of, has a new ID; before its token goes out.
func (m *Manager) moveListed(ctx context.Context, old *record.State, to stores.Key, md *envelope.Metadata) error {
	if !m.revocation.lists(&old.Meta) && !m.revocation.lists(md) {
		return nil
	}
	from := revoked.Ending{Key: old.ID.Key(), Deadline: old.Meta.Last(), Anonymous: old.Meta.Owner == "" && md.Owner == ""}
	return m.noRoom(ctx, from.Key, m.revocation.Move(ctx, from, to, md.Deadline, !owners.Same(&old.Meta, md)))
}

// endListed lists that a session has ended, wherever it has gone.
func (m *Manager) endListed(ctx context.Context, e *ending) (chain []revoked.Ending, err error) {
	if !e.listed && !m.revocation.lists(&e.meta) {
		return nil, nil
	}
	chain, err = m.revocation.End(ctx, revoked.Ending{Key: e.key, Deadline: e.known.Deadline, Anonymous: !e.listed && e.meta.Owner == ""})
	return chain, m.noRoom(ctx, e.key, err)
}

// noRoom tells the hook of a list that has no room.
func (m *Manager) noRoom(ctx context.Context, key stores.Key, err error) error {
	if errors.Is(err, stores.ErrFull) {
		m.emit(ctx, evRefused, key, time.Time{}, Event{Err: err})
	}
	return err
}

// beginListed reads what a session that becomes user's, and has an external ID or none,
// has sealed: from the list itself, which must know nothing against the session as it is,
// nor against the external ID under any key.
func (m *Manager) beginListed(ctx context.Context, held *record.State, user string, x owners.External) ([]byte, error) {
	var groups []stores.Key
	if user != "" {
		if groups = m.revocation.groups(user)[:1]; !x.IsZero() {
			groups = append(groups, m.revocation.externals(x)...)
		}
	}
	if err := m.revocation.Usable(ctx); err != nil {
		return nil, err
	}
	var key stores.Key
	if held.Exists() {
		key = held.ID.Key()
	}
	now, err := m.revocation.Confirm(ctx, key, held.Metadata().Epochs, groups...)
	if len(now.Groups) > 1 {
		for _, g := range now.Groups[1:] {
			if g.Number > 0 {
				return nil, owners.ErrExternal
			}
		}
		now.Groups = now.Groups[:2]
	}
	return now.Bytes(), err
}

// raise ends all sessions of a group, whose keys these are.
func (m *Manager) raise(ctx context.Context, groups []stores.Key) error {
	for _, key := range groups {
		if err := m.revocation.Raise(ctx, key); err != nil {
			return err
		}
	}
	m.watcher.Listed()
	return nil
}

// revokeOthersListed ends all of s's owner's sessions but s, which gets a new ID: who
// has a copy of its cookie is one of the others.
func (m *Manager) revokeOthersListed(ctx context.Context, s *Session) error {
	md := s.metadata()
	w, ok := owners.ParseOwnership(md.Owner)
	sealed := revoked.ParseEpochs(md.Epochs)
	if !ok || len(sealed.Groups) == 0 {
		return fmt.Errorf("%w: the session has no owner yet; call SetOwner at login, and commit", stores.ErrNotFound)
	}
	own := sealed.Groups[0]
	// What can't get a new ID would end with the others.
	s.mu.Lock()
	held := s.held
	err := s.mayMove()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	// Nor may who comes with a session that has ended end the others.
	if held.Exists() {
		if _, err := m.revocation.Confirm(ctx, held.ID.Key(), md.Epochs); err != nil {
			return err
		}
	}
	next, err := m.revocation.RaiseFrom(ctx, own.Key, own.Number)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.spared = func(md *envelope.Metadata) {
		if e := revoked.ParseEpochs(md.Epochs); len(e.Groups) > 0 && e.Groups[0].Key == own.Key {
			e.Groups[0].Number = next
			md.Epochs = e.Bytes()
		}
	}
	if err = s.mayMove(); err == nil {
		s.move() // which is no login, and lengthens nothing
		s.log.Edit(s.spared)
	}
	s.mu.Unlock()
	for _, key := range m.revocation.groups(w.User) {
		if key != own.Key {
			err = cmp.Or(err, m.revocation.Raise(ctx, key))
		}
	}
	return err
}

// RevokeEverything ends all sessions of the application, whoever's they are and wherever
// they are kept, at each process as soon as it has read the list: for an administrator,
// after a key was leaked or an intruder found. It needs WithRevocation, also with a
// store on a server, where it deletes nothing. A session that begins at a process that
// has not read the list yet ends as well.
func (m *Manager) RevokeEverything(ctx context.Context) error {
	if m.revocation == nil {
		return fmt.Errorf("%w: RevokeEverything needs WithRevocation", ErrConfig)
	}
	err := m.revocation.Raise(ctx, m.revocation.Everybody)
	m.watcher.Listed()
	return err
}

// ownersInList checks that owners can be known by the list where no index knows them.
func ownersInList(c Config, name string) error {
	if c.MaxSessionsPerOwner != 0 {
		return fmt.Errorf("%w: WithMaxSessionsPerOwner counts sessions, which the %s store leaves to the clients; use a store on a server", ErrConfig, name)
	}
	return nil
}
