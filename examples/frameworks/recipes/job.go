package recipes

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/bulla-go/bulla/sessions"
)

const notice = sessions.Flash[string]("notice")

// Exports makes files that take longer than a request.
type Exports struct {
	Sessions *sessions.Manager // mw.Manager()
	Make     func(ctx context.Context, user string) error
}

// Begin begins an export. The user goes on, and finds a notice on a later page.
func (e *Exports) Begin(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	name, err := user.Get(s)
	if err != nil {
		return err
	}
	go e.run(s.ID(), name) // what the job needs, and the ID; not s, which ends with its request
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (e *Exports) run(id sessions.ID, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	says := "Your export is ready."
	if err := e.Make(ctx, name); err != nil {
		slog.Error("export", "user", name, "err", err)
		says = "Your export failed."
	}
	err := e.Sessions.Resume(ctx, id, func(_ context.Context, s *sessions.Session) error {
		return notice.Add(s, says)
	})
	if err != nil && !errors.Is(err, sessions.ErrEnded) { // signed out meanwhile
		slog.Error("export: the notice", "session", id, "err", err)
	}
}
