package firestorestore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/firestorestore"
)

// Whatever Firestore fails with, it is an outage, and the code is there for
// whoever wants it.
func TestOutage(t *testing.T) {
	f := newFixture(t)
	for _, code := range []codes.Code{
		codes.Unknown, codes.InvalidArgument, codes.PermissionDenied, codes.OutOfRange, codes.Unimplemented,
		codes.DataLoss, codes.Unauthenticated,
		codes.NotFound, // of a project without a database; also what a missing document gives
	} {
		t.Run(code.String(), func(t *testing.T) {
			f.server.Inject(func(context.Context, string, func() error) error { return status.Error(code, "down") })
			errs := f.callAll()
			errs["put"] = f.put()
			f.server.Inject(nil)
			for what, err := range errs {
				outage(t, what, err, code)
			}
			f.holds(t, "one", f.rev)
		})
	}
}

// outage tests that err is an outage and nothing else.
func outage(t *testing.T, what string, err error, code codes.Code) {
	t.Helper()
	require.ErrorIs(t, err, stores.ErrUnavailable, what)
	require.NotErrorIs(t, err, stores.ErrNotFound, what)
	require.NotErrorIs(t, err, stores.ErrConflict, what)
	require.Equal(t, code, status.Code(err), what)
	var cause interface{ GRPCStatus() *status.Status }
	require.ErrorAs(t, err, &cause, what)
}

// All of Firestore fails with a code that also means that a precondition does: a
// database in Datastore mode. Only a write of what was read before can't tell,
// and says that nothing was written; the look that follows meets the outage.
func TestOutageLikeARefusal(t *testing.T) {
	f := newFixture(t)
	for _, code := range []codes.Code{codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted} {
		f.server.Inject(func(context.Context, string, func() error) error { return status.Error(code, "down") })
		errs := f.callAll()
		errs["put"] = f.put()
		_, errs["create what is new"] = f.Save(t.Context(), newKey(), record("new", ""))
		for what, err := range errs {
			switch what {
			case "replace", "Touch":
				require.ErrorIs(t, err, stores.ErrConflict, what)
			default:
				outage(t, what, err, code)
			}
		}
		f.server.Inject(nil)
		f.holds(t, "one", f.rev)
	}
}

// Writes are refused although the document is as it must be: a database that is
// read-only.
func TestWritesRefused(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.FailedPrecondition} {
		f := newFixture(t)
		f.server.Inject(firestoretest.Fail(firestoretest.Commit, 1000, code))
		_, err := f.Save(t.Context(), newKey(), record("new", ""))
		outage(t, "create", err, code)
		outage(t, "put", f.put(), code)
		_, err = f.Save(t.Context(), f.key, record("two", f.rev))
		require.ErrorIs(t, err, stores.ErrConflict)
		f.holds(t, "one", f.rev)
	}
}

// A write is refused and the read that would tell why fails.
func TestLookFails(t *testing.T) {
	f := newFixture(t)
	f.server.Inject(firestoretest.Fail(firestoretest.Read, 1000, codes.PermissionDenied))
	_, err := f.Save(t.Context(), f.key, record("two", ""))
	outage(t, "create", err, codes.PermissionDenied)
	_, err = f.SaveMany(t.Context(), []stores.Key{f.key}, []stores.Record{record("two", "")})
	outage(t, "create", err, codes.PermissionDenied)
	f.remove(t)
	_, err = f.Save(t.Context(), f.key, record("two", f.rev))
	outage(t, "replace", err, codes.PermissionDenied)
}

// The client gets over short outages by itself.
func TestShortOutage(t *testing.T) {
	f := newFixture(t)
	f.server.Inject(firestoretest.Chain(
		firestoretest.Fail(firestoretest.Read, 1, codes.Unavailable),
		firestoretest.Fail(firestoretest.Commit, 1, codes.Unavailable)))
	f.holds(t, "two", f.save(t, f.key, f.rev, "two"))
}

// The store ends a call itself; the caller's context need not.
func TestTimeLimit(t *testing.T) {
	const limit = 200 * time.Millisecond
	f := newFixture(t, firestorestore.WithTimeout(limit))
	callAll := func(down firestoretest.Fault) map[string]error {
		f.server.Inject(down)
		defer f.server.Inject(nil)
		started := time.Now()
		errs := f.callAll()
		errs["put"] = f.put()
		require.Less(t, time.Since(started), 30*time.Second) // the client's own limit is 60 s a call
		return errs
	}
	hanging := callAll(hang)
	for what, err := range hanging {
		require.ErrorIs(t, err, stores.ErrUnavailable, what)
		require.ErrorContains(t, err, "no answer from Firestore within 200ms", what)
	}
	// The client retries these, and may give up before the time is over.
	failing := callAll(func(_ context.Context, call string, _ func() error) error {
		if call == firestoretest.Read {
			return status.Error(codes.Unavailable, "down")
		}
		return status.Error(codes.ResourceExhausted, "down")
	})
	for what, err := range failing {
		require.ErrorIs(t, err, stores.ErrUnavailable, what)
	}
	f.holds(t, "one", f.rev)
}

func hang(ctx context.Context, _ string, _ func() error) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

// The time for a look is within the limit too.
func TestTimeLimitWhileLooking(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(200*time.Millisecond))
	f.server.Inject(firestoretest.Hang(firestoretest.Read))
	_, err := f.Save(t.Context(), f.key, record("two", ""))
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.NotErrorIs(t, err, stores.ErrConflict)
}

// The caller's own limit is the caller's, and says nothing of Firestore.
func TestCallersContext(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(time.Minute))
	one := []stores.Key{f.key}
	calls := map[string]func(context.Context) error{
		"Load":     func(ctx context.Context) error { _, err := f.Load(ctx, f.key, stores.Fresh); return err },
		"Save":     func(ctx context.Context) error { _, err := f.Save(ctx, f.key, record("two", f.rev)); return err },
		"Put":      func(ctx context.Context) error { return f.Put(ctx, f.key, record("two", "")) },
		"LoadMany": func(ctx context.Context) error { _, err := f.LoadMany(ctx, one); return err },
		"SaveMany": func(ctx context.Context) error {
			_, err := f.SaveMany(ctx, one, []stores.Record{record("two", f.rev)})
			return err
		},
		"Touch": func(ctx context.Context) error {
			_, err := f.Touch(ctx, f.key, f.rev, time.Now().Add(2*time.Hour))
			return err
		},
	}
	for what, call := range calls {
		t.Run(what, func(t *testing.T) {
			defer f.server.Inject(nil)
			ctx, cancel := context.WithCancel(t.Context())
			f.server.Inject(func(inner context.Context, name string, serve func() error) error {
				cancel() // the call is under way
				return hang(inner, name, serve)
			})
			err := call(ctx)
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, stores.ErrUnavailable)

			f.server.Inject(hang)
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err = call(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, stores.ErrUnavailable)
		})
	}
}
