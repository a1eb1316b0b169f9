package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// raceRounds is how often two calls are let loose on each other.
const raceRounds = 10

// raceChecks let several writers meet at one record.
var raceChecks = []check{
	{"rule 1 many creates at once", func(s *subject) {
		tok := s.token()
		var mu sync.Mutex
		var won []string
		goTogether(16, func(i int) {
			data := fmt.Sprint("goroutine ", i)
			_, _, err := s.store.Save(s.ctx, tok, s.record(data, ""))
			if err != nil {
				s.fails(1, "Save with no Revision beside others", err, stores.ErrExists)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, data)
		})
		if len(won) != 1 {
			s.Fatalf("rule 1: %d of 16 creates of one ID succeeded, want 1", len(won))
		}
		if got := string(s.load(tok).Data); got != won[0] {
			s.Errorf("rule 1: the record holds %q, but the create of %q succeeded", got, won[0])
		}
	}},
	{"rule 2 many replaces at once", func(s *subject) {
		const writers = 8
		tok := s.token()
		_, rev := s.save(tok, "", "zero")
		for range raceRounds {
			var revs [writers]stores.Revision
			goTogether(writers, func(i int) {
				_, won, err := s.store.Save(s.ctx, tok, s.record(strconv.Itoa(i), rev))
				if err != nil {
					s.fails(2, "Save beside others with the same Revision", err, stores.ErrConflict)
					return
				}
				revs[i] = won
			})
			winner, winners := 0, 0
			for i, won := range revs {
				if won != "" {
					winner, winners = i, winners+1
				}
			}
			if winners != 1 {
				s.Fatalf("rule 2: %d of %d writers replaced one Revision, want 1", winners, writers)
			}
			rev = revs[winner]
			s.holds(2, "after many replaces at once", tok, strconv.Itoa(winner), rev)
		}
	}},
	{"rule 2 counter", func(s *subject) {
		const writers, each = 8, 4
		tok := s.token()
		s.save(tok, "", "0")
		goTogether(writers, func(int) {
			for done := 0; done < each; {
				rec, err := s.store.Load(s.ctx, tok)
				if err != nil {
					s.Errorf("rule 2: Load beside others: %v", err)
					return
				}
				n, err := strconv.Atoi(string(rec.Data))
				if err != nil {
					s.Errorf("rule 6: Load beside others returned %s", abridge(rec.Data))
					return
				}
				_, _, err = s.store.Save(s.ctx, tok, s.record(strconv.Itoa(n+1), rec.Revision))
				switch {
				case err == nil:
					done++
				case !errors.Is(err, stores.ErrConflict):
					s.Errorf("rule 2: Save beside others: %v", err)
					return
				}
			}
		})
		if got, want := string(s.load(tok).Data), strconv.Itoa(writers*each); got != want {
			s.Errorf("rule 2: after %s increments the counter is %s: a change was lost", want, got)
		}
	}},
	{"rule 4 delete and replace at once", func(s *subject) {
		for round := range raceRounds {
			tok := s.token()
			_, rev := s.save(tok, "", "one")
			var saved stores.Revision
			var saveErr, deleteErr error
			goTogether(2, func(i int) {
				if (i+round)%2 == 0 { // so that either comes first
					_, saved, saveErr = s.store.Save(s.ctx, tok, s.record("two", rev))
				} else {
					deleteErr = s.store.Delete(s.ctx, tok, rev)
				}
			})
			switch {
			case saveErr == nil && deleteErr == nil:
				s.Errorf("rule 4: Save and Delete of one Revision both succeeded")
			case saveErr == nil:
				s.fails(4, "Delete of a Revision that a Save replaced", deleteErr, stores.ErrConflict)
				s.holds(4, "after Save came before Delete", tok, "two", saved)
			default:
				s.fails(2, "Save of a Revision that Delete removed", saveErr, stores.ErrNotFound)
				s.missing(2, "after Delete came before Save", tok)
				if deleteErr != nil {
					s.Errorf("rule 4: Save and Delete of one Revision both failed: %v; %v", saveErr, deleteErr)
				}
			}
		}
	}},
}

