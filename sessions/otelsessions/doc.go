// Package otelsessions tells OpenTelemetry what happens to sessions. It is a module of
// its own, so that Bulla depends on no telemetry.
//
//	hooks, err := otelsessions.Hooks()
//	mw, err := middleware.New(store, middleware.WithHooks(hooks), …)
//
// # Metrics
//
//	bulla.session.operation.duration  histogram, s
//	bulla.session.events              counter, {event}
//	bulla.session.cookie.utilization  histogram, 1
//	bulla.session.count               up-down counter, {session}; see Count
//
// The first is the time that an operation has spent in the store and the encryptor, with
// the attributes bulla.session.operation (load, create, save, touch, regenerate,
// destroy, revoke) and bulla.session.store; its count is how often each was done. The second
// counts what is not as usual, with bulla.session.event and bulla.session.store:
//
//	conflict    another request's write came first, and the changes were replayed
//	ended       the session was ended elsewhere, and nothing was written
//	rejected    the client's token was not accepted; bulla.session.reason says why
//	late        a change after the response began was discarded
//	refused     a limit was met; error.type says which
//	failed      the store failed, or a record does not open; error.type says which
//
// The third says how full the cookie is where it holds the session: what takes more than
// 1 is refused. A session on a server has no such limit.
//
// # Spans
//
// Where the request is traced, each operation, and what failed or was rejected, is a
// span beneath it: "session load", "session save". Only the store's failures are errors.
//
// The names follow OpenTelemetry's rules for names, units and error.type; there are no
// conventions for sessions on a server. No attribute names a session or a user: neither
// the ID, which is a secret, nor its hash.
package otelsessions
