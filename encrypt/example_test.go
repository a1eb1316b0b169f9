package encrypt_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/bulla-go/bulla/encrypt"
)

func Example() {
	key, err := encrypt.ParseKey(os.Getenv("SESSION_KEY"))
	if err != nil {
		key = encrypt.GenerateKey() // for this example; a server must stop here
	}
	enc, err := encrypt.NewAESGCM(key)
	if err != nil {
		fmt.Println(err)
		return
	}

	sealed, err := enc.Encrypt(nil, []byte("visits=1"), []byte("session 42"))
	if err != nil {
		fmt.Println(err)
		return
	}
	plaintext, err := enc.Decrypt(nil, sealed, []byte("session 42"))
	fmt.Printf("%s %v\n", plaintext, err)

	// Sealed bytes that were moved elsewhere do not open.
	_, err = enc.Decrypt(nil, sealed, []byte("session 43"))
	fmt.Println(errors.Is(err, encrypt.ErrTampered))

	// Output:
	// visits=1 <nil>
	// true
}

func ExampleParseKey() {
	// 32 random bytes, from: openssl rand -base64 32
	key, err := encrypt.ParseKey("d2XfuQVEL1c1Gl5CSz7Y0rMK6IJfNqtqXYHhX7mCCwE=\n")
	fmt.Println(key.ID(), err)

	_, err = encrypt.ParseKey("hunter2")
	fmt.Println(errors.Is(err, encrypt.ErrInvalidKey))

	// Output:
	// 8fbf5fb9 <nil>
	// true
}

// A key shows its ID and nothing else, however it is printed.
func ExampleKey() {
	key, err := encrypt.ParseKey("d2XfuQVEL1c1Gl5CSz7Y0rMK6IJfNqtqXYHhX7mCCwE=")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v %x %#v\n", key, key, key)

	attr := slog.Any("key", struct{ Current encrypt.Key }{key})
	text, err := json.Marshal(map[string]any{"key": key})
	fmt.Printf("%v\n%s %v\n", attr, text, err)

	// Output:
	// encrypt.Key(id 8fbf5fb9) encrypt.Key(id 8fbf5fb9) encrypt.Key(id 8fbf5fb9)
	// key={encrypt.Key(id 8fbf5fb9)}
	// {"key":"encrypt.Key(id 8fbf5fb9)"} <nil>
}

// A program that makes a key for a secret store.
func ExampleKey_ExportSecret() {
	text := encrypt.GenerateKey().ExportSecret()
	_, err := encrypt.ParseKey(text)
	fmt.Println(len(text), err)
	// Output: 43 <nil>
}

// To rotate, put the new key in front.
func ExampleKeyring() {
	older, newer := encrypt.GenerateKey(), encrypt.GenerateKey()
	before, _ := encrypt.NewAESGCM(older)
	after, err := encrypt.NewAESGCM(newer, older)
	if err != nil {
		fmt.Println(err)
		return
	}

	binding := []byte("session 42")
	sealed, _ := before.Encrypt(nil, []byte("visits=1"), binding)
	plaintext, err := after.Decrypt(nil, sealed, binding)
	fmt.Printf("%s %v, retired: %t\n", plaintext, err, after.Retired(sealed))

	sealed, _ = after.Encrypt(nil, plaintext, binding)
	fmt.Println("retired:", after.Retired(sealed))

	// Output:
	// visits=1 <nil>, retired: true
	// retired: false
}

// From AES-CBC to AES-GCM, with what the first sealed still readable.
func ExampleNewKeyring() {
	key := encrypt.GenerateKey()
	cbc, _ := encrypt.NewAESCBCHMAC(key)
	gcm, _ := encrypt.NewAESGCM(key)
	ring, err := encrypt.NewKeyring(gcm, cbc)
	if err != nil {
		fmt.Println(err)
		return
	}

	binding := []byte("session 42")
	sealed, _ := cbc.Encrypt(nil, []byte("visits=1"), binding)
	plaintext, err := ring.Decrypt(nil, sealed, binding)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: visits=1 <nil>
}

func ExampleKeyring_Bind() {
	ring, err := encrypt.NewXChaCha20Poly1305(encrypt.GenerateKey())
	if err != nil {
		fmt.Println(err)
		return
	}
	bound, err := ring.Bind([]byte("session 42"))
	if err != nil {
		fmt.Println(err)
		return
	}
	sealed, _ := bound.Seal([]byte("visits=1"))
	plaintext, err := bound.Open(sealed)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: visits=1 <nil>
}

func ExampleKeyFromPassphrase() {
	salt := []byte(strings.Repeat("salt", 4)) // 16 random bytes, kept beside the configuration
	key, err := encrypt.KeyFromPassphrase("correct horse battery staple", salt, encrypt.DefaultArgon2id)
	fmt.Println(key.IsZero(), err)
	// Output: false <nil>
}
