package recipes

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"github.com/gorilla/csrf"
	"github.com/justinas/nosurf"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// Each protection goes with Bulla, with a session on a server and in the cookie: a form
// of the site's own page passes and its session is kept; one without the token does not,
// and changes nothing.
func TestCSRF(t *testing.T) {
	key := []byte("a key of 32 bytes for this test!")
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	sealed, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc))
	require.NoError(t, err)
	for store, mw := range map[string]*middleware.Middleware{"server": inMemory(t), "cookie": sealed} {
		for name, test := range map[string]struct {
			protect func(http.Handler) http.Handler
			field   func(*http.Request) string
		}{
			"gorilla": {
				func(h http.Handler) http.Handler { return WithGorilla(key, mw, h) },
				func(r *http.Request) string { return string(csrf.TemplateField(r)) },
			},
			"nosurf": {
				func(h http.Handler) http.Handler { return WithNosurf(mw, h) },
				func(r *http.Request) string {
					return fmt.Sprintf(`<input type="hidden" name="csrf_token" value="%s">`, nosurf.Token(r))
				},
			},
		} {
			t.Run(store+"/"+name, func(t *testing.T) {
				mux := http.NewServeMux()
				mux.Handle("GET /{$}", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
					who, err := user.GetOr(s, "nobody")
					fmt.Fprintf(w, "<p>%s</p><form>%s</form>", who, test.field(r))
					return err
				}))
				mux.Handle("POST /login", mw.HandlerFunc(func(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
					if err := s.Regenerate(); err != nil {
						return err
					}
					if err := user.Set(s, r.FormValue("user")); err != nil {
						return err
					}
					http.Redirect(w, r, "/", http.StatusSeeOther)
					return nil
				}))
				c := serve(t, test.protect(mux))()
				token := func(page string) (name, value string) {
					m := regexp.MustCompile(`name="(.*?)" value="(.*?)"`).FindStringSubmatch(page)
					require.Len(t, m, 3, page)
					return m[1], m[2]
				}
				field, value := token(c.get("/"))
				_, page := c.post("/login", "user", "ada", field, value)
				require.Contains(t, page, "<p>ada</p>")

				for _, forged := range []string{"", value[:len(value)-8] + "AAAAAAA="} {
					status, _ := c.post("/login", "user", "eve", field, forged)
					require.GreaterOrEqual(t, status, 400)
					require.Less(t, status, 500)
				}
				page = c.get("/")
				require.Contains(t, page, "<p>ada</p>")
				_, value = token(page)
				_, page = c.post("/login", "user", "bob", field, value)
				require.Contains(t, page, "<p>bob</p>", "and the token goes on after a login")
			})
		}
	}
}
