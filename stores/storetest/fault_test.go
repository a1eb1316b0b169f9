package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
)

var (
	errRefused = errors.New("connection refused")
	errLost    = errors.New("connection reset")
)

// down returns a store whose every call ends with what this returns.
func down(call func(ctx) error) *faulty {
	f := newFaulty()
	f.load = func(c ctx, _ key, _ stores.Freshness) (rec, error) { return rec{}, call(c) }
	f.save = func(c ctx, _ key, _ rec) (rev, error) { return "", call(c) }
	f.put = func(c ctx, _ key, _ rec) error { return call(c) }
	f.touch = func(c ctx, _ key, _ rev, _ time.Time) (rev, error) { return "", call(c) }
	f.loadMany = func(c ctx, _ []key) ([]rec, error) { return nil, call(c) }
	f.saveMany = func(c ctx, _ []key, _ []rec) ([]bool, error) { return nil, call(c) }
	f.add = func(c ctx, _ key, _ stores.Entry) (uint64, error) { return 0, call(c) }
	f.entries = func(c ctx, _ key) ([]stores.Entry, error) { return nil, call(c) }
	f.remove = func(c ctx, _ key, _ ...key) error { return call(c) }
	return f
}

func refused(ctx) error { return fmt.Errorf("%w: %w", stores.ErrUnavailable, errRefused) }

// silent waits for an answer that does not come, as long as the store does.
func silent(limit time.Duration) func(ctx) error {
	return func(c ctx) error {
		c, cancel := context.WithTimeout(c, limit)
		defer cancel()
		<-c.Done()
		return fmt.Errorf("%w: %w", stores.ErrUnavailable, c.Err())
	}
}

// link carries calls to a store, and loses some: on the way there, on the way
// back, or neither, and then a second copy arrives.
type link struct {
	mu sync.Mutex
	n  int
}

func (l *link) carry(call func()) error {
	l.mu.Lock()
	l.n++
	n := l.n
	l.mu.Unlock()
	switch {
	case n%5 == 0:
		return fmt.Errorf("%w: %w", stores.ErrUnavailable, errLost)
	case n%3 == 0:
		call()
		return fmt.Errorf("%w: %w", stores.ErrUnavailable, errLost)
	}
	call()
	return nil
}

// behind returns a store behind such a link. Each call is sent up to tries
// times, and then answered by the last that came back: so whoever tries again
// meets the conflict with its own first write.
func behind(l *link, tries int) *faulty {
	f := newFaulty()
	m := f.reference
	send := func(call func()) (err error) {
		for range tries {
			if err = l.carry(call); err == nil {
				return nil
			}
		}
		return err
	}
	f.load = func(c ctx, k key, fresh stores.Freshness) (r rec, err error) {
		if lost := send(func() { r, err = m.Load(c, k, fresh) }); lost != nil {
			return rec{}, lost
		}
		return r, err
	}
	f.save = func(c ctx, k key, r rec) (v rev, err error) {
		if lost := send(func() { v, err = m.Save(c, k, r) }); lost != nil {
			return "", lost
		}
		return v, err
	}
	return f
}

func lossyBy(server func() stores.Server) Config {
	return Config{
		New:   func(t *testing.T) stores.Server { return newReference() },
		Lossy: func(t *testing.T) stores.Server { return server() },
	}
}

// roomFor makes a store full with n bytes of data. What need says of a write is
// what it takes beside what is there.
func roomFor(n int, need func(old, r rec) int) *faulty {
	f := newFaulty()
	m := f.reference
	var mu sync.Mutex
	used := 0
	write := func(k key, r rec, call func() error) error {
		mu.Lock()
		defer mu.Unlock()
		old, _ := m.Load(context.Background(), k, stores.Fresh)
		if used+need(old, r) > n {
			return fmt.Errorf("%w: no room", stores.ErrUnavailable)
		}
		err := call()
		if err == nil {
			used += len(r.Data) - len(old.Data)
		}
		return err
	}
	f.save = func(c ctx, k key, r rec) (v rev, err error) {
		err = write(k, r, func() (err error) {
			v, err = m.Save(c, k, r)
			return err
		})
		return v, err
	}
	f.put = func(c ctx, k key, r rec) error {
		return write(k, r, func() error { return m.Put(c, k, r) })
	}
	return f
}

