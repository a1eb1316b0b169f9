package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// touchChecks ask nothing of a store that is no Toucher.
var touchChecks = []check{
	{"Toucher lengthens", touching(func(s *subject, t stores.Toucher) {
		key := newKey()
		rev := s.save(key, "", "one")
		for _, life := range []time.Duration{2 * longLife, 3*longLife + 123456789*time.Nanosecond} {
			until := time.Now().Add(life)
			rev = s.touch(t, key, rev, until)
			s.expires("Touch", key, until)
			s.holds("Toucher", "after Touch", key, "one", rev)
		}
		saved := s.save(key, rev, "two")
		s.holds("rule 1", "after Save with the Revision that Touch returned", key, "two", saved)
	})},
	{"Toucher keeps a record alive", touching(func(s *subject, t stores.Toucher) {
		var key stores.Key
		var rev stores.Revision
		s.expire("Toucher: Touch of a record that lives briefly", func(expires time.Time) (err error) {
			key = newKey()
			rev, err = s.server.Save(s.ctx, key, stores.Record{Data: []byte("one"), Expires: expires})
			if err == nil {
				rev, err = t.Touch(s.ctx, key, rev, time.Now().Add(longLife))
			}
			return err
		})
		s.holds("Toucher", "after the Expires from before Touch", key, "one", rev)
	})},
	{"Toucher never shortens", touching(func(s *subject, t stores.Toucher) {
		key, rec := newKey(), record("one", "")
		rev := s.saveRecord(key, rec)
		rev = s.touch(t, key, rev, time.Now().Add(longLife/2))
		s.expires("Touch with an earlier time", key, rec.Expires)
		s.holds("Toucher", "after Touch with an earlier time", key, "one", rev)
		for what, until := range map[string]time.Time{"zero": {}, "past": time.Now().Add(-time.Second)} {
			got, err := t.Touch(s.ctx, key, rev, until)
			if err == nil {
				rev = got
			} else {
				s.fails("rule 4", "Touch with an Expires that is "+what, err, stores.ErrInvalidRecord)
			}
			s.holds("rule 4", "after Touch with an Expires that is "+what, key, "one", rev)
			s.expires("Touch with an Expires that is "+what, key, rec.Expires)
		}
	})},
	{"Toucher of another revision", touching(func(s *subject, t stores.Toucher) {
		key, other, rec := newKey(), newKey(), record("two", "")
		rec.Revision = s.save(key, "", "one")
		rev := s.saveRecord(key, rec)
		for what, at := range map[string]stores.Revision{
			"a Revision that was replaced": rec.Revision, "another record's Revision": s.save(other, "", "two"),
			"a Revision that never was": "storetest", "no Revision": "",
		} {
			_, err := t.Touch(s.ctx, key, at, time.Now().Add(2*longLife))
			s.fails("Toucher", "Touch of "+what, err, stores.ErrConflict)
			s.expires("the conflict", key, rec.Expires)
			s.holds("Toucher", "after the conflict", key, "two", rev)
		}
		old := rev
		rev = s.put(key, "three")
		_, err := t.Touch(s.ctx, key, old, time.Now().Add(2*longLife))
		s.fails("Toucher", "Touch of a Revision that a Put replaced", err, stores.ErrConflict)
		s.holds("Toucher", "after the conflict", key, "three", rev)
	})},
	{"Toucher of a record that is gone", touching(func(s *subject, t stores.Toucher) {
		key, rev := s.expired("one")
		for what, gone := range map[string]stores.Key{"an expired record": key, "a key with no record": newKey()} {
			_, err := t.Touch(s.ctx, gone, rev, time.Now().Add(longLife))
			s.fails("Toucher", "Touch of "+what, err, stores.ErrConflict)
			s.missing("Toucher", "after Touch of "+what, gone)
		}
		anew := s.save(key, "", "one")
		_, err := t.Touch(s.ctx, key, rev, time.Now().Add(2*longLife))
		s.fails("Toucher", "Touch of the Revision from before expiry and create", err, stores.ErrConflict)
		s.holds("Toucher", "after the conflict", key, "one", anew)
	})},
	{"Toucher and replace at once", touching(func(s *subject, t stores.Toucher) {
		for round := range raceRounds {
			key := newKey()
			rev := s.save(key, "", "one")
			var saved stores.Revision
			var err error
			goTogether(2, func(i int) {
				if (i+round)%2 == 0 { // so that either comes first
					saved, err = s.server.Save(s.ctx, key, record("two", rev))
				} else if _, err := t.Touch(s.ctx, key, rev, time.Now().Add(2*longLife)); err != nil {
					s.fails("Toucher", "Touch beside Save", err, stores.ErrConflict)
				}
			})
			if err != nil { // Touch may change the revision
				s.fails("rule 1", "Save beside Touch", err, stores.ErrConflict)
				s.holds("Toucher", "after Touch beside Save", key, "one", s.load(key).Revision)
				continue
			}
			s.holds("rule 1", "after Save beside Touch", key, "two", saved)
		}
	})},
	{"Toucher many at once", touching(func(s *subject, t stores.Toucher) {
		key := newKey()
		rev := s.save(key, "", "one")
		now := time.Now()
		var mu sync.Mutex
		latest := now
		goTogether(8, func(i int) {
			until := now.Add(longLife + time.Duration(i)*time.Minute)
			_, err := t.Touch(s.ctx, key, rev, until)
			switch {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				if until.After(latest) {
					latest = until
				}
			case !errors.Is(err, stores.ErrConflict):
				s.Errorf("Toucher: Touch beside others: %v", err)
			}
		})
		if latest.Equal(now) {
			s.Errorf("Toucher: of many Touches of one Revision at once none succeeded")
		} else if got := s.load(key).Expires; got.Before(latest.Add(-time.Millisecond)) {
			s.Errorf("Toucher: after many Touches at once the record expires at %v, want %v or later", got, latest)
		}
	})},
}

func touching(f func(*subject, stores.Toucher)) func(*subject) {
	return func(s *subject) {
		if t, ok := s.server.(stores.Toucher); ok {
			f(s, t)
		} else {
			s.Logf("%T is no stores.Toucher", s.server)
		}
	}
}

// touch touches what must be there.
func (s *subject) touch(t stores.Toucher, key stores.Key, rev stores.Revision, expires time.Time) stores.Revision {
	s.Helper()
	got, err := t.Touch(s.ctx, key, rev, expires)
	if err != nil {
		s.Fatalf("Toucher: Touch of a live record: %v", err)
	}
	if got == "" {
		s.Fatalf("Toucher: Touch returned no Revision")
	}
	return got
}
