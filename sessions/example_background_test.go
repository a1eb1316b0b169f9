package sessions_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// A report takes longer than a request may. When it is ready, the user's next page says
// so.
func ExampleManager_Background() {
	const notices = sessions.Flash[string]("notices")
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	mw, err := middleware.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}

	done := make(chan error)
	mux := http.NewServeMux()
	mux.Handle("POST /report", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		if err := notices.Add(s, "The report is being made."); err != nil {
			return err
		}
		if err := sessions.Commit(r.Context()); err != nil { // a new session must be there first
			return err
		}
		id, ctx := s.ID(), context.WithoutCancel(r.Context()) // that ends with the response
		go func() {
			done <- mw.Manager().Background(ctx, id, func(s *sessions.Session) error {
				return notices.Add(s, "The report is ready.")
			})
		}()
		return nil
	}))
	mux.Handle("GET /", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		list, err := notices.Pop(s)
		for _, text := range list {
			fmt.Fprintln(w, text)
		}
		return err
	}))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", "https://example.com/report", nil))
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	page, _ := io.ReadAll(w.Body)
	fmt.Print(string(page))
	// Output:
	// The report is being made.
	// The report is ready.
}
