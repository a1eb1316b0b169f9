package encrypt

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// The key in use is not the configured key but
//
//	HKDF-SHA-256(key, salt = "bulla encrypt 1",
//	             info = version | algorithm | key ID | binding)
//
// of 32 bytes (RFC 5869). Four things follow.
//
// The header and the binding are authenticated: with one bit of them changed,
// another key is derived, and nothing opens under it. That makes associated
// data needless.
//
// A session has its own key, as its ID is in the binding. NIST SP 800-38D,
// section 8.3, allows one AES-GCM key 2^32 messages with random nonces; a
// session that is written once a second needs 136 years for that.
//
// A dump of the database and the configured key open nothing together: the
// session's ID is in the binding and only its client has it.
//
// One key never serves two algorithms, since the algorithm is in the info.

// derivation expands keys in use from one configured key.
type derivation struct {
	pool sync.Pool // of *expander
}

type expander struct {
	mac hash.Hash // HMAC-SHA-256 under the PRK
	out [sha256.Size]byte
}

func (d *derivation) init(prk []byte) {
	d.pool.New = func() any {
		return &expander{mac: hmac.New(sha256.New, prk)}
	}
}

// firstBlock is the counter of HKDF-Expand's first block.
var firstBlock = []byte{1}

// derive returns the sealer of one binding.
//
// For 32 bytes of output HKDF-Expand (RFC 5869, section 2.3) is a single HMAC,
// HMAC(PRK, info | 0x01), and that is what is computed here. crypto/hkdf gives
// the same bytes, but sets the HMAC up anew each time: a third of the time and
// none of its 12 allocations remain when a keyed HMAC is used again. A test
// holds this function to crypto/hkdf.
func (e *entry) derive(binding []byte) (sealer, error) {
	x := e.pool.Get().(*expander)
	x.mac.Write(e.header[:])
	x.mac.Write(binding)
	x.mac.Write(firstBlock)
	s, err := e.alg.sealer(x.mac.Sum(x.out[:0]))
	// Neither this session's key nor its ID stays in the pool. The HMAC's inner
	// digest does, within its outer hash, until the next use: the key can be
	// computed from it and the PRK, by whoever can read the process's memory.
	clear(x.out[:])
	x.mac.Reset()
	e.pool.Put(x)
	return s, err
}
