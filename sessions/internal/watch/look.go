package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/record"
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
	keys := make([]stores.Key, 0, len(w.watched))
	for key := range w.watched {
		keys = append(keys, key)
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
			w.move(v, Session{Key: stub.To, Idle: v.Idle})
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
