package recipes

import (
	"html/template"
	"net/http"

	"github.com/bulla-go/bulla/middleware"
)

// A page of our own that posts what the provider has posted. It has a button for who
// runs no scripts.
var again = template.Must(template.New("again").Parse(`<!doctype html><title>Logging in</title>
<form method="post" action="/callback/same-site">
{{range $name, $values := .}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}
<button>Continue</button></form>
<script>document.forms[0].submit()</script>
`))

// postAgain answers a post from the provider's page, which comes without our cookie. It
// is outside of the middleware, so that it sets no new one in its place.
func postAgain(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "Please log in again.", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // the page has the code in it
	again.Execute(w, r.PostForm)
}

// FormPostHandler is Handler for a provider that answers with response_mode=form_post.
func (l *Login) FormPostHandler(mw *middleware.Middleware) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("POST /login", mw.HandlerFunc(l.begin))
	mux.HandleFunc("POST /callback", postAgain)
	mux.Handle("POST /callback/same-site", mw.HandlerFunc(l.callback))

	protection := http.NewCrossOriginProtection()
	protection.AddInsecureBypassPattern("POST /callback") // another site's page posts it; it changes nothing
	return protection.Handler(mux), nil
}
