package encrypt

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// Bind returns an Encryptor for one binding, which derives each key in use once;
// see [Binder].
func (r *Keyring) Bind(binding []byte) (Encryptor, error) {
	if err := r.check(binding); err != nil {
		return nil, err
	}
	return &bound{r, &boundSecrets{
		binding: bytes.Clone(binding),
		sealers: make([]sealer, len(r.entries)),
	}}, nil
}

// bound is a Keyring for one binding. Its secrets, among them a session's ID,
// stand behind a pointer of their own for the reason that Key gives.
type bound struct {
	ring    *Keyring
	secrets *boundSecrets
}

type boundSecrets struct {
	binding []byte

	mu      sync.Mutex
	sealers []sealer // one for each entry of the ring, nil until it is needed
}

func (b *bound) sealer(i int) (sealer, error) {
	b.secrets.mu.Lock()
	defer b.secrets.mu.Unlock()
	if s := b.secrets.sealers[i]; s != nil {
		return s, nil
	}
	s, err := b.ring.entries[i].derive(b.secrets.binding)
	if err != nil {
		return nil, err
	}
	b.secrets.sealers[i] = s
	return s, nil
}

func (b *bound) Encrypt(dst, plaintext, _ []byte) ([]byte, error) {
	s, err := b.sealer(0)
	if err != nil {
		return nil, err
	}
	return b.ring.entries[0].seal(s, dst, plaintext), nil
}

func (b *bound) Decrypt(dst, ciphertext, _ []byte) ([]byte, error) {
	i, err := b.ring.find(ciphertext)
	if err != nil {
		return nil, err
	}
	s, err := b.sealer(i)
	if err != nil {
		return nil, err
	}
	return s.open(dst, ciphertext[headerSize:])
}

// Format shows neither the binding nor a key.
func (b *bound) Format(f fmt.State, _ rune) { io.WriteString(f, "encrypt.Keyring(bound)") }
