// Gin keeps sessions under gin:
//
//	go run ./gin
package main

import (
	"flag"
	"io"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

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
	handler, err := newHandler(store)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("open http://%s/", *addr)
	log.Fatal(http.ListenAndServe(*addr, handler))
}

func newHandler(store stores.Store) (http.Handler, error) {
	mw, err := middleware.New(store, middleware.WithLifetime(14*24*time.Hour))
	if err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.Recovery())
	engine.GET("/", handle(home))
	engine.GET("/whoami", handle(whoami))
	engine.POST("/login", handle(login))
	engine.POST("/logout", handle(logout))
	engine.GET("/stream", handle(stream))
	engine.GET("/events", handle(counted))
	// Around the engine: gin has a response writer of its own, and its
	// middleware can't put another one in its place. So engine.Run is not used.
	return http.NewCrossOriginProtection().Handler(mw.Handler(engine)), nil
}

// handle returns f with the request's session. The session is in the request's context;
// gin's own context has it only with engine.ContextWithFallback. What fails is answered
// here, and leaves nothing behind: 503 where the store failed.
func handle(f func(*gin.Context, *sessions.Session) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		s, err := sessions.Load(c.Request.Context())
		if err == nil {
			if err = f(c, s); err != nil {
				s.Discard()
			}
		}
		if err != nil {
			c.AbortWithError(middleware.StatusOf(err), err)
		}
	}
}

func home(c *gin.Context, s *sessions.Session) error {
	n, err := visits.Update(s, func(n int) int { return n + 1 })
	if err != nil {
		return err
	}
	c.String(http.StatusOK, "Visit %d\n", n)
	return nil
}

func whoami(c *gin.Context, s *sessions.Session) error {
	name, err := user.GetOr(s, "nobody")
	if err != nil {
		return err
	}
	c.String(http.StatusOK, "%s\n", name)
	return nil
}

func login(c *gin.Context, s *sessions.Session) error {
	// A real login checks a password here. Then the session gets a new ID, so
	// that whoever knew the old one is not logged in too.
	if err := s.Regenerate(); err != nil {
		return err
	}
	if err := user.Set(s, c.PostForm("user")); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, "/whoami")
	return nil
}

func logout(c *gin.Context, s *sessions.Session) error {
	s.Destroy()
	c.Redirect(http.StatusSeeOther, "/whoami")
	return nil
}

// stream counts its events in the session. The first one is stored before the
// first byte and brings the cookie; the others when the stream ends.
func stream(c *gin.Context, s *sessions.Session) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	c.Stream(func(w io.Writer) bool {
		n, err := events.Update(s, func(n int) int { return n + 1 })
		if err != nil {
			log.Print(err)
			return false
		}
		if _, err := io.WriteString(w, "event "+strconv.Itoa(n)+"\n"); err != nil {
			return false
		}
		c.Writer.Flush() // gin flushes only after this function
		select {
		case <-c.Request.Context().Done():
			return false
		case <-ticks.C:
			return true
		}
	})
	return nil
}

func counted(c *gin.Context, s *sessions.Session) error {
	n, err := events.GetOr(s, 0)
	if err != nil {
		return err
	}
	c.String(http.StatusOK, "%d\n", n)
	return nil
}
