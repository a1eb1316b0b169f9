package encrypt

import (
	"fmt"
	"io"
	"slices"
	"sync"
)

// Bind returns a [Bound] that derives each key in use once. It is safe for
// concurrent use.
func (r *Keyring) Bind(binding []byte) (Bound, error) {
	if err := r.check(binding); err != nil {
		return nil, err
	}
	box := new(struct { // one allocation for both
		bound
		boundSecrets
	})
	box.binding = append(box.array[:0], binding...)
	box.bound = bound{r, &box.boundSecrets}
	return &box.bound, nil
}

// bound is a Keyring for one binding. Its secrets, among them a session's ID,
// stand behind a pointer of their own for the reason that Key gives.
type bound struct {
	ring    *Keyring
	secrets *boundSecrets
}

type boundSecrets struct {
	array   [96]byte // where binding lies, if it fits
	binding []byte

	mu      sync.Mutex
	first   sealer   // of the ring's first entry, nil until it is needed
	retired []sealer // of each other entry
}

// sealer returns the sealer of the ring's entry i.
func (b *bound) sealer(i int) (sealer, error) {
	b.secrets.mu.Lock()
	defer b.secrets.mu.Unlock()
	place := &b.secrets.first
	if i > 0 {
		if b.secrets.retired == nil {
			b.secrets.retired = make([]sealer, len(b.ring.entries)-1)
		}
		place = &b.secrets.retired[i-1]
	}
	if *place == nil {
		s, err := b.ring.entries[i].derive(b.secrets.binding)
		if err != nil {
			return nil, err
		}
		*place = s
	}
	return *place, nil
}

func (b *bound) Seal(plaintext []byte) ([]byte, error) {
	s, err := b.sealer(0)
	if err != nil {
		return nil, err
	}
	e, n := b.ring.entries[0], len(plaintext)
	sealed := slices.Grow(plaintext, headerSize+s.size(n)-n)
	// The plaintext makes room for the header.
	plaintext = append(sealed[:headerSize], plaintext...)[headerSize:]
	return s.seal(append(sealed[:0], e.header[:]...), plaintext), nil
}

func (b *bound) Open(ciphertext []byte) ([]byte, error) {
	i, err := b.ring.find(ciphertext)
	if err != nil {
		return nil, err
	}
	s, err := b.sealer(i)
	if err != nil {
		return nil, err
	}
	return s.open(nil, ciphertext[headerSize:], true)
}

// Format shows neither the binding nor a key.
func (b *bound) Format(f fmt.State, _ rune) { io.WriteString(f, "encrypt.Keyring(bound)") }
