package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/sessions/internal/revoked"
	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/stores"
)

// maxMoves bounds how many changes of the ID one look follows; the next goes on. Who can
// write to the store could make a circle of them.
const maxMoves = 16

// look asks the server about all watched sessions in one call, and once more about those
// that have another ID. It reads records without opening them, so that nobody is kept
// alive by being watched.
func (w *Watcher) look() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.mu.Lock()
	w.giveUp = cancel
	w.mu.Unlock()
	w.lookAtList(ctx)

	w.mu.Lock()
	keys := make([]stores.Key, 0, len(w.watched))
	for key := range w.watched {
		if w.Load != nil {
			keys = append(keys, key)
		}
	}
	w.mu.Unlock()

	for range maxMoves {
		if len(keys) == 0 {
			break
		}
		began := time.Now()
		recs, err := w.Load(ctx, keys)
		if ctx.Err() != nil { // nobody is there any more
			break
		}
		if err != nil {
			w.Failed(ctx, err)
			w.unanswered(err)
			break
		}
		keys = w.found(keys, recs, began)
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	w.giveUp = nil
	if w.due = len(w.watched) > 0; w.due {
		w.next.Reset(w.Every)
	}
}

// lookAtList ends what the list of what has ended says. The list itself is asked only
// about what has moved: the rest is in memory.
func (w *Watcher) lookAtList(ctx context.Context) {
	if w.List == nil {
		return
	}
	if err := w.List.Usable(ctx); err != nil && ctx.Err() == nil {
		// Requests of these sessions are refused as well.
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, v := range w.watched {
			w.end(v, err)
		}
		return
	}
	for range maxMoves {
		moved := w.Listed()
		if len(moved) == 0 {
			return
		}
		gone, err := w.List.Follow(ctx, moved)
		if err != nil {
			if ctx.Err() == nil {
				w.Failed(ctx, err)
			}
			return
		}
		w.follow(moved, gone)
	}
}

// Listed ends what the list says in memory, and returns what has moved. It is called
// where this process has ended many at once, too.
func (w *Watcher) Listed() (moved []stores.Key) {
	if !w.some.Load() || w.List == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, v := range w.watched {
		switch w.List.Look(key, v.Epochs) {
		case revoked.Ended:
			w.end(v, swap.ErrEnded)
		case revoked.Revoked:
			w.end(v, swap.ErrRevoked)
		case revoked.Moved, revoked.Moving:
			moved = append(moved, key)
		}
	}
	return moved
}

func (w *Watcher) follow(moved []stores.Key, gone []revoked.Gone) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, g := range gone {
		v := w.watched[moved[i]]
		switch {
		case v == nil:
		case g.OwnerChanged:
			w.end(v, ErrOwnerChanged)
		case g.To.IsZero(): // the list has lost it
			w.end(v, swap.ErrEnded)
		default:
			// Its use elsewhere is not seen, and the numbers that it has sealed now are
			// not known: by those of before it ends too early rather than too late.
			s := Session{Key: g.To, Client: v.Client, Idle: v.Idle, Expires: g.Deadline, Deadline: g.Deadline, Epochs: v.Epochs}
			if v.Idle && v.Expires.Before(g.Deadline) {
				s.Expires = v.Expires
			}
			w.move(v, s)
		}
	}
}

// unanswered ends what is over by its time, which nobody can have moved on while the
// server is out of reach, and what was not seen for too long.
func (w *Watcher) unanswered(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, v := range w.watched {
		if over := v.over(now); over != nil {
			w.end(v, over)
		} else if unseen := now.Sub(v.seen); !v.Client && unseen > w.Patience {
			w.end(v, fmt.Errorf("%w: for %v nobody could tell whether the session lives: %w", stores.ErrUnavailable, unseen.Round(time.Second), err))
		}
	}
}

// found takes what the server has under these keys, and returns the keys that sessions
// have got in their place.
func (w *Watcher) found(keys []stores.Key, recs []stores.Record, asked time.Time) (moved []stores.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for i, rec := range recs {
		v := w.watched[keys[i]]
		if v == nil {
			continue
		}
		stub, isStub := record.ParseStub(rec.Data)
		switch over := v.over(now); {
		case isStub && stub.OwnerChanged:
			w.end(v, ErrOwnerChanged)
		case isStub && stub.Moved():
			// The deadline starts anew with an ID, and the record that says so is
			// sealed.
			w.move(v, Session{Key: stub.To, Idle: v.Idle, Epochs: v.Epochs})
			moved = append(moved, stub.To)
		case isStub && stub.Revoked:
			w.end(v, swap.ErrRevoked)
		case isStub:
			w.end(v, swap.ErrEnded)
		case rec.Revision == "" && over != nil:
			w.end(v, over)
		case rec.Revision == "" && v.Client: // as before
		case rec.Revision == "":
			w.end(v, swap.ErrEnded)
		case asked.Before(v.seen): // it was used here since, and has what that gave it
		default:
			v.Client, v.seen, v.Expires = false, asked, rec.Expires
			if !v.Deadline.IsZero() && v.Deadline.Before(v.Expires) {
				v.Expires = v.Deadline
			}
			w.setTimer(v)
		}
	}
	return moved
}
