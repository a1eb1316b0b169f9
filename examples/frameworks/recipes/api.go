package recipes

import (
	"net/http"

	"github.com/bulla-go/bulla/middleware"
)

// API is what the pages of one other origin may call with their user's cookie, such as
// https://app.example. Where that is another site, and not only another host of the
// same one, mw needs WithSameSite(http.SameSiteNoneMode) and WithPartitioned.
func API(mw *middleware.Middleware, page string, api http.Handler) (http.Handler, error) {
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(page); err != nil {
		return nil, err
	}
	return allow(page, protection.Handler(mw.Handler(api))), nil
}

// allow answers the browser's question whether scripts of an origin may send cookies
// and read the answer (CORS).
func allow(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin")
		if r.Header.Get("Origin") == origin {
			w.Header().Set("Access-Control-Allow-Origin", origin) // with cookies, "*" does not count
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
				w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
