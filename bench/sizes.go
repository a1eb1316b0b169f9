package main

import (
	"net/http"
	"sort"
)

// cookieLimit is what browsers allow a cookie's name and value together. Bulla
// keeps the whole line within it.
const cookieLimit = 4096

// cookieSize is how one contender's cookie grows.
type cookieSize struct {
	name     string
	value    int // characters of the value for shopSession
	pair     int // with name and equals sign
	capacity int // bytes of JSON of the largest session that fits cookieLimit
}

func cookieSizes() []cookieSize {
	contenders := append([]contender{{sealedCBOR, bullaSealedCBOR}}, encryptedContenders()...)
	var sizes []cookieSize
	for _, c := range contenders {
		pair := loginCookie(c, shopSession())
		_, value := cut(pair)
		// Search returns the first size that does not fit.
		n := sort.Search(cookieLimit, func(n int) bool { return loginCookie(c, oneNote(n)) == "" })
		sizes = append(sizes, cookieSize{c.name, len(value), len(pair), jsonSize(oneNote(n - 1))})
	}
	return sizes
}

// oneNote is a session with one long value.
func oneNote(n int) []field {
	return append(content(0), field{"note01", text(1, n)})
}

// loginCookie returns the cookie that a login sets, or "" where the session is
// too large for one.
func loginCookie(c contender, fields []field) (pair string) {
	defer func() {
		if recover() != nil { // the login handler takes no errors
			pair = ""
		}
	}()
	cl := newClient()
	cl.send(c.open(fields).login)
	if cl.status != http.StatusOK || len(cl.cookie()) > cookieLimit {
		return ""
	}
	return cl.cookie()
}
