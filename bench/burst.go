package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
)

// burstSize is how many requests change one session at once, as a page does that
// sends many.
const burstSize = 32

// burstRow is what became of bursts of one contender's.
type burstRow struct {
	name  string
	trips float64 // for one burst, the median
	lost  int     // changes that were answered and are not there
	of    int
}

func runBursts(e effort, server *redisServer) []burstRow {
	fields := content(small)
	var rows []burstRow
	for _, c := range []redisContender{
		{name: redisSealed, open: bullaRedis(withEncryption())},
		{name: redisTracking, open: bullaTracking(withEncryption()), tracks: true},
		{name: redisJSON, open: scsRedis(scsJSON{}, 0)},
	} {
		conn, count := server.client(true, c.tracks)
		rows = append(rows, burst(e, c.name, c.open(fields, conn), count))
		conn.Close()
	}
	return rows
}

func burst(e effort, name string, s *site, count *traffic) burstRow {
	row := burstRow{name: name}
	first := newClient()
	first.send(s.login)
	visits := func() int {
		first.send(s.read)
		_, n, _ := bytes.Cut(first.body, []byte(" "))
		return must(strconv.Atoi(string(n)))
	}
	var all []float64
	for range e.rounds {
		var clients [burstSize]*client
		for i := range clients {
			clients[i] = newClient()
			clients[i].setCookie(first.cookie())
		}
		before, trips := visits(), count.trips.Load()
		var running sync.WaitGroup
		answered := make([]bool, burstSize)
		for i, c := range clients {
			running.Go(func() {
				c.send(s.change)
				answered[i] = c.status == 200
			})
		}
		running.Wait()
		all = append(all, float64(count.trips.Load()-trips))
		for _, ok := range answered {
			if ok {
				row.of++
				row.lost++
			}
		}
		row.lost -= visits() - before
	}
	slices.Sort(all)
	row.trips = all[len(all)/2]
	return row
}

func printBursts(w io.Writer, rows []burstRow) {
	fmt.Fprintf(w, "\n**Redis, a burst of %d changes of one session**\n\n| contender | round trips | lost |\n|---|--:|--:|\n", burstSize)
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %.0f | %d of %d |\n", r.name, r.trips, r.lost, r.of)
	}
}
