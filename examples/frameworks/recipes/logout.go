package recipes

import (
	"net/http"

	"github.com/bulla-go/bulla/sessions"
)

// Logout also has the browser forget what it has stored of the site's pages.
func Logout(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	s.Destroy()
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`) // each in its quotes
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
