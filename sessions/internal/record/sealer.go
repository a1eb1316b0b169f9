// Package record knows how a session's record looks where it is kept: sealed for a
// server, for the client or as a copy, or ended, with a stub in its place.
package record

import (
	"errors"
	"fmt"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions/internal/token"
)

// ErrUnreadable: there is a record that does not open. The key that sealed it is
// not in the ring, or the record was changed where it is kept. It is left as it is.
var ErrUnreadable = errors.New("sessions: the stored record does not open; is the key that sealed it still in the ring?")

// Sealer seals and opens the records of one application's cookie.
type Sealer struct {
	encryptor encrypt.Encryptor // nil: records are not sealed
	layout    envelope.Layout   // nil: Bulla's own
	prefixes  [3][]byte         // of the bindings, by Domain
}

// NewSealer returns a sealer. A serializer that is a Layout lays records out.
func NewSealer(e encrypt.Encryptor, s serialize.Serializer, audience, name string) *Sealer {
	layout, _ := s.(envelope.Layout)
	return &Sealer{e, layout, [3][]byte{
		BindingPrefix(serverDomain, audience, name),
		BindingPrefix(clientDomain, audience, name),
		BindingPrefix(copyDomain, audience, name),
	}}
}

// Encrypts tells whether records are sealed at all.
func (s *Sealer) Encrypts() bool { return s.encryptor != nil }

// Marked tells whether a mark that is not there proves that its commit was not
// carried out.
func (s *Sealer) Marked() bool { return s.layout == nil || s.layout.KeepsMarks() }

// Bind returns what opens and seals one session's records in a domain, or nil where
// records are not sealed.
func (s *Sealer) Bind(domain Domain, id token.ID) (encrypt.Bound, error) {
	if s.encryptor == nil {
		return nil, nil
	}
	return s.BindTo(s.binding(domain, id))
}

// BindTo is Bind for another binding.
func (s *Sealer) BindTo(binding []byte) (encrypt.Bound, error) {
	if s.encryptor == nil {
		return nil, nil
	}
	if b, ok := s.encryptor.(encrypt.Binder); ok {
		return b.Bind(binding)
	}
	return &binder{s.encryptor, binding}, nil
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

// Seal joins env for a domain and seals it with bound, which may be nil.
func (s *Sealer) Seal(bound encrypt.Bound, domain Domain, env envelope.Envelope) ([]byte, error) {
	join := envelope.Join
	if s.layout != nil && domain != Copy { // a copy is nobody's but ours
		join = s.layout.Join
	}
	plain, err := join(nil, env)
	if err != nil || bound == nil {
		return plain, err
	}
	return bound.Seal(plain)
}

// ErrSplit wraps the error of a record that was authentic, and yet is not one that
// this program can read: a later version's, in a rolling deployment.
var ErrSplit = errors.New("the record is authentic, but of a form that this program does not know")

// Open opens data with bound and takes it apart. data is lost. retired tells that
// it was sealed under another key or algorithm than Seal uses now.
func (s *Sealer) Open(bound encrypt.Bound, domain Domain, data []byte) (env envelope.Envelope, retired bool, err error) {
	if bound != nil {
		if r, ok := s.encryptor.(encrypt.Rotator); ok {
			retired = r.Retired(data)
		}
		if data, err = bound.Open(data); err != nil {
			return env, false, err
		}
	}
	split := envelope.Split
	if s.layout != nil && domain != Copy {
		split = s.layout.Split
	}
	if env, err = split(data); err != nil {
		err = fmt.Errorf("%w: %w", ErrSplit, err)
	}
	return env, retired, err
}
