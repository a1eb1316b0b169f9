package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

const (
	clientID = "app"
	event    = "http://schemas.openid.net/event/backchannel-logout"
)

type claims map[string]any

// provider is a small OpenID Connect provider, at which everybody is logged in already:
// the query of its login page says who and by which sid.
type provider struct {
	*httptest.Server
	t   *testing.T
	key *rsa.PrivateKey

	mu    sync.Mutex
	codes map[string]claims // of the ID token
}

func newProvider(t *testing.T) *provider {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p := &provider{t: t, key: key, codes: make(map[string]claims)}
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, claims{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
			"backchannel_logout_supported":          true, "backchannel_logout_session_supported": true,
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		id, ok := p.codes[r.FormValue("code")]
		delete(p.codes, r.FormValue("code"))
		p.mu.Unlock()
		if !ok || r.FormValue("code_verifier") == "" {
			http.Error(w, "no such code", http.StatusBadRequest)
			return
		}
		answer(w, claims{"access_token": "secret", "token_type": "Bearer", "id_token": p.sign(id, "JWT")})
	})
	return p
}

// consent is what the browser gets at the login page: the address that leads back, with a
// code for who has logged in there.
func (p *provider) consent(authorize *url.URL, sub, sid string) string {
	q := authorize.Query()
	id := claims{
		"iss": p.URL, "aud": clientID, "sub": sub, "nonce": q.Get("nonce"),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	if sid != "" {
		id["sid"] = sid
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = id
	p.mu.Unlock()
	return q.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
}

func (p *provider) sign(c claims, typ string) string {
	return sign(p.t, jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k1"}}, c, typ)
}

func sign(t *testing.T, key jose.SigningKey, c claims, typ string) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	require.NoError(t, err)
	data, err := json.Marshal(c)
	require.NoError(t, err)
	signed, err := signer.Sign(data)
	require.NoError(t, err)
	text, err := signed.CompactSerialize()
	require.NoError(t, err)
	return text
}

// logout returns the claims of a good logout token.
func (p *provider) logout(sub, sid string) claims {
	c := claims{
		"iss": p.URL, "aud": clientID, "jti": rand.Text(), "events": claims{event: claims{}},
		"iat": time.Now().Unix(), "exp": time.Now().Add(2 * time.Minute).Unix(),
	}
	if sub != "" {
		c["sub"] = sub
	}
	if sid != "" {
		c["sid"] = sid
	}
	return c
}
