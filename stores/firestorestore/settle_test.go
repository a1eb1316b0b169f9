package firestorestore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/stores"
)

// The connection breaks after Firestore has written. The client retries, and the
// precondition fails on its own write.
func TestLostReply(t *testing.T) {
	lose := firestoretest.LoseReply
	t.Run("create", func(t *testing.T) {
		f := newFixture(t)
		f.tok = newToken()
		f.server.Inject(lose(firestoretest.Commit, 1))
		rev := f.save(t, f.tok, "", "new")
		require.Equal(t, firestoretest.Counts{Calls: 3, Writes: 1, Reads: 1}, f.server.Counts())
		f.holds(t, "new", rev)
		f.save(t, f.tok, rev, "newer")
	})
	t.Run("create over an expired document", func(t *testing.T) {
		f := newFixture(t)
		f.expire(t)
		f.server.Inject(firestoretest.Chain(firestoretest.Instead(codes.AlreadyExists, codes.FailedPrecondition), lose(firestoretest.Commit, 2)))
		f.holds(t, "new", f.save(t, f.tok, "", "new"))
	})
	t.Run("replace", func(t *testing.T) {
		f := newFixture(t)
		f.server.Inject(lose(firestoretest.Commit, 1))
		rev := f.save(t, f.tok, f.rev, "two")
		require.Equal(t, firestoretest.Counts{Calls: 3, Writes: 1, Reads: 1}, f.server.Counts())
		f.holds(t, "two", rev)
		f.save(t, f.tok, rev, "three")
	})
	t.Run("replace twice", func(t *testing.T) {
		f := newFixture(t)
		f.server.Inject(lose(firestoretest.Commit, 2))
		rev := f.save(t, f.tok, f.rev, "two")
		require.Equal(t, 1, f.server.Counts().Writes)
		f.holds(t, "two", rev)
	})
	t.Run("replace and the reply to the question", func(t *testing.T) {
		f := newFixture(t)
		f.server.Inject(firestoretest.Chain(lose(firestoretest.Commit, 1), lose(firestoretest.Read, 1)))
		f.holds(t, "two", f.save(t, f.tok, f.rev, "two"))
	})
	t.Run("touch", func(t *testing.T) {
		f := newFixture(t)
		f.server.Inject(lose(firestoretest.Commit, 1))
		until := time.Now().Add(2 * time.Hour)
		rev, err := f.Touch(t.Context(), f.tok, f.rev, until)
		require.NoError(t, err)
		require.Equal(t, firestoretest.Counts{Calls: 3, Writes: 1, Reads: 1}, f.server.Counts())
		f.holds(t, "one", rev)
	})
	t.Run("delete", func(t *testing.T) {
		f := newFixture(t)
		f.server.Inject(lose(firestoretest.Commit, 1))
		require.NoError(t, f.Delete(t.Context(), f.tok, ""))
		require.Empty(t, f.server.Documents())
	})
	t.Run("delete a revision", func(t *testing.T) {
		f := newFixture(t)
		f.server.Inject(lose(firestoretest.Commit, 1))
		require.ErrorIs(t, f.Delete(t.Context(), f.tok, f.rev), stores.ErrNotFound)
		require.Empty(t, f.server.Documents())
	})
}

// A reply is lost, and others write before the retry.
func TestLostReplyAndOtherWrites(t *testing.T) {
	loseBeforeOthers := func(f *fixture, others int) {
		var once sync.Once
		f.server.Inject(func(ctx context.Context, call string, serve func() error) error {
			err, lost := serve(), false
			if call == firestoretest.Commit {
				once.Do(func() { lost = true })
			}
			if !lost {
				return err
			}
			for range others {
				rec, err := f.Load(ctx, f.tok)
				require.NoError(t, err)
				rec.Data = append(rec.Data, " and another's"...)
				_, _, err = f.Save(ctx, f.tok, rec)
				require.NoError(t, err)
			}
			return status.Error(codes.Unavailable, "lost")
		})
	}
	for _, what := range []string{"replace", "create"} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			if what == "create" {
				f.tok, f.rev = newToken(), ""
			}
			loseBeforeOthers(f, 1)
			rev := f.save(t, f.tok, f.rev, "two")
			rec, err := f.Load(t.Context(), f.tok)
			require.NoError(t, err)
			require.Equal(t, "two and another's", string(rec.Data), "applied once, and not taken back")

			// That revision is an older one now.
			_, _, err = f.Save(t.Context(), f.tok, record("three", rev))
			require.ErrorIs(t, err, stores.ErrConflict)
			_, err = f.Touch(t.Context(), f.tok, rev, time.Now().Add(2*time.Hour))
			require.ErrorIs(t, err, stores.ErrConflict)
			require.ErrorIs(t, f.Delete(t.Context(), f.tok, rev), stores.ErrConflict)
			f.holds(t, "two and another's", rec.Revision)
		})
	}
	t.Run("two others", func(t *testing.T) {
		f := newFixture(t)
		loseBeforeOthers(f, 2)
		_, _, err := f.Save(t.Context(), f.tok, record("two", f.rev))
		require.ErrorIs(t, err, stores.ErrConflict)
	})
}

