package storetest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/bulla-go/bulla/stores"
)

// dataChecks are for rule 5.
var dataChecks = []check{
	{"rule 5 data", func(s *subject) {
		var bytes strings.Builder
		for i := range 256 {
			bytes.WriteByte(byte(i))
		}
		all := bytes.String()
		for _, data := range []string{
			"", "x", "\x00", "\xff", "two\r\nlines", all, strings.Repeat(all, 4), strings.Repeat(all, 256),
		} {
			saved, put := newKey(), newKey()
			rev := s.save(saved, "", data)
			s.holds("rule 5", "after Save", saved, data, rev)
			s.holds("rule 5", "after Save of the same at the Revision", saved, data, s.save(saved, rev, data))
			s.holds("rule 5", "after Put", put, data, s.put(put, data))
		}
	}},
	{"rule 5 written slices are the caller's", func(s *subject) {
		for what, write := range map[string]func(stores.Key, stores.Record) stores.Revision{"Save": s.saveRecord, "Put": s.putRecord} {
			key := newKey()
			rec := record("the caller's data", "")
			data := bytes.Clone(rec.Data)
			rev := write(key, rec)
			if !bytes.Equal(rec.Data, data) {
				s.Errorf("rule 5: %s changed its argument", what)
			}
			scribble(rec.Data)
			s.holds("rule 5", "after the caller changed the slice given to "+what, key, string(data), rev)
		}
	}},
	{"rule 5 loaded slices are the caller's", func(s *subject) {
		key := newKey()
		rev := s.save(key, "", "the first data")
		scribble(s.load(key).Data)
		s.holds("rule 5", "after the caller changed the slice that it had loaded", key, "the first data", rev)

		kept := s.load(key).Data
		rev = s.save(key, rev, "the other data")
		s.holds("rule 5", "after Save", key, "the other data", rev)
		s.put(key, "the third data")
		s.load(key)
		if string(kept) != "the first data" {
			s.Errorf("rule 5: a later call changed the slice that Load had returned")
		}
	}},
	{"rule 5 concurrent use", func(s *subject) {
		goTogether(8, func(i int) {
			for j := range 4 {
				key := newKey()
				data := strings.Repeat(fmt.Sprintf("goroutine %d, record %d. ", i, j), 10)
				rev, err := s.server.Save(s.ctx, key, record(data, ""))
				if err != nil {
					s.Errorf("rule 5: Save beside others: %v", err)
					return
				}
				s.holds("rule 5", "after Save beside others", key, data, rev)
				if err := s.server.Put(s.ctx, key, record("ended "+data, "")); err != nil {
					s.Errorf("rule 5: Put beside others: %v", err)
				}
				if rec, err := s.server.Load(s.ctx, key, stores.Fresh); err != nil || string(rec.Data) != "ended "+data {
					s.Errorf("rule 5: Load after Put beside others: %s, error %q", abridge(rec.Data), text(err))
				}
			}
		})
	}},
}
