//go:build unix

package integration_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// stubMagic begins what stands in the place of a session that has ended or has
// another ID, as docs/format.md says.
const stubMagic = "\x00bulla stub\x00"

func isStub(data []byte) bool { return bytes.HasPrefix(data, []byte(stubMagic)) }

// end ends a session as any program could that can write to its store.
func end(t testing.TB, server stores.Server, key stores.Key) {
	t.Helper()
	stub := binary.BigEndian.AppendUint64([]byte(stubMagic+"E"), uint64(time.Now().UnixMilli()))
	require.NoError(t, server.Put(t.Context(), key, stores.Record{Data: stub, Expires: time.Now().Add(time.Hour)}))
}

// ledger is a store in memory that knows what was written there.
type ledger struct {
	*memstore.Store
	mu   sync.Mutex
	keys map[stores.Key]bool
}

func newLedger(t testing.TB) *ledger {
	store, err := memstore.New()
	require.NoError(t, err)
	return &ledger{Store: store, keys: make(map[stores.Key]bool)}
}

// Place is that of the memory.
func (l *ledger) Place() stores.Place {
	p := l.Store.Place()
	p.Server = l
	return p
}

func (l *ledger) note(key stores.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[key] = true
}

func (l *ledger) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	l.note(key)
	return l.Store.Save(ctx, key, rec)
}

func (l *ledger) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	l.note(key)
	return l.Store.Put(ctx, key, rec)
}

// live returns how many records there are that are no stubs.
func (l *ledger) live(t testing.TB) (n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.keys {
		if rec, err := l.Store.Load(t.Context(), key, stores.Fresh); err == nil && !isStub(rec.Data) {
			n++
		}
	}
	return n
}
