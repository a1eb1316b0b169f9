package storetest

import (
	"bytes"
	"fmt"
	"strings"
)

// dataChecks are for every record, wherever it is held.
var dataChecks = []check{
	{"rule 6 data", func(s *subject) {
		var bytes strings.Builder
		for i := range 256 {
			bytes.WriteByte(byte(i))
		}
		all := bytes.String()
		sizes := []string{"x", "\x00", "\xff", "two\r\nlines", all, strings.Repeat(all, 4), strings.Repeat(all, 256)}
		if s.cfg.ClientRoom == 0 {
			sizes = append(sizes, "") // a token has no empty payload
		}
		for _, data := range sizes {
			tok, _ := s.save(s.token(), "", data)
			if got := s.load(tok).Data; string(got) != data {
				s.Errorf("rule 6: %s came back as %s", abridge([]byte(data)), abridge(got))
			}
		}
	}},
	{"rule 6 saved slices are the caller's", func(s *subject) {
		tok := s.token()
		rec := s.record("the caller's data", "")
		data, binding := bytes.Clone(rec.Data), bytes.Clone(tok.Binding)
		saved, rev := s.saveRecord(tok, rec)
		if !bytes.Equal(rec.Data, data) || !bytes.Equal(tok.Binding, binding) {
			s.Errorf("rule 6: Save changed its arguments")
		}
		scribble(rec.Data)
		s.holds(6, "after the caller changed the slice that it had saved", saved, string(data), rev)
	}},
	{"rule 6 loaded slices are the caller's", func(s *subject) {
		tok, rev := s.save(s.token(), "", "the first data")
		scribble(s.load(tok).Data)
		s.holds(6, "after the caller changed the slice that it had loaded", tok, "the first data", rev)

		kept := s.load(tok).Data
		tok, rev = s.save(tok, rev, "the other data")
		s.holds(6, "after Save", tok, "the other data", rev)
		if string(kept) != "the first data" {
			s.Errorf("rule 6: a later Save or Load changed the slice that Load had returned")
		}
	}},
	{"rule 6 concurrent use", func(s *subject) {
		goTogether(8, func(i int) {
			for j := range 4 {
				tok := s.token()
				data := strings.Repeat(fmt.Sprintf("goroutine %d, record %d. ", i, j), 10)
				tok, rev, err := s.store.Save(s.ctx, tok, s.record(data, ""))
				if err != nil {
					s.Errorf("rule 6: Save beside others: %v", err)
					return
				}
				tok.Binding = bind(tok.ID, "session").Binding
				s.holds(6, "after Save beside others", tok, data, rev)
				if err := s.store.Delete(s.ctx, tok, rev); err != nil {
					s.Errorf("rule 6: Delete beside others: %v", err)
				}
			}
		})
	}},
}
