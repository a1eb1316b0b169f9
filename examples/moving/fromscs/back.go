package main

import (
	"net/http"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
)

// back is the way out again: the application with scs, which takes the users back that
// after has moved. Bulla's middleware stays around it until the last of them is over,
// as migrate does in the other direction.
func back(client *redis.Client, key encrypt.Key) (http.Handler, error) {
	mw, err := newMiddleware(client, key)
	if err != nil {
		return nil, err
	}
	manager := newManager(client)
	former := pages(manager)
	takeBack := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		name, err := user.GetOr(s, "")
		if err != nil {
			return err
		}
		if name != "" && !manager.Exists(r.Context(), "user") {
			n, err := visits.GetOr(s, 0)
			if err != nil {
				return err
			}
			if err := manager.RenewToken(r.Context()); err != nil {
				return err
			}
			manager.Put(r.Context(), "user", name)
			manager.Put(r.Context(), "visits", n)
			manager.SetDeadline(r.Context(), s.Metadata().Deadline)
			// Before the other one ends: a failure must not lose both.
			if _, _, err := manager.Commit(r.Context()); err != nil {
				return err
			}
		}
		s.Destroy()
		former.ServeHTTP(w, r)
		return nil
	})
	return manager.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.CookiesNamed(mw.Cookie().Name)) > 0 {
			takeBack.ServeHTTP(w, r)
			return
		}
		former.ServeHTTP(w, r)
	})), nil
}
