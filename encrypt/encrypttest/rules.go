package encrypttest

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/bulla-go/bulla/encrypt"
)

func checkAppend(e encrypt.Encryptor) error {
	plain, binding := arguments()
	prefix := []byte("prefix")
	for _, spare := range []int{0, 1, 64, 4096} {
		dst := func() []byte { return append(make([]byte, 0, len(prefix)+spare), prefix...) }

		sealed, err := e.Encrypt(dst(), plain, binding)
		if err != nil {
			return fmt.Errorf("Encrypt: %w", err)
		}
		if !bytes.HasPrefix(sealed, prefix) {
			return fmt.Errorf("Encrypt with %d bytes of spare capacity in dst did not append", spare)
		}
		opened, err := e.Decrypt(dst(), sealed[len(prefix):], binding)
		if err != nil {
			return fmt.Errorf("Decrypt of what Encrypt appended: %w", err)
		}
		if !bytes.Equal(opened, append(dst(), plain...)) {
			return fmt.Errorf("Decrypt with %d bytes of spare capacity in dst did not append the plaintext", spare)
		}
	}
	return nil
}

func checkNilOnError(e encrypt.Encryptor) error {
	plain, binding := arguments()
	if got, err := e.Encrypt([]byte("prefix"), plain, nil); err == nil || got != nil {
		return fmt.Errorf("Encrypt without a binding: got %d bytes and the error %v, want nil and an error", len(got), err)
	}
	sealed, err := e.Encrypt(nil, plain, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	sealed[len(sealed)-1] ^= 1
	return refusal(e.Decrypt([]byte("prefix"), sealed, binding))
}

func checkRoundTrip(e encrypt.Encryptor) error {
	_, binding := arguments()
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 255, 4096, 64 << 10} {
		want := bytes.Repeat([]byte{'x'}, n)
		sealed, err := e.Encrypt(nil, want, binding)
		if err != nil {
			return fmt.Errorf("Encrypt of %d bytes: %w", n, err)
		}
		got, err := e.Decrypt(nil, sealed, binding)
		if err != nil {
			return fmt.Errorf("Decrypt of %d bytes: %w", n, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%d bytes came back changed", n)
		}
	}
	return nil
}

func checkOtherBinding(e encrypt.Encryptor) error {
	plain, binding := arguments()
	sealed, err := e.Encrypt(nil, plain, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	others := [][]byte{
		binding[:len(binding)-1],
		binding[1:],
		append(bytes.Clone(binding), 0),
		append([]byte{0}, binding...),
		append(bytes.Clone(binding), binding...),
		{0},
	}
	for bit := range len(binding) * 8 {
		others = append(others, flip(binding, bit))
	}
	for _, other := range others {
		if err := refusal(e.Decrypt(nil, sealed, other)); err != nil {
			return fmt.Errorf("sealed with binding %q, opened with %q: %w", binding, other, err)
		}
	}
	return nil
}

// flip returns a copy of b with one bit changed.
func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

func checkBits(e encrypt.Encryptor) error {
	plain, binding := arguments()
	for _, want := range [][]byte{nil, []byte("x"), plain} {
		sealed, err := e.Encrypt(nil, want, binding)
		if err != nil {
			return fmt.Errorf("Encrypt: %w", err)
		}
		for bit := range len(sealed) * 8 {
			if err := refusal(e.Decrypt(nil, flip(sealed, bit), binding)); err != nil {
				return fmt.Errorf("bit %d of %d changed: %w", bit, len(sealed)*8, err)
			}
		}
	}
	return nil
}

func checkLengths(e encrypt.Encryptor) error {
	plain, binding := arguments()
	sealed, err := e.Encrypt(nil, plain, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	for n := range sealed {
		if err := refusal(e.Decrypt(nil, sealed[:n], binding)); err != nil {
			return fmt.Errorf("cut after %d of %d bytes: %w", n, len(sealed), err)
		}
		if err := refusal(e.Decrypt(nil, sealed[n+1:], binding)); err != nil {
			return fmt.Errorf("without its first %d bytes: %w", n+1, err)
		}
	}
	for _, n := range []int{1, 15, 16, 32, 64} {
		longer := append(bytes.Clone(sealed), make([]byte, n)...)
		if err := refusal(e.Decrypt(nil, longer, binding)); err != nil {
			return fmt.Errorf("with %d bytes more: %w", n, err)
		}
	}
	return nil
}

// checkRandomBytes goes up to 64 KiB. Behind the first bytes of a genuine
// ciphertext, which may be a header, random bytes get further.
func checkRandomBytes(e encrypt.Encryptor) error {
	plain, binding := arguments()
	rng := rand.NewChaCha8([32]byte{})
	sealed, err := e.Encrypt(nil, plain, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	const most = 64 << 10
	for n := 0; n <= most; n += 1 + n/8 {
		for kept := 0; kept <= min(n, 32); kept++ {
			b := make([]byte, n)
			rng.Read(b)
			copy(b, sealed[:min(kept, len(sealed))])
			if err := refusal(e.Decrypt(nil, b, binding)); err != nil {
				return fmt.Errorf("%d random bytes, the first %d from a ciphertext: %w", n, kept, err)
			}
		}
	}
	b := make([]byte, most)
	rng.Read(b)
	return refusal(e.Decrypt(nil, b, binding))
}

func checkEmptyBinding(e encrypt.Encryptor) error {
	plain, binding := arguments()
	sealed, err := e.Encrypt(nil, plain, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	for _, empty := range [][]byte{nil, {}} {
		if _, err := e.Encrypt(nil, plain, empty); !errors.Is(err, encrypt.ErrNoBinding) {
			return fmt.Errorf("Encrypt: got the error %v, want ErrNoBinding", err)
		}
		if _, err := e.Decrypt(nil, sealed, empty); !errors.Is(err, encrypt.ErrNoBinding) {
			return fmt.Errorf("Decrypt: got the error %v, want ErrNoBinding", err)
		}
	}
	return nil
}

func checkFresh(e encrypt.Encryptor) error {
	plain, binding := arguments()
	for _, want := range [][]byte{nil, {}, plain} {
		seen := make(map[string]bool)
		for range 100 {
			sealed, err := e.Encrypt(nil, want, binding)
			if err != nil {
				return fmt.Errorf("Encrypt of %d bytes: %w", len(want), err)
			}
			if seen[string(sealed)] {
				return fmt.Errorf("two ciphertexts of one plaintext of %d bytes are the same", len(want))
			}
			seen[string(sealed)] = true
		}
	}
	return nil
}

// checkHidden finds what does not encrypt: what only signs, encodes or compresses,
// and what encrypts everything with the same bytes. It can't find weak ciphers, which
// nothing that looks at ciphertexts can.
func checkHidden(e encrypt.Encryptor) error {
	_, binding := arguments()
	zeros, noise := make([]byte, 32<<10), make([]byte, 32<<10)
	rand.NewChaCha8([32]byte{}).Read(noise)

	// Random bytes don't compress, in hexadecimal they do to a little over half.
	sealed, err := e.Encrypt(nil, zeros, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	if small := compressed(sealed); small < len(sealed)/2 {
		return fmt.Errorf("the ciphertext of %d zeros is no noise: its %d bytes compress to %d", len(zeros), len(sealed), small)
	}
	// Of random bytes one in 256 is by chance what another is, one in 16 in
	// hexadecimal.
	once, err := e.Encrypt(nil, noise, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	twice, err := e.Encrypt(nil, noise, binding)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	same, size := 0, min(len(once), len(twice))
	for i := range size {
		if once[i] == twice[i] {
			same++
		}
	}
	if same > size/8 {
		return fmt.Errorf("two ciphertexts of the same %d bytes have %d of %d bytes in common", len(noise), same, size)
	}
	return nil
}

func compressed(b []byte) int {
	var buf bytes.Buffer
	w, _ := flate.NewWriter(&buf, flate.BestSpeed) // the level is a valid one
	w.Write(b)                                     // a Buffer takes everything
	w.Close()
	return buf.Len()
}

// guarded returns a copy of b with spare capacity, and a function that tells
// whether the copy or the bytes behind it have changed.
func guarded(b []byte) ([]byte, func() bool) {
	whole := append(bytes.Clone(b), bytes.Repeat([]byte{0xA5}, 128)...)
	before := bytes.Clone(whole)
	return whole[:len(b)], func() bool { return !bytes.Equal(whole, before) }
}

func checkArguments(e encrypt.Encryptor) error {
	plain, binding := arguments()
	p, plainChanged := guarded(plain)
	b, bindingChanged := guarded(binding)
	dst := append(make([]byte, 0, 4096), "prefix"...)
	sealed, err := e.Encrypt(dst, p, b)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	if string(dst) != "prefix" {
		return errors.New("Encrypt changed dst within its length")
	}
	c, sealedChanged := guarded(sealed[len(dst):])
	if _, err := e.Decrypt(dst, c, b); err != nil {
		return fmt.Errorf("Decrypt: %w", err)
	}
	c[len(c)-1] ^= 1
	_, err = e.Decrypt(dst, c, b)
	c[len(c)-1] ^= 1
	if err == nil {
		return errors.New("Decrypt accepted a changed bit")
	}
	switch {
	case plainChanged():
		return errors.New("the plaintext, or what lies behind it, was changed")
	case sealedChanged():
		return errors.New("the ciphertext, or what lies behind it, was changed")
	case bindingChanged():
		return errors.New("the binding, or what lies behind it, was changed")
	case string(dst) != "prefix":
		return errors.New("Decrypt changed dst within its length")
	}
	return nil
}

func checkReferences(e encrypt.Encryptor) error {
	plain, binding := arguments()
	p, b := bytes.Clone(plain), bytes.Clone(binding)
	sealed, err := e.Encrypt(nil, p, b)
	if err != nil {
		return fmt.Errorf("Encrypt: %w", err)
	}
	clear(p)
	clear(b)
	c, b := bytes.Clone(sealed), bytes.Clone(binding)
	opened, err := e.Decrypt(nil, c, b)
	if err != nil {
		return fmt.Errorf("Decrypt, after Encrypt's arguments were overwritten: %w", err)
	}
	clear(c)
	clear(b)
	if !bytes.Equal(opened, plain) {
		return errors.New("Decrypt's result changed with its arguments")
	}
	clear(opened)
	if again, err := e.Decrypt(nil, sealed, binding); err != nil || !bytes.Equal(again, plain) {
		return fmt.Errorf("Decrypt, after its first result was overwritten: got %q and the error %v", again, err)
	}
	return nil
}

func checkConcurrent(e encrypt.Encryptor) error {
	const goroutines = 8
	faults := make([]error, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() { faults[g] = churn(e, fmt.Appendf(nil, "binding %d", g)) })
	}
	wg.Wait()
	return errors.Join(faults...)
}

func churn(e encrypt.Encryptor, binding []byte) error {
	for i := range 50 {
		want := fmt.Appendf(nil, "plaintext %d of %s", i, binding)
		sealed, err := e.Encrypt(nil, want, binding)
		if err != nil {
			return fmt.Errorf("Encrypt: %w", err)
		}
		got, err := e.Decrypt(nil, sealed, binding)
		if err != nil {
			return fmt.Errorf("Decrypt: %w", err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("got %q, want %q", got, want)
		}
	}
	return nil
}
