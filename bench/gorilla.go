package main

import (
	"crypto/rand"
	"encoding/gob"
	"net/http"

	"github.com/gorilla/sessions"
)

func gorillaSigned(fields []field) *site { return gorillaSite(fields, randomBytes(64)) }

func gorillaEncrypted(fields []field) *site {
	return gorillaSite(fields, randomBytes(64), randomBytes(32))
}

func gorillaSite(fields []field, keyPair ...[]byte) *site {
	const name = "session"
	gob.Register([]cartItem{}) // as the documentation asks for types of one's own
	store := sessions.NewCookieStore(keyPair...)
	store.Options.SameSite = http.SameSiteLaxMode
	store.Options.HttpOnly = true
	store.MaxAge(int(lifetime.Seconds()))
	// Get's error says that a cookie does not verify; the session is new then,
	// and most handlers go on with it.
	return &site{
		login: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, name)
			for _, f := range fields {
				s.Values[f.name] = f.value
			}
			check(s.Save(r, w))
			answerOK(w, r)
		}),
		read: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, name)
			user, ok := s.Values[userField].(string)
			if !ok {
				unauthorized(w)
				return
			}
			visits, _ := s.Values[visitsField].(int)
			answer(w, user, visits)
		}),
		change: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, name)
			user, ok := s.Values[userField].(string)
			if !ok {
				unauthorized(w)
				return
			}
			visits, _ := s.Values[visitsField].(int)
			visits++
			s.Values[visitsField] = visits
			if err := s.Save(r, w); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			answer(w, user, visits)
		}),
		untouched: http.HandlerFunc(answerOK),
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
