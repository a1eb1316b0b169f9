package otelsessions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/middleware/sessionstest"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/otelsessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

const note = sessions.Key[string]("note")

// store is one that can be switched off.
type store struct {
	*memstore.Store
	down bool
}

func (s *store) Place() stores.Place { return stores.Place{Name: "memory", Server: s, InProcess: true} }

func (s *store) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	if s.down {
		return stores.Record{}, fmt.Errorf("%w: %w", stores.ErrUnavailable, errors.New("switched off"))
	}
	return s.Store.Load(ctx, key, f)
}

// site is a server whose requests are traced, and what the SDK has of it.
type site struct {
	t      *testing.T
	mw     *middleware.Middleware
	store  *store
	spans  *tracetest.SpanRecorder
	reader *metric.ManualReader
	tracer *trace.TracerProvider
	sums   []float64 // of the histograms, in order
}

func newSite(t *testing.T, opts ...middleware.Option) *site {
	mem, err := memstore.New()
	require.NoError(t, err)
	s := &site{t: t, store: &store{Store: mem}, spans: tracetest.NewSpanRecorder(), reader: metric.NewManualReader()}
	s.tracer = trace.NewTracerProvider(trace.WithSpanProcessor(s.spans))
	hooks, err := otelsessions.Hooks(
		otelsessions.WithTracerProvider(s.tracer),
		otelsessions.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(s.reader))))
	require.NoError(t, err)
	s.mw, err = middleware.New(s.store, append(opts, middleware.WithHooks(hooks))...)
	require.NoError(t, err)
	return s
}

// request runs f on r's session, beneath a span, and has r carry what comes of it.
func (s *site) request(r *http.Request, f func(context.Context, *sessions.Session) error) *http.Request {
	ctx, span := s.tracer.Tracer("test").Start(r.Context(), "GET /")
	defer span.End()
	w := httptest.NewRecorder()
	s.mw.HandlerFunc(func(_ http.ResponseWriter, r *http.Request, session *sessions.Session) error {
		return f(r.Context(), session)
	}).ServeHTTP(w, r.WithContext(ctx))
	next := httptest.NewRequest("GET", "https://app.example/", nil)
	cookies := w.Result().Cookies()
	if len(cookies) == 0 {
		cookies = r.Cookies()
	}
	for _, c := range cookies {
		if c.MaxAge >= 0 {
			next.AddCookie(c)
		}
	}
	return next
}

// names are the spans so far, beneath requests.
func (s *site) names() (names []string) {
	for _, span := range s.spans.Ended() {
		if span.Name() == "GET /" {
			continue
		}
		require.True(s.t, span.Parent().IsValid(), "beneath the request's")
		require.False(s.t, span.EndTime().Before(span.StartTime()))
		names = append(names, span.Name())
	}
	return names
}

// metrics returns the counts of each series, by its attributes.
func (s *site) metrics() (counts map[string]int64, text string) {
	var rm metricdata.ResourceMetrics
	require.NoError(s.t, s.reader.Collect(s.t.Context(), &rm))
	counts = map[string]int64{}
	for _, sm := range rm.ScopeMetrics {
		require.Equal(s.t, "github.com/bulla-go/bulla/sessions/otelsessions", sm.Scope.Name)
		require.NotEmpty(s.t, sm.Scope.SchemaURL)
		for _, m := range sm.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				require.Equal(s.t, map[string]string{"bulla.session.operation.duration": "s", "bulla.session.cookie.utilization": "1"}[m.Name], m.Unit)
				s.sums = append(s.sums, data.DataPoints[0].Sum)
				for _, p := range data.DataPoints {
					counts[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = int64(p.Count)
				}
			case metricdata.Sum[int64]:
				require.Equal(s.t, map[string]string{"bulla.session.events": "{event}", "bulla.session.count": "{session}"}[m.Name], m.Unit)
				require.Equal(s.t, m.Name == "bulla.session.events", data.IsMonotonic)
				for _, p := range data.DataPoints {
					counts[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
				}
			}
		}
	}
	return counts, fmt.Sprintf("%+v", rm)
}

func set(v string) func(context.Context, *sessions.Session) error {
	return func(_ context.Context, s *sessions.Session) error { return note.Set(s, v) }
}

func TestOperations(t *testing.T) {
	s := newSite(t)
	var secrets []string
	r := s.request(httptest.NewRequest("GET", "https://app.example/", nil), set("one"))
	secrets = append(secrets, r.Cookies()[0].Value, string(sessionstest.Session(t, s.mw, r, nil).ID().AppendSecret(nil)))
	r = s.request(r, set("two"))
	r = s.request(r, func(_ context.Context, s *sessions.Session) error { return s.Regenerate() })
	secrets = append(secrets, r.Cookies()[0].Value)
	handle := string(sessionstest.Session(t, s.mw, r, nil).Handle())
	gone := r.Clone(t.Context())
	s.request(r, func(_ context.Context, s *sessions.Session) error { s.Destroy(); return nil })
	s.request(gone, func(context.Context, *sessions.Session) error { return nil })

	require.Equal(t, []string{
		"session create",
		"session load", "session save",
		"session load", "session regenerate",
		"session load", "session destroy",
		"session rejected",
	}, s.names())
	counts, text := s.metrics()
	duration := "bulla.session.operation.duration bulla.session.operation=%s,bulla.session.store=memory"
	require.Equal(t, map[string]int64{
		fmt.Sprintf(duration, "create"):     1,
		fmt.Sprintf(duration, "load"):       5, // two of them look for this test, and are not traced
		fmt.Sprintf(duration, "save"):       1,
		fmt.Sprintf(duration, "regenerate"): 1,
		fmt.Sprintf(duration, "destroy"):    1,
		"bulla.session.events bulla.session.event=rejected,bulla.session.reason=ended,bulla.session.store=memory": 1,
	}, counts)

	// Nothing names a session.
	for _, span := range s.spans.Ended() {
		text += fmt.Sprintf("%v %+v %+v %+v\n", span.Name(), span.Attributes(), span.Events(), span.Status())
		require.Equal(t, codes.Unset, span.Status().Code)
	}
	for _, secret := range append(secrets, handle) {
		require.NotContains(t, text, secret)
	}
}

