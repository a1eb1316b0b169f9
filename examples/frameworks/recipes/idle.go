package recipes

import (
	"html/template"
	"net/http"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
)

var idlePage = template.Must(template.New("idle").Parse(`<!doctype html><title>App</title>
<p id="warning" hidden>You will be signed out in <b></b> seconds. <button id="stay">Stay</button></p>
<script>
const warning = document.getElementById("warning"), before = {{.}}
async function check() {
	const left = await (await fetch("/session/remaining")).json()
	warning.hidden = left > before
	warning.querySelector("b").textContent = left
	if (left == 0) location = "/signed-out"
	else setTimeout(check, Math.max(1, Math.min(left - before, 60)) * 1000)
}
document.getElementById("stay").onclick = () => fetch("/session/stay", {method: "POST"})
check()
</script>
`))

// Idle has a page that warns its user so many seconds before the session ends for lack
// of use.
func Idle(mw *middleware.Middleware, before int) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /session/remaining", mw.Remaining()) // to ask is no use
	mux.Handle("POST /session/stay", mw.HandlerFunc(func(http.ResponseWriter, *http.Request, *sessions.Session) error {
		return nil // to come by is
	}))
	mux.Handle("GET /{$}", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		if err := user.Set(s, "ada"); err != nil {
			return err
		}
		return idlePage.Execute(w, before)
	}))
	mux.HandleFunc("GET /signed-out", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("<!doctype html><p>Signed out</p>"))
	})
	return mux
}
