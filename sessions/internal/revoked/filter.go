package revoked

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// filter tells of a key that it is certainly not there, or that it may be: a Bloom
// filter whose bits for one key lie in one word. So the request of a session that lives
// reads one word of memory, which most often is in the processor's cache, and takes no
// lock. Up to three in a hundred are told "may be", and look into the table. A key that
// was added is never told "not there". A filter is safe for concurrent use.
type filter struct {
	words []atomic.Uint64
	room  int // for how many keys it is made
}

// keysPerWord leaves 8 bits for each key, in a filter that is full.
const keysPerWord = 8

func newFilter(room int) *filter {
	return &filter{make([]atomic.Uint64, room/keysPerWord+1), room}
}

// place returns a key's word, and its bits there. Keys are hashes. (The processor is slow
// to load what crosses two words that it has just stored, so these do not.)
func (f *filter) place(hash *[keySize]byte) (word *atomic.Uint64, mask uint64) {
	i, _ := bits.Mul64(binary.LittleEndian.Uint64(hash[8:]), uint64(len(f.words)))
	h := binary.LittleEndian.Uint64(hash[16:])
	return &f.words[i], 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
}

func (f *filter) add(hash *[keySize]byte) {
	word, mask := f.place(hash)
	word.Or(mask)
}

func (f *filter) mayHave(hash *[keySize]byte) bool {
	word, mask := f.place(hash)
	return word.Load()&mask == mask
}
