package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"
)

// account is the session as a struct, which a program can have that knows all
// its fields: encoding/json is faster at it than at a map.
type account struct {
	Ends     int64    `json:"ends"`
	User     string   `json:"user"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
	Roles    []string `json:"roles"`
	Since    int64    `json:"since"`
	Seen     int64    `json:"seen"`
	Verified bool     `json:"verified"`
	Theme    string   `json:"theme"`
	Visits   int      `json:"visits"`

	Cart   []cartItem `json:"cart,omitempty"`
	Viewed []int      `json:"viewed,omitempty"`

	Note01 string `json:"note01,omitempty"`
	Note02 string `json:"note02,omitempty"`
	Note03 string `json:"note03,omitempty"`
	Note04 string `json:"note04,omitempty"`
	Note05 string `json:"note05,omitempty"`
	Note06 string `json:"note06,omitempty"`
	Note07 string `json:"note07,omitempty"`
	Note08 string `json:"note08,omitempty"`
	Note09 string `json:"note09,omitempty"`
	Note10 string `json:"note10,omitempty"`
	Note11 string `json:"note11,omitempty"`
	Note12 string `json:"note12,omitempty"`
	Note13 string `json:"note13,omitempty"`
}

func (a *account) ended() bool { return time.Now().Unix() >= a.Ends }

func floorSite(fields []field, codec sealer[account]) *site {
	return sealerSite(codec,
		func() (a account) {
			check(json.Unmarshal(asJSON(fields), &a))
			a.Ends = time.Now().Add(lifetime).Unix()
			return a
		},
		func(a *account) string { return a.User },
		func(a *account) int { return a.Visits },
		func(a *account, n int) { a.Visits = n },
	)
}

var errEnded = errors.New("the session has ended")

// floorGCM seals with AES-256-GCM under one key that is set up once: no key for
// each session, no rotation.
type floorGCM struct{ aead cipher.AEAD }

// floorLabel keeps the cookie from being taken for another use of the key.
var floorLabel = []byte("session")

func floorEncrypted(fields []field) *site {
	block := must(aes.NewCipher(randomBytes(32)))
	return floorSite(fields, floorGCM{must(cipher.NewGCMWithRandomNonce(block))})
}

func (f floorGCM) seal(a account) (string, error) {
	data, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(f.aead.Seal(nil, nil, data, floorLabel)), nil
}

func (f floorGCM) open(value string) (a account, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return a, err
	}
	data, err := f.aead.Open(sealed[:0], nil, sealed, floorLabel)
	if err != nil {
		return a, err
	}
	if err = json.Unmarshal(data, &a); err == nil && a.ended() {
		err = errEnded
	}
	return a, err
}

// floorHMAC signs with HMAC-SHA-256.
type floorHMAC struct{ key []byte }

func floorSigned(fields []field) *site { return floorSite(fields, floorHMAC{randomBytes(32)}) }

func (f floorHMAC) tag(data []byte) []byte {
	mac := hmac.New(sha256.New, f.key)
	mac.Write(floorLabel)
	mac.Write(data)
	return mac.Sum(nil)
}

func (f floorHMAC) seal(a account) (string, error) {
	data, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(f.tag(data), data...)), nil
}

func (f floorHMAC) open(value string) (a account, err error) {
	signed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(signed) < sha256.Size {
		return a, errors.New("malformed")
	}
	tag, data := signed[:sha256.Size], signed[sha256.Size:]
	if !hmac.Equal(tag, f.tag(data)) {
		return a, errors.New("the cookie does not verify")
	}
	if err = json.Unmarshal(data, &a); err == nil && a.ended() {
		err = errEnded
	}
	return a, err
}
