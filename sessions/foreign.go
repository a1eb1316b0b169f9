package sessions

import (
	"fmt"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// Sessions that another system shares have that system's records, cookies and IDs
// ([stores.Foreign]). What Bulla would keep beside, or bind to an ID that only the
// client has, there is no place for, so it is refused.

// setForeign returns c for a store of another system's sessions.
func setForeign(place stores.Place, c Config) (Config, error) {
	refuse := func(option, why string) (Config, error) {
		return c, fmt.Errorf("%w: %s can't be combined with the %s store, whose sessions another system shares: %s; leave it out", ErrConfig, option, place.Name, why)
	}
	layout, ok := place.Foreign.Layout.(envelope.Layout)
	switch {
	case !ok:
		return c, fmt.Errorf("%w: the %s store has no layout for another system's records; use a package of interop", ErrConfig, place.Name)
	case place.Cookie == nil && place.Foreign.ID == nil:
		return c, fmt.Errorf("%w: the %s store can't tell another system's IDs; use a package of interop", ErrConfig, place.Name)
	case c.Encryptor != nil || c.WithoutEncryption:
		return refuse("WithEncryptor or WithoutEncryption", "it seals as that system does")
	case c.Serializer != nil:
		return refuse("WithSerializer", "its values are that system's")
	case c.Audience != "":
		return refuse("WithAudience", "its records are bound to nothing")
	case len(c.SignedIDs) > 0:
		return refuse("WithSignedIDs", "its cookies are that system's")
	case c.CookieCache != 0 || c.CookieCacheFallback != 0:
		return refuse("WithCookieCache", "its cookies are that system's")
	case c.Revocation.List != nil:
		return refuse("WithRevocation", "in a cookie they have another ID with each save, and on a server they can be ended")
	case len(c.Owners) > 0:
		return refuse("WithOwners", "that system would not keep the list")
	}
	c.Serializer = layout
	return c, nil
}

// newID draws the ID of a new session.
func (m *Manager) newID() token.ID {
	if m.place.Foreign != nil {
		return token.NewForeignID()
	}
	return token.NewID()
}

// parse reads a cookie's value.
func (m *Manager) parse(value string) (tok token.Token, mac []byte, err error) {
	f := m.place.Foreign
	switch {
	case f == nil:
		return token.Parse(value)
	case value == "":
	case m.place.Cookie != nil:
		// The value is all that there is to know the session by, so it has another
		// ID with each save.
		return token.Token{ID: token.ForeignID(value), Payload: value}, nil, nil
	case f.ID(value):
		return token.Token{ID: token.ForeignID(value)}, nil, nil
	}
	return tok, nil, fmt.Errorf("%w: the other system writes no such ID", stores.ErrMalformed)
}
