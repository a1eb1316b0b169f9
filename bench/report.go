package main

import (
	"fmt"
	"io"
	"time"
)

// The report is Markdown, so that docs/performance.md can have it as it is.

func reportRows(w io.Writer, name string, rows []row) {
	fmt.Fprintf(w, "\n**%s**\n\n| contender | CPU µs | × first | µs | B | allocs | store calls |\n|---|--:|--:|--:|--:|--:|--:|\n", name)
	for _, r := range rows {
		calls := "–"
		if r.storeCalls >= 0 {
			calls = fmt.Sprintf("%.3g", r.storeCalls)
		}
		fmt.Fprintf(w, "| %s | %s | %.2f | %s | %.0f | %.0f | %s |\n",
			r.name, micros(r.cpu.median()), r.cpu.of(rows[0].cpu), micros(r.wall.median()), r.bytes, r.allocs, calls)
	}
}

func reportRedis(w io.Writer, name string, rows []redisRow) {
	fmt.Fprintf(w, "\n**%s**\n\n| contender | µs | × first | CPU µs | server CPU µs | commands | round trips | allocs |\n|---|--:|--:|--:|--:|--:|--:|--:|\n", name)
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %.2f | %s | %s | %.2f | %.2f | %.0f |\n",
			r.name, micros(r.wall.median()), r.wall.of(rows[0].wall), micros(r.cpu.median()), micros(r.server.median()), r.commands, r.trips, r.allocs)
	}
}

func reportSizes(w io.Writer, sizes []cookieSize) {
	fmt.Fprintf(w, "\n**cookie of a session of 570 B of JSON, and the largest session in %[1]d bytes**\n\nThe others count name and value, as browsers do; Bulla keeps the whole `Set-Cookie` line within %[1]d bytes, since a front end may drop a longer one.\n\n| contender | value | with name | largest, B of JSON |\n|---|--:|--:|--:|\n", cookieLimit)
	for _, s := range sizes {
		fmt.Fprintf(w, "| %s | %d | %d | %d |\n", s.name, s.value, s.pair, s.capacity)
	}
}

func reportCrowds(w io.Writer, n int, crowds []crowd) {
	fmt.Fprintf(w, "\n**%d sessions of %d B in memory**\n\n| store | heap a session, B | longest wait of a reader for a sweep: least of the runs | median |\n|---|--:|--:|--:|\n", n, recordSize)
	for _, c := range crowds {
		heap := "–"
		if c.heap > 0 {
			heap = fmt.Sprintf("%.0f", c.heap)
		}
		fmt.Fprintf(w, "| %s | %s | %v | %v |\n", c.name, heap, round(c.pauses[0]), round(median(c.pauses)))
	}
}

func reportTargets(w io.Writer, r results) {
	fmt.Fprint(w, "\n**targets**\n\n| target | limit | measured | |\n|---|--:|--:|---|\n")
	for _, t := range targets() {
		v, ok := t.figure(r)
		if !ok {
			continue
		}
		limit, verdict := "≤ ", "met"
		if t.atLeast {
			limit = "≥ "
		}
		if !t.met(v) {
			verdict = "**missed**"
		}
		fmt.Fprintf(w, "| %s | %s%.4g | %s | %s |\n", t.text, limit, t.limit, figure(v), verdict)
	}
}

// figure prints ratios with two decimals and counts without.
func figure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func micros(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Nanoseconds())/1000) }

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
