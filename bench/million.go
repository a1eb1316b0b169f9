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
			bullaSave(s, stores.NewID(), time.Now().Add(time.Hour))
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
		bulla.pauses = append(bulla.pauses, bullaSweep(n))
		scs.pauses = append(scs.pauses, scsSweep(n))
		control.pauses = append(control.pauses, noSweep(n))
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

func bullaSave(s *memstore.Store, id stores.ID, expires time.Time) {
	_, _, err := s.Save(context.Background(), stores.Token{ID: id}, stores.Record{Data: record(), Expires: expires})
	check(err)
}

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

// fillTime is how long the sessions that are to expire must live: longer than it
// takes to store them all, with other programs on the machine.
func fillTime(n int) time.Duration { return time.Second + time.Duration(n)*4*time.Microsecond }

// bullaSweep fills a store to its limit with sessions that expire, and then
// begins new ones. Each Save sweeps a little, and the first ones find the store
// full, which makes it clear a whole part of itself.
func bullaSweep(n int) time.Duration {
	s := bullaStore(n + live)
	tokens := make([]stores.Token, live)
	for i := range tokens {
		tokens[i].ID = stores.NewID()
		bullaSave(s, tokens[i].ID, time.Now().Add(time.Hour))
	}
	ends := time.Now().Add(fillTime(n))
	for range n {
		bullaSave(s, stores.NewID(), ends)
	}
	return longestWait(ends,
		func(i int) {
			_, err := s.Load(context.Background(), tokens[i%live])
			check(err)
		},
		func() {
			// Each looks at four, so a quarter would do if all shards got
			// the same.
			for range n / 2 {
				bullaSave(s, stores.NewID(), time.Now().Add(time.Hour))
			}
			if s.Len() > live+n/2 {
				panic("the store has not been swept")
			}
		})
}

// scsSweep lets scs's store run its own cleanup once.
func scsSweep(n int) time.Duration {
	ends := time.Now().Add(fillTime(n))
	cleanup := time.Until(ends) + 200*time.Millisecond
	began := time.Now()
	s := scsmem.NewWithCleanupInterval(cleanup)
	defer s.StopCleanup()
	tokens := make([]string, live)
	for i := range tokens {
		tokens[i] = scsToken()
		check(s.Commit(tokens[i], record(), time.Now().Add(time.Hour)))
	}
	for range n {
		check(s.Commit(scsToken(), record(), ends))
	}
	return longestWait(ends,
		func(i int) {
			if _, ok, _ := s.Find(tokens[i%live]); !ok {
				panic("a live session is gone")
			}
		},
		func() { time.Sleep(time.Until(began.Add(cleanup + time.Second))) })
}

// noSweep is what the machine alone makes the same reader wait for: the waits of
// the others are only as good as this one is short.
func noSweep(n int) time.Duration {
	s := bullaStore(n + live)
	tokens := make([]stores.Token, live)
	for i := range tokens {
		tokens[i].ID = stores.NewID()
		bullaSave(s, tokens[i].ID, time.Now().Add(time.Hour))
	}
	return longestWait(time.Now(),
		func(i int) {
			_, err := s.Load(context.Background(), tokens[i%live])
			check(err)
		},
		func() {
			for range n / 2 {
				bullaSave(s, stores.NewID(), time.Now().Add(time.Hour))
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
