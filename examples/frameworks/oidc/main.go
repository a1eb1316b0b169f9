// Oidc logs users in by an OpenID Connect provider, and ends their sessions when the
// provider says so (OpenID Connect Back-Channel Logout 1.0), with
// github.com/coreos/go-oidc:
//
//	OIDC_CLIENT_SECRET=… go run ./oidc -issuer https://op.example -client-id app
//
// Register http://localhost:8080/callback as the redirect URI, and /backchannel-logout,
// at an address that the provider reaches, as the back-channel logout URI.
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// pending is a login that the provider was asked for.
type pending struct {
	State    string // comes back with the answer: it is one to our question
	Verifier string // goes to the provider with the code: nobody else can use that
	Nonce    string // comes back in the ID token
}

const login = sessions.Key[pending]("login")

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	issuer := flag.String("issuer", "", "address of the provider")
	client := flag.String("client-id", "", "what the provider calls this program")
	flag.Parse()
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(context.Background(), store, *issuer, oauth2.Config{
		ClientID:     *client,
		ClientSecret: os.Getenv("OIDC_CLIENT_SECRET"),
		RedirectURL:  "http://" + *addr + "/callback",
	}, middleware.WithOwners(encrypt.GenerateKey())) // where the store outlives the process, so must the key
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("open http://%s/", *addr)
	log.Fatal(http.ListenAndServe(*addr, handler))
}

// site is the program.
type site struct {
	manager  *sessions.Manager
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	used     used
}

// newHandler asks the provider for its addresses and keys. The store is one on a server,
// with owners.
func newHandler(ctx context.Context, store stores.Store, issuer string, config oauth2.Config, options ...middleware.Option) (http.Handler, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(store, options...)
	if err != nil {
		return nil, err
	}
	config.Endpoint, config.Scopes = provider.Endpoint(), []string{oidc.ScopeOpenID}
	s := &site{manager: mw.Manager(), oauth: config, verifier: provider.Verifier(&oidc.Config{ClientID: config.ClientID})}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", mw.HandlerFunc(s.home))
	mux.Handle("POST /login", mw.HandlerFunc(s.login))
	mux.Handle("GET /callback", mw.HandlerFunc(s.callback))
	mux.Handle("POST /logout", mw.HandlerFunc(s.logout))
	// The provider's own request: it has no cookie, and no session.
	mux.HandleFunc("POST /backchannel-logout", s.backchannel)
	return http.NewCrossOriginProtection().Handler(mux), nil
}

func (s *site) home(w http.ResponseWriter, _ *http.Request, session *sessions.Session) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if session.Owner() == "" {
		fmt.Fprint(w, `<!doctype html><p>nobody</p><form method="post" action="/login"><button>Log in</button></form>`)
		return nil
	}
	fmt.Fprint(w, `<!doctype html><p>somebody</p><form method="post" action="/logout"><button>Log out</button></form>`)
	return nil
}

func (s *site) login(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	p := pending{State: rand.Text(), Verifier: oauth2.GenerateVerifier(), Nonce: rand.Text()}
	if err := login.Set(session, p); err != nil {
		return err
	}
	http.Redirect(w, r, s.oauth.AuthCodeURL(p.State, oauth2.S256ChallengeOption(p.Verifier), oidc.Nonce(p.Nonce)), http.StatusSeeOther)
	return nil
}

func (s *site) callback(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	p, err := login.PopOr(session, pending{})
	if err != nil {
		return err
	}
	if p.State == "" || subtle.ConstantTimeCompare([]byte(r.FormValue("state")), []byte(p.State)) != 1 {
		http.Error(w, "This login was not begun here. Please log in again.", http.StatusForbidden)
		return nil
	}
	token, err := s.oauth.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(p.Verifier))
	if err != nil {
		return err
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := s.verifier.Verify(r.Context(), raw)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(p.Nonce)) != 1 {
		return errors.New("the ID token answers another question")
	}
	var claims struct {
		SID string `json:"sid"`
	}
	if err := id.Claims(&claims); err != nil {
		return err
	}
	// By the sid the provider will end this login, and no other of the user's. Where it
	// has done so already, SetOwner or the commit fails with sessions.ErrRevoked.
	var options []sessions.OwnerOption
	if claims.SID != "" {
		options = append(options, sessions.WithExternal(id.Issuer, claims.SID))
	}
	if err := session.SetOwner(r.Context(), id.Subject, options...); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (s *site) logout(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	session.Destroy()
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// backchannel answers the provider. Whatever is wrong is 400 (section 2.8); the provider
// may come again.
func (s *site) backchannel(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := s.end(r.Context(), r.PostFormValue("logout_token")); err != nil {
		log.Printf("a back-channel logout was refused: %v", err)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request"})
	}
}

// tokenAge bounds how old a logout token may be: the provider sends it at once. It is also
// how long its ID must be remembered.
const tokenAge = 2 * time.Minute

// end ends the sessions that a logout token names. go-oidc checks the signature, iss, aud,
// exp, that there is a jti and a sub or a sid, and no nonce (section 2.6).
func (s *site) end(ctx context.Context, raw string) error {
	token, err := s.verifier.VerifyLogout(ctx, raw)
	if err != nil {
		return err
	}
	var claims struct {
		Events map[string]map[string]any `json:"events"`
	}
	if err := token.Claims(&claims); err != nil {
		return err
	}
	if claims.Events["http://schemas.openid.net/event/backchannel-logout"] == nil {
		return errors.New("the event is no JSON object")
	}
	if age := time.Since(token.IssuedAt); age > tokenAge || age < -tokenAge {
		return fmt.Errorf("the token was issued %v ago", age.Round(time.Second))
	}
	if !s.used.add(token.TokenID) {
		return errors.New("the token was used before")
	}
	if token.SessionID != "" {
		_, err = s.manager.RevokeExternal(ctx, token.Issuer, token.SessionID)
	} else { // it names a user: all their logins
		_, err = s.manager.RevokeAll(ctx, token.Subject)
	}
	if err != nil {
		s.used.forget(token.TokenID) // it may come again
	}
	return err
}

// used remembers which tokens were used of late. A token that comes again to another
// process does no harm where it has a sid, whose login has ended for good; where it has a
// user alone, it ends what they logged in to within these minutes.
type used struct {
	mu  sync.Mutex
	ids map[string]time.Time // until when they count
}

// add notes a token's ID, and tells whether it is new.
func (u *used) add(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	for id, until := range u.ids {
		if now.After(until) {
			delete(u.ids, id)
		}
	}
	if _, ok := u.ids[id]; ok {
		return false
	}
	if u.ids == nil {
		u.ids = make(map[string]time.Time)
	}
	u.ids[id] = now.Add(2 * tokenAge)
	return true
}

func (u *used) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids, id)
}
