package hybridstore

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// ended is the data of a record that was ended. No sealed record is like it: it
// is shorter than any encryptor's overhead.
var ended = []byte("ended")

func isEnded(rec stores.Record) bool { return bytes.Equal(rec.Data, ended) }

// End implements [stores.Ender]. A deletion alone would let a request that
// loaded the session from a cookie, before it moved to the server, bring it back
// under the same ID as soon as it outgrows the cookie.
func (s *Store) End(ctx context.Context, tok stores.Token, rev stores.Revision, until time.Time) error {
	if !until.After(time.Now()) { // so is every cookie's
		return s.Delete(ctx, tok, rev)
	}
	tok.Payload = ""
	rec := stores.Record{Data: ended, Expires: until, Revision: rev}
	if rev != "" {
		_, _, err := s.server.Save(ctx, tok, rec)
		if errors.Is(err, stores.ErrUnavailable) {
			// A server that has no room for a mark may still delete.
			err = s.server.Delete(ctx, tok, rev)
		}
		return err
	}
	for {
		found, err := s.server.Load(ctx, tok)
		switch {
		case errors.Is(err, stores.ErrNotFound):
			rec.Revision = ""
		case err != nil:
			return err
		case isEnded(found):
			return nil
		default:
			rec.Revision = found.Revision
		}
		_, _, err = s.server.Save(ctx, tok, rec)
		switch {
		case errors.Is(err, stores.ErrUnavailable):
			return s.server.Delete(ctx, tok, "") // as above
		case errors.Is(err, stores.ErrConflict), errors.Is(err, stores.ErrExists), errors.Is(err, stores.ErrNotFound):
			if ctx.Err() != nil {
				return ctx.Err()
			}
		default:
			return err
		}
	}
}
