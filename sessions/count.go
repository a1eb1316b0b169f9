package sessions

import (
	"context"
	"fmt"

	"github.com/bulla-go/bulla/stores"
)

// Count returns how many sessions are alive in the store, for a gauge. Those count, too,
// that ended some minutes ago (WithStubLifetime), and with WithOwners the users whose
// sessions were ever ended together. A store that can't tell without reading everything
// is [ErrConfig]; those that can are a [stores.Counter].
func (m *Manager) Count(ctx context.Context) (int, error) {
	c, ok := m.place.Server.(stores.Counter)
	if !ok {
		return 0, fmt.Errorf("%w: the %s store can't count its sessions", ErrConfig, m.place.Name)
	}
	return c.Count(ctx)
}
