// Package cookiestore keeps a session's record in the client's cookie, and
// nothing on the server.
//
// [Sealed] is for records that an encryptor protects, [Signed] for records that
// the client may read but not change.
//
// The client has the only copy of such a session. Of two responses at once the
// last one wins; a destroyed session's cookie, if somebody kept it, works until
// its deadline; and nobody but the client can end it. Where that matters, keep
// sessions on a server.
package cookiestore
