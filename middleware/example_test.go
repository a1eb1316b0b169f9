package middleware_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// visit sends a request with the cookies of the answer before, as a browser
// would.
func visit(h http.Handler, path string, before *http.Response) *http.Response {
	r := httptest.NewRequest("GET", "https://example.com"+path, nil)
	if before != nil {
		for _, c := range before.Cookies() {
			r.AddCookie(c)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)))
	return w.Result()
}

// An encrypted session in the cookie, for two weeks after its last use.
func ExampleNew() {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey()) // or encrypt.ParseKey(os.Getenv("KEY"))
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(cookiestore.Sealed(),
		middleware.WithEncryptor(enc),
		middleware.WithLifetime(30*24*time.Hour),
		middleware.WithRolling(24*time.Hour),
	)
	if err != nil {
		log.Fatal(err)
	}

	const visits = sessions.Key[int]("visits")
	mux := http.NewServeMux()
	mux.Handle("/", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		n, err := visits.Update(s, func(n int) int { return n + 1 })
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, "visit", n)
		return err
	}))
	handler := http.Handler(mux) // http.ListenAndServeTLS(addr, cert, key, handler)

	first := visit(handler, "/", nil)
	visit(handler, "/", first)
	_, attributes, _ := strings.Cut(first.Header.Get("Set-Cookie"), "; ")
	fmt.Println(attributes)
	// Output:
	// 200 visit 1
	// 200 visit 2
	// Path=/; HttpOnly; Secure; SameSite=Lax
}

// What can't work is an error before the first request, with the option's name
// and the remedy.
func ExampleNew_misconfigured() {
	_, err := middleware.New(cookiestore.Sealed())
	fmt.Println(errors.Is(err, sessions.ErrConfig))
	fmt.Println(err)
	// Output:
	// true
	// middleware: sessions: invalid configuration: the cookie store has no other protection than encryption; add WithEncryptor
}

// A login gives the session a new ID, a logout ends it.
func ExampleMiddleware_Handler() {
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store)
	if err != nil {
		log.Fatal(err)
	}

	const user = sessions.Key[string]("user")
	mux := http.NewServeMux()
	page := func(path string, h func(w http.ResponseWriter, s *sessions.Session) error) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Load(r.Context())
			if err == nil {
				err = h(w, s)
			}
			if err != nil {
				http.Error(w, "something went wrong", http.StatusInternalServerError)
			}
		})
	}
	page("/login", func(w http.ResponseWriter, s *sessions.Session) error {
		if err := s.Regenerate(); err != nil {
			return err
		}
		return user.Set(s, "ada")
	})
	page("/", func(w http.ResponseWriter, s *sessions.Session) error {
		name, err := user.GetOr(s, "stranger")
		fmt.Fprintln(w, "hello", name)
		return err
	})
	page("/logout", func(w http.ResponseWriter, s *sessions.Session) error {
		s.Destroy()
		return nil
	})
	handler := mw.Handler(mux)

	in := visit(handler, "/login", nil)
	visit(handler, "/", in)
	visit(handler, "/logout", in)
	visit(handler, "/", in) // somebody kept the cookie
	// Output:
	// 200
	// 200 hello ada
	// 200
	// 200 hello stranger
}

// A function is given its session, and returns its error. A login that breaks off in
// the middle leaves nothing behind; a limit that it answers itself reaches the client.
func ExampleMiddleware_HandlerFunc() {
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store,
		middleware.WithOwners(encrypt.GenerateKey()),
		middleware.WithMaxSessionsPerOwner(1, sessions.RefuseNew),
		middleware.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, err error) {
			http.Error(w, "sorry", http.StatusInternalServerError) // and log err
		}),
	)
	if err != nil {
		log.Fatal(err)
	}

	const user = sessions.Key[string]("user")
	welcome := func(w http.ResponseWriter, name string) error {
		if name == "eve" {
			return errors.New("no page for eve")
		}
		_, err := fmt.Fprintln(w, "welcome", name)
		return err
	}
	login := mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		name := r.FormValue("name") // and check the password
		if err := s.SetOwner(r.Context(), name); err != nil {
			return err
		}
		if err := user.Set(s, name); err != nil {
			return err
		}
		if name == "ada" {
			err := sessions.Commit(r.Context())
			if errors.Is(err, sessions.ErrTooManySessions) {
				http.Error(w, "log out elsewhere first", http.StatusConflict)
				return nil
			}
			if err != nil {
				return err
			}
		}
		return welcome(w, name)
	})
	visit(login, "/?name=ada", nil)
	visit(login, "/?name=ada", nil)
	eve := visit(login, "/?name=eve", nil)
	fmt.Println("cookies for eve:", len(eve.Cookies()))
	// Output:
	// 200 welcome ada
	// 409 log out elsewhere first
	// 500 sorry
	// cookies for eve: 0
}