// touchChecks pass without a word where the store is no Toucher.
var touchChecks = []check{
	{"Toucher lengthens", touch(func(s *subject, t stores.Toucher) {
		tok := s.token()
		_, rev := s.save(tok, "", "one")
		for _, life := range []time.Duration{2 * longLife, 3 * longLife} {
			until := time.Now().Add(life)
			touched := s.touch(t, tok, rev, until)
			s.expires("Touch", tok, until)
			s.holds(6, "after Touch", tok, "one", touched)
			rev = touched
		}
		_, saved := s.save(tok, rev, "two")
		s.holds(2, "after Save with the Revision that Touch returned", tok, "two", saved)
	})},
	{"Toucher never shortens", touch(func(s *subject, t stores.Toucher) {
		tok := s.token()
		rec := s.record("one", "")
		_, rev := s.saveRecord(tok, rec)
		rev = s.touch(t, tok, rev, time.Now().Add(longLife/2))
		s.expires("Touch with an earlier time", tok, rec.Expires)
		s.holds(6, "after Touch with an earlier time", tok, "one", rev)
	})},
	{"Toucher of an older revision", touch(func(s *subject, t stores.Toucher) {
		tok := s.token()
		_, first := s.save(tok, "", "one")
		rec := s.record("two", first)
		_, second := s.saveRecord(tok, rec)
		_, err := t.Touch(s.ctx, tok, first, time.Now().Add(2*longLife))
		s.fails(2, "Touch of a Revision that was replaced", err, stores.ErrConflict)
		s.expires("the conflict", tok, rec.Expires)
		s.holds(2, "after the conflict", tok, "two", second)
	})},
	{"Toucher of a deleted record", touch(func(s *subject, t stores.Toucher) {
		tok := s.token()
		_, rev := s.save(tok, "", "one")
		if err := s.store.Delete(s.ctx, tok, ""); err != nil {
			s.Fatalf("rule 4: Delete: %v", err)
		}
		_, err := t.Touch(s.ctx, tok, rev, time.Now().Add(longLife))
		s.fails(2, "Touch of a record that is gone", err, stores.ErrNotFound)
		s.missing(2, "Touch created a record", tok)
	})},
	{"Toucher of an expired record", touch(func(s *subject, t stores.Toucher) {
		tok := s.token()
		rev := s.expire(tok)
		_, err := t.Touch(s.ctx, tok, rev, time.Now().Add(longLife))
		s.fails(2, "Touch of an expired record", err, stores.ErrNotFound)
		s.missing(2, "Touch brought an expired record back", tok)
	})},
	{"Toucher and replace at once", touch(func(s *subject, t stores.Toucher) {
		for round := range raceRounds {
			tok := s.token()
			_, rev := s.save(tok, "", "one")
			var saved stores.Revision
			var err error
			goTogether(2, func(i int) {
				if (i+round)%2 == 0 { // so that either comes first
					_, saved, err = s.store.Save(s.ctx, tok, s.record("two", rev))
				} else {
					t.Touch(s.ctx, tok, rev, time.Now().Add(2*longLife))
				}
			})
			if err != nil { // Touch may change the revision
				s.fails(2, "Save beside Touch", err, stores.ErrConflict)
				continue
			}
			s.holds(2, "after Save beside Touch", tok, "two", saved)
		}
	})},
}

func touch(f func(*subject, stores.Toucher)) func(*subject) {
	return func(s *subject) {
		if t, ok := s.store.(stores.Toucher); ok {
			f(s, t)
		}
	}
}

// touch touches what must be there.
func (s *subject) touch(t stores.Toucher, tok stores.Token, rev stores.Revision, expires time.Time) stores.Revision {
	s.Helper()
	got, err := t.Touch(s.ctx, tok, rev, expires)
	if err != nil {
		s.Fatalf("Touch of a live record: %v", err)
	}
	return got
}
