//go:build unix

package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// far is a server at a distance, which loses replies, and whose client does not
// send again.
type far struct {
	server stores.Server
	tr     *trouble
	way    time.Duration // there or back, on average
}

// Place implements [stores.Store].
func (f far) Place() stores.Place { return stores.Place{Name: "far", Server: f} }

func (f far) call(ctx context.Context, do func() error) error {
	travel := func() { time.Sleep(f.way/2 + rand.N(f.way)) }
	travel()
	err := do()
	travel()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case f.tr.loses():
		return fmt.Errorf("%w: the reply was lost", stores.ErrUnavailable)
	}
	return err
}

// Load implements [stores.Server].
func (f far) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (rec stores.Record, err error) {
	err = f.call(ctx, func() error { rec, err = f.server.Load(ctx, key, fresh); return err })
	return rec, err
}

// Save implements [stores.Server].
func (f far) Save(ctx context.Context, key stores.Key, rec stores.Record) (rev stores.Revision, err error) {
	err = f.call(ctx, func() error { rev, err = f.server.Save(ctx, key, rec); return err })
	return rev, err
}

// Put implements [stores.Server].
func (f far) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	return f.call(ctx, func() error { return f.server.Put(ctx, key, rec) })
}

// However many processes change one session at once, none is left out for as long as
// a commit may take: that of default, in a time that does not depend on how busy the
// machine is.
func TestNobodyWaitsTooLong(t *testing.T) {
	for _, way := range []time.Duration{500 * time.Microsecond, 2 * time.Millisecond} {
		for _, managers := range []int{2, 14} {
			for _, every := range []int64{100, 3} {
				l := lossy{"far", false, managers, every, many(20, each)}
				t.Run(fmt.Sprintf("%v away, %v", way, l), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b, tr := memory(t), new(trouble)
						open := func(testing.TB, time.Duration) stores.Store { return far{b.store.Place().Server, tr, way} }
						exactlyOnce(t, l, shaky{trouble: tr, backend: b, open: open})
					})
				})
			}
		}
	}
}
