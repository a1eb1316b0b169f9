package main

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// effort is how long to measure.
type effort struct {
	rounds int
	slice  time.Duration // of one contender in one round
}

var (
	full  = effort{rounds: 15, slice: 25 * time.Millisecond}
	quick = effort{rounds: 5, slice: 8 * time.Millisecond}
)

// across is for what asks a server: of one client many short rounds, since each round
// trip puts threads to sleep and wakes them, which costs more from one moment to the
// next; of many clients longer ones, until they are all at work.
func (e effort) across(workers int) effort {
	if workers > 1 {
		return effort{e.rounds * 2, e.slice * 2}
	}
	return effort{e.rounds * 8, e.slice / 4}
}

// subject is what is measured: n repetitions of one request, on each of workers
// goroutines, each of which has a client and a session of its own.
type subject struct {
	name    string
	workers []func(n int)
	server  func() time.Duration // the CPU time of a server that they ask; nil without one
}

func (s subject) run(n int) {
	if len(s.workers) == 1 {
		s.workers[0](n)
		return
	}
	var wg sync.WaitGroup
	for _, w := range s.workers {
		wg.Go(func() { w(n) })
	}
	wg.Wait()
}

func (s subject) serverTime() time.Duration {
	if s.server == nil {
		return 0
	}
	return s.server()
}

// times are what one request took in each round.
type times []time.Duration

func (t times) median() time.Duration { return median(t) }

// of returns how t compares with other, which was measured in the same rounds: the
// median of their ratios. What else the machine does, and how fast it is, changes from
// one round to the next, and within one hits both alike.
func (t times) of(other times) float64 {
	ratios := make([]float64, len(t))
	for i := range t {
		ratios[i] = float64(t[i]) / float64(other[i])
	}
	return median(ratios)
}

// sample is what one request costs.
type sample struct {
	name   string
	wall   times // of all workers together
	cpu    times // of this process
	server times // the server's CPU time
	allocs float64
	bytes  float64
}

// measure runs the subjects in turn, A B C A B C.
func measure(e effort, subjects []subject) []sample {
	n := make([]int, len(subjects))
	samples := make([]sample, len(subjects))
	for i, s := range subjects {
		n[i] = repetitions(s, e.slice)
		samples[i] = sample{name: s.name}
		samples[i].allocs, samples[i].bytes = allocations(s)
	}
	for range e.rounds {
		for i, s := range subjects {
			runtime.GC() // what the one before has left is not this one's
			began, busy, asked := time.Now(), cpuTime(), s.serverTime()
			s.run(n[i])
			took, used, served := time.Since(began), cpuTime()-busy, s.serverTime()-asked
			requests := time.Duration(n[i] * len(s.workers))
			samples[i].wall = append(samples[i].wall, took/requests)
			samples[i].cpu = append(samples[i].cpu, used/requests)
			samples[i].server = append(samples[i].server, served/requests)
		}
	}
	return samples
}

// repetitions returns how many fill the time, of the CPU.
func repetitions(s subject, slice time.Duration) int {
	for n := 1; ; n *= 2 {
		began := cpuTime()
		s.run(n)
		if took := cpuTime() - began; took > slice/2 {
			return max(1, int(float64(n)*float64(slice)/float64(took)))
		}
	}
}

// allocations counts what one request allocates, with one goroutine at work.
func allocations(s subject) (count, bytes float64) {
	const n = 500
	run := s.workers[0]
	run(20)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run(n)
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / n), float64((after.TotalAlloc - before.TotalAlloc) / n)
}

// cpuTime is what this process has used on all cores. This clock is finer than
// getrusage, which some kernels count in ticks of 4 ms.
func cpuTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// cpuTimeOf is that of another process: clock_getcpuclockid(3) has how Linux
// makes a clock's number from a process's.
func cpuTimeOf(pid int) time.Duration { return clock(int32(^pid<<3 | 2)) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	check(unix.ClockGettime(id, &t))
	return time.Duration(t.Nano())
}

func median[T ~int64 | ~float64](v []T) T {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
