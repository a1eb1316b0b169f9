package encrypttest_test

import (
	"testing"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/encrypt/encrypttest"
)

func ExampleRun() {
	_ = func(t *testing.T) { // func TestMyEncryptor(t *testing.T)
		encrypttest.Run(t, func() encrypt.Encryptor {
			enc, err := encrypt.NewAESGCM(encrypt.GenerateKey()) // yours
			if err != nil {
				t.Fatal(err)
			}
			return enc
		})
	}
}
