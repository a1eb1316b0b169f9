// Package scs reads the sessions of alexedwards/scs, from Redis and SQL databases, for a
// migration by package migrate. It does not depend on scs.
//
// scs knows of a session when it ends, and not when it began. Who wants the absolute
// deadline to stay as it was says so in Adopt:
//
//	s.BeganAt(old.Deadline.Add(-24 * time.Hour)) // scs's Lifetime
//
// Values that are no basic types are known to encoding/gob by name: the program must
// register them as the former one did, by gob.Register, under the same names.
package scs
