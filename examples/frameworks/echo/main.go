// Echo keeps sessions under echo:
//
//	go run ./echo
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

const (
	visits = sessions.Key[int]("visits")
	events = sessions.Key[int]("events")
	user   = sessions.Key[string]("user")
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	flag.Parse()
	store, err := memstore.New()
	if err != nil {
		log.Fatal(err)
	}
	e, err := newEcho(store)
	if err != nil {
		log.Fatal(err)
	}
	e.Logger.Fatal(e.Start(*addr))
}

func newEcho(store stores.Store) (*echo.Echo, error) {
	mw, err := middleware.New(store, middleware.WithLifetime(14*24*time.Hour))
	if err != nil {
		return nil, err
	}
	e := echo.New()
	// The sessions come last, nearest to the handlers: echo's own middleware
	// may then wrap the response as it likes.
	e.Use(echomw.Recover(), echo.WrapMiddleware(http.NewCrossOriginProtection().Handler))
	e.Use(echo.WrapMiddleware(mw.Handler))
	e.GET("/", handle(home))
	e.GET("/whoami", handle(whoami))
	e.POST("/login", handle(login))
	e.POST("/logout", handle(logout))
	e.GET("/stream", handle(stream))
	e.GET("/events", handle(counted))
	return e, nil
}

// handle returns f with the request's session. An error is answered by echo, after the
// session was committed, so it is here that nothing is left of what failed. The status is
// 503 where the store failed; echo says nothing of the cause.
func handle(f func(echo.Context, *sessions.Session) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		s, err := sessions.Load(c.Request().Context())
		if err == nil {
			if err = f(c, s); err != nil {
				s.Discard()
			}
		}
		if err != nil {
			return echo.NewHTTPError(middleware.StatusOf(err)).WithInternal(err)
		}
		return nil
	}
}

func home(c echo.Context, s *sessions.Session) error {
	n, err := visits.Update(s, func(n int) int { return n + 1 })
	if err != nil {
		return err
	}
	return c.String(http.StatusOK, fmt.Sprintf("Visit %d\n", n))
}

func whoami(c echo.Context, s *sessions.Session) error {
	name, err := user.GetOr(s, "nobody")
	if err != nil {
		return err
	}
	return c.String(http.StatusOK, name+"\n")
}

func login(c echo.Context, s *sessions.Session) error {
	// A real login checks a password here. Then the session gets a new ID, so
	// that whoever knew the old one is not logged in too.
	if err := s.Regenerate(); err != nil {
		return err
	}
	if err := user.Set(s, c.FormValue("user")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/whoami")
}

func logout(c echo.Context, s *sessions.Session) error {
	s.Destroy()
	return c.Redirect(http.StatusSeeOther, "/whoami")
}

// stream counts its events in the session. The first one is stored before the
// first byte and brings the cookie; the others when the stream ends.
func stream(c echo.Context, s *sessions.Session) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		n, err := events.Update(s, func(n int) int { return n + 1 })
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.Response(), "event %d\n", n); err != nil {
			return err
		}
		c.Response().Flush()
		select {
		case <-c.Request().Context().Done():
			return nil
		case <-ticks.C:
		}
	}
}

func counted(c echo.Context, s *sessions.Session) error {
	n, err := events.GetOr(s, 0)
	if err != nil {
		return err
	}
	return c.String(http.StatusOK, fmt.Sprintln(n))
}