func growth(old, r rec) int { return len(r.Data) - len(old.Data) }

func smallBy(server func() *faulty) Config {
	return Config{
		New:   func(t *testing.T) stores.Server { return newReference() },
		Small: func(t *testing.T) stores.Server { return server() },
	}
}

// A store that fails as it should passes, however it fails, and whether it tries
// again or not.
func TestSoundFaults(t *testing.T) {
	for name, call := range map[string]func(ctx) error{
		"refused": refused,
		"silent":  silent(3 * time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			Run(t, Config{
				New:         func(t *testing.T) stores.Server { return newReference() },
				Unreachable: func(t *testing.T) stores.Server { return down(call) },
				Small:       func(t *testing.T) stores.Server { return roomFor(100_000, growth) },
				Synctest:    true,
			})
		})
	}
	for name, tries := range map[string]int{"never tries again": 1, "tries again blindly": 4} {
		t.Run(name, func(t *testing.T) {
			cfg := lossyBy(func() stores.Server { return behind(new(link), tries) })
			cfg.Synctest = true
			Run(t, cfg)
		})
	}
}

// twice sends every write a second time, and answers as the first did.
type twice struct{ *reference }

func (m twice) Save(c ctx, k key, r rec) (rev, error) {
	defer m.reference.Save(c, k, r)
	return m.reference.Save(c, k, r)
}

func (m twice) Put(c ctx, k key, r rec) error {
	defer m.reference.Put(c, k, r)
	return m.reference.Put(c, k, r)
}

func (m twice) Touch(c ctx, k key, v rev, until time.Time) (rev, error) {
	defer m.reference.Touch(c, k, v, until)
	return m.reference.Touch(c, k, v, until)
}

func (m twice) SaveMany(c ctx, keys []key, recs []rec) ([]bool, error) {
	defer m.reference.SaveMany(c, keys, recs)
	return m.reference.SaveMany(c, keys, recs)
}

func (m twice) AddEntry(c ctx, owner key, e stores.Entry) (uint64, error) {
	defer m.reference.AddEntry(c, owner, e)
	return m.reference.AddEntry(c, owner, e)
}

func (m twice) RemoveEntries(c ctx, owner key, keys ...key) error {
	defer m.reference.RemoveEntries(c, owner, keys...)
	return m.reference.RemoveEntries(c, owner, keys...)
}

func TestStoreThatSendsTwice(t *testing.T) {
	Run(t, Config{New: func(t *testing.T) stores.Server { return twice{newReference()} }, Synctest: true})
}

