package storetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// many is more than stores ask for in one round trip.
const many = 600

// batchChecks ask nothing of a store that is no Batcher.
var batchChecks = []check{
	{"Batcher loads", batching(func(s *subject, b stores.Batcher) {
		one, two, put := newKey(), newKey(), newKey()
		s.save(two, s.save(two, "", "two"), "a longer two")
		s.save(one, "", "one")
		s.put(put, "\x00\xff")
		gone, _ := s.expired("gone")
		keys := []stores.Key{one, newKey(), two, gone, put, one} // one key twice
		given := append([]stores.Key(nil), keys...)
		s.loadsMany(b, keys)
		for i := range keys {
			if keys[i] != given[i] {
				s.Errorf("rule 5: LoadMany changed its argument")
			}
		}
		s.loadsMany(b, nil)
		s.loadsMany(b, []stores.Key{newKey()})
	})},
	{"Batcher saves", batching(func(s *subject, b stores.Batcher) {
		var keys []stores.Key
		var recs []stores.Record
		var want []bool
		var after []string // the data of each, none where nothing is
		add := func(key stores.Key, rev stores.Revision, conflict bool, data string) {
			keys, recs = append(keys, key), append(recs, record(data, rev))
			want = append(want, conflict)
			if conflict {
				data = ""
				if rec, err := s.server.Load(s.ctx, key, stores.Fresh); err == nil {
					data = string(rec.Data)
				}
			}
			after = append(after, data)
		}
		replaced, stale, there := newKey(), newKey(), newKey()
		add(newKey(), "", false, "created")
		add(replaced, s.save(replaced, "", "old"), false, "replaced")
		first := s.save(stale, "", "stale one")
		s.save(stale, first, "stale two")
		add(stale, first, true, "three")
		s.save(there, "", "there")
		add(there, "", true, "created")
		expired, rev := s.expired("expired")
		add(expired, rev, true, "brought back")
		anew, _ := s.expired("expired")
		add(anew, "", false, "created anew")
		add(newKey(), first, true, "brought back")
		put := newKey()
		add(put, s.put(put, "put"), false, "\x00\xff")
		s.savesMany(b, keys, recs, want)
		for i, key := range keys {
			if after[i] == "" {
				s.missing("Batcher", "after SaveMany with a conflict", key)
				continue
			}
			rev := s.load(key).Revision
			s.holds("Batcher", "after SaveMany", key, after[i], rev)
			if !want[i] {
				if rev == recs[i].Revision {
					s.Errorf("rule 1: SaveMany left the record at the Revision that it replaced")
				}
				s.expires("SaveMany", key, recs[i].Expires)
				s.save(key, rev, "after SaveMany")
			}
		}
		s.savesMany(b, nil, nil, nil)
	})},
	{"Batcher many", batching(func(s *subject, b stores.Batcher) {
		keys, recs := make([]stores.Key, many), make([]stores.Record, many)
		want := make([]bool, many)
		for i := range keys {
			keys[i], recs[i] = newKey(), record(fmt.Sprint("record ", i), "")
		}
		for _, i := range []int{0, many / 2, many - 1} { // at the edges of the calls
			s.save(keys[i], "", "there")
			recs[i].Data, want[i] = []byte("there"), true
		}
		s.savesMany(b, keys, recs, want)
		got, err := b.LoadMany(s.ctx, append([]stores.Key{newKey()}, keys...))
		if err != nil || len(got) != many+1 || got[0].Revision != "" {
			s.Fatalf("Batcher: LoadMany of %d keys: %d records, error %q", many+1, len(got), text(err))
		}
		for i, rec := range got[1:] {
			if rec.Revision == "" || !bytes.Equal(rec.Data, recs[i].Data) {
				s.Fatalf("Batcher: LoadMany of %d keys: the record %d holds %s, want %s", many+1, i, abridge(rec.Data), abridge(recs[i].Data))
			}
		}
	})},
	{"Batcher invalid expiry", batching(func(s *subject, b stores.Batcher) {
		for _, expires := range []time.Time{{}, time.Now().Add(-time.Second)} {
			key, rec := newKey(), record("refused", "")
			rec.Expires = expires
			_, err := b.SaveMany(s.ctx, []stores.Key{newKey(), key}, []stores.Record{record("one", ""), rec})
			s.fails("rule 4", "SaveMany with an Expires that is zero or past", err, stores.ErrInvalidRecord)
			s.missing("rule 4", "after the refused SaveMany", key)
		}
	})},
	{"Batcher slices are the caller's", batching(func(s *subject, b stores.Batcher) {
		keys := []stores.Key{newKey(), newKey()}
		recs := []stores.Record{record("the caller's data", ""), record("the caller's other", "")}
		data := [][]byte{bytes.Clone(recs[0].Data), bytes.Clone(recs[1].Data)}
		s.savesMany(b, keys, recs, []bool{false, false})
		for i := range recs {
			if !bytes.Equal(recs[i].Data, data[i]) {
				s.Errorf("rule 5: SaveMany changed its argument")
			}
			scribble(recs[i].Data)
		}
		for range 2 {
			got := s.loadsMany(b, keys)
			for i, rec := range got {
				if !bytes.Equal(rec.Data, data[i]) {
					s.Errorf("rule 5: after the caller changed a slice the record holds %s", abridge(rec.Data))
				}
			}
			for _, rec := range got {
				scribble(rec.Data)
			}
		}
	})},
	{"Batcher many at once", batching(func(s *subject, b stores.Batcher) {
		const writers, n = 8, 5
		keys, revs := make([]stores.Key, n), make([]stores.Revision, n)
		for i := range keys {
			keys[i] = newKey()
			if i%2 == 0 { // the others are created
				revs[i] = s.save(keys[i], "", "zero")
			}
		}
		var won [writers][]bool
		goTogether(writers, func(w int) {
			recs := make([]stores.Record, n)
			for i := range recs {
				recs[i] = record(fmt.Sprint("writer ", w), revs[i])
			}
			conflicts, err := b.SaveMany(s.ctx, keys, recs)
			if err != nil || len(conflicts) != n {
				s.Errorf("Batcher: SaveMany beside others: %d answers, error %q", len(conflicts), text(err))
				conflicts = make([]bool, n)
			}
			won[w] = conflicts
		})
		for i, key := range keys {
			winner, winners := 0, 0
			for w := range writers {
				if !won[w][i] {
					winner, winners = w, winners+1
				}
			}
			if winners != 1 {
				s.Fatalf("rule 1: %d of %d SaveManys replaced one Revision, want 1", winners, writers)
			}
			s.holds("Batcher", "after many SaveManys at once", key, fmt.Sprint("writer ", winner), s.load(key).Revision)
		}
	})},
}

