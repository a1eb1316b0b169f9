package storetest

import (
	"crypto/fips140"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Config tells [Run] what to test and how. Only New is required.
type Config struct {
	// New returns the store under test. Every subtest calls it once. The
	// stores may share one backing: each subtest uses IDs of its own.
	New func(t *testing.T) stores.Store

	// ClientRoom is zero for a store that keeps records on the server. For
	// one that puts them into the token, it is how many characters of
	// payload the token has room for, at least [MinClientRoom]. A store that
	// does both is tested twice.
	ClientRoom int

	// NewUnreachable returns a store whose server does not answer, to prove
	// that an outage is never mistaken for "no session" (rule 3). Leave it
	// nil for a store that has no server.
	NewUnreachable func(t *testing.T) stores.Store

	// Synctest runs every subtest in a bubble of testing/synctest, where
	// waiting takes no time. It is for stores that do no network I/O. In
	// FIPS 140 mode there is no bubble, and waiting takes its time. Without a bubble
	// nobody waits for [stores.OrphanAge].
	Synctest bool

	// Advance lets time pass for the store; time.Sleep if nil.
	Advance func(time.Duration)

	// ShortLife is how long the records live whose end the tests wait for;
	// 100 ms if zero. It must be longer than a call to the store may take.
	// There are eight such tests, each waits for half as long again.
	ShortLife time.Duration
}

// MinClientRoom is the least [Config.ClientRoom]: the tests' largest record
// must fit, although it may be encoded twice.
const MinClientRoom = 160_000

// Run tests a store, rule by rule.
func Run(t *testing.T, cfg Config) {
	if cfg.New == nil {
		t.Fatal("storetest: Config.New is missing")
	}
	if cfg.ClientRoom != 0 && cfg.ClientRoom < MinClientRoom {
		t.Fatalf("storetest: Config.ClientRoom is %d; it must be 0 or at least %d", cfg.ClientRoom, MinClientRoom)
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
	if cfg.ClientRoom != 0 {
		return slices.Concat(clientChecks, dataChecks)
	}
	list := slices.Concat(createChecks, replaceChecks, loadChecks, deleteChecks,
		expiryChecks, dataChecks, revisionChecks, raceChecks, touchChecks, ownerChecks)
	if cfg.NewUnreachable != nil {
		list = append(list, check{"rule 3 unreachable", unreachable}, check{"rule 12 unreachable", unreachableOwners})
	}
	return list
}
