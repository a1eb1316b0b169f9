package storetest

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

// clientFuncs is a store of client-held records with some methods replaced.
type clientFuncs struct {
	funcs
	holds func(size, room int) bool
}

func (f clientFuncs) ClientHolds(tok stores.Token, rev stores.Revision, size, room int) bool {
	return f.holds(size, room)
}

func (f clientFuncs) Describe() stores.Info { return stores.Describe(f.Store) }

func TestSoundClientStore(t *testing.T) {
	for _, store := range []stores.Store{cookiestore.Sealed(), newSigned(t)} {
		cfg := breakClient(store, func(stores.Store, *clientFuncs) {})
		require.Empty(t, failures(t, cfg, checks(cfg)))
		Run(t, cfg)
	}
}

func newSigned(t *testing.T) stores.Store {
	store, err := cookiestore.Signed(encrypt.GenerateKey())
	require.NoError(t, err)
	return store
}

func breakClient(sound stores.Store, fault func(s stores.Store, f *clientFuncs)) Config {
	return Config{Synctest: true, ClientRoom: MinClientRoom, New: func(t *testing.T) stores.Store {
		f := &clientFuncs{funcs{Store: sound}, func(int, int) bool { return true }}
		fault(sound, f)
		return f
	}}
}

func TestClientHeldFaults(t *testing.T) {
	type (
		ctx = context.Context
		tok = stores.Token
		rec = stores.Record
		rev = stores.Revision
	)
	signed := newSigned(t)
	client := func(store stores.Store, fault string, breakIt func(s stores.Store, f *clientFuncs), checks ...string) broken {
		return broken{fault, breakClient(store, breakIt), checks}
	}
	sealed := cookiestore.Sealed()

	requireFailures(t, checks, []broken{
		{"no ClientHolder", Config{
			ClientRoom: MinClientRoom,
			New:        func(t *testing.T) stores.Store { return funcs{Store: sealed} },
		}, []string{"ClientHolder"}},
		client(sealed, "says that the server holds it", func(_ stores.Store, f *clientFuncs) {
			f.holds = func(int, int) bool { return false }
		}, "ClientHolder"),
		client(sealed, "returns a revision", func(s stores.Store, f *clientFuncs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				k, _, err := s.Save(c, k, r)
				return k, "1", err
			}
		}, "client save and load"),
		client(sealed, "always stale", func(s stores.Store, f *clientFuncs) {
			f.load = func(c ctx, k tok) (rec, error) {
				r, err := s.Load(c, k)
				r.Stale = true
				return r, err
			}
		}, "client save and load"),
		client(sealed, "padded base64", func(s stores.Store, f *clientFuncs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				k, v, err := s.Save(c, k, r)
				k.Payload += strings.Repeat("=", -len(k.Payload)&3)
				return k, v, err
			}
			f.load = func(c ctx, k tok) (rec, error) {
				k.Payload = strings.TrimRight(k.Payload, "=")
				return s.Load(c, k)
			}
		}, "client payload is in the grammar", "client changed payload"),
		client(sealed, "lenient base64", func(s stores.Store, f *clientFuncs) {
			f.load = func(c ctx, k tok) (rec, error) {
				if k.Payload == "" {
					return s.Load(c, k)
				}
				data, err := base64.RawURLEncoding.DecodeString(k.Payload)
				if err != nil {
					return rec{}, stores.ErrMalformed
				}
				return rec{Data: data}, nil
			}
		}, "client changed payload"),
		client(sealed, "errors of its own", func(s stores.Store, f *clientFuncs) {
			f.load = func(c ctx, k tok) (rec, error) {
				r, err := s.Load(c, k)
				if err != nil {
					err = fmt.Errorf("sorry: %v", err)
				}
				return r, err
			}
		}, "client changed payload", "client load without payload"),
		client(signed, "does not verify", func(s stores.Store, f *clientFuncs) {
			f.save = sealed.Save
			f.load = sealed.Load
		}, "client changed payload", "client payload elsewhere"),
		client(signed, "does not sign the binding", func(s stores.Store, f *clientFuncs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				k.Binding = []byte("the same for all")
				return s.Save(c, k, r)
			}
			f.load = func(c ctx, k tok) (rec, error) {
				k.Binding = []byte("the same for all")
				return s.Load(c, k)
			}
		}, "client payload elsewhere"),
		client(sealed, "knows no room", func(s stores.Store, f *clientFuncs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				r.Room = MinClientRoom
				return s.Save(c, k, r)
			}
		}, "client record too large"),
		client(sealed, "does not say the sizes", func(s stores.Store, f *clientFuncs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				got, v, err := s.Save(c, k, r)
				if err != nil && stores.CheckExpires(r) == nil {
					err = stores.ErrTooLarge
				}
				return got, v, err
			}
		}, "client record too large"),
		client(sealed, "any expiry is taken", func(s stores.Store, f *clientFuncs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				return tok{ID: k.ID, Payload: stores.EncodePayload(r.Data)}, "", nil
			}
		}, "client invalid expiry"),
		client(sealed, "delete finds nothing", func(s stores.Store, f *clientFuncs) {
			f.delete = func(ctx, tok, rev) error { return stores.ErrNotFound }
		}, "client delete"),
		client(sealed, "an ended context is no session", func(s stores.Store, f *clientFuncs) {
			f.load = func(c ctx, k tok) (rec, error) {
				if c.Err() != nil {
					return rec{}, stores.ErrNotFound
				}
				return s.Load(c, k)
			}
		}, "client ended context"),
		client(sealed, "text only", func(s stores.Store, f *clientFuncs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				r.Data = []byte(strings.ToValidUTF8(string(r.Data), "?"))
				return s.Save(c, k, r)
			}
		}, "rule 6 data"),
		client(sealed, "changes its arguments", func(s stores.Store, f *clientFuncs) {
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				got, v, err := s.Save(c, k, r)
				clear(r.Data)
				return got, v, err
			}
		}, "rule 6 saved slices are the caller's"),
		client(sealed, "hands out one slice", func(s stores.Store, f *clientFuncs) {
			shared := make([]byte, 100)
			f.load = func(c ctx, k tok) (rec, error) {
				r, err := s.Load(c, k)
				if strings.HasPrefix(string(r.Data), "the ") {
					r.Data = shared[:copy(shared, r.Data)]
				}
				return r, err
			}
		}, "rule 6 loaded slices are the caller's"),
		client(sealed, "mixes records up", func(s stores.Store, f *clientFuncs) {
			var mu sync.Mutex
			var first rec
			f.save = func(c ctx, k tok, r rec) (tok, rev, error) {
				mu.Lock()
				defer mu.Unlock()
				if first.Data == nil {
					first = r
				}
				return s.Save(c, k, first)
			}
		}, "rule 6 concurrent use"),
	})
}
