package swap

import (
	"context"

	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/stores"
)

// flights let loads of one session that are under way at once share a call to the
// server, which begins after each of them has: nobody is given what was read before it
// asked. Two go at once, so that one page and what it loads do not wait for each other;
// who comes then waits for the next call, together with all who come until it begins.
type flights struct {
	keyed[flying]
}

// flying is what is under way for one session.
type flying struct {
	calls int
	next  *flight // for those who wait
}

type flight struct {
	begin, done chan struct{}

	// After done.
	st   *record.State
	stub *record.Stub
	err  error
	void bool // who made the call has gone
}

const atOnce = 2

// load makes the call, or shares one.
func (f *flights) load(ctx context.Context, key stores.Key, call func() (*record.State, *record.Stub, error)) (*record.State, *record.Stub, error) {
	l := f.lane(key)
	for {
		l.mu.Lock()
		now := l.find(key)
		if now == nil || now.calls < atOnce {
			if now == nil {
				l.add(key, flying{calls: 1})
			} else {
				now.calls++
			}
			l.mu.Unlock()
			defer landed(l, key)
			return call()
		}
		fl, leads := now.next, now.next == nil
		if leads {
			fl = &flight{begin: make(chan struct{}), done: make(chan struct{})}
			now.next = fl
		}
		l.mu.Unlock()
		if leads {
			return lead(ctx, l, key, fl, call)
		}
		select {
		case <-fl.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		switch {
		case fl.void:
			continue
		case fl.st != nil:
			st := *fl.st // a request notes things in its own
			return &st, nil, nil
		}
		return nil, fl.stub, fl.err
	}
}

// lead makes the call of a flight when its time has come.
func lead(ctx context.Context, l *lane[flying], key stores.Key, fl *flight, call func() (*record.State, *record.Stub, error)) (*record.State, *record.Stub, error) {
	fl.void = true // until there is an answer
	defer close(fl.done)
	select {
	case <-fl.begin:
	case <-ctx.Done():
		l.mu.Lock()
		now := l.find(key)
		if now != nil && now.next == fl {
			now.next = nil
			l.mu.Unlock()
			return nil, nil, ctx.Err()
		}
		l.mu.Unlock() // it has begun
	}
	defer landed(l, key)
	st, stub, err := call()
	if err == nil || ctx.Err() == nil {
		if fl.stub, fl.err, fl.void = stub, err, false; st != nil {
			shared := *st
			fl.st = &shared
		}
	}
	return st, stub, err
}

// landed ends a call, and begins the next one if somebody waits.
func landed(l *lane[flying], key stores.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.find(key)
	switch {
	case now.next != nil:
		close(now.next.begin)
		now.next = nil
	case now.calls == 1:
		l.remove(key)
	default:
		now.calls--
	}
}
