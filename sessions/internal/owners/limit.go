package owners

import (
	"context"
	"fmt"
	"slices"

	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/stores"
)

// limit keeps the number of an owner's sessions within the limit, when a login has
// written its entry and its record.
//
// Where the oldest end, a login under way does not count: it looks itself when it is
// written. Whoever is beyond the newest loses, oneself included. Where the new one is
// refused, all that came before count, also without a record, so that of two at once
// it is the later one that loses, and never an acknowledged one. A login that died
// holds its place for as long as a stub lives.
func (o *Owners) limit(ctx context.Context, key stores.Key, w Ownership) error {
	all, err := o.list(ctx, o.hashes(w.User))
	if err != nil {
		return err
	}
	if !o.EndOldest {
		before := make(map[uint64]bool)
		for _, e := range all {
			// No login is under way for longer than a late packet may take, and
			// who idled out must not be locked out.
			if e.Number < w.number && !e.past && (!e.underWay() || e.Age <= o.Engine.StubLife) {
				before[e.Number] = true
			}
		}
		if len(before) >= o.Most {
			return fmt.Errorf("%w: %d are allowed", ErrTooMany, o.Most)
		}
		return nil
	}
	// From the newest on; those of one number are one session.
	numbers := make(map[uint64]bool)
	var over []One
	lost := false
	for _, e := range slices.Backward(all) {
		if e.underWay() || e.past {
			continue
		}
		numbers[e.Number] = true
		switch {
		case len(numbers) <= o.Most:
		case e.Key == key:
			lost = true
		default:
			over = append(over, e)
		}
	}
	if len(over) > 0 {
		ended, err := o.endThese(ctx, over)
		if err != nil {
			return err
		}
		for _, key := range ended {
			o.Outdone(ctx, key)
		}
	}
	if lost {
		return fmt.Errorf("%w: newer logins of its owner have taken its place", swap.ErrEnded)
	}
	return nil
}
