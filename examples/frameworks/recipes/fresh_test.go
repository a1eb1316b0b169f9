package recipes

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/memstore"
)

func TestFresh(t *testing.T) {
	store, err := memstore.New()
	require.NoError(t, err)
	h, err := Confirmed(store, middleware.WithOwners(encrypt.GenerateKey()), &passwords{of: map[string]string{"ada": "old"}},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " codes ", r.URL.RawQuery) }))
	require.NoError(t, err)
	c := serve(t, h)()
	c.post("/login", "user", "ada")
	require.Contains(t, c.get("/codes?page=2"), "/confirm", "asked for the password")
	status, _ := c.post("/codes")
	require.Equal(t, http.StatusForbidden, status, "a form is not sent a second time for anybody")
	status, _ = c.post("/confirm", "password", "wrong")
	require.Equal(t, http.StatusForbidden, status)
	c.get("/codes?page=2")
	_, page := c.post("/confirm", "password", "old")
	require.Equal(t, "GET codes page=2", page, "back where they wanted to go")
	_, page = c.post("/codes")
	require.Equal(t, "POST codes ", page)
}
