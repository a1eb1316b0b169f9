package sessions

import (
	"sync"
	"time"
)

// retryAfter is for how long a store that failed is left alone by those who can
// do without it.
const retryAfter = time.Second

// outage remembers that the store failed a moment ago. Otherwise each read that
// falls back on a copy would first wait for the failure of its own, which can be
// seconds.
type outage struct {
	mu    sync.Mutex
	until time.Time // zero: the store answers
}

// ask tells whether to ask the store. While it fails, one request in each
// retryAfter is to find out.
func (o *outage) ask() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.until.IsZero():
		return true
	case time.Now().Before(o.until):
		return false
	}
	o.until = time.Now().Add(retryAfter)
	return true
}

// lasts tells whether the store failed a moment ago.
func (o *outage) lasts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Now().Before(o.until)
}

func (o *outage) failed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = time.Now().Add(retryAfter)
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = time.Time{}
}
