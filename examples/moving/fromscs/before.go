package main

import (
	"net/http"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"
)

// scsLifetime is scs's own.
const scsLifetime = 24 * time.Hour

// before is the application with scs.
func before(client *redis.Client) http.Handler {
	manager := newManager(client)
	return manager.LoadAndSave(pages(manager))
}

func newManager(client *redis.Client) *scs.SessionManager {
	manager := scs.New()
	manager.Store = goredisstore.New(client)
	manager.Lifetime = scsLifetime
	manager.Cookie.Secure = true
	return manager
}

func pages(manager *scs.SessionManager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		user := manager.GetString(r.Context(), "user")
		visits := manager.GetInt(r.Context(), "visits")
		if user != "" {
			visits++
			manager.Put(r.Context(), "visits", visits)
		}
		page(w, user, visits)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := manager.RenewToken(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		manager.Put(r.Context(), "user", r.FormValue("user"))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := manager.Destroy(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	return mux
}
