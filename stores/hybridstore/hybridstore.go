// Package hybridstore keeps small sessions in the cookie and large ones on a
// server.
//
// A session begins in the cookie, which costs no round trip. When its record has
// no room there any more it moves to the server under the same ID, and stays
// there until it ends, however small it becomes: a session that went back and
// forth would leave old copies in both places.
//
// A cookie that is replayed can do what it can do with a session that is only in
// a cookie: until the deadline sealed in it, it shows what it was sealed with. It
// never shows the session that has moved to the server. When one of its requests
// outgrows the cookie, it meets the record there, and its operations are replayed on
// that; and a logout with it ends that record, too.
//
// A logout always asks the server, which remembers it until the session's deadline,
// so that a session which ended in the cookie does not begin again there.
package hybridstore

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/bulla-go/bulla/stores"
)

// New returns a store that keeps records where cookie does, which is
// cookiestore.Sealed(), while they have room there, and where server does
// otherwise. It only joins the two: the manager of package sessions moves the
// records. Stores that can't be joined are an error.
func New(cookie, server stores.Store) (stores.Store, error) {
	if isNil(cookie) || isNil(server) {
		return nil, errors.New("hybridstore: a store is nil; give cookiestore.Sealed() and a store on a server")
	}
	c, s := cookie.Place(), server.Place()
	switch {
	case c.Cookie == nil || c.Server != nil:
		return nil, fmt.Errorf("hybridstore: the %s store does not keep records in the cookie alone; give cookiestore.Sealed() first", c.Name)
	case s.Server == nil || s.Cookie != nil:
		return nil, fmt.Errorf("hybridstore: the %s store does not keep records on a server alone; give one that does second", s.Name)
	case c.Signed:
		return nil, errors.New("hybridstore: a session that the client may read has no place on the server, where records are sealed; give cookiestore.Sealed() first")
	}
	return hybrid{stores.Place{
		Name:       "hybrid of " + c.Name + " and " + s.Name,
		Server:     s.Server,
		Cookie:     c.Cookie,
		StaleReads: s.StaleReads,
	}}, nil
}

// isNil also tells of a nil pointer, which a constructor returns whose error was not looked
// at.
func isNil(s stores.Store) bool {
	v := reflect.ValueOf(s)
	return s == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

type hybrid struct{ place stores.Place }

// Place implements [stores.Store].
func (h hybrid) Place() stores.Place { return h.place }
