// Package starlette shares live sessions with the SessionMiddleware of Python's
// Starlette and FastAPI, which keeps them in a signed cookie.
//
//	mw, err := starlette.New(starlette.Config{Secrets: []string{secret}, MaxAge: starlette.DefaultMaxAge})
//
// A typed key is one name of Python's session dict, and its value JSON; everybody who has
// the cookie can read it. The cookie is all that there is: a logout takes it away, and
// who has kept a copy is logged in until the signature is too old. Of two requests at
// once the later response wins. The session keeps no beginning, so there is no absolute
// end, and nothing else that Bulla knows of a session beside its values: what sets it,
// such as Session.Limit, is an error. docs/interop.md says how to come out of it again.
package starlette
