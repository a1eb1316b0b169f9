package migrate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// limit bounds what a request waits for the old store: its client may know no end.
const limit = 5 * time.Second

// Migration moves the sessions of one [Source]. It is safe for concurrent use; the zero
// Migration is not usable.
type Migration[T any] struct {
	mw   *middleware.Middleware
	src  Source[T]
	gone string // the line that deletes the old cookie
}

// New returns a migration into the sessions of mw. What can't work is an error that
// wraps [sessions.ErrConfig]; that Until has passed is none.
func New[T any](mw *middleware.Middleware, src Source[T]) (*Migration[T], error) {
	if err := src.check(mw); err != nil {
		return nil, err
	}
	return &Migration[T]{mw, src, deletion(src.Cookie)}, nil
}

// Handler returns next with sessions, as mw.Handler does, and old sessions adopted
// before next sees the request. It takes the place of mw.Handler around a mux, or stands
// within it; several Handlers may stand in each other, each with its own source.
//
// A request without the old cookie costs nothing more. One with it loads the session;
// the first one of a user also reads the old session, and the new one is written and the
// old one retired before next begins, so that nothing that next does can undo one of
// them alone.
func (m *Migration[T]) Handler(next http.Handler) http.Handler {
	adopting := m.mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if err := m.move(w, r, s); err != nil {
			return err
		}
		next.ServeHTTP(w, r)
		return nil
	})
	return m.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case len(values(r, m.src.Cookie.Name)) == 0:
		case !time.Now().Before(m.src.Until):
			w.Header().Add("Set-Cookie", m.gone)
		case m.mw.Manager().Serving(r.Context()) == nil: // WithSkip
		case !takes(r, m.mw.Cookie().SameSite):
		default:
			adopting.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// move adopts the old session where the request has none of ours, and deletes the old
// cookie. With an error the request must not go on.
func (m *Migration[T]) move(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	old := values(r, m.src.Cookie.Name)
	if len(old) > maxValues {
		return nil
	}
	if s.IsNew() && begins(s) {
		readable, err := m.adopt(r.Context(), s, old)
		switch {
		case errors.Is(err, sessions.ErrTooManySessions):
			return nil // an error would lock the user out of every page, until Until
		case err != nil || len(readable) > 1:
			return err
		}
		old = readable
	}
	if err := m.retire(r.Context(), old); err != nil {
		return err
	}
	w.Header().Add("Set-Cookie", m.gone)
	return nil
}

// adopt adopts the one old session that the values name, and commits it. It returns the
// values that name a session; of two the browser must not be asked to forget one, since
// the other may have been planted by a sibling subdomain.
func (m *Migration[T]) adopt(ctx context.Context, s *sessions.Session, old []string) (readable []string, err error) {
	var found T
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, value := range old {
		one, err := m.src.Read(within, value)
		if errors.Is(err, ErrNone) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("migrate: %w: the old session can't be read: %w", stores.ErrUnavailable, err)
		}
		found, readable = one, append(readable, value)
	}
	if len(readable) != 1 {
		return readable, nil
	}
	err = m.src.Adopt(ctx, s, found)
	if errors.Is(err, ErrNone) || errors.Is(err, sessions.ErrEnded) {
		s.Discard()
		return readable, nil
	}
	if err == nil {
		// Before the request goes on: were it left to the handler, one that fails would
		// discard the new session, and the old cookie would be gone all the same.
		err = sessions.Commit(ctx)
	}
	return readable, err
}

// retire retires what the values name. It does not stop when the client goes away: the
// new session is written.
func (m *Migration[T]) retire(ctx context.Context, old []string) error {
	if m.src.Retire == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	for _, value := range old {
		if err := m.src.Retire(ctx, value); err != nil {
			return fmt.Errorf("migrate: %w: the old session can't be retired: %w", stores.ErrUnavailable, err)
		}
	}
	return nil
}

// probe is never stored.
const probe = sessions.Key[bool]("migrate: may a session begin?")

// begins tells whether a session may begin in this request. It may not where the
// browser's own has just been given a new ID by another request, as a login does: an old
// cookie that lingers must not take its place.
func begins(s *sessions.Session) bool {
	return probe.Set(s, true) == nil && probe.Delete(s) == nil
}
