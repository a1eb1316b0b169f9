// Package encrypttest proves that an [encrypt.Encryptor] keeps the contract.
//
// Call [Run] from a test of your own:
//
//	func TestEncryptor(t *testing.T) {
//		encrypttest.Run(t, func() encrypt.Encryptor { return newMyEncryptor() })
//	}
//
// Run it with the race detector, which is what finds faults of concurrent use.
package encrypttest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/bulla-go/bulla/encrypt"
)

// Run tests the rules of [encrypt.Encryptor], each as a subtest with a fresh
// Encryptor from newEncryptor. Where the Encryptor is an [encrypt.Binder], it
// tests them through Bind too; where it is an [encrypt.Rotator], it tests that
// what it has just made is not retired.
func Run(t *testing.T, newEncryptor func() encrypt.Encryptor) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.check(newEncryptor()); err != nil {
				t.Error(err)
			}
		})
	}
	if _, ok := newEncryptor().(encrypt.Rotator); ok {
		t.Run("Rotator", func(t *testing.T) {
			if err := checkRotator(newEncryptor()); err != nil {
				t.Error(err)
			}
		})
	}
	if _, ok := newEncryptor().(encrypt.Binder); ok {
		t.Run("Binder", func(t *testing.T) {
			if err := checkBinder(newEncryptor()); err != nil {
				t.Error(err)
			}
			for _, r := range rules {
				t.Run(r.name, func(t *testing.T) {
					if err := r.check(rebinder{newEncryptor().(encrypt.Binder)}); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// rules are in the order of the contract. A check returns the first fault that
// it finds.
var rules = []struct {
	name  string
	check func(encrypt.Encryptor) error
}{
	{"1 appends to dst", checkAppend},
	{"1 returns nil on an error", checkNilOnError},
	{"2 opens what it sealed", checkRoundTrip},
	{"2 refuses another binding", checkOtherBinding},
	{"2 refuses every changed bit", checkBits},
	{"3 refuses every truncation and extension", checkLengths},
	{"3 refuses random bytes", checkRandomBytes},
	{"4 refuses an empty binding", checkEmptyBinding},
	{"5 never makes the same ciphertext twice", checkFresh},
	{"5 hides the plaintext", checkHidden},
	{"6 leaves its arguments alone", checkArguments},
	{"6 keeps no reference", checkReferences},
	{"7 is safe for concurrent use", checkConcurrent},
}

// arguments returns new slices each time: a faulty Encryptor may write to them.
func arguments() (plain, binding []byte) {
	return []byte("a plaintext of some length, over two blocks of AES"), []byte("what it belongs to")
}

// refusal returns a fault unless Decrypt gave an error of rule 3 and no bytes.
func refusal(got []byte, err error) error {
	switch {
	case err == nil:
		return errors.New("Decrypt accepted it")
	case got != nil:
		return errors.New("Decrypt returned bytes beside its error")
	case !errors.Is(err, encrypt.ErrTampered) && !errors.Is(err, encrypt.ErrMalformed) && !errors.Is(err, encrypt.ErrUnknownKey):
		return fmt.Errorf("Decrypt's error wraps none of ErrTampered, ErrMalformed, ErrUnknownKey: %v", err)
	}
	return nil
}

// rebinder is an Encryptor that binds anew for each call.
type rebinder struct {
	encrypt.Binder
}

func (r rebinder) Encrypt(dst, plaintext, binding []byte) ([]byte, error) {
	e, err := r.Bind(binding)
	if err != nil {
		return nil, err
	}
	return unbound{e}.Encrypt(dst, plaintext, nil)
}

func (r rebinder) Decrypt(dst, ciphertext, binding []byte) ([]byte, error) {
	e, err := r.Bind(binding)
	if err != nil {
		return nil, err
	}
	return unbound{e}.Decrypt(dst, ciphertext, nil)
}
