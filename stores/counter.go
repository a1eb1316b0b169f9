package stores

import "context"

// Counter is a [Server] that can tell how much it keeps without reading it.
type Counter interface {
	// Count returns how many records are live: those that a Load would find.
	// Among them are what tells that a session has ended, and the owners' epochs.
	Count(ctx context.Context) (int, error)
}
