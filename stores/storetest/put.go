package storetest

import (
	"time"

	"github.com/bulla-go/bulla/stores"
)

// putChecks are for rule 3: a write over whatever is there.
var putChecks = []check{
	{"rule 3 put", func(s *subject) {
		key, other := newKey(), newKey()
		others := s.save(other, "", "other")
		rev := s.put(key, "one")
		s.holds("rule 3", "after Put to a key that had no record", key, "one", rev)
		rev = s.put(key, "two")
		s.holds("rule 3", "after Put over a record that was put", key, "two", rev)
		s.save(key, rev, "a longer three")
		rev = s.put(key, "four")
		s.holds("rule 3", "after Put over a record that was saved", key, "four", rev)
		s.holds("rule 3", "another record after Put", other, "other", others)
	}},
	{"rule 3 put over an expired record", func(s *subject) {
		key, _ := s.expired("one")
		rev := s.put(key, "two")
		s.holds("rule 3", "after Put over an expired record", key, "two", rev)
	}},
	{"rule 3 put ignores the revision", func(s *subject) {
		key := newKey()
		first := s.save(key, "", "one")
		second := s.save(key, first, "two")
		for _, rev := range []stores.Revision{first, second, "storetest"} {
			rec := record("three", rev)
			rec.Continues = true
			if err := s.server.Put(s.ctx, key, rec); err != nil {
				s.Errorf("rule 3: Put of a record with a Revision: %v", err)
			}
			s.holds("rule 3", "after Put of a record with a Revision", key, "three", s.load(key).Revision)
		}
		key = newKey()
		if err := s.server.Put(s.ctx, key, record("one", second)); err != nil {
			s.Errorf("rule 3: Put of a record with a Revision to a key that had none: %v", err)
		}
		s.holds("rule 3", "after Put of a record with a Revision", key, "one", s.load(key).Revision)
	}},
	{"rule 3 put is idempotent", func(s *subject) {
		key, rec := newKey(), record("one", "")
		for range 3 {
			rev := s.putRecord(key, rec)
			s.holds("rule 3", "after the same Put again", key, "one", rev)
			s.expires("Put", key, rec.Expires)
		}
	}},
	{"rule 3 put ends a record", func(s *subject) {
		key := newKey()
		s.save(key, "", "a session with a long life")
		s.expire("rule 3: Put of a record that lives briefly", func(expires time.Time) error {
			return s.server.Put(s.ctx, key, stores.Record{Data: []byte("ended"), Expires: expires})
		})
		s.missing("rule 4", "after Put of a shorter Expires", key)
	}},
}
