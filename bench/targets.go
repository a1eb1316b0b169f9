package main

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"
)

// results are everything that one run has measured.
type results struct {
	rows   map[string][]row      // by scenario
	redis  map[string][]redisRow // by scenario
	sizes  []cookieSize
	crowds []crowd
}

// target is what a figure of Bulla's must be.
type target struct {
	text    string
	limit   float64
	atLeast bool // instead of at most
	figure  func(results) (float64, bool)
}

// met compares as the figures are printed.
func (t target) met(v float64) bool {
	v = math.Round(v*100) / 100
	if t.atLeast {
		return v >= t.limit
	}
	return v <= t.limit
}

func find[T any](list []T, match func(T) bool) (found T, ok bool) {
	for _, x := range list {
		if match(x) {
			return x, true
		}
	}
	return found, false
}

func (r results) row(scenario, name string) (row, bool) {
	return find(r.rows[scenario], func(x row) bool { return x.name == name })
}

func (r results) redisRow(scenario, name string) (redisRow, bool) {
	return find(r.redis[scenario], func(x redisRow) bool { return x.name == name })
}

// timeRatio is how one contender's CPU time compares with another's. The wall
// clock would measure what else the machine does.
func timeRatio(scenario, name, other string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		a, ok := r.row(scenario, name)
		b, ok2 := r.row(scenario, other)
		if !ok || !ok2 {
			return 0, false
		}
		return a.cpu.of(b.cpu), true
	}
}

// bestOther compares with the fastest that is neither Bulla nor the floor.
func bestOther(scenario, name string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		a, ok := r.row(scenario, name)
		var best times
		for _, x := range r.rows[scenario] {
			if x.name != floor && !strings.HasPrefix(x.name, "Bulla") && (best == nil || x.cpu.median() < best.median()) {
				best = x.cpu
			}
		}
		if !ok || best == nil {
			return 0, false
		}
		return a.cpu.of(best), true
	}
}

// gain is how much faster all cores are together than one.
func gain(scenario, name string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		one, ok := r.row(scenario, name)
		all, ok2 := r.row(scenario+", parallel", name)
		if !ok || !ok2 {
			return 0, false
		}
		return ratio(one.wall.median(), all.wall.median()), true
	}
}

func allocsOf(scenario, name string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		x, ok := r.row(scenario, name)
		return x.allocs, ok
	}
}

func storeCallsOf(scenario, name string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		x, ok := r.row(scenario, name)
		return x.storeCalls, ok
	}
}

func redisTrips(scenario, name string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		x, ok := r.redisRow(scenario, name)
		return x.trips, ok
	}
}

func redisCPU(scenario, name, other string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		a, ok := r.redisRow(scenario, name)
		b, ok2 := r.redisRow(scenario, other)
		if !ok || !ok2 {
			return 0, false
		}
		return a.cpu.of(b.cpu), true
	}
}

// redisServerCPU is the server's CPU time for one, of that for another.
func redisServerCPU(scenario, name, other string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		a, ok := r.redisRow(scenario, name)
		b, ok2 := r.redisRow(scenario, other)
		if !ok || !ok2 {
			return 0, false
		}
		return a.server.of(b.server), true
	}
}

// redisThroughput is how many requests one answers while another answers one.
func redisThroughput(scenario, name, other string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		a, ok := r.redisRow(scenario, name)
		b, ok2 := r.redisRow(scenario, other)
		if !ok || !ok2 {
			return 0, false
		}
		return b.wall.of(a.wall), true
	}
}

