package main

import (
	"context"
	"encoding/base64"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	scsmem "github.com/alexedwards/scs/v2/memstore"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// What is measured here is a store alone, with records of recordSize bytes.
const recordSize = 200

// crowd is what a million sessions in memory mean.
type crowd struct {
	name   string
	heap   float64         // bytes for each session; 0 where that was not measured
	pauses []time.Duration // longest wait of a reader while expired sessions are removed, least first
}

func record() []byte {
	b := make([]byte, recordSize)
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return b
}

func crowds(n, repetitions int) []crowd {
	bulla, scs := crowd{name: "Bulla memstore"}, crowd{name: "scs memstore"}
	control := crowd{name: "nothing to sweep"}

	bulla.heap = heapOf(n, func() any {
		s := bullaStore(n)
		for range n {
			bullaSave(s, bullaNewKey(), time.Now().Add(time.Hour))
		}
		return s
	})
	scs.heap = heapOf(n, func() any {
		s := scsmem.NewWithCleanupInterval(0)
		for range n {
			check(s.Commit(scsToken(), record(), time.Now().Add(time.Hour)))
		}
		return s
	})
	for range repetitions {
		pause, took := bullaSweep(n)
		bulla.pauses = append(bulla.pauses, pause)
		control.pauses = append(control.pauses, noSweep(n, took))
		scs.pauses = append(scs.pauses, scsSweep(n))
	}
	list := []crowd{bulla, scs, control}
	for _, c := range list {
		slices.Sort(c.pauses)
	}
	return list
}

func bullaStore(limit int) *memstore.Store {
	return must(memstore.New(memstore.WithMaxSessions(limit)))
}

func bullaSave(s *memstore.Store, key stores.Key, expires time.Time) {
	_, err := s.Save(context.Background(), key, stores.Record{Data: record(), Expires: expires})
	check(err)
}

func bullaNewKey() stores.Key { return stores.NewKey([24]byte(randomBytes(24))) }

// scsToken makes a token as scs does.
func scsToken() string { return base64.RawURLEncoding.EncodeToString(randomBytes(32)) }

// heapOf returns what of the heap each of n sessions takes.
func heapOf(n int, fill func() any) float64 {
	before := liveHeap()
	s := fill()
	after := liveHeap()
	runtime.KeepAlive(s)
	return float64(after-before) / float64(n)
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // the second one frees what sync.Pool kept over the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// live is how many sessions do not expire, for the reader to read.
const live = 256

// patient calls sweep with the time that the sessions which are to expire live.
// It must be longer than storing them takes; where the machine was too slow for
// that, sweep says so, and is called again with more.
func patient(n int, sweep func(life time.Duration) (ok bool)) {
	for life := time.Second + time.Duration(n)*2*time.Microsecond; !sweep(life); life *= 2 {
	}
}

// bullaSweep fills a store to its limit, half with sessions that live and half
// with sessions that expire, and then begins new ones. Each Save sweeps a little.
// The first one may be the worst: where it finds only live sessions where it
// looks, and the store is full, it clears a whole part of the store. Where it
// looks is not ours to say; the odds are even in each run.
func bullaSweep(n int) (wait, took time.Duration) {
	patient(n, func(life time.Duration) bool {
		s, keys := bullaLive(n)
		for range n/2 - live {
			bullaSave(s, bullaNewKey(), time.Now().Add(time.Hour))
		}
		ends := time.Now().Add(life)
		for range n - n/2 {
			if time.Until(ends) < 100*time.Millisecond {
				return false
			}
			bullaSave(s, bullaNewKey(), ends)
		}
		wait = longestWait(ends, bullaReader(s, keys), func() {
			began := time.Now()
			defer func() { took = time.Since(began) }()
			// As many as have expired: if those were not removed, a Save would
			// fail, since the store is full.
			for range n / 2 {
				bullaSave(s, bullaNewKey(), time.Now().Add(time.Hour))
			}
		})
		return true
	})
	return wait, took
}

// bullaLive returns a store for n sessions with the reader's in it.
func bullaLive(n int) (*memstore.Store, []stores.Key) {
	s := bullaStore(n)
	keys := make([]stores.Key, live)
	for i := range keys {
		keys[i] = bullaNewKey()
		bullaSave(s, keys[i], time.Now().Add(time.Hour))
	}
	return s, keys
}

func bullaReader(s *memstore.Store, keys []stores.Key) func(int) {
	return func(i int) {
		_, err := s.Load(context.Background(), keys[i%live], stores.Fresh)
		check(err)
	}
}

// scsSweep lets scs's store run its own cleanup once.
func scsSweep(n int) (wait time.Duration) {
	patient(n, func(life time.Duration) bool {
		ends := time.Now().Add(life)
		cleanup := life + 500*time.Millisecond
		s := scsmem.NewWithCleanupInterval(cleanup)
		tokens := make([]string, live)
		for i := range tokens {
			tokens[i] = scsToken()
			check(s.Commit(tokens[i], record(), time.Now().Add(time.Hour)))
		}
		for range n {
			check(s.Commit(scsToken(), record(), ends))
		}
		defer s.StopCleanup()
		if time.Until(ends) < 0 {
			return false
		}
		wait = longestWait(ends,
			func(i int) {
				if _, ok, _ := s.Find(tokens[i%live]); !ok {
					panic("a live session is gone")
				}
			},
			func() { time.Sleep(time.Until(ends.Add(1500 * time.Millisecond))) })
		return true
	})
	return wait
}

// noSweep is what the machine alone makes the same reader wait for, in as long a
// time: the waits of the others are only as good as this one is short.
func noSweep(n int, took time.Duration) time.Duration {
	s, keys := bullaLive(n)
	return longestWait(time.Now(), bullaReader(s, keys), func() {
		other := bullaStore(n)
		for began := time.Now(); time.Since(began) < took; {
			if other.Len() == n {
				other = bullaStore(n)
			}
			bullaSave(other, bullaNewKey(), time.Now().Add(time.Hour))
		}
	})
}

// longestWait waits until the sessions have expired, and returns how long a
// reader waited at most while remove ran. The garbage collector is off, since
// its pauses are not the store's.
func longestWait(ends time.Time, read func(i int), remove func()) time.Duration {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	time.Sleep(time.Until(ends) + 10*time.Millisecond)

	var stop atomic.Bool
	longest := make(chan time.Duration)
	go func() {
		var most time.Duration
		for i := 0; !stop.Load(); i++ {
			began := time.Now()
			read(i)
			most = max(most, time.Since(began))
		}
		longest <- most
	}()
	remove()
	stop.Store(true)
	return <-longest
}
