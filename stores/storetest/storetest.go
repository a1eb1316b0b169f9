package storetest

import (
	"crypto/fips140"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/bulla-go/bulla/stores"
)

// Config tells [Run] what to test. Only New is required; with each way to make
// the store fail, what must hold then is tested too.
type Config struct {
	// New returns the store under test. Every subtest calls it once. The
	// stores may share one backing: each subtest uses keys of its own.
	New func(t *testing.T) stores.Server

	// Unreachable returns a store whose server does not answer: every method
	// must say so (rule 2) within its time limit (rule 5), which should be
	// short. A server that takes connections and never answers proves more
	// than one that nobody runs.
	Unreachable func(t *testing.T) stores.Server

	// Lossy returns a store that loses replies now and then: writes are
	// carried out and fail all the same. What rule 1 promises must be enough
	// for the caller to find out. It makes some hundred calls; each lost reply
	// costs what the store's time limit is, unless it tries again by itself.
	Lossy func(t *testing.T) stores.Server

	// Small returns a store with room for 10 to 20,000 records of 1000 bytes
	// and for nothing else, to be filled: what must be possible then is in
	// rule 3.
	Small func(t *testing.T) stores.Server

	// Synctest runs every subtest in a bubble of testing/synctest, where
	// waiting takes no time. It is for stores that do no network I/O. Without
	// it, and in FIPS 140 mode, the suite waits for some seconds, for records to
	// expire.
	Synctest bool
}

// Run tests a store, rule by rule.
func Run(t *testing.T, cfg Config) {
	if cfg.New == nil {
		t.Fatal("storetest: Config.New is missing")
	}
	// In FIPS 140 mode the source of random bytes measures time, which stands still
	// in a bubble, and panics.
	cfg.Synctest = cfg.Synctest && !fips140.Enabled()
	for _, c := range checks(cfg) {
		t.Run(c.name, func(t *testing.T) {
			test := func(t *testing.T) { c.run(newSubject(t, t, cfg)) }
			if cfg.Synctest {
				synctest.Test(t, test)
			} else {
				test(t)
			}
		})
	}
}

// check is one subtest.
type check struct {
	name string
	run  func(*subject)
}

// checks returns the subtests that cfg asks for.
func checks(cfg Config) []check {
	list := slices.Concat(saveChecks, loadChecks, putChecks, expiryChecks, dataChecks,
		raceChecks, touchChecks, countChecks, batchChecks, ownerChecks)
	if cfg.Unreachable != nil {
		list = append(list, check{"rule 2 unreachable", unreachable})
	}
	if cfg.Lossy != nil {
		list = append(list, check{"rule 1 lost replies", lossy})
	}
	if cfg.Small != nil {
		list = append(list, check{"rule 3 no room", small})
	}
	return list
}
