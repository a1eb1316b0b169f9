package stores

// Store is a place where sessions can be kept. Every constructor of a store
// returns one, so that moving sessions from a cookie to a server is one changed
// line.
type Store interface {
	// Place returns the same every time.
	Place() Place
}

// Place describes a [Store]. Server or Cookie is set or, for a store that keeps
// small sessions in the cookie and others on a server, both.
type Place struct {
	// Name is for logs and hooks: "memory", "redis".
	Name string

	// Server keeps records on a server; nil where all are in the cookie.
	Server Server

	// Cookie spells a record in the cookie; nil where none is.
	Cookie Codec

	// Signed: Cookie protects its records itself and they are meant to be
	// readable, so an encryptor is refused. Otherwise one is required where
	// there is a Cookie.
	Signed bool

	// InProcess: records do not leave the process and no call waits for
	// anything but a lock. Encryption is optional then.
	InProcess bool

	// StaleReads: a Load that does not ask for [Fresh] may be answered by a
	// cache or a replica. The manager confirms a "not found" from one.
	StaleReads bool

	// Foreign: the sessions are another system's, which this program shares; nil
	// for Bulla's own. The packages in folder interop have such stores.
	Foreign *Foreign
}

// Foreign says how another system's sessions look. Their records are bound to nothing
// and carry no more than that system has a place for, so the manager refuses with them
// what it could not keep. Most users won't need it.
type Foreign struct {
	// ID tells whether the text of a cookie may be a session's ID; keys of a Server
	// are [ForeignKey]s of such a text. It is not used where a Cookie has the
	// records: there the cookie is the payload and nothing else.
	ID func(text string) bool

	// Layout lays records out, and seals them where the other system does. It is of a
	// type that only packages of this module can have.
	Layout any
}

// Codec spells a record as the payload of a token. It is safe for concurrent
// use.
//
// The binding says what the record belongs to: application, cookie and session.
// A Codec that authenticates must cover it; one for records that an encryptor
// has sealed ignores it.
type Codec interface {
	// Encode returns the payload: base64url characters, at least one; of a foreign
	// store, any that a cookie's value may have.
	Encode(data, binding []byte) (payload string, err error)

	// Decode returns the record in a payload, and whether it should be
	// written again soon, such as one that is signed under a retired key. Text
	// that Encode would not have written is [ErrMalformed]; a record that does
	// not authenticate is [ErrTampered].
	Decode(payload string, binding []byte) (data []byte, stale bool, err error)
}
