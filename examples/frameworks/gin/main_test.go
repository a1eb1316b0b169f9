package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/examples/frameworks/internal/drive"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestGin(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	drive.Run(t, store, newHandler)
}

// TestCloseNotify has a stream that only gin's look at http.CloseNotifier ends.
// gin panics where the writer beneath has none.
func TestCloseNotify(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	mw, err := middleware.New(store)
	require.NoError(t, err)
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	ended := make(chan bool, 1)
	ticks := time.Tick(time.Millisecond)
	engine.GET("/", func(c *gin.Context) {
		s, err := sessions.Load(c.Request.Context())
		if err == nil {
			err = user.Set(s, "ada")
		}
		if err != nil {
			c.AbortWithError(http.StatusInternalServerError, err)
			return
		}
		ended <- c.Stream(func(w io.Writer) bool {
			<-ticks
			fmt.Fprintln(w, "more")
			return true
		})
	})
	inner := mw.Handler(engine)

	for name, handler := range map[string]http.Handler{
		"net/http's writer": inner,
		"a writer without CloseNotify": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(struct {
				http.ResponseWriter
				http.Flusher
			}{w, w.(http.Flusher)}, r)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewTLSServer(handler)
			defer server.Close()
			resp, err := server.Client().Get(server.URL)
			require.NoError(t, err)
			require.Len(t, resp.Header["Set-Cookie"], 1)
			line, err := bufio.NewReader(resp.Body).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "more\n", line)
			require.NoError(t, resp.Body.Close())
			select {
			case gone := <-ended:
				require.True(t, gone)
			case <-time.After(20 * time.Second):
				require.Fail(t, "the stream goes on though the client is gone")
			}
		})
	}
}

// TestMiddlewareThatAnswers has gin's middleware answer in the handler's place.
func TestMiddlewareThatAnswers(t *testing.T) {
	memory, err := memstore.New()
	require.NoError(t, err)
	store := &drive.Store{Store: memory}
	mw, err := middleware.New(store)
	require.NoError(t, err)
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.CustomRecovery(func(c *gin.Context, _ any) { c.AbortWithStatus(http.StatusInternalServerError) }))
	engine.GET("/panic", func(c *gin.Context) {
		s, err := sessions.Load(c.Request.Context())
		if err == nil {
			err = user.Set(s, "ada")
		}
		require.NoError(t, err)
		panic("a bug")
	})
	server := httptest.NewTLSServer(mw.Handler(engine))
	defer server.Close()

	// gin recovers inside the session's middleware and answers: to that one it
	// is an answer like any other.
	resp, err := server.Client().Get(server.URL + "/panic")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.Len(t, resp.Header["Set-Cookie"], 1)

	store.Down.Store(true)
	resp, err = server.Client().Get(server.URL + "/panic")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Empty(t, resp.Header["Set-Cookie"])
}

// TestFails has a handler that changes the session and then fails.
func TestFails(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	mw, err := middleware.New(store)
	require.NoError(t, err)
	engine := gin.New()
	engine.GET("/", handle(func(_ *gin.Context, s *sessions.Session) error {
		return errors.Join(user.Set(s, "ada"), sessions.ErrTooManySessions)
	}))
	w := httptest.NewRecorder()
	mw.Handler(engine).ServeHTTP(w, httptest.NewRequest("GET", "https://app.example/", nil))
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Empty(t, w.Result().Cookies())
}
