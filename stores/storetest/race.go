package storetest

import (
	"bytes"
	"fmt"
	"slices"
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
		s.oneCreates(newKey())
		key, _ := s.expired("expired")
		s.oneCreates(key)
	}},
	{"rule 1 many replaces at once", func(s *subject) {
		const writers = 8
		key := newKey()
		rev := s.save(key, "", "zero")
		for range raceRounds {
			var revs [writers]stores.Revision
			goTogether(writers, func(i int) {
				won, err := s.server.Save(s.ctx, key, record(strconv.Itoa(i), rev))
				if err != nil {
					s.fails("rule 1", "Save beside others with the same Revision", err, stores.ErrConflict)
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
				s.Fatalf("rule 1: %d of %d writers replaced one Revision, want 1", winners, writers)
			}
			rev = revs[winner]
			s.holds("rule 1", "after many replaces at once", key, strconv.Itoa(winner), rev)
		}
	}},
	{"rule 1 many changes at once", func(s *subject) { s.slots(false) }},
	{"rule 5 loads and replaces at once", (*subject).wholeLoads},
	{"rule 3 put and replace at once", func(s *subject) {
		for round := range raceRounds {
			key := newKey()
			rev := s.save(key, "", "one")
			s.putWins(key, rev, round)
		}
	}},
	{"rule 3 put and create at once", func(s *subject) {
		for round := range raceRounds {
			s.putWins(newKey(), "", round)
		}
	}},
	{"rule 3 many puts at once", func(s *subject) {
		key := newKey()
		goTogether(8, func(i int) {
			if err := s.server.Put(s.ctx, key, record(strconv.Itoa(i), "")); err != nil {
				s.Errorf("rule 3: Put beside others: %v", err)
			}
		})
		if data := string(s.load(key).Data); len(data) != 1 || data < "0" || data > "7" {
			s.Errorf("rule 3: after many puts at once the record holds %q, which nobody put", data)
		}
	}},
}

// wholeLoads lets readers meet a writer: what a Load returns must be of one write.
func (s *subject) wholeLoads() {
	const writes, readers = 20, 4
	key, start := newKey(), time.Now().Add(longLife)
	written := func(i int, rev stores.Revision) stores.Record {
		return stores.Record{
			Data:     bytes.Repeat([]byte{byte('a' + i)}, 500*(1+i%3)),
			Expires:  start.Add(time.Duration(i) * time.Minute),
			Revision: rev,
		}
	}
	revs := [writes]stores.Revision{s.saveRecord(key, written(0, ""))}
	var loads [readers][]stores.Record
	done := make(chan struct{})
	goTogether(1+readers, func(g int) {
		if g == readers {
			defer close(done)
			for i := 1; i < writes; i++ {
				rev, err := s.server.Save(s.ctx, key, written(i, revs[i-1]))
				if err != nil {
					s.Errorf("rule 1: Save beside Loads: %v", err)
					return
				}
				revs[i] = rev
				time.Sleep(time.Millisecond)
			}
			return
		}
		for {
			rec, err := s.server.Load(s.ctx, key, stores.Fresh)
			if err != nil {
				s.Errorf("rule 2: Load beside Saves: %v", err)
				return
			}
			loads[g] = append(loads[g], rec)
			select {
			case <-done:
				return
			case <-time.After(time.Duration(g+1) * 300 * time.Microsecond):
			}
		}
	})
	for _, rec := range slices.Concat(loads[:]...) {
		if len(rec.Data) == 0 || rec.Data[0] < 'a' || rec.Data[0] >= 'a'+writes {
			s.Fatalf("rule 5: Load beside Saves returned %s, which nobody wrote", abridge(rec.Data))
		}
		i := int(rec.Data[0] - 'a')
		want := written(i, revs[i])
		if !bytes.Equal(rec.Data, want.Data) || rec.Revision != want.Revision || rec.Expires.Sub(want.Expires).Abs() >= time.Millisecond {
			s.Fatalf("rule 5: Load beside Saves returned the data of one write with more, Revision or Expires of another")
		}
	}
}

// oneCreates tests that of many creates of one key one succeeds.
func (s *subject) oneCreates(key stores.Key) {
	s.Helper()
	var mu sync.Mutex
	var won []string
	goTogether(16, func(i int) {
		data := fmt.Sprint("goroutine ", i)
		_, err := s.server.Save(s.ctx, key, record(data, ""))
		if err != nil {
			s.fails("rule 1", "Save with no Revision beside others", err, stores.ErrConflict)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		won = append(won, data)
	})
	if len(won) != 1 {
		s.Fatalf("rule 1: %d of 16 creates of one key succeeded, want 1", len(won))
	}
	if got := string(s.load(key).Data); got != won[0] {
		s.Errorf("rule 1: the record holds %q, but the create of %q succeeded", got, won[0])
	}
}

// putWins lets a Put and a Save at rev meet. Whichever comes first, what was put
// stays: a Save after it finds another revision.
func (s *subject) putWins(key stores.Key, rev stores.Revision, round int) {
	s.Helper()
	goTogether(2, func(i int) {
		if (i+round)%2 == 0 { // so that either comes first
			if _, err := s.server.Save(s.ctx, key, record("two", rev)); err != nil {
				s.fails("rule 1", "Save beside Put", err, stores.ErrConflict)
			}
		} else if err := s.server.Put(s.ctx, key, record("put", "")); err != nil {
			s.Errorf("rule 3: Put beside Save: %v", err)
		}
	})
	s.holds("rule 3", "after Put beside Save", key, "put", s.load(key).Revision)
}
