package storetest

import (
	"strings"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// saveChecks are for rule 1: a write of what was read, or none.
var saveChecks = []check{
	{"rule 1 create", func(s *subject) {
		key := newKey()
		rev := s.save(key, "", "one")
		s.holds("rule 1", "after the create", key, "one", rev)
		s.missing("rule 1", "another key after the create", newKey())
	}},
	{"rule 1 create what continues", func(s *subject) {
		key, rec := newKey(), record("one", "")
		rec.Continues = true
		rev := s.saveRecord(key, rec)
		s.holds("rule 1", "after the create", key, "one", rev)
		_, err := s.server.Save(s.ctx, key, rec)
		s.fails("rule 1", "Save of a record that Continues where a live record is", err, stores.ErrConflict)
	}},
	{"rule 1 create where a record is", func(s *subject) {
		key := newKey()
		rev := s.save(key, "", "one")
		s.conflicts("with no Revision where a live record is", key, "")
		s.holds("rule 1", "after the refused create", key, "one", rev)
		rev = s.put(key, "two")
		s.conflicts("with no Revision where a record was put", key, "")
		s.holds("rule 1", "after the refused create", key, "two", rev)
	}},
	{"rule 1 create over an expired record", func(s *subject) {
		key, _ := s.expired("one")
		rev := s.save(key, "", "two")
		s.holds("rule 1", "after the create", key, "two", rev)
	}},
	{"rule 1 replace", func(s *subject) {
		key, other := newKey(), newKey()
		rev, others := s.save(key, "", "one"), s.save(other, "", "other")
		for _, data := range []string{"two", "a longer three", "4"} {
			rev = s.save(key, rev, data)
			s.holds("rule 1", "after Save with the Revision", key, data, rev)
		}
		rev = s.save(key, s.load(key).Revision, "five")
		s.holds("rule 1", "after Save with the Revision from Load", key, "five", rev)
		rev = s.save(key, s.put(key, "six"), "seven")
		s.holds("rule 1", "after Save with the Revision of a Put", key, "seven", rev)
		s.holds("rule 1", "another record after Save", other, "other", others)
	}},
	{"rule 1 replace an older revision", func(s *subject) {
		key := newKey()
		first := s.save(key, "", "one")
		second := s.save(key, first, "two")
		s.conflicts("with a Revision that a Save replaced", key, first)
		s.holds("rule 1", "after the conflict", key, "two", second)
		third := s.put(key, "three")
		for _, old := range []stores.Revision{first, second} {
			s.conflicts("with a Revision that a Put replaced", key, old)
		}
		s.holds("rule 1", "after the conflict", key, "three", third)
	}},
	{"rule 1 replace with another record's revision", func(s *subject) {
		key, other := newKey(), newKey()
		rev, foreign := s.save(key, "", "one"), s.save(other, "", "one")
		s.conflicts("with another record's Revision", key, foreign)
		s.holds("rule 1", "after the conflict", key, "one", rev)
	}},
	{"rule 1 replace with a revision that never was", func(s *subject) {
		key := newKey()
		rev := s.save(key, "", "one")
		for _, never := range []stores.Revision{"storetest", "0", "\x00", rev + "0", rev[1:] + "~", stores.Revision(strings.Repeat("x", 5000))} {
			s.conflicts("with a Revision that never was", key, never)
			s.holds("rule 1", "after the conflict", key, "one", rev)
			gone := newKey()
			s.conflicts("with a Revision that never was, of a key with no record", gone, never)
			s.missing("rule 1", "after the conflict", gone)
		}
	}},
	{"rule 1 replace a record that is gone", func(s *subject) {
		key, rev := s.expired("one")
		s.conflicts("with the Revision of an expired record", key, rev)
		s.missing("rule 1", "Save brought an expired record back", key)
		key = newKey()
		s.conflicts("with the Revision of another record, of a key with none", key, rev)
		s.missing("rule 1", "Save created at a Revision", key)
	}},
	{"rule 1 replace a record that was created anew", func(s *subject) {
		key, old := s.expired("one")
		rev := s.save(key, "", "one")
		s.conflicts("with the Revision from before expiry and create", key, old)
		s.holds("rule 1", "after the conflict", key, "one", rev)
		key, old = s.expired("one")
		rev = s.put(key, "one")
		s.conflicts("with the Revision from before expiry and Put", key, old)
		s.holds("rule 1", "after the conflict", key, "one", rev)
	}},
	{"rule 1 every write has its own revision", func(s *subject) {
		seen := make(map[stores.Revision]bool)
		mark := func(what string, rev stores.Revision) {
			if seen[rev] {
				s.Errorf("rule 1: after a %s the record has the Revision %q, which another write under that key had", what, rev)
			}
			seen[rev] = true
		}
		rec := stores.Record{Data: []byte("the same")} // in every byte
		var key stores.Key
		s.expire("rule 1: Save of a record that lives briefly", func(expires time.Time) (err error) {
			clear(seen)
			key, rec.Expires, rec.Revision = newKey(), expires, ""
			for range 3 {
				if rec.Revision, err = s.server.Save(s.ctx, key, rec); err != nil {
					return err
				}
				mark("Save", rec.Revision)
			}
			return nil
		})
		rec.Expires, rec.Revision = time.Now().Add(longLife), ""
		for range 3 {
			rec.Revision = s.saveRecord(key, rec)
			mark("Save", rec.Revision)
		}
		mark("Put", s.putRecord(key, rec))
	}},
}
