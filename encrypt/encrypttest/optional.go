package encrypttest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/bulla-go/bulla/encrypt"
)

// checkRotator tests e, an [encrypt.Rotator].
func checkRotator(e encrypt.Encryptor) error {
	plain, binding := arguments()
	sealed, err := e.Encrypt(nil, plain, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	if e.(encrypt.Rotator).Retired(sealed) {
		return errors.New("Retired says so of what Encrypt has just made")
	}
	return nil
}

// checkBinder tests e, an [encrypt.Binder], for what the rules do not see: that
// the bound Encryptor and e understand each other, and that one bound Encryptor
// keeps its binding through many calls.
func checkBinder(e encrypt.Encryptor) error {
	plain, binding := arguments()
	for _, empty := range [][]byte{nil, {}} {
		if _, err := e.(encrypt.Binder).Bind(empty); !errors.Is(err, encrypt.ErrNoBinding) {
			return fmt.Errorf("Bind to nothing: got the error %v, want ErrNoBinding", err)
		}
	}

	b := bytes.Clone(binding)
	bound, err := e.(encrypt.Binder).Bind(b)
	if err != nil {
		return fmt.Errorf("Bind: %w", err)
	}
	clear(b) // Bind must have kept a copy

	sealed, err := bound.Encrypt(nil, plain, ignored)
	if err != nil {
		return fmt.Errorf("Encrypt, bound: %w", err)
	}
	if got, err := e.Decrypt(nil, sealed, binding); err != nil || !bytes.Equal(got, plain) {
		return fmt.Errorf("Decrypt of what the bound Encryptor made: got %q and the error %v", got, err)
	}
	sealed, err = e.Encrypt(nil, plain, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	for range 2 {
		if got, err := bound.Decrypt(nil, sealed, ignored); err != nil || !bytes.Equal(got, plain) {
			return fmt.Errorf("Decrypt, bound: got %q and the error %v", got, err)
		}
	}

	sealed, err = e.Encrypt(nil, plain, ignored)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	if err := refusal(bound.Decrypt(nil, sealed, ignored)); err != nil {
		return fmt.Errorf("bound, given what belongs to another binding: %w", err)
	}
	if err := checkFresh(alwaysBound{bound}); err != nil {
		return fmt.Errorf("bound: %w", err)
	}

	// A new one, so that the goroutines meet while it derives its keys.
	bound, err = e.(encrypt.Binder).Bind(binding)
	if err != nil {
		return fmt.Errorf("Bind: %w", err)
	}
	return checkConcurrent(alwaysBound{bound})
}

// alwaysBound gives the bound Encryptor no binding at all.
type alwaysBound struct {
	bound encrypt.Encryptor
}

func (a alwaysBound) Encrypt(dst, plaintext, _ []byte) ([]byte, error) {
	return a.bound.Encrypt(dst, plaintext, nil)
}

func (a alwaysBound) Decrypt(dst, ciphertext, _ []byte) ([]byte, error) {
	return a.bound.Decrypt(dst, ciphertext, nil)
}