func sizeOf(name string, figure func(cookieSize) int) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		x, ok := find(r.sizes, func(x cookieSize) bool { return x.name == name })
		return float64(figure(x)), ok
	}
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func targets() []target {
	const atMost, atLeast = false, true
	list := []target{
		{"encrypted read, 200 B: of the best other", 0.45, atMost, bestOther("encrypted read, 200 B", sealed)},
		{"encrypted read, 200 B: of gorilla/sessions", 0.12, atMost, timeRatio("encrypted read, 200 B", sealed, gorillaEncName)},
		{"encrypted read-change-write, 200 B: of the best other", 0.45, atMost, bestOther("encrypted read-change-write, 200 B", sealed)},
		{"encrypted read-change-write, 200 B: of gorilla/sessions", 0.15, atMost, timeRatio("encrypted read-change-write, 200 B", sealed, gorillaEncName)},
		{"encrypted read-change-write, 2 KB: of the best other", 0.25, atMost, bestOther("encrypted read-change-write, 2 KB", sealed)},
		{"signed read, 200 B: of the best other", 0.60, atMost, bestOther("signed read, 200 B", signed)},
		{"memory read: of scs with JSON", 0.20, atMost, timeRatio("memory read, 200 B", memory, scsJSONName)},
		{"memory change: of scs with JSON", 0.25, atMost, timeRatio("memory change, 200 B", memory, scsJSONName)},
		{"memory read, parallel: gain over one core", 0.75 * float64(runtime.GOMAXPROCS(0)), atLeast, gain("memory read, 200 B", memory)},
		{"memory change, parallel: gain over one core", 0.75 * float64(runtime.GOMAXPROCS(0)), atLeast, gain("memory change, 200 B", memory)},
		{"no cookie, untouched: of scs", 0.50, atMost, bestOther("no cookie, untouched", memory)},
		{"no cookie, untouched: allocations", 3, atMost, allocsOf("no cookie, untouched", memory)},
		{"valid cookie, untouched: allocations", 3, atMost, allocsOf("valid cookie, untouched", memory)},
		{"valid cookie, untouched: store calls", 0, atMost, storeCallsOf("valid cookie, untouched", memory)},
		{"valid cookie, untouched: of the same without a cookie", 1.1, atMost, func(r results) (float64, bool) {
			with, ok := r.row("valid cookie, untouched", memory)
			without, ok2 := r.row("no cookie, untouched", memory)
			if !ok || !ok2 {
				return 0, false
			}
			return ratio(with.cpu.median(), without.cpu.median()), true
		}},
		{"forged cookie, signed IDs: store calls", 0, atMost, storeCallsOf("forged cookie, session in memory", memorySigned)},
		{"forged cookie, signed IDs: of scs", 0.80, atMost, bestOther("forged cookie, session in memory", memorySigned)},
		{"forged cookie, session in the cookie: of the best other", 0.80, atMost, bestOther("forged cookie, session in the cookie", sealed)},
		{"garbage cookie, signed IDs: of scs", 0.80, atMost, bestOther("garbage cookie, session in memory", memorySigned)},
		{"garbage cookie, session in the cookie: of the best other", 0.80, atMost, bestOther("garbage cookie, session in the cookie", sealed)},
	}
	list = append(list, redisTargets()...)
	list = append(list, sqlTargets()...)
	return append(list,
		target{"cookie of a session of 570 B, with its name: bytes", 880, atMost, sizeOf(sealed, func(s cookieSize) int { return s.pair })},
		target{"the same with CBOR", 720, atMost, sizeOf(sealedCBOR, func(s cookieSize) int { return s.pair })},
		target{"content that fits a 4096-byte cookie: bytes of JSON", 2870, atLeast, sizeOf(sealed, func(s cookieSize) int { return s.capacity })},
		target{"a million sessions in memory: heap, of scs", 1, atMost, func(r results) (float64, bool) {
			if len(r.crowds) < 2 {
				return 0, false
			}
			return r.crowds[0].heap / r.crowds[1].heap, true
		}},
		target{"a million sessions in memory: longest wait for a sweep, over that without one, ms", 1, atMost, func(r results) (float64, bool) {
			if len(r.crowds) < 3 {
				return 0, false
			}
			// The same reader waits for the machine where there is nothing to sweep.
			return max(0, r.crowds[0].pauses[0]-r.crowds[2].pauses[0]).Seconds() * 1000, true
		}},
	)
}

func redisTargets() []target {
	const atMost, atLeast = false, true
	var list []target
	for _, t := range []struct {
		scenario, name string
		trips          float64
	}{
		{"Redis read, 200 B", redisSealed, 1},
		{"Redis change, 200 B", redisSealed, 2},
		{"Redis rolling read, 200 B", redisSealed, 1},
		{"Redis rolling read, 200 B", redisDue, 2},
		{"Redis untouched, 200 B", redisSealed, 0},
		{"Redis read, 200 B", redisCached, 0},
		{"Redis change, 200 B", redisCached, 1},
		{"Redis read, 200 B", redisTracking, 0},
		{"Redis change, 200 B", redisTracking, 1},
	} {
		text := fmt.Sprintf("%s, %s: round trips", strings.TrimSuffix(t.scenario, ", 200 B"), strings.TrimPrefix(t.name, "Bulla, Redis, "))
		list = append(list, target{text, t.trips, atMost, redisTrips(t.scenario, t.name)})
	}
	const read, change, rolling = "Redis read, 200 B", "Redis change, 200 B", "Redis rolling read, 200 B"
	for _, t := range []struct {
		scenario, name, other string
		cpu, server           float64 // no target where it is 0
	}{
		{read, redisSealed, redisJSON, 1, 1.05},
		{read, redisIgnores, redisJSONIgnores, 1, 1.05},
		{change, redisSealed, redisJSON, 1, 1.3},
		{change, redisIgnores, redisJSONIgnores, 1, 1.3},
		{rolling, redisSealed, redisJSON, 0.5, 0},
		{read, redisTracking, redisJSON, 0.15, 0},
		{change, redisTracking, redisJSON, 0.8, 0},
	} {
		text := fmt.Sprintf("%s, %s: CPU time, of scs with JSON", t.scenario, strings.TrimPrefix(t.name, "Bulla, Redis, "))
		list = append(list, target{text, t.cpu, atMost, redisCPU(t.scenario, t.name, t.other)})
		if t.server > 0 {
			text := fmt.Sprintf("%s, %s: server CPU time, of scs with JSON", t.scenario, strings.TrimPrefix(t.name, "Bulla, Redis, "))
			list = append(list, target{text, t.server, atMost, redisServerCPU(t.scenario, t.name, t.other)})
		}
	}
	for scenario, least := range map[string][2]float64{read + ", 32 clients": {1, 1.5}, change + ", 32 clients": {1, 1.3}} {
		list = append(list, target{scenario + ", sealed: throughput, of scs with JSON", least[0], atLeast, redisThroughput(scenario, redisSealed, redisJSON)})
		list = append(list, target{scenario + ", auto-pipelining: throughput, of scs with JSON", least[1], atLeast, redisThroughput(scenario, redisPipeline, redisJSON)})
	}
	return list
}
