// Command bench measures Bulla beside the libraries that people use for the same
// work now, and prints a table with ratios. README.md says how.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"time"
)

func main() {
	fast := flag.Bool("quick", false, "a pass of some seconds, whose figures are rough")
	only := flag.String("only", "", "a regular expression: the scenarios to run")
	flag.Parse()
	if err := table(*fast, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// table measures and prints everything whose name matches.
func table(fast bool, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	e, million, repetitions := full, 1_000_000, 3
	if fast {
		e, million, repetitions = quick, 100_000, 1
	}
	began, w := time.Now(), os.Stdout
	fmt.Fprintf(w, "%s, %s/%s, %d cores. Times are medians of %d rounds.\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), e.rounds)

	r := results{rows: make(map[string][]row), redis: make(map[string][]redisRow)}
	for _, sc := range scenarios() {
		if !wanted.MatchString(sc.name) {
			continue
		}
		if r.rows[sc.name], err = sc.run(e); err != nil {
			return err
		}
		reportRows(w, sc.name, r.rows[sc.name])
	}
	if err := redisTable(w, e, wanted, r); err != nil {
		return err
	}
	if err := sqlTable(w, e, wanted, r, million); err != nil {
		return err
	}
	if wanted.MatchString("cookie size") {
		r.sizes = cookieSizes()
		reportSizes(w, r.sizes)
	}
	if wanted.MatchString("million sessions") {
		r.crowds = crowds(million, repetitions)
		reportCrowds(w, million, r.crowds)
	}
	reportTargets(w, r)
	fmt.Fprintf(w, "\nMeasured in %v.\n", time.Since(began).Round(time.Second))
	return nil
}

// redisTable leaves its scenarios out, and says so, where there is no server.
func redisTable(w *os.File, e effort, wanted *regexp.Regexp, r results) error {
	var server *redisServer
	for _, sc := range redisScenarios() {
		if !wanted.MatchString(sc.name) {
			continue
		}
		var err error
		if server == nil {
			if server, err = startRedis(); err != nil {
				fmt.Fprintf(w, "\nNo scenarios with Redis: %v.\n", err)
				return nil
			}
			defer server.stop()
		}
		if r.redis[sc.name], err = sc.run(e, server); err != nil {
			return err
		}
		reportRedis(w, sc.name, r.redis[sc.name])
	}
	if wanted.MatchString("Redis burst") && server != nil {
		printBursts(w, runBursts(e, server))
	}
	return nil
}