// Under /app/ every handler finds its session loaded. FromContext does no I/O.
func ExampleWithAutoload() {
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store,
		middleware.WithAutoload("/app/", "GET /admin/{rest...}"),
		middleware.WithAutoloadRegexp(regexp.MustCompile(`/user/\d+`)),
	)
	if err != nil {
		log.Fatal(err)
	}
	handler := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := sessions.FromContext(r.Context())
		fmt.Fprintln(w, r.URL.Path, "loaded:", err == nil)
	}))
	for _, path := range []string{"/app/inbox", "/application", "/admin/users", "/user/7", "/user/7/photo"} {
		visit(handler, path, nil)
	}
	// Output:
	// 200 /app/inbox loaded: true
	// 200 /application loaded: false
	// 200 /admin/users loaded: true
	// 200 /user/7 loaded: true
	// 200 /user/7/photo loaded: false
}

// The application answers what the session can't be stored for in its own way.
func ExampleWithErrorHandler() {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(cookiestore.Sealed(),
		middleware.WithEncryptor(enc),
		middleware.WithErrorHandler(func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, stores.ErrTooLarge) {
				http.Error(w, "your basket is full", http.StatusInsufficientStorage)
				return
			}
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	const basket = sessions.Key[[]string]("basket")
	handler := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Load(r.Context())
		if err != nil {
			return
		}
		if err := basket.Set(s, make([]string, 2000)); err != nil {
			return
		}
		fmt.Fprintln(w, "added") // the session does not fit: this is not sent
	}))
	visit(handler, "/", nil)
	// Output:
	// 507 your basket is full
}

// Health checks have no session. Any client can send any header, so this decides
// nothing about what a client may do.
func ExampleWithSkipHeader() {
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store, middleware.WithSkipHeader("X-Health-Check", "1"))
	if err != nil {
		log.Fatal(err)
	}
	handler := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := sessions.Load(r.Context())
		fmt.Println(err)
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Health-Check", "1")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// sessions: no session middleware around this handler
}

// A page that needs a proof of a moment ago, and the login, which leads back to it.
func ExampleMiddleware_RequireFresh() {
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store, middleware.WithProofPage("/login"))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/keys", mw.RequireFresh(15*time.Minute, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "your keys")
	})))
	mux.Handle("POST /login", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
		// … check the password …
		if err := s.Regenerate(); err != nil {
			return err
		}
		if err := s.SetAuthenticated(time.Now()); err != nil {
			return err
		}
		http.Redirect(w, r, middleware.WayBack(s, "/"), http.StatusSeeOther)
		return nil
	}))

	send := func(method, path string, before *http.Response) *http.Response {
		r := httptest.NewRequest(method, "https://example.com"+path, nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate") // as browsers do
		if before != nil {
			for _, c := range before.Cookies() {
				r.AddCookie(c)
			}
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Location"))
		return w.Result()
	}
	asked := send("GET", "/keys?sort=date", nil)
	proved := send("POST", "/login", asked)
	send("GET", "/keys?sort=date", proved)
	// Output:
	// 303 /login
	// 303 /keys?sort=date
	// 200
}

// A page asks how long there is, as a script in it would, and does not keep its session
// alive by that.
func ExampleMiddleware_Remaining() {
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	mw, err := middleware.New(store, middleware.WithRolling(time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /session/remaining", mw.Remaining())
	mux.Handle("GET /", mw.HandlerFunc(func(w http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		if err := s.SetAuthenticated(time.Now()); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, "home")
		return err
	}))

	visit(mux, "/session/remaining", nil) // there is no session
	page := visit(mux, "/", nil)
	r := httptest.NewRequest("GET", "https://example.com/session/remaining", nil)
	for _, c := range page.Cookies() {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	left, err := strconv.Atoi(strings.TrimSpace(w.Body.String()))
	fmt.Println("nearly an hour:", left > 3500 && left <= 3600, err)
	fmt.Println(len(w.Result().Cookies()), "cookies")
	// Output:
	// 200 0
	// 200 home
	// nearly an hour: true <nil>
	// 0 cookies
}
