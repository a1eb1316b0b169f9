package middleware

import (
	"fmt"
	"net/http"
	"time"

	"github.com/bulla-go/bulla/sessions"
)

// Remaining returns a handler that tells a page for how many seconds the session lives if
// it is not used again, as a JSON number; 0 where there is none. To ask does not prolong
// it ([sessions.Session.Peek]): nothing is written, and no cookie goes out.
//
//	mux.Handle("GET /session/remaining", mw.Remaining())
//
// With [WithRolling], a page that stays open warns its user by it:
//
//	async function warn(before) {
//		const left = await (await fetch("/session/remaining")).json()
//		if (left <= before) showWarning(left) // whose button fetches any other page of yours
//		setTimeout(warn, Math.max(1, Math.min(left - before, 60)) * 1000, before)
//	}
//	warn(120)
//
// The page asks again, since another tab may have used the session meanwhile. The number
// may lag behind the last use by [WithTouchInterval], and never tells too much.
func (m *Middleware) Remaining() http.Handler {
	return m.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		s.Peek()
		left := int64(0)
		if !s.IsNew() {
			left = int64(s.Remaining() / time.Second)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, err := fmt.Fprintln(w, left)
		return err
	})
}
