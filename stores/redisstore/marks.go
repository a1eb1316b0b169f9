package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// writer makes the marks of one Store:
//
//	4 bytes   who writes, random
//	4 bytes   a count, so that no two marks of one writer begin alike
//	8 bytes   random, so that a revision can't be foreseen
//
// The first 8 bytes are what stays in the record when others have written. Of
// each writer only the last mark does: its saves of one session go one after
// the other, so that every save before has its answer.
type writer struct {
	id    [4]byte
	saves atomic.Uint32
}

func (w *writer) mark() string {
	var mark [markSize]byte
	copy(mark[:], w.id[:])
	binary.BigEndian.PutUint32(mark[4:], w.saves.Add(1))
	rand.Read(mark[8:]) // never fails: crypto/rand aborts the program instead
	return string(mark[:])
}

// turns lets calls of one key go one after the other.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one element while nobody has the turn
	users int           // waiting or having it; the last one removes the entry
}

// await waits for the turn of key. It ends with the call of done, or with ctx
// where that comes first: a client that does not heed contexts may keep its
// caller for much longer.
func (t *turns) await(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	mine := t.keys[key]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		if t.keys == nil {
			t.keys = make(map[string]*turn)
		}
		t.keys[key] = mine
	}
	mine.users++
	t.mu.Unlock()

	drop := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.keys, key)
		}
	}
	select {
	case <-mine.free:
		end := func() { mine.free <- struct{}{}; drop() }
		stop := context.AfterFunc(ctx, end)
		return func() {
			if stop() { // here: starting a goroutine would wake another thread
				end()
			}
		}, nil
	case <-ctx.Done():
		drop()
		return nil, ctx.Err()
	}
}
