// Package gorilla reads the sessions of gorilla/sessions, for a migration by package
// migrate: those that its CookieStore keeps in the cookie, those of its Redis stores, and
// those of its FilesystemStore. It does not depend on gorilla/sessions.
//
// gorilla knows of a session when its cookie was last set, and neither when it began nor
// when it ends. It began no later than that, so Adopt says at least
//
//	s.BeganAt(old.SignedAt)
//
// or, where the application kept the time of the login among the values, that one.
//
// Values are encoded with encoding/gob, which knows types that are not basic by name: the
// program must register them as the former one did, by gob.Register, under the same
// names.
package gorilla
