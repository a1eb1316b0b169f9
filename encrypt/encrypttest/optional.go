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
	for _, garbage := range [][]byte{nil, {0}, sealed[:len(sealed)/2], make([]byte, 64)} {
		e.(encrypt.Rotator).Retired(garbage) // must not panic
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

	// With every amount of room that it may or may not need.
	for room := range 128 {
		given := append(make([]byte, 0, len(plain)+room), plain...)
		sealed, err := bound.Seal(given)
		if err != nil {
			return fmt.Errorf("Seal: %w", err)
		}
		if got, err := e.Decrypt(nil, sealed, binding); err != nil || !bytes.Equal(got, plain) {
			return fmt.Errorf("Decrypt of what Seal made: got %q and the error %v", got, err)
		}
	}
	for range 2 {
		sealed, err := e.Encrypt(nil, plain, binding)
		if err != nil {
			return fmt.Errorf("Encrypt: %w", err)
		}
		got, err := bound.Open(sealed)
		if err != nil || !bytes.Equal(got, plain) {
			return fmt.Errorf("Open: got %q and the error %v", got, err)
		}
		if sealed, err = bound.Seal(got); err != nil {
			return fmt.Errorf("Seal of what Open returned: %w", err)
		}
		if got, err := e.Decrypt(nil, sealed, binding); err != nil || !bytes.Equal(got, plain) {
			return fmt.Errorf("Decrypt of what Seal made of what Open returned: got %q and the error %v", got, err)
		}
	}

	sealed, err := e.Encrypt(nil, plain, []byte("another binding"))
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	if err := refusal(bound.Open(sealed)); err != nil {
		return fmt.Errorf("Open of what belongs to another binding: %w", err)
	}
	if err := checkFresh(unbound{bound}); err != nil {
		return fmt.Errorf("bound: %w", err)
	}

	// A new one, so that the goroutines meet while it derives its keys.
	bound, err = e.(encrypt.Binder).Bind(binding)
	if err != nil {
		return fmt.Errorf("Bind: %w", err)
	}
	return checkConcurrent(unbound{bound})
}

// unbound makes an Encryptor of a Bound. It copies what the Bound may overwrite.
type unbound struct {
	bound encrypt.Bound
}

func (u unbound) Encrypt(dst, plaintext, _ []byte) ([]byte, error) {
	return appended(dst)(u.bound.Seal(bytes.Clone(plaintext)))
}

func (u unbound) Decrypt(dst, ciphertext, _ []byte) ([]byte, error) {
	return appended(dst)(u.bound.Open(bytes.Clone(ciphertext)))
}

func appended(dst []byte) func([]byte, error) ([]byte, error) {
	return func(b []byte, err error) ([]byte, error) {
		if err != nil {
			return b, err
		}
		return append(dst, b...), nil
	}
}
