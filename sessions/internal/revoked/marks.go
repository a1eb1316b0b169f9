package revoked

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// marks is a hash table of what is known of sessions: open addressing, linear probing.
// It is here and not a map because there may be millions: an entry takes 43 to 64 bytes,
// where it takes 100 in a map, and has no pointer for the garbage collector to follow.
type marks struct {
	slots []slot
	n     int
}

// slot is an entry, or empty: then its mark says that it lives, which no entry does.
type slot struct {
	hash [keySize]byte
	mark mark
}

// place returns where a key is looked for first. Keys are hashes.
func (m *marks) place(hash *[keySize]byte) int {
	hi, _ := bits.Mul64(binary.LittleEndian.Uint64(hash[8:]), uint64(len(m.slots)))
	return int(hi)
}

// at returns where a key is, or could be put; -1 where there is no room at all.
func (m *marks) at(hash *[keySize]byte) (i int, there bool) {
	if len(m.slots) == 0 {
		return -1, false
	}
	for i = m.place(hash); m.slots[i].mark.kind != live; {
		if m.slots[i].hash == *hash {
			return i, true
		}
		if i++; i == len(m.slots) {
			i = 0
		}
	}
	return i, false
}

func (m *marks) get(hash *[keySize]byte) (mark, bool) {
	if i, there := m.at(hash); there {
		return m.slots[i].mark, true
	}
	return mark{}, false
}

// set notes v, which is not live.
func (m *marks) set(hash *[keySize]byte, v mark) {
	i, there := m.at(hash)
	if !there && 4*(m.n+1) > 3*len(m.slots) { // which leaves an empty one for every search to end at
		m.resize(m.n+m.n/2+8, func(mark) bool { return true })
		i, _ = m.at(hash)
	}
	if !there {
		m.n++
	}
	m.slots[i] = slot{*hash, v}
}

// all goes through the keys.
func (m *marks) all() iter.Seq[*[keySize]byte] {
	return func(yield func(*[keySize]byte) bool) {
		for i := range m.slots {
			if m.slots[i].mark.kind != live && !yield(&m.slots[i].hash) {
				return
			}
		}
	}
}

// keep drops all entries but those of which f says true, and tells gone of each.
func (m *marks) keep(f func(mark) bool, gone func(mark)) {
	n := 0
	for i := range m.slots {
		switch v := m.slots[i].mark; {
		case v.kind == live:
		case f(v):
			n++
		default:
			gone(v)
		}
	}
	if n < m.n || 2*n < len(m.slots) {
		m.resize(n, f)
	}
}

// resize makes room for n entries at two thirds of the table, and keeps those of which f
// says true.
func (m *marks) resize(n int, f func(mark) bool) {
	bigger := marks{slots: make([]slot, n+n/2+4)}
	for _, s := range m.slots {
		if s.mark.kind == live || !f(s.mark) {
			continue
		}
		i, _ := bigger.at(&s.hash)
		bigger.slots[i] = s
		bigger.n++
	}
	*m = bigger
}
