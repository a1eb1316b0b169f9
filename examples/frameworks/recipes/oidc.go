package recipes

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

const user = sessions.Key[string]("user")

// pending is a login that the provider was asked for.
type pending struct {
	State    string // comes back with the answer: it is one to our question
	Verifier string // goes to the provider with the code: nobody else can use that
	Nonce    string // comes back in the ID token
}

const oauthLogin = sessions.Key[pending]("oauth login")

// Login logs in with an OAuth 2 or OpenID Connect provider.
type Login struct {
	OAuth oauth2.Config

	// User asks the provider, or its ID token, who has logged in. The ID token's
	// nonce must be this one.
	User func(ctx context.Context, token *oauth2.Token, nonce string) (string, error)
}

// Handler has the pages of the login.
func (l *Login) Handler(mw *middleware.Middleware) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /login", mw.HandlerFunc(l.begin))
	mux.Handle("GET /callback", mw.HandlerFunc(l.callback))
	return mux
}

func (l *Login) begin(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	p := pending{State: rand.Text(), Verifier: oauth2.GenerateVerifier(), Nonce: rand.Text()}
	if err := oauthLogin.Set(s, p); err != nil {
		return err
	}
	url := l.OAuth.AuthCodeURL(p.State, oauth2.S256ChallengeOption(p.Verifier), oauth2.SetAuthURLParam("nonce", p.Nonce))
	http.Redirect(w, r, url, http.StatusSeeOther)
	return nil
}

func (l *Login) callback(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	p, err := oauthLogin.GetOr(s, pending{})
	if err != nil {
		return err
	}
	if p.State == "" || subtle.ConstantTimeCompare([]byte(r.FormValue("state")), []byte(p.State)) != 1 {
		http.Error(w, "This login was not begun here. Please log in again.", http.StatusForbidden)
		return nil
	}
	if err := oauthLogin.Delete(s); err != nil { // not before: anybody's link leads here
		return err
	}
	if r.FormValue("error") != "" { // the user said no
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	token, err := l.OAuth.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(p.Verifier))
	if err != nil {
		return err
	}
	name, err := l.User(r.Context(), token, p.Nonce)
	if err != nil {
		return err
	}
	if err := s.Regenerate(); err != nil {
		return err
	}
	if err := user.Set(s, name); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
