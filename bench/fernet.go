package main

import (
	"encoding/json"
	"errors"

	"github.com/fernet/fernet-go"
)

type fernetJSON struct{ keys []*fernet.Key }

func (f fernetJSON) seal(m map[string]any) (string, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	token, err := fernet.EncryptAndSign(data, f.keys[0])
	return string(token), err
}

func (f fernetJSON) open(value string) (m map[string]any, err error) {
	data := fernet.VerifyAndDecrypt([]byte(value), lifetime, f.keys)
	if data == nil {
		return nil, errors.New("the token does not verify")
	}
	err = json.Unmarshal(data, &m)
	return m, err
}

func fernetSite(fields []field) *site {
	var key fernet.Key
	check(key.Generate())
	return mapSite(fields, fernetJSON{[]*fernet.Key{&key}})
}
