package main

import "net/http"

// sealer turns a session into a cookie's value and back: all that there is where
// an application uses a bare codec and no session library.
type sealer[S any] interface {
	seal(S) (string, error)
	open(string) (S, error)
}

// sealerSite is the application around it, which reads and writes the cookie
// itself.
func sealerSite[S any](codec sealer[S], login func() S, user func(*S) string, visits func(*S) int, setVisits func(*S, int)) *site {
	const name = "session"
	load := func(r *http.Request) (s S, ok bool) {
		c, err := r.Cookie(name)
		if err != nil {
			return s, false
		}
		s, err = codec.open(c.Value)
		return s, err == nil && user(&s) != ""
	}
	save := func(w http.ResponseWriter, s S) error {
		value, err := codec.seal(s)
		if err != nil {
			return err
		}
		http.SetCookie(w, &http.Cookie{
			Name: name, Value: value, Path: "/", MaxAge: int(lifetime.Seconds()),
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
		return nil
	}
	return &site{
		login: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			check(save(w, login()))
			answerOK(w, r)
		}),
		read: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, ok := load(r)
			if !ok {
				unauthorized(w)
				return
			}
			answer(w, user(&s), visits(&s))
		}),
		change: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, ok := load(r)
			if !ok {
				unauthorized(w)
				return
			}
			n := visits(&s) + 1
			setVisits(&s, n)
			if err := save(w, s); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			answer(w, user(&s), n)
		}),
		untouched: http.HandlerFunc(answerOK),
	}
}

// mapSite keeps the session as a map, as the session libraries do.
func mapSite(fields []field, codec sealer[map[string]any]) *site {
	return sealerSite(codec,
		func() map[string]any { return asMap(fields) },
		func(m *map[string]any) string { s, _ := (*m)[userField].(string); return s },
		// JSON's numbers come back as float64.
		func(m *map[string]any) int { n, _ := (*m)[visitsField].(float64); return int(n) },
		func(m *map[string]any, n int) { (*m)[visitsField] = n },
	)
}
