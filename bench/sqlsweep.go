package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/sqlstore"
)

var background = context.Background()

// swept is what a sweep of half the sessions means to those who read and write
// meanwhile, and to the same for as long without a sweep.
type swept struct {
	rows                  int
	took                  time.Duration
	reads, readsWithout   []time.Duration // sorted
	writes, writesWithout []time.Duration
}

// sweep fills a table with n sessions, half of which have expired, and sweeps them while
// 32 clients read and one writes.
func (d sqlDatabase) sweep(n int) (s swept) {
	db := d.open()
	defer db.Close()
	store := must(sqlstore.New(db, d.dialect, sqlstore.WithTimeout(time.Minute)))
	check(store.Migrate(background))
	must(db.Exec("DELETE FROM bulla_sessions"))
	hour := time.Now().Add(time.Hour)
	var keys []stores.Key
	for range redisClients + 1 {
		key := stores.NewKey([24]byte(randomBytes(24)))
		must(store.Save(background, key, stores.Record{Data: record(), Expires: hour}))
		keys = append(keys, key)
	}
	const chunk = 10_000
	for at := len(keys); at < n; at += chunk {
		expires := hour
		if at < n/2 {
			expires = time.Now().Add(-time.Hour)
		}
		must(db.Exec(fmt.Sprintf(d.fill, at+1, min(at+chunk, n), expires.UnixMilli())))
	}
	if d.dialect == sqlstore.PostgreSQL {
		must(db.Exec("VACUUM ANALYZE")) // as the server does by itself, and not in between
		must(db.Exec("CHECKPOINT"))
	}
	s.reads, s.writes = d.during(store, keys, func() {
		began := time.Now()
		s.rows = must(store.Sweep(background, math.MaxInt))
		s.took = time.Since(began)
	})
	s.readsWithout, s.writesWithout = d.during(store, keys, func() { time.Sleep(s.took) })
	return s
}

// pause is what a client waits after each call. Without it they alone would fill all
// cores, and what a call waits for would be its turn.
const pause = 20 * time.Millisecond

// during returns how long each read and each write took while f ran.
func (d sqlDatabase) during(store *sqlstore.Store, keys []stores.Key, f func()) (reads, writes []time.Duration) {
	done := make(chan struct{})
	var mu sync.Mutex
	var running sync.WaitGroup
	loop := func(into *[]time.Duration, call func() error) {
		running.Go(func() {
			var own []time.Duration
			for {
				select {
				case <-done:
					mu.Lock()
					*into = append(*into, own...)
					mu.Unlock()
					return
				case <-time.After(rand.N(2 * pause)):
				}
				began := time.Now()
				check(call())
				own = append(own, time.Since(began))
			}
		})
	}
	for _, key := range keys[1:] {
		loop(&reads, func() error {
			_, err := store.Load(background, key, stores.Fresh)
			return err
		})
	}
	rec := must(store.Load(background, keys[0], stores.Fresh))
	loop(&writes, func() (err error) {
		rec.Expires = time.Now().Add(time.Hour)
		rec.Revision, err = store.Save(background, keys[0], rec)
		if errors.Is(err, stores.ErrConflict) {
			return fmt.Errorf("nobody else writes: %w", err)
		}
		return err
	})
	f()
	close(done)
	running.Wait()
	slices.Sort(reads)
	slices.Sort(writes)
	return reads, writes
}

func reportSweep(w io.Writer, name string, n int, s swept) {
	fmt.Fprintf(w, "\n**%s: %d of %d rows in %v, beside 32 who read and one who writes, each 50 times a second**\n\n| | calls | median | 99.9 %% | longest |\n|---|--:|--:|--:|--:|\n", name, s.rows, n, s.took.Round(time.Millisecond))
	for _, r := range []struct {
		what  string
		times []time.Duration
	}{
		{"reads, nothing swept", s.readsWithout}, {"reads during the sweep", s.reads},
		{"writes, nothing swept", s.writesWithout}, {"writes during the sweep", s.writes},
	} {
		k := len(r.times)
		fmt.Fprintf(w, "| %s | %d | %v | %v | %v |\n", r.what, k, round(r.times[k/2]), round(r.times[k*999/1000]), round(r.times[k-1]))
	}
}
