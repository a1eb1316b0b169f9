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
		// These are also what a failed precondition gives, and the first
		// also a project without a database.
		codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition,
	} {
		t.Run(code.String(), func(t *testing.T) {
			f.server.Inject(func(context.Context, string, func() error) error { return status.Error(code, "down") })
			errs := f.callAll()
			errs["delete"] = f.Delete(t.Context(), f.tok, "")
			f.server.Inject(nil)
			for what, err := range errs {
				require.ErrorIs(t, err, stores.ErrUnavailable, what)
				for _, wrong := range []error{stores.ErrNotFound, stores.ErrExists, stores.ErrConflict} {
					require.NotErrorIs(t, err, wrong, what)
				}
				require.Equal(t, code, status.Code(err), what)
				var cause interface{ GRPCStatus() *status.Status }
				require.ErrorAs(t, err, &cause, what)
			}
			f.holds(t, "one", f.rev)
		})
	}
}

// Writes are refused although the document is as it must be: a database that is
// read-only, or in Datastore mode.
func TestWritesRefused(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.FailedPrecondition} {
		f := newFixture(t)
		f.server.Inject(firestoretest.Fail(firestoretest.Commit, 1000, code))
		for what, err := range f.callAll() {
			switch what {
			case "Load":
				require.NoError(t, err)
			case "create":
				require.ErrorIs(t, err, stores.ErrExists)
			default:
				require.ErrorIs(t, err, stores.ErrUnavailable, what)
				require.Equal(t, code, status.Code(err), what)
			}
		}
		_, _, err := f.Save(t.Context(), newToken(), record("new", ""))
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.Equal(t, code, status.Code(err))
	}
}

// The precondition fails and the read that would settle it does too.
func TestSettlingFails(t *testing.T) {
	f := newFixture(t)
	second := f.save(t, f.tok, f.rev, "two")
	f.server.Inject(firestoretest.Fail(firestoretest.Read, 1000, codes.PermissionDenied))
	for what, err := range f.callAll() {
		require.ErrorIs(t, err, stores.ErrUnavailable, what)
		require.Equal(t, codes.PermissionDenied, status.Code(err), what)
	}
	f.server.Inject(nil)
	f.holds(t, "two", second)
}

// The client gets over short outages by itself.
func TestShortOutage(t *testing.T) {
	f := newFixture(t)
	f.server.Inject(firestoretest.Chain(
		firestoretest.Fail(firestoretest.Read, 1, codes.Unavailable),
		firestoretest.Fail(firestoretest.Commit, 1, codes.Unavailable)))
	f.holds(t, "two", f.save(t, f.tok, f.rev, "two"))
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
		errs["delete"] = f.Delete(t.Context(), f.tok, "")
		require.Less(t, time.Since(started), 30*time.Second) // the client's own limit is 60 s a call
		return errs
	}
	hanging := callAll(firestoretest.Chain(firestoretest.Hang(firestoretest.Read), firestoretest.Hang(firestoretest.Commit)))
	for what, err := range hanging {
		require.ErrorIs(t, err, stores.ErrUnavailable, what)
		require.ErrorContains(t, err, "no answer from Firestore within 200ms", what)
	}
	// The client retries these, and may give up before the time is over.
	failing := callAll(firestoretest.Chain(
		firestoretest.Fail(firestoretest.Read, 1000, codes.Unavailable),
		firestoretest.Fail(firestoretest.Commit, 1000, codes.ResourceExhausted)))
	for what, err := range failing {
		require.ErrorIs(t, err, stores.ErrUnavailable, what)
	}
	f.holds(t, "one", f.rev)
}

// The time for settling is within the limit too.
func TestTimeLimitWhileSettling(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(200*time.Millisecond))
	f.server.Inject(firestoretest.Hang(firestoretest.Read))
	_, _, err := f.Save(t.Context(), f.tok, record("two", ""))
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.NotErrorIs(t, err, stores.ErrExists)
}

// The caller's own limit is the caller's, and says nothing of Firestore.
func TestCallersContext(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(time.Minute))
	hang := firestoretest.Chain(firestoretest.Hang(firestoretest.Read), firestoretest.Hang(firestoretest.Commit))
	calls := map[string]func(context.Context) error{
		"Load":   func(ctx context.Context) error { _, err := f.Load(ctx, f.tok); return err },
		"Save":   func(ctx context.Context) error { _, _, err := f.Save(ctx, f.tok, record("two", f.rev)); return err },
		"Delete": func(ctx context.Context) error { return f.Delete(ctx, f.tok, "") },
		"Touch": func(ctx context.Context) error {
			_, err := f.Touch(ctx, f.tok, f.rev, time.Now().Add(2*time.Hour))
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