func TestFaultyFaults(t *testing.T) {
	unreachable := func(fault string, call func(ctx) error) broken {
		return broken{fault, Config{
			New:         func(t *testing.T) stores.Server { return newReference() },
			Unreachable: func(t *testing.T) stores.Server { return down(call) },
		}, []string{"rule 2 unreachable"}}
	}
	lossy := func(fault string, breakIt func(m *reference, f *faulty)) broken {
		return broken{fault, lossyBy(func() stores.Server {
			f := behind(new(link), 1)
			breakIt(f.reference, f)
			return f
		}), []string{"rule 1 lost replies"}}
	}
	small := func(fault string, server func() *faulty) broken {
		return broken{fault, smallBy(server), []string{"rule 3 no room"}}
	}

	requireFailures(t, []string{"rule 1 lost", "rule 2 unreachable", "rule 3 no room"}, []broken{
		unreachable("an outage is no session", func(ctx) error { return stores.ErrNotFound }),
		unreachable("an outage is a conflict", func(ctx) error {
			return fmt.Errorf("%w: %w", stores.ErrUnavailable, stores.ErrConflict)
		}),
		unreachable("an outage is nothing", func(ctx) error { return nil }),
		unreachable("an outage without its cause", func(ctx) error { return fmt.Errorf("%w, sorry", stores.ErrUnavailable) }),
		unreachable("a cause without the outage", func(ctx) error { return errRefused }),
		unreachable("relies on the caller's deadline", func(c ctx) error {
			<-c.Done()
			return c.Err()
		}),
		unreachable("waits for minutes", silent(5*time.Minute)),
		unreachable("hides whose deadline it was", func(c ctx) error {
			if _, ok := c.Deadline(); !ok {
				return refused(c)
			}
			<-c.Done()
			return errLost
		}),
		{"the index hides an outage", Config{
			New: func(t *testing.T) stores.Server { return newReference() },
			Unreachable: func(t *testing.T) stores.Server {
				f := down(refused)
				f.entries = func(ctx, key) ([]stores.Entry, error) { return nil, nil }
				return f
			},
		}, []string{"rule 2 unreachable"}},

		lossy("forces the write when it tries again", func(m *reference, f *faulty) {
			save := f.save
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := save(c, k, r)
				if errors.Is(err, stores.ErrUnavailable) {
					r.Revision = m.current(k)
					return m.Save(c, k, r)
				}
				return v, err
			}
		}),
		lossy("takes a lost reply for success", func(m *reference, f *faulty) {
			save := f.save
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := save(c, k, r)
				if errors.Is(err, stores.ErrUnavailable) {
					return "lost", nil
				}
				return v, err
			}
		}),
		lossy("a late copy is carried out at any revision", func(m *reference, f *faulty) {
			save := f.save
			var mu sync.Mutex
			var late rec
			f.save = func(c ctx, k key, r rec) (rev, error) {
				mu.Lock()
				defer mu.Unlock()
				if late.Data != nil { // which was under way for so long
					m.Put(c, k, late)
					late = rec{}
				}
				v, err := save(c, k, r)
				if errors.Is(err, stores.ErrUnavailable) {
					late = r
				}
				return v, err
			}
		}),
		lossy("a lost reply is no session", func(m *reference, f *faulty) {
			load := f.load
			f.load = func(c ctx, k key, fresh stores.Freshness) (rec, error) {
				r, err := load(c, k, fresh)
				if errors.Is(err, stores.ErrUnavailable) {
					err = stores.ErrTooLarge
				}
				return r, err
			}
		}),

		small("no write at all", func() *faulty {
			return roomFor(100_000, func(_, r rec) int { return len(r.Data) })
		}),
		small("an old record goes for a new one", func() *faulty {
			f := newFaulty()
			m := f.reference
			var first []key
			f.save = func(c ctx, k key, r rec) (rev, error) {
				if r.Revision == "" {
					if first = append(first, k); len(first) == 100 {
						m.mu.Lock()
						delete(m.records, first[0])
						m.mu.Unlock()
						return "", stores.ErrUnavailable
					}
				}
				return m.Save(c, k, r)
			}
			return f
		}),
		small("no room is too large", func() *faulty {
			f := roomFor(100_000, growth)
			save := f.save
			f.save = func(c ctx, k key, r rec) (rev, error) {
				v, err := save(c, k, r)
				if errors.Is(err, stores.ErrUnavailable) {
					err = stores.ErrTooLarge
				}
				return v, err
			}
			return f
		}),
		small("a put needs room", func() *faulty {
			f := roomFor(100_000, growth)
			inner := f.put
			f.put = func(c ctx, k key, r rec) error {
				if strings.HasPrefix(string(r.Data), "ended") {
					return fmt.Errorf("%w: no room", stores.ErrUnavailable)
				}
				return inner(c, k, r)
			}
			return f
		}),
		small("room for everything", newFaulty),
		small("room for nothing", func() *faulty { return roomFor(2000, growth) }),
	})
}
