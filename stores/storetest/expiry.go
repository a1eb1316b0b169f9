package storetest

import (
	"time"

	"github.com/bulla-go/bulla/stores"
)

// expiryChecks are for rule 4.
var expiryChecks = []check{
	{"rule 4 invalid expiry", func(s *subject) {
		key := newKey()
		rev := s.save(key, "", "one")
		now := time.Now()
		for what, expires := range map[string]time.Time{
			"zero": {}, "the Unix epoch": time.Unix(0, 0), "a second ago": now.Add(-time.Second), "now": now,
		} {
			rec := record("refused", rev)
			rec.Expires = expires
			_, err := s.server.Save(s.ctx, key, rec)
			s.fails("rule 4", "Save with an Expires that is "+what, err, stores.ErrInvalidRecord)
			s.holds("rule 4", "after the refused Save", key, "one", rev)
			err = s.server.Put(s.ctx, key, rec)
			s.fails("rule 4", "Put with an Expires that is "+what, err, stores.ErrInvalidRecord)
			s.holds("rule 4", "after the refused Put", key, "one", rev)

			gone := newKey()
			rec.Revision = ""
			_, err = s.server.Save(s.ctx, gone, rec)
			s.fails("rule 4", "Save with no Revision and an Expires that is "+what, err, stores.ErrInvalidRecord)
			s.missing("rule 4", "after the refused Save", gone)
			err = s.server.Put(s.ctx, gone, rec)
			s.fails("rule 4", "Put to a new key with an Expires that is "+what, err, stores.ErrInvalidRecord)
			s.missing("rule 4", "after the refused Put", gone)
		}
	}},
	{"rule 4 expiry comes back", func(s *subject) {
		key := newKey()
		var rev stores.Revision
		for _, life := range []time.Duration{ // longer, then shorter
			longLife + 123456789*time.Nanosecond, 400 * 24 * time.Hour, longLife / 2,
		} {
			rec := record("one", rev)
			rec.Expires = time.Now().Add(life)
			rev = s.saveRecord(key, rec)
			s.expires("Save", key, rec.Expires)
			rec.Expires = rec.Expires.Add(life/2 + time.Millisecond)
			rev = s.putRecord(key, rec)
			s.expires("Put", key, rec.Expires)
			rec.Expires, rec.Revision = time.Now().Add(life/4), rev
			s.putRecord(key, rec)
			s.expires("Put of a shorter Expires", key, rec.Expires)
			rev = s.load(key).Revision
		}
	}},
	{"rule 4 a write lengthens a life", func(s *subject) {
		saved, put := newKey(), newKey()
		s.expire("rule 1: Save at a Revision that lives briefly", func(expires time.Time) error {
			saved, put = newKey(), newKey()
			for _, key := range []stores.Key{saved, put} {
				rev, err := s.server.Save(s.ctx, key, stores.Record{Data: []byte("one"), Expires: expires})
				if err != nil {
					return err
				}
				if key == saved {
					_, err = s.server.Save(s.ctx, key, record("two", rev))
				} else {
					err = s.server.Put(s.ctx, key, record("two", ""))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		s.holds("rule 4", "after the Expires from before Save", saved, "two", s.load(saved).Revision)
		s.holds("rule 4", "after the Expires from before Put", put, "two", s.load(put).Revision)
	}},
	{"rule 4 a write shortens a life", func(s *subject) {
		var key stores.Key
		s.expire("rule 1: Save of a shorter Expires", func(expires time.Time) error {
			key = newKey()
			rev, err := s.server.Save(s.ctx, key, record("one", ""))
			if err == nil {
				_, err = s.server.Save(s.ctx, key, stores.Record{Data: []byte("two"), Expires: expires, Revision: rev})
			}
			return err
		})
		s.missing("rule 4", "after Save of a shorter Expires", key)
	}},
}

// expires tests that the key's record ends at want.
func (s *subject) expires(after string, key stores.Key, want time.Time) {
	s.Helper()
	if got := s.load(key).Expires; got.Sub(want).Abs() >= time.Millisecond {
		s.Errorf("rule 4: after %s the record expires at %v, want %v to the millisecond", after, got, want)
	}
}
