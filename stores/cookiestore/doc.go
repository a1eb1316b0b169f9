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

import (
	"fmt"

	"github.com/bulla-go/bulla/stores"
)

// checkRoom returns stores.ErrTooLarge where a payload of n characters does not
// fit. It is strict: no room is no room, since a cookie that is too long is
// dropped by the browser without a word, and the session with it.
func checkRoom(n, room int) error {
	if n > room {
		return fmt.Errorf("%w: the record takes %d characters, the cookie has room for %d; keep less in the session, or keep it on a server",
			stores.ErrTooLarge, n, room)
	}
	return nil
}

// errNoPayload: the client holds an ID alone.
var errNoPayload = fmt.Errorf("%w: the token carries no record", stores.ErrNotFound)
