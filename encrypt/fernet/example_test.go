package fernet_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/fernet"
)

// A token that Python's cryptography made.
func ExampleTokens() {
	key, err := encrypt.ParseKey("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := fernet.New(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	token := "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
	plaintext, err := tokens.Decrypt(token, 0)
	fmt.Printf("%s %v\n", plaintext, err)

	_, err = tokens.Decrypt(token, time.Hour) // it is from 1985
	fmt.Println(errors.Is(err, fernet.ErrExpired))

	// Output:
	// hello <nil>
	// true
}

// To rotate keys, put the new one in front.
func ExampleTokens_Rotate() {
	older, newer := encrypt.GenerateKey(), encrypt.GenerateKey()
	before, _ := fernet.New(older)
	both, _ := fernet.New(newer, older)
	after, err := fernet.New(newer)
	if err != nil {
		fmt.Println(err)
		return
	}

	token, _ := before.Encrypt([]byte("hello"))
	token, _ = both.Rotate(token)
	plaintext, err := after.Decrypt(token, time.Hour)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: hello <nil>
}
