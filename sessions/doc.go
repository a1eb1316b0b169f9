// Package sessions gives a handler the session of its request: [Load] finds it, and
// typed keys read and write what is in it.
//
//	const visits = sessions.Key[int]("visits") // a constant, used everywhere
//
//	s, err := sessions.Load(r.Context())
//	n, err := visits.Update(s, func(n int) int { return n + 1 })
//
// Nothing else is needed in most handlers: the session is written before the first
// byte of the response. [Session.Regenerate] belongs to every login, [Session.Destroy]
// to the logout. [Flash] is for messages that are shown once.
//
// Two requests may change one session at once. What a request did is kept as a list
// of operations; where the session is on a server and another request was first, they
// are carried out again on what that has written. So changes of different keys never
// undo each other, and [Key.Update] never loses a step.
//
// Where sessions have owners ([Session.SetOwner]), a [Manager] lists a user's sessions
// and ends them.
//
// Package middleware connects all this to net/http, and has the options. [Config],
// [NewManager], [Exchange], [Transport] and [Reply] are for who writes another
// transport; most users won't need them.
package sessions
