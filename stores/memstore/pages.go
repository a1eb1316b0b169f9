package memstore

import "maps"

const (
	// pageSize items are allocated at a time. Pages, unlike one slice, never
	// have to be copied to grow, and go back to the runtime one by one.
	pageSize = 128

	// sweepSteps is how many items a write looks at. Once round n items are
	// n/4 writes, which add n/4 items at most, while all that were expired
	// before that round are gone after it. So there are never many more than
	// 4/3 of what is alive, however many expire, and without writes there are
	// not more.
	sweepSteps = 4

	// reclaimSteps is how many items are looked at under one lock where there
	// is no room: some tens of microseconds, so that nobody waits for longer.
	reclaimSteps = 512

	// minShrink keeps small indexes from being built anew all the time.
	minShrink = 1024
)

// pages holds items densely, so that a sweep can go through them step by step
// and resume where it stopped, as it could not in a map.
type pages[T any] struct {
	pages [][]T
	len   int
	next  int // where the sweep goes on
}

func (p *pages[T]) at(i int) *T { return &p.pages[i/pageSize][i%pageSize] }

// push appends item.
func (p *pages[T]) push(item T) {
	if p.len == len(p.pages)*pageSize {
		p.pages = append(p.pages, make([]T, pageSize))
	}
	*p.at(p.len) = item
	p.len++
}

// drop takes the item at i out. The last one moves into its place; drop returns
// it, or nil where i was the last.
func (p *pages[T]) drop(i int) (moved *T) {
	var none T
	p.len--
	item, last := p.at(i), p.at(p.len)
	if item != last {
		*item, moved = *last, item
	}
	*last = none // let go of the data
	// One empty page stays, so that pages at the edge of one do not allocate
	// again and again.
	if n := len(p.pages) - 1; p.len+pageSize <= n*pageSize {
		p.pages[n] = nil
		p.pages = p.pages[:n]
	}
	return moved
}

// sweep looks at some items and has those removed that have ended.
func (p *pages[T]) sweep(steps int, ended func(*T) bool, remove func(i int)) (removed bool) {
	for range min(steps, p.len) {
		if p.next >= p.len {
			p.next = 0
		}
		if !ended(p.at(p.next)) {
			p.next++
			continue
		}
		remove(p.next) // what was the last item is here now, and comes next
		removed = true
	}
	return removed
}

// index is a map that shrinks. Its zero value is ready to use.
type index[K comparable, V any] struct {
	m    map[K]V
	peak int // the most that m had since it was built
}

func (x *index[K, V]) set(key K, value V) {
	if x.m == nil {
		x.m = make(map[K]V)
	}
	x.m[key] = value
	x.peak = max(x.peak, len(x.m))
}

// delete removes key. A map never shrinks by itself: it is copied when an eighth
// is left, so that a copy is paid for by the seven removals of each key in it.
func (x *index[K, V]) delete(key K) {
	delete(x.m, key)
	if n := len(x.m); x.peak >= minShrink && n < x.peak/8 {
		fresh := make(map[K]V, n)
		maps.Copy(fresh, x.m)
		x.m, x.peak = fresh, n
	}
}
