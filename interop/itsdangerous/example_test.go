package itsdangerous_test

import (
	"fmt"
	"time"

	"github.com/bulla-go/bulla/interop/itsdangerous"
)

func ExampleTimestampSigner() {
	signer, err := itsdangerous.NewTimestampSigner("the secret_key of the Python side")
	if err != nil {
		panic(err)
	}
	signed := signer.SignAt("user-7", time.Unix(1772366400, 0))
	fmt.Println(signed)
	got, err := signer.Unsign(signed, 0)
	fmt.Println(got.Value, got.At, err)
	// Output:
	// user-7.aaQqQA.1w7LRJGc5ctCOnXvRF2kS7rhJ_A
	// user-7 2026-03-01 12:00:00 +0000 UTC <nil>
}

func ExampleURLSafeTimedSerializer() {
	s, err := itsdangerous.NewURLSafeTimedSerializer("the secret_key of the Python side")
	if err != nil {
		panic(err)
	}
	signed := s.Sign([]byte(`{"sid":"7"}`))
	got, err := s.Unsign(signed, 14*24*time.Hour)
	fmt.Println(got.Value, err)
	_, err = s.Unsign(signed[1:], 0)
	fmt.Println(err)
	// Output:
	// {"sid":"7"} <nil>
	// itsdangerous: the signature does not match
}
