package sessions

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/bulla-go/bulla/sessions/internal/record"
)

// warnEvery is how often at most the log is told that a cookie is nearly full: once full,
// each request of that session says so by failing.
const warnEvery = time.Hour

// fullness remembers when the operator was last told.
type fullness struct{ told atomic.Int64 }

// tell tells whether to say of a token that it is nearly full: four fifths of it are.
func (f *fullness) tell(size, room int) bool {
	if size < room-room/5 {
		return false
	}
	now, last := time.Now().UnixNano(), f.told.Load()
	return (last == 0 || now-last >= int64(warnEvery)) && f.told.CompareAndSwap(last, now)
}

// wrote tells that a session was written, and how full the token is that holds it.
func (m *Manager) wrote(ctx context.Context, k kind, st *record.State, started time.Time, attempts int) {
	if !m.observed {
		return
	}
	ev := Event{Attempts: attempts}
	limited := st.ClientHeld() && m.room < math.MaxInt
	if limited {
		ev.Size, ev.Room = len(st.Payload), m.room
	}
	m.emit(ctx, k, st.ID.Key(), started, ev)
	// Of a hybrid it is nothing to worry about: what has no room goes to the server.
	if limited && m.engine == nil && m.full.tell(ev.Size, ev.Room) {
		m.emit(ctx, evNearlyFull, st.ID.Key(), time.Time{}, Event{Size: ev.Size, Room: ev.Room})
	}
}