func batching(f func(*subject, stores.Batcher)) func(*subject) {
	return func(s *subject) {
		if b, ok := s.server.(stores.Batcher); ok {
			f(s, b)
		} else {
			s.Logf("%T is no stores.Batcher", s.server)
		}
	}
}

// loadsMany tests that LoadMany answers what a Load of each key does.
func (s *subject) loadsMany(b stores.Batcher, keys []stores.Key) []stores.Record {
	s.Helper()
	recs, err := b.LoadMany(s.ctx, keys)
	if err != nil || len(recs) != len(keys) {
		s.Fatalf("Batcher: LoadMany of %d keys: %d records, error %q", len(keys), len(recs), text(err))
	}
	for i, got := range recs {
		want, err := s.server.Load(s.ctx, keys[i], stores.Fresh)
		if err != nil {
			s.fails("rule 2", "Load", err, stores.ErrNotFound)
			want = stores.Record{}
		}
		if got.Revision != want.Revision || !bytes.Equal(got.Data, want.Data) || !got.Expires.Equal(want.Expires) {
			s.Errorf("Batcher: LoadMany: the record %d of %d holds %s at Revision %q until %v, but a Load %s at %q until %v", i, len(keys),
				abridge(got.Data), got.Revision, got.Expires, abridge(want.Data), want.Revision, want.Expires)
		}
	}
	return recs
}

// savesMany tests which of the records meet a conflict.
func (s *subject) savesMany(b stores.Batcher, keys []stores.Key, recs []stores.Record, want []bool) {
	s.Helper()
	conflicts, err := b.SaveMany(s.ctx, keys, recs)
	if err != nil || len(conflicts) != len(keys) {
		s.Fatalf("Batcher: SaveMany of %d records: %d answers, error %q", len(keys), len(conflicts), text(err))
	}
	for i, got := range conflicts {
		if got != want[i] {
			s.Errorf("Batcher: SaveMany of %d records: conflict of the record %d: %t, want %t", len(keys), i, got, want[i])
		}
	}
}
