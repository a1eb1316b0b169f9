package storetest

import (
	"time"

	"github.com/bulla-go/bulla/stores"
)

// countChecks ask nothing of a store that is no Counter.
var countChecks = []check{
	{"Counter counts what is live", func(s *subject) {
		c, ok := s.server.(stores.Counter)
		if !ok {
			s.Logf("%T is no stores.Counter", s.server)
			return
		}
		// Stores may share a backing, where other subtests' records expire meanwhile.
		for try := 1; ; try++ {
			want := s.count(c)
			twice := newKey()
			rev := s.save(twice, "", "one")
			s.save(twice, rev, "two")
			s.put(twice, "three")
			s.save(newKey(), "", "one")
			s.put(newKey(), "one")
			want += 3
			got := s.count(c)
			if got == want {
				s.expired("one")
				if got = s.count(c); got == want {
					return
				}
			}
			if try == 3 {
				s.Fatalf("Counter: %d records are live, Count says %d", want, got)
			}
			time.Sleep(time.Second)
		}
	}},
}

func (s *subject) count(c stores.Counter) int {
	s.Helper()
	n, err := c.Count(s.ctx)
	if err != nil {
		s.Fatalf("Counter: %v", err)
	}
	return n
}
