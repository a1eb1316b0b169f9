package recipes

import (
	"context"
	"net/http"

	"github.com/bulla-go/bulla/sessions"
)

// Accounts keeps passwords.
type Accounts interface {
	Check(ctx context.Context, user, password string) (bool, error)
	SetPassword(ctx context.Context, user, password string) error
}

// Account has the pages of a user's account.
type Account struct {
	Accounts Accounts
	Sessions *sessions.Manager // mw.Manager()
}

// ChangePassword ends all other sessions of the user.
func (a *Account) ChangePassword(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	ctx := r.Context()
	ok, err := a.Accounts.Check(ctx, s.Owner(), r.FormValue("old"))
	if err != nil {
		return err
	}
	if !ok {
		http.Error(w, "The old password is wrong.", http.StatusForbidden)
		return nil
	}
	// First the password, then the sessions: who logs in with the old one in between
	// is ended too, also where that login is still under way.
	if err := a.Accounts.SetPassword(ctx, s.Owner(), r.FormValue("new")); err != nil {
		return err
	}
	if _, err := a.Sessions.RevokeOthers(ctx, s); err != nil {
		return err
	}
	if err := s.Regenerate(); err != nil { // a thief of this very session stays outside, too
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// ResetPassword is for who has lost it, and came by a link in a mail: nobody is signed
// in here, and everybody is signed out.
func (a *Account) ResetPassword(ctx context.Context, userID, password string) error {
	if err := a.Accounts.SetPassword(ctx, userID, password); err != nil {
		return err
	}
	_, err := a.Sessions.RevokeAll(ctx, userID)
	return err
}
