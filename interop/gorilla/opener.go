package gorilla

import (
	"bytes"
	"crypto/fips140"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/bulla-go/bulla/interop/migrate"
)

// opener verifies, and where there are keys for it decrypts, what securecookie has made.
type opener struct {
	name     string
	codecs   []securecookie.Codec
	notAfter time.Time
}

// newOpener takes key pairs as gorilla's stores do: a key that authenticates and one that
// encrypts in turn; the latter may be empty, and the last one left out.
func newOpener(name string, keyPairs [][]byte, maxAge time.Duration, notAfter time.Time, maxLength int) (*opener, error) {
	if name == "" {
		return nil, errors.New("the cookie's name is missing")
	}
	if len(keyPairs) == 0 {
		return nil, errors.New("there are no keys; give those that the store was made with")
	}
	o := &opener{name: name, notAfter: notAfter}
	for i := 0; i < len(keyPairs); i += 2 {
		var block []byte
		if i+1 < len(keyPairs) && len(keyPairs[i+1]) > 0 {
			block = keyPairs[i+1]
		}
		if len(keyPairs[i]) == 0 {
			return nil, fmt.Errorf("key %d, which authenticates, is empty: anybody could make sessions", i+1)
		}
		if fips140.Enforced() && len(keyPairs[i]) < 14 { // crypto/hmac would panic
			return nil, fmt.Errorf("key %d has %d bytes; under GODEBUG=fips140=only an HMAC takes 14 or more", i+1, len(keyPairs[i]))
		}
		// The bytes alone: securecookie's errors do not tell a cookie that does not
		// verify from a type that the program lacks.
		c := securecookie.New(keyPairs[i], block).
			MaxAge(int(maxAge / time.Second)).MaxLength(maxLength).SetSerializer(securecookie.NopEncoder{})
		if _, err := c.Encode(name, []byte{}); err != nil {
			return nil, fmt.Errorf("key %d, which encrypts, has %d bytes; AES takes 16, 24 or 32", i+2, len(block))
		}
		o.codecs = append(o.codecs, c)
	}
	return o, nil
}

// open returns what value holds, and when it was signed.
func (o *opener) open(value string) (data []byte, at time.Time, err error) {
	fail := func(what string) ([]byte, time.Time, error) {
		return nil, time.Time{}, fmt.Errorf("%w: %s", migrate.ErrNone, what)
	}
	// One spelling of what the MAC covers: securecookie's own decoder takes several.
	raw, err := base64.URLEncoding.Strict().DecodeString(value)
	if err != nil || base64.URLEncoding.EncodeToString(raw) != value {
		return fail("the cookie is none of securecookie's")
	}
	if err := securecookie.DecodeMulti(o.name, value, &data, o.codecs...); err != nil {
		return fail("the cookie does not verify, or is too old")
	}
	seconds, _, _ := bytes.Cut(raw, []byte("|"))
	n, err := strconv.ParseInt(string(seconds), 10, 64)
	if err != nil || n < 0 || n > 1<<36 {
		return fail("the cookie's time is none")
	}
	at = time.Unix(n, 0).UTC()
	if !o.notAfter.IsZero() && at.After(o.notAfter) {
		return fail("the cookie was signed after the switch")
	}
	return data, at, nil
}
