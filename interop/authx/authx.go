// Package authx reads the session cookie of Python's authx-extra, for applications that
// keep what belongs to the ID themselves: authx-extra has it in the memory of its
// process, so there is nothing more to share.
package authx

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/interop/itsdangerous"
)

// CookieName is the name of its cookie.
const CookieName = "sid"

// ErrCookie: the cookie is none of authx-extra's under these secrets, or too old.
var ErrCookie = errors.New("authx: no session cookie")

// Cookie reads cookies. It is safe for concurrent use; make one with [NewCookie].
type Cookie struct {
	serializer *itsdangerous.URLSafeTimedSerializer
}

// NewCookie returns the reader for secret_key; any of the secrets may have signed.
func NewCookie(secrets ...string) (*Cookie, error) {
	s, err := itsdangerous.NewURLSafeTimedSerializer(secrets...)
	if err != nil {
		return nil, fmt.Errorf("authx: %w", err)
	}
	return &Cookie{s}, nil
}

// SessionID returns the ID that a cookie's value has, and when it was signed. With a
// maxAge other than 0 a cookie that is older is [ErrCookie], as is everything that does
// not verify. The ID is a secret: who has it is logged in.
func (c *Cookie) SessionID(value string, maxAge time.Duration) (id string, at time.Time, err error) {
	got, err := c.serializer.Unsign(value, maxAge)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%w: %w", ErrCookie, err)
	}
	var payload struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal([]byte(got.Value), &payload); err != nil || payload.SID == "" {
		return "", time.Time{}, fmt.Errorf("%w: it has no ID", ErrCookie)
	}
	return payload.SID, got.At, nil
}