// The answer never depends on which of its codes Firestore gives to a failed
// precondition.
func TestCodes(t *testing.T) {
	refusals := []codes.Code{codes.AlreadyExists, codes.FailedPrecondition, codes.NotFound, codes.Aborted}
	for _, from := range refusals {
		for _, to := range refusals {
			t.Run(from.String()+" as "+to.String(), func(t *testing.T) {
				f := newFixture(t)
				f.server.Inject(firestoretest.Instead(from, to))
				_, _, err := f.Save(t.Context(), f.tok, record("two", ""))
				require.ErrorIs(t, err, stores.ErrExists)

				second := f.save(t, f.tok, f.rev, "two")
				_, _, err = f.Save(t.Context(), f.tok, record("three", f.rev))
				require.ErrorIs(t, err, stores.ErrConflict)
				_, err = f.Touch(t.Context(), f.tok, f.rev, time.Now().Add(2*time.Hour))
				require.ErrorIs(t, err, stores.ErrConflict)
				require.ErrorIs(t, f.Delete(t.Context(), f.tok, f.rev), stores.ErrConflict)
				f.holds(t, "two", second)

				require.NoError(t, f.Delete(t.Context(), f.tok, second))
				_, _, err = f.Save(t.Context(), f.tok, record("three", second))
				require.ErrorIs(t, err, stores.ErrNotFound)
				_, err = f.Touch(t.Context(), f.tok, second, time.Now().Add(2*time.Hour))
				require.ErrorIs(t, err, stores.ErrNotFound)
				require.ErrorIs(t, f.Delete(t.Context(), f.tok, second), stores.ErrNotFound)
				require.Empty(t, f.server.Documents())
			})
		}
	}
}

// Firestore keeps expired documents for days. They are gone all the same.
func TestExpiredDocuments(t *testing.T) {
	f := newFixture(t)
	f.expire(t)
	_, err := f.Load(t.Context(), f.tok)
	require.ErrorIs(t, err, stores.ErrNotFound)
	_, _, err = f.Save(t.Context(), f.tok, record("two", f.rev))
	require.ErrorIs(t, err, stores.ErrNotFound)
	_, err = f.Touch(t.Context(), f.tok, f.rev, time.Now().Add(2*time.Hour))
	require.ErrorIs(t, err, stores.ErrNotFound)
	require.ErrorIs(t, f.Delete(t.Context(), f.tok, f.rev), stores.ErrNotFound)
	require.Len(t, f.server.Documents(), 1)

	f.server.ResetCounts()
	rev := f.save(t, f.tok, "", "new")
	require.Equal(t, firestoretest.Counts{Calls: 3, Reads: 1, Writes: 1}, f.server.Counts())
	f.holds(t, "new", rev)

	f.expire(t)
	require.NoError(t, f.Delete(t.Context(), f.tok, ""))
	require.Empty(t, f.server.Documents())
}

// The document that stood in the way changes before it can be replaced.
func TestCreateOverExpiredRaces(t *testing.T) {
	// The second commit is the replacement of the expired document.
	beforeSecond := func(f *fixture, do func()) {
		commits := 0
		f.server.Inject(func(_ context.Context, call string, serve func() error) error {
			if call == firestoretest.Commit {
				if commits++; commits == 2 {
					do()
				}
			}
			return serve()
		})
	}
	t.Run("removed", func(t *testing.T) {
		f := newFixture(t)
		f.expire(t)
		beforeSecond(f, func() { require.NoError(t, f.Delete(context.Background(), f.tok, "")) })
		f.holds(t, "new", f.save(t, f.tok, "", "new"))
	})
	t.Run("created", func(t *testing.T) {
		f := newFixture(t)
		f.expire(t)
		var rev stores.Revision
		beforeSecond(f, func() { rev = f.save(t, f.tok, "", "another's") })
		_, _, err := f.Save(t.Context(), f.tok, record("new", ""))
		require.ErrorIs(t, err, stores.ErrExists)
		f.holds(t, "another's", rev)
	})
	t.Run("removed before the read", func(t *testing.T) {
		f := newFixture(t)
		f.server.Inject(firestoretest.Before(firestoretest.Read, func() {
			require.NoError(t, f.Delete(context.Background(), f.tok, ""))
		}))
		f.holds(t, "new", f.save(t, f.tok, "", "new"))
	})
}

