// Package gorillastore is gorilla/sessions' Store over Bulla: what was written for
// [gorilla/sessions], such as goth's package gothic, keeps its sessions in Bulla's.
//
//	gothic.Store = gorillastore.Store{}
//	mux.HandleFunc("GET /auth/{provider}", gothic.BeginAuthHandler)
//	http.ListenAndServe(addr, mw.Handler(mux))
//
// Each of gorilla's sessions is one value of the request's Bulla session, under its name
// with "gorilla." in front. So there is one cookie, Bulla's, with Bulla's encryption,
// lifetime and ends; a handler's Save puts the values into the session, and they are
// written with all the rest, before the first byte of the response.
//
// This is a way to keep code that exists. New code uses typed keys, which lose no change
// when two requests meet: of gorilla's Values, as ever, the last Save counts.
package gorillastore

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	gorilla "github.com/gorilla/sessions"

	"github.com/bulla-go/bulla/sessions"
)

// Store is a gorilla/sessions Store. The zero Store is ready for use, also for several
// goroutines. Its requests must come through Bulla's middleware; otherwise each method
// returns an error that wraps [sessions.ErrNoMiddleware].
//
// Of a session's Options only a negative MaxAge counts, which removes the session's
// values as it does in gorilla's own stores: the cookie is the middleware's. Values are
// encoded by encoding/gob, as gorilla's are, so that their types must be known to
// gob.Register.
type Store struct{}

var _ gorilla.Store = Store{}

// values is where a session of gorilla's is kept.
func values(name string) sessions.Key[[]byte] { return sessions.Key[[]byte]("gorilla." + name) }

// Get returns the request's session of that name, the same one at each call.
func (s Store) Get(r *http.Request, name string) (*gorilla.Session, error) {
	return gorilla.GetRegistry(r).Get(s, name)
}

// New returns the session of that name with the values that it has now: a new one where
// there are none, and together with the error where they can't be read.
func (s Store) New(r *http.Request, name string) (*gorilla.Session, error) {
	g := gorilla.NewSession(s, name)
	g.IsNew = true
	own, err := sessions.Load(r.Context())
	if err != nil {
		return g, fmt.Errorf("gorillastore: %w", err)
	}
	all, err := read(own, name)
	if err != nil {
		return g, err
	}
	if all != nil {
		g.Values, g.IsNew = all, false
	}
	return g, nil
}

// Save puts the session's values into the request's Bulla session. It writes nothing
// itself and ignores w: the middleware commits before the first byte, and its error
// handler answers where that fails. After the first byte it is [sessions.ErrTooLate]
// where the client would need another cookie.
func (s Store) Save(r *http.Request, _ http.ResponseWriter, g *gorilla.Session) error {
	own, err := sessions.Load(r.Context())
	if err != nil {
		return fmt.Errorf("gorillastore: %w", err)
	}
	key := values(g.Name())
	if len(g.Values) == 0 || g.Options != nil && g.Options.MaxAge < 0 {
		return key.Delete(own)
	}
	// Of an unchanged map gob makes other bytes each time, and a session that is saved
	// by every handler would be written by every request.
	if old, err := read(own, g.Name()); err == nil && reflect.DeepEqual(old, g.Values) {
		return nil
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(g.Values); err != nil {
		return fmt.Errorf("gorillastore: session %q: %w: %w", g.Name(), sessions.ErrEncode, err)
	}
	return key.Set(own, b.Bytes())
}

// read returns the values of a session, nil where it has none.
func read(own *sessions.Session, name string) (map[any]any, error) {
	data, err := values(name).Get(own)
	if errors.Is(err, sessions.ErrNoValue) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("gorillastore: %w", err)
	}
	var all map[any]any
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&all); err != nil {
		// gob's text names types and not their content.
		return nil, fmt.Errorf("gorillastore: session %q: %w: %w", name, sessions.ErrDecode, err)
	}
	return all, nil
}
