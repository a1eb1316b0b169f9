package storetest

import (
	"context"
	"testing"

	"github.com/bulla-go/bulla/stores"
)

func TestCounterFaults(t *testing.T) {
	requireFailures(t, []string{"Counter"}, []broken{
		breaks("what has expired counts", func(m *reference, f *faulty) {
			f.count = func(ctx) (int, error) { return len(m.records), nil }
		}, "Counter counts what is live"),
		breaks("every write counts", func(m *reference, f *faulty) {
			f.count = func(ctx) (int, error) { return m.writes, nil }
		}, "Counter counts what is live"),
		breaks("none counts", func(m *reference, f *faulty) {
			f.count = func(context.Context) (int, error) { return 0, nil }
		}, "Counter counts what is live"),
		breaks("it does not answer", func(m *reference, f *faulty) {
			f.count = func(context.Context) (int, error) { return 0, stores.ErrUnavailable }
		}, "Counter counts what is live"),
	})
}
