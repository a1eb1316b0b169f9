// Package starsessions shares live sessions with Python's starsessions (2.x), in its
// cookie or in its Redis: users log in on either side and are logged in on both.
//
//	store, err := starsessions.Redis(client)
//	enc, err := starsessions.Fernet(os.Getenv("SESSION_KEY"))
//	mw, err := starsessions.New(store, starsessions.Config{Lifetime: 14 * 24 * time.Hour, Rolling: true, Encryptor: enc})
//
// A typed key is one name of Python's session dict, and its value JSON. What Go can't
// hold, NaN or half a surrogate, is written back as it was read. docs/interop.md says
// what is lost compared with Bulla's own sessions, and how to come out again: records
// are bound to nothing, IDs lie in Redis in the clear, and starsessions saves with every
// response what it has loaded, so that one of its reads undoes a change that was made
// beside it, a logout among them. python/cas_store.py is a store for the Python side
// that ends the latter.
package starsessions
