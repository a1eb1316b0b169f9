package otelsessions

import (
	"context"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/bulla-go/bulla/sessions"
)

// Count has a metric tell how many sessions are alive in the manager's store, whenever
// metrics are collected: bulla.session.count, an up-down counter of {session}. A store
// that can't count is an error; see [sessions.Manager.Count]. Every process that calls
// it tells of the whole store: don't add them up.
func Count(ctx context.Context, m *sessions.Manager, opts ...Option) error {
	o, err := newOptions(opts)
	if err != nil {
		return err
	}
	if _, err := m.Count(ctx); err != nil {
		return err
	}
	meter := o.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
	_, err = meter.Int64ObservableUpDownCounter("bulla.session.count",
		metric.WithUnit("{session}"),
		metric.WithDescription("Sessions that are alive in the store."),
		metric.WithInt64Callback(func(ctx context.Context, to metric.Int64Observer) error {
			n, err := m.Count(ctx)
			if err == nil {
				to.Observe(int64(n))
			}
			return err
		}))
	return err
}
