package encrypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"time"
)

var fernet = &algorithm{3, "Fernet", func(key []byte) (sealer, error) {
	k, err := newFernetKey(key)
	if err != nil {
		return nil, err
	}
	return fernetSealer{k}, nil
}}

// NewFernet returns a ring that seals with AES-128-CBC and HMAC-SHA-256, in the
// layout of a Fernet token, for those whose rules ask for these primitives. What
// it makes is no Fernet token: it is binary, has this package's header, and is
// sealed under a key that depends on the binding. For tokens that other systems
// read, use [FernetTokens].
//
// The time of sealing is readable in the sealed bytes, as in every Fernet
// token; Decrypt does not look at it.
//
// The keys are as in [NewAESGCM].
func NewFernet(keys ...Key) (*Keyring, error) { return newKeyring(fernet, keys) }

type fernetSealer struct {
	key *fernetKey
}

func (s fernetSealer) size(n int) int { return fernetSize(n) }

func (s fernetSealer) seal(dst, plaintext []byte) []byte {
	return s.key.seal(dst, plaintext, time.Now().Unix(), newIV())
}

func (s fernetSealer) open(dst, sealed []byte, inPlace bool) ([]byte, error) {
	plaintext, _, err := s.key.open(dst, sealed, inPlace)
	return plaintext, err
}

// The layout of a Fernet token before it becomes text
// (github.com/fernet/spec):
//
//	0x80 | time in seconds (8 bytes) | IV (16 bytes) | ciphertext | HMAC (32 bytes)
const (
	fernetVersion = 0x80
	fernetPrefix  = 1 + 8 + aes.BlockSize // what stands before the ciphertext
	fernetMinSize = fernetPrefix + aes.BlockSize + sha256.Size
)

// fernetSize returns the size of the token of n bytes. PKCS #7 pads with 1 to
// 16 bytes.
func fernetSize(n int) int {
	return fernetMinSize + n/aes.BlockSize*aes.BlockSize
}

// fernetKey is a Fernet key: 16 bytes for signing, then 16 for encryption. It
// has neither of them in its fields, where fmt could find them; see Key.
type fernetKey struct {
	newMAC func() hash.Hash
	block  cipher.Block
}

func newFernetKey(key []byte) (*fernetKey, error) {
	block, err := aes.NewCipher(key[16:])
	if err != nil {
		return nil, err
	}
	signing := bytes.Clone(key[:16])
	newMAC := func() hash.Hash { return hmac.New(sha256.New, signing) }
	return &fernetKey{newMAC, block}, nil
}

// newIV draws an IV. CBC needs one that nobody can predict.
func newIV() (iv [aes.BlockSize]byte) {
	rand.Read(iv[:]) // never fails: crypto/rand aborts the program instead
	return iv
}

// seal appends the token of plaintext to dst.
func (k *fernetKey) seal(dst, plaintext []byte, unix int64, iv [aes.BlockSize]byte) []byte {
	start := len(dst)
	body := start + fernetPrefix
	dst = slices.Grow(dst, fernetSize(len(plaintext)))
	dst = append(dst[:body], plaintext...) // before the rest takes its place
	dst[start] = fernetVersion
	binary.BigEndian.PutUint64(dst[start+1:], uint64(unix))
	copy(dst[start+1+8:], iv[:])

	padding := aes.BlockSize - len(plaintext)%aes.BlockSize
	for range padding {
		dst = append(dst, byte(padding))
	}
	cipher.NewCBCEncrypter(k.block, iv[:]).CryptBlocks(dst[body:], dst[body:])

	mac := k.newMAC()
	mac.Write(dst[start:])
	return mac.Sum(dst)
}

// open appends the plaintext of token to dst, or with inPlace puts it where its
// ciphertext is, and returns the token's time too.
// Nothing is decrypted before the MAC is verified, and so an attacker learns
// nothing from how the padding is checked.
func (k *fernetKey) open(dst, token []byte, inPlace bool) (plaintext []byte, unix uint64, err error) {
	if err := checkFernetForm(token); err != nil {
		return nil, 0, err
	}
	signed, sum := token[:len(token)-sha256.Size], token[len(token)-sha256.Size:]
	mac := k.newMAC()
	mac.Write(signed)
	if !hmac.Equal(mac.Sum(nil), sum) {
		return nil, 0, ErrTampered
	}

	iv, ciphertext := signed[fernetPrefix-aes.BlockSize:fernetPrefix], signed[fernetPrefix:]
	if inPlace {
		dst = ciphertext[:0]
	}
	start := len(dst)
	dst = slices.Grow(dst, len(ciphertext))[:start+len(ciphertext)]
	cipher.NewCBCDecrypter(k.block, iv).CryptBlocks(dst[start:], ciphertext)

	end := len(dst) - paddingSize(dst[start:])
	if end == len(dst) {
		return nil, 0, fmt.Errorf("%w: wrong padding, made by who has the key", ErrMalformed)
	}
	return dst[:end], binary.BigEndian.Uint64(signed[1:]), nil
}

// paddingSize returns the number of bytes that PKCS #7 has put behind a text, or
// 0 where the padding is wrong. blocks is not empty.
func paddingSize(blocks []byte) int {
	last := blocks[len(blocks)-1]
	n := int(last)
	if n > aes.BlockSize {
		return 0
	}
	for _, b := range blocks[len(blocks)-n:] {
		if b != last {
			return 0
		}
	}
	return n
}

// checkFernetForm needs no key.
func checkFernetForm(token []byte) error {
	switch {
	case len(token) < fernetMinSize:
		return fmt.Errorf("%w: too short by %d bytes", ErrMalformed, fernetMinSize-len(token))
	case (len(token)-fernetMinSize)%aes.BlockSize != 0:
		return fmt.Errorf("%w: the ciphertext does not end with a block", ErrMalformed)
	case token[0] != fernetVersion:
		return fmt.Errorf("%w: Fernet version %#x is unknown", ErrMalformed, token[0])
	}
	return nil
}
