package revoked

import (
	"encoding/binary"
	"math/bits"

	"github.com/bulla-go/bulla/stores"
)

// marks is a hash table of what is known of sessions: open addressing, linear probing.
// It is here and not a map because it is at each request that it is asked about a
// session that it does not have: that is answered by the tags alone, two bytes an entry,
// which stay in the processor's cache where a million entries do not. An entry takes
// 50 to 75 bytes, where it takes 100 in a map, and no pointer for the garbage
// collector to follow.
type marks struct {
	tags  []uint16 // 0: empty
	slots []slot
	n     int
}

type slot struct {
	key  stores.Key
	mark mark
}

// place returns where k is looked for first, and its tag. Keys are hashes, of whose
// bits the first six have chosen the shard.
func (m *marks) place(k stores.Key) (i int, tag uint16) {
	hash := k.Hash()
	hi, _ := bits.Mul64(binary.LittleEndian.Uint64(hash[1:]), uint64(len(m.tags)))
	return int(hi), binary.LittleEndian.Uint16(hash[9:]) | 1
}

// at returns where k is, or could be put; -1 where there is no room at all.
func (m *marks) at(k stores.Key) (i int, there bool) {
	if len(m.tags) == 0 {
		return -1, false
	}
	i, tag := m.place(k)
	for m.tags[i] != 0 {
		if m.tags[i] == tag && m.slots[i].key == k {
			return i, true
		}
		if i++; i == len(m.tags) {
			i = 0
		}
	}
	return i, false
}

func (m *marks) get(k stores.Key) (mark, bool) {
	if i, there := m.at(k); there {
		return m.slots[i].mark, true
	}
	return mark{}, false
}

func (m *marks) set(k stores.Key, v mark) {
	i, there := m.at(k)
	if !there && 4*(m.n+1) > 3*len(m.tags) { // which leaves an empty one for every search to end at
		m.resize(m.n+m.n/2+8, func(mark) bool { return true })
		i, _ = m.at(k)
	}
	if !there {
		m.n++
	}
	_, tag := m.place(k)
	m.tags[i], m.slots[i] = tag, slot{k, v}
}

// keep drops all entries but those of which f says true, and tells gone of each.
func (m *marks) keep(f func(mark) bool, gone func(mark)) {
	n := 0
	for i, tag := range m.tags {
		switch {
		case tag == 0:
		case f(m.slots[i].mark):
			n++
		default:
			gone(m.slots[i].mark)
		}
	}
	if n < m.n || 2*n < len(m.tags) {
		m.resize(n, f)
	}
}

// resize makes room for n entries at two thirds of the table, and keeps those of which f
// says true.
func (m *marks) resize(n int, f func(mark) bool) {
	size := n + n/2 + 4
	bigger := marks{tags: make([]uint16, size), slots: make([]slot, size)}
	for i, tag := range m.tags {
		if tag == 0 || !f(m.slots[i].mark) {
			continue
		}
		j, _ := bigger.at(m.slots[i].key)
		bigger.tags[j], bigger.slots[j] = tag, m.slots[i]
		bigger.n++
	}
	*m = bigger
}