// Touch moves the update time, which the other requests of the session do not
// know. They lose nothing by it.
func TestTouchIsNoConflict(t *testing.T) {
	f := newFixture(t)
	touched := func() {
		t.Helper()
		_, err := f.Touch(t.Context(), f.tok, f.rev, time.Now().Add(2*time.Hour))
		require.NoError(t, err)
	}
	for range 3 {
		touched() // always with the revision of the save
	}
	f.server.ResetCounts()
	rev := f.save(t, f.tok, f.rev, "two")
	require.Equal(t, firestoretest.Counts{Calls: 3, Reads: 1, Writes: 1}, f.server.Counts())
	f.holds(t, "two", rev)

	f.rev = rev
	touched()
	require.NoError(t, f.Delete(t.Context(), f.tok, rev))
	require.Empty(t, f.server.Documents())
}

// A session outlives what the revision of another request says.
func TestTouchedMeanwhile(t *testing.T) {
	f := newFixture(t)
	rec := record("two", f.rev)
	rec.Expires = time.Now().Add(20 * time.Millisecond)
	_, short, err := f.Save(t.Context(), f.tok, rec)
	require.NoError(t, err)
	_, err = f.doc().Update(t.Context(), []firestore.Update{{Path: "expire", Value: time.Now().Add(time.Hour)}})
	require.NoError(t, err)
	<-time.After(time.Until(rec.Expires))
	f.holds(t, "three", f.save(t, f.tok, short, "three"))
}

// Touch never shortens, whatever the revision it is given knows.
func TestTouchKeepsTheLongest(t *testing.T) {
	f := newFixture(t)
	longest := time.Now().Add(3 * time.Hour)
	long, err := f.Touch(t.Context(), f.tok, f.rev, longest)
	require.NoError(t, err)
	for _, rev := range []stores.Revision{f.rev, long} {
		got, err := f.Touch(t.Context(), f.tok, rev, time.Now().Add(2*time.Hour))
		require.NoError(t, err)
		require.Equal(t, long, got, "nothing was written")
		rec, err := f.Load(t.Context(), f.tok)
		require.NoError(t, err)
		require.WithinDuration(t, longest, rec.Expires, time.Microsecond)
	}
}

// A client that is fought over a document is no outage.
func TestAborted(t *testing.T) {
	f := newFixture(t)
	f.server.Inject(firestoretest.Fail(firestoretest.Commit, 2, codes.Aborted))
	rev := f.save(t, f.tok, f.rev, "two")
	f.server.Inject(firestoretest.Fail(firestoretest.Commit, 100, codes.Aborted))
	_, _, err := f.Save(t.Context(), f.tok, record("three", rev))
	require.ErrorIs(t, err, stores.ErrConflict)
	f.holds(t, "two", rev)
	_, _, err = f.Save(t.Context(), newToken(), record("new", ""))
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.Equal(t, codes.Aborted, status.Code(err))
}

// A text that is no revision of this store's is an older one.
func TestForeignRevision(t *testing.T) {
	f := newFixture(t)
	for _, rev := range []stores.Revision{"x", "\x00", f.rev + "A", f.rev[1:], f.rev[:len(f.rev)-1] + "_", f.rev + "\n"} {
		_, _, err := f.Save(t.Context(), f.tok, record("two", rev))
		require.ErrorIs(t, err, stores.ErrConflict, "%q", rev)
		_, err = f.Touch(t.Context(), f.tok, rev, time.Now().Add(2*time.Hour))
		require.ErrorIs(t, err, stores.ErrConflict, "%q", rev)
		require.ErrorIs(t, f.Delete(t.Context(), f.tok, rev), stores.ErrConflict, "%q", rev)
		_, _, err = f.Save(t.Context(), newToken(), record("two", rev))
		require.ErrorIs(t, err, stores.ErrNotFound, "%q", rev)
	}
	f.holds(t, "one", f.rev)
}
