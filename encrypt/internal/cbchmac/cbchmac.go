// Package cbchmac seals with AES-128-CBC and HMAC-SHA-256, encrypt then MAC, in
// the binary form of a Fernet token (github.com/fernet/spec):
//
//	0x80 | time in seconds (8 bytes) | IV (16 bytes) | ciphertext | HMAC (32 bytes)
//
// Package encrypt gives it a key for each binding, package fernet the key of a
// token and its text.
package cbchmac

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
)

const (
	version = 0x80
	prefix  = 1 + 8 + aes.BlockSize // what stands before the ciphertext
	minSize = prefix + aes.BlockSize + sha256.Size
)

// ErrMAC: the MAC is not that of the key.
var ErrMAC = errors.New("cbchmac: does not authenticate")

// Size returns the length of the sealed form of n bytes. PKCS #7 pads with 1 to
// 16 bytes.
func Size(n int) int { return minSize + n/aes.BlockSize*aes.BlockSize }

// IV is the first block of CBC's chain.
type IV [aes.BlockSize]byte

// NewIV draws an IV. CBC needs one that nobody can predict.
func NewIV() (iv IV) {
	rand.Read(iv[:]) // never fails: crypto/rand aborts the program instead
	return iv
}

// Key is safe for concurrent use. It has no secret in its fields, where fmt could
// find it; see encrypt.Key. The zero Key is not usable.
type Key struct {
	newMAC func() hash.Hash
	block  cipher.Block
}

// New returns the Key of 32 bytes: 16 for signing, then 16 for encryption. It keeps
// no reference to them.
func New(key []byte) (*Key, error) {
	block, err := aes.NewCipher(key[16:])
	if err != nil {
		return nil, err
	}
	signing := bytes.Clone(key[:16])
	newMAC := func() hash.Hash { return hmac.New(sha256.New, signing) }
	return &Key{newMAC, block}, nil
}

// Seal appends the sealed form of plaintext to dst. Where dst has room for it,
// the plaintext may lie where the form goes, at dst[len(dst):].
func (k *Key) Seal(dst, plaintext []byte, unix int64, iv IV) []byte {
	start := len(dst)
	body := start + prefix
	dst = slices.Grow(dst, Size(len(plaintext)))
	dst = append(dst[:body], plaintext...) // before the rest takes its place
	dst[start] = version
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

// Open appends the plaintext to dst, or with inPlace puts it where its ciphertext
// is, and returns the time of sealing too. What another key has sealed, or what was
// changed, is [ErrMAC]; any other error tells what is wrong with the form.
//
// Nothing is decrypted before the MAC is verified, and so an attacker learns
// nothing from how the padding is checked.
func (k *Key) Open(dst, sealed []byte, inPlace bool) (plaintext []byte, unix uint64, err error) {
	if err := checkForm(sealed); err != nil {
		return nil, 0, err
	}
	signed, sum := sealed[:len(sealed)-sha256.Size], sealed[len(sealed)-sha256.Size:]
	mac := k.newMAC()
	mac.Write(signed)
	if !hmac.Equal(mac.Sum(nil), sum) {
		return nil, 0, ErrMAC
	}

	iv, ciphertext := signed[prefix-aes.BlockSize:prefix], signed[prefix:]
	if inPlace {
		dst = ciphertext[:0]
	}
	start := len(dst)
	dst = slices.Grow(dst, len(ciphertext))[:start+len(ciphertext)]
	cipher.NewCBCDecrypter(k.block, iv).CryptBlocks(dst[start:], ciphertext)

	end := len(dst) - paddingSize(dst[start:])
	if end == len(dst) {
		return nil, 0, errors.New("wrong padding, made by who has the key")
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

// checkForm needs no key.
func checkForm(sealed []byte) error {
	switch {
	case len(sealed) < minSize:
		return fmt.Errorf("too short by %d bytes", minSize-len(sealed))
	case (len(sealed)-minSize)%aes.BlockSize != 0:
		return errors.New("the ciphertext does not end with a block")
	case sealed[0] != version:
		return fmt.Errorf("Fernet version %#x is unknown", sealed[0])
	}
	return nil
}