func TestFailures(t *testing.T) {
	s := newSite(t)
	r := s.request(httptest.NewRequest("GET", "https://app.example/", nil), set("one"))
	handle := string(sessionstest.Session(t, s.mw, r, nil).Handle())

	// Another request ends it, and one changes it, in between.
	s.request(r, func(ctx context.Context, session *sessions.Session) error {
		s.request(r, set("two"))
		return note.Set(session, "three")
	})
	s.request(r, func(ctx context.Context, session *sessions.Session) error {
		s.request(r, func(_ context.Context, s *sessions.Session) error { s.Destroy(); return nil })
		return note.Set(session, "four")
	})
	s.store.down = true
	s.request(r, set("five"))

	counts, text := s.metrics()
	events := "bulla.session.events bulla.session.event=%s,bulla.session.store=memory"
	require.EqualValues(t, 1, counts[fmt.Sprintf(events, "conflict")], counts)
	require.EqualValues(t, 1, counts[fmt.Sprintf(events, "ended")], counts)
	require.EqualValues(t, 1, counts["bulla.session.events bulla.session.event=failed,bulla.session.store=memory,error.type=unavailable"], counts)
	names := s.names()
	require.Equal(t, "session failed", names[len(names)-1])
	for _, span := range s.spans.Ended() {
		text += fmt.Sprintf("%+v %+v", span.Attributes(), span.Status())
		if span.Name() == "session failed" {
			require.Equal(t, codes.Error, span.Status().Code)
			require.Contains(t, span.Status().Description, "switched off")
		} else {
			require.Equal(t, codes.Unset, span.Status().Code, span.Name())
		}
	}
	require.NotContains(t, text, handle)
}

func TestRefused(t *testing.T) {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	reader := metric.NewManualReader()
	hooks, err := otelsessions.Hooks(otelsessions.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	require.NoError(t, err)
	mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc), middleware.WithHooks(hooks))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	mw.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) error {
		return note.Set(s, strings.Repeat("x", 5000))
	}).ServeHTTP(w, httptest.NewRequest("GET", "https://app.example/", nil))
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	counts, _ := (&site{t: t, reader: reader}).metrics()
	require.EqualValues(t, 1, counts["bulla.session.events bulla.session.event=refused,bulla.session.store=cookie,error.type=too_large"], counts)
}

// How full a cookie is, and how many sessions there are.
func TestFullness(t *testing.T) {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	reader := metric.NewManualReader()
	provider := otelsessions.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	hooks, err := otelsessions.Hooks(provider)
	require.NoError(t, err)
	mw, err := middleware.New(cookiestore.Sealed(), middleware.WithEncryptor(enc), middleware.WithHooks(hooks))
	require.NoError(t, err)
	sessionstest.Request(t, mw, httptest.NewRequest("GET", "https://app.example/", nil), sessionstest.Set(note, strings.Repeat("x", 1500)))
	s := &site{t: t, reader: reader}
	counts, _ := s.metrics()
	require.EqualValues(t, 1, counts["bulla.session.cookie.utilization bulla.session.store=cookie"], counts)
	require.InDelta(t, 0.53, s.sums[len(s.sums)-1], 0.03)
	require.ErrorIs(t, otelsessions.Count(t.Context(), mw.Manager(), provider), sessions.ErrConfig)

	mem, err := memstore.New()
	require.NoError(t, err)
	mw, err = middleware.New(mem)
	require.NoError(t, err)
	require.NoError(t, otelsessions.Count(t.Context(), mw.Manager(), provider))
	for n := range 3 {
		counts, _ = s.metrics()
		require.EqualValues(t, n, counts["bulla.session.count "])
		sessionstest.Request(t, mw, httptest.NewRequest("GET", "https://app.example/", nil), sessionstest.Set(note, "one"))
	}
}

// A request that is not traced makes no spans of its own.
func TestUntraced(t *testing.T) {
	s := newSite(t)
	sessionstest.Request(t, s.mw, httptest.NewRequest("GET", "https://app.example/", nil), sessionstest.Set(note, "one"))
	require.Empty(t, s.spans.Ended())
	counts, _ := s.metrics()
	require.Len(t, counts, 1)
}

// Every hook there is has its telemetry.
func TestAllHooks(t *testing.T) {
	hooks, err := otelsessions.Hooks()
	require.NoError(t, err)
	for field, value := range reflect.ValueOf(hooks).Fields() {
		require.False(t, value.IsNil(), field.Name)
	}
}

func TestOptions(t *testing.T) {
	for _, opt := range []otelsessions.Option{nil, otelsessions.WithTracerProvider(nil), otelsessions.WithMeterProvider(nil)} {
		_, err := otelsessions.Hooks(opt)
		require.ErrorContains(t, err, "leave it out")
	}
}

func ExampleHooks() {
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	hooks, err := otelsessions.Hooks() // after otel.SetTracerProvider and otel.SetMeterProvider
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = middleware.New(store, middleware.WithHooks(hooks))
	fmt.Println(err)
	// Output: <nil>
}
