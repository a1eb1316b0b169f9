package otelsessions

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

const scope = "github.com/bulla-go/bulla/sessions/otelsessions"

const (
	operationKey = attribute.Key("bulla.session.operation")
	eventKey     = attribute.Key("bulla.session.event")
	reasonKey    = attribute.Key("bulla.session.reason")
	storeKey     = attribute.Key("bulla.session.store")
)

// buckets are those of the conventions for databases, in seconds.
var buckets = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

// Option configures [Hooks].
type Option func(*options) error

type options struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
}

func newOptions(opts []Option) (options, error) {
	o := options{otel.GetTracerProvider(), otel.GetMeterProvider()}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("otelsessions: an Option is nil; leave it out")
		}
		if err := opt(&o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// WithTracerProvider takes the place of the global provider of tracers.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(o *options) error {
		if p == nil {
			return errors.New("otelsessions: WithTracerProvider(nil); leave it out for the global one")
		}
		o.tracers = p
		return nil
	}
}

// WithMeterProvider takes the place of the global provider of meters.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(o *options) error {
		if p == nil {
			return errors.New("otelsessions: WithMeterProvider(nil); leave it out for the global one")
		}
		o.meters = p
		return nil
	}
}

// Hooks returns hooks for middleware.WithHooks. To have a hook of your own besides, set
// the field to a function that calls both.
func Hooks(opts ...Option) (sessions.Hooks, error) {
	o, err := newOptions(opts)
	if err != nil {
		return sessions.Hooks{}, err
	}
	meter := o.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
	duration, err := meter.Float64Histogram("bulla.session.operation.duration",
		metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(buckets...),
		metric.WithDescription("Time that an operation on a session has spent in the store and the encryptor."))
	if err != nil {
		return sessions.Hooks{}, err
	}
	events, err := meter.Int64Counter("bulla.session.events",
		metric.WithUnit("{event}"),
		metric.WithDescription("What happened to sessions and is not as usual."))
	if err != nil {
		return sessions.Hooks{}, err
	}
	full, err := meter.Float64Histogram("bulla.session.cookie.utilization",
		metric.WithUnit("1"), metric.WithExplicitBucketBoundaries(0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95),
		metric.WithDescription("How full the cookie is of a session that it holds, when it is written."))
	if err != nil {
		return sessions.Hooks{}, err
	}
	t := &telemetry{o.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)), duration, events, full}
	return sessions.Hooks{
		Loaded:      t.operation("load"),
		Created:     t.operation("create"),
		Saved:       t.operation("save"),
		Touched:     t.operation("touch"),
		Regenerated: t.operation("regenerate"),
		Destroyed:   t.operation("destroy"),
		Revoked:     t.operation("revoke"),
		Conflict:    t.event("conflict"),
		Ended:       t.event("ended"),
		Rejected:    t.event("rejected"),
		LateChange:  t.event("late"),
		Refused:     t.event("refused"),
		StoreError:  t.event("failed"),
	}, nil
}

type telemetry struct {
	tracer   trace.Tracer
	duration metric.Float64Histogram
	events   metric.Int64Counter
	full     metric.Float64Histogram
}

func (t *telemetry) operation(name string) func(context.Context, sessions.Event) {
	return func(ctx context.Context, ev sessions.Event) {
		attrs := []attribute.KeyValue{operationKey.String(name), storeKey.String(ev.Store)}
		t.duration.Record(ctx, ev.Took.Seconds(), metric.WithAttributeSet(attribute.NewSet(attrs...)))
		if ev.Room > 0 {
			t.full.Record(ctx, float64(ev.Size)/float64(ev.Room), metric.WithAttributes(storeKey.String(ev.Store)))
		}
		t.span(ctx, "session "+name, ev, attrs, nil)
	}
}

func (t *telemetry) event(name string) func(context.Context, sessions.Event) {
	return func(ctx context.Context, ev sessions.Event) {
		attrs := []attribute.KeyValue{eventKey.String(name), storeKey.String(ev.Store)}
		var failed error
		switch name {
		case "rejected":
			attrs = append(attrs, reasonKey.String(string(ev.Reason)))
		case "refused":
			attrs = append(attrs, semconv.ErrorTypeKey.String(typeOf(ev.Err)))
		case "failed":
			attrs = append(attrs, semconv.ErrorTypeKey.String(typeOf(ev.Err)))
			failed = ev.Err
		}
		t.events.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attrs...)))
		t.span(ctx, "session "+name, ev, attrs, failed)
	}
}

// span adds a span beneath that of the request, if there is one: it has ended, as hooks
// are called afterwards.
func (t *telemetry) span(ctx context.Context, name string, ev sessions.Event, attrs []attribute.KeyValue, failed error) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	end := time.Now()
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(end.Add(-ev.Took)), trace.WithAttributes(attrs...))
	if failed != nil {
		span.SetStatus(codes.Error, failed.Error())
	}
	span.End(trace.WithTimestamp(end))
}

// typeOf names an error by one of a few words.
func typeOf(err error) string {
	for _, t := range []struct {
		err  error
		name string
	}{
		{context.Canceled, "canceled"},
		{sessions.ErrTooManySessions, "too_many_sessions"},
		{stores.ErrTooLarge, "too_large"},
		{stores.ErrFull, "full"},
		{sessions.ErrUnreadable, "unreadable"},
		{sessions.ErrBusy, "busy"},
		{context.DeadlineExceeded, "timeout"},
		{stores.ErrUnavailable, "unavailable"},
	} {
		if errors.Is(err, t.err) {
			return t.name
		}
	}
	return semconv.ErrorTypeOther.Value.AsString()
}
