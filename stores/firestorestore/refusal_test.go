package firestorestore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/firestorestore"
)

// The connection breaks after Firestore has written. The client repeats the
// write, which is refused because of what it wrote itself: a conflict, and the
// caller who looks finds its own.
func TestLostReply(t *testing.T) {
	lose := firestoretest.LoseReply
	for _, times := range []int{1, 2} {
		t.Run("create", func(t *testing.T) {
			f := newFixture(t)
			f.key = newKey()
			f.server.Inject(lose(firestoretest.Commit, times))
			_, err := f.Save(t.Context(), f.key, record("new", ""))
			require.ErrorIs(t, err, stores.ErrConflict)
			f.written(t, "new")
		})
		t.Run("create over an expired document", func(t *testing.T) {
			f := newFixture(t)
			f.expire(t)
			lost := 0
			f.server.Inject(func(_ context.Context, _ string, serve func() error) error {
				writes := f.server.Counts().Writes
				err := serve()
				if f.server.Counts().Writes > writes || lost > 0 && lost < times {
					lost++
					return status.Error(codes.Unavailable, "injected loss of a reply")
				}
				return err
			})
			_, err := f.Save(t.Context(), f.key, record("new", ""))
			require.ErrorIs(t, err, stores.ErrConflict)
			require.Equal(t, times, lost)
			f.written(t, "new")
		})
		t.Run("replace", func(t *testing.T) {
			f := newFixture(t)
			f.server.Inject(lose(firestoretest.Commit, times))
			_, err := f.Save(t.Context(), f.key, record("two", f.rev))
			require.ErrorIs(t, err, stores.ErrConflict)
			require.Equal(t, firestoretest.Counts{Calls: times + 1, Writes: 1}, f.server.Counts())
			f.written(t, "two")
		})
		t.Run("touch", func(t *testing.T) {
			f := newFixture(t)
			f.server.Inject(lose(firestoretest.Commit, times))
			_, err := f.Touch(t.Context(), f.key, f.rev, time.Now().Add(2*time.Hour))
			require.ErrorIs(t, err, stores.ErrConflict)
			f.written(t, "one")
		})
		t.Run("put", func(t *testing.T) {
			f := newFixture(t)
			f.server.Inject(lose(firestoretest.Commit, times))
			require.NoError(t, f.put())
			f.written(t, "put")
		})
		t.Run("many", func(t *testing.T) {
			f := newFixture(t)
			f.server.Inject(lose(firestoretest.Commit, times))
			conflicts, err := f.SaveMany(t.Context(), []stores.Key{f.key, newKey()}, []stores.Record{record("two", f.rev), record("new", "")})
			require.NoError(t, err)
			require.Equal(t, []bool{true, true}, conflicts)
			f.written(t, "two")
			require.Len(t, f.server.Documents(), 2)
		})
	}
}

// written tests that data was written, and that its revision is one to go on
// from.
func (f *fixture) written(t *testing.T, data string) {
	t.Helper()
	f.server.Inject(nil)
	rec := f.load(t)
	require.Equal(t, data, string(rec.Data))
	f.save(t, f.key, rec.Revision, "next")
}

// The client does not repeat what fails with other codes, although it may have
// been carried out. That is an outage, and never a success.
func TestLostReplyThatIsNotRepeated(t *testing.T) {
	for _, code := range []codes.Code{codes.Internal, codes.Unknown, codes.DeadlineExceeded} {
		f := newFixture(t)
		for what, call := range map[string]func() error{
			"create":  func() error { _, err := f.Save(t.Context(), newKey(), record("new", "")); return err },
			"replace": func() error { _, err := f.Save(t.Context(), f.key, record("two", f.load(t).Revision)); return err },
			"touch": func() error {
				_, err := f.Touch(t.Context(), f.key, f.load(t).Revision, time.Now().Add(3*time.Hour))
				return err
			},
			"put": f.put,
			"many": func() error {
				_, err := f.SaveMany(t.Context(), []stores.Key{newKey()}, []stores.Record{record("new", "")})
				return err
			},
		} {
			f.server.Inject(func(_ context.Context, call string, serve func() error) error {
				if err := serve(); err != nil || call == firestoretest.Read {
					return err
				}
				return status.Error(code, "injected loss of a reply")
			})
			err := call()
			require.ErrorIs(t, err, stores.ErrUnavailable, what)
			require.Equal(t, code, status.Code(err), what)
			require.NotErrorIs(t, err, stores.ErrConflict, what)
		}
	}
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
				conflicts := func(rev stores.Revision) {
					t.Helper()
					_, err := f.Save(t.Context(), f.key, record("three", rev))
					require.ErrorIs(t, err, stores.ErrConflict)
					if rev != "" {
						_, err = f.Touch(t.Context(), f.key, rev, time.Now().Add(2*time.Hour))
						require.ErrorIs(t, err, stores.ErrConflict)
					}
					many, err := f.SaveMany(t.Context(), []stores.Key{f.key}, []stores.Record{record("three", rev)})
					require.NoError(t, err)
					require.Equal(t, []bool{true}, many)
				}
				conflicts("") // it is there
				second := f.save(t, f.key, f.rev, "two")
				conflicts(f.rev) // it is at another revision
				f.holds(t, "two", second)
				f.remove(t)
				conflicts(second) // it is gone
				require.Empty(t, f.server.Documents())
			})
		}
	}
}

// remove removes the document, as a TTL policy does.
func (f *fixture) remove(t *testing.T) {
	_, err := f.doc().Delete(context.Background())
	require.NoError(t, err)
}

// Firestore keeps expired documents for days. They are gone all the same.
func TestExpiredDocuments(t *testing.T) {
	f := newFixture(t)
	f.expire(t)
	_, err := f.Load(t.Context(), f.key, stores.Fresh)
	require.ErrorIs(t, err, stores.ErrNotFound)
	recs, err := f.LoadMany(t.Context(), []stores.Key{f.key})
	require.NoError(t, err)
	require.Equal(t, []stores.Record{{}}, recs)
	_, err = f.Save(t.Context(), f.key, record("two", f.rev))
	require.ErrorIs(t, err, stores.ErrConflict)
	_, err = f.Touch(t.Context(), f.key, f.rev, time.Now().Add(2*time.Hour))
	require.ErrorIs(t, err, stores.ErrConflict)
	f.holds(t, "new", f.save(t, f.key, "", "new"))
}

// The revision itself tells that the record has expired, so that Firestore,
// which would write over the document, is not asked.
func TestExpiredRevision(t *testing.T) {
	f := newFixture(t)
	rec := record("two", f.rev)
	rec.Expires = time.Now().Add(time.Second)
	short, err := f.Save(t.Context(), f.key, rec)
	require.NoError(t, err)
	<-time.After(time.Until(rec.Expires))
	f.server.ResetCounts()
	_, err = f.Save(t.Context(), f.key, record("three", short))
	require.ErrorIs(t, err, stores.ErrConflict)
	_, err = f.Touch(t.Context(), f.key, short, time.Now().Add(time.Hour))
	require.ErrorIs(t, err, stores.ErrConflict)
	conflicts, err := f.SaveMany(t.Context(), []stores.Key{f.key}, []stores.Record{record("three", short)})
	require.NoError(t, err)
	require.Equal(t, []bool{true}, conflicts)
	require.Zero(t, f.server.Counts())
}

// The document that stood in the way changes before it can be replaced.
func TestCreateOverExpiredRaces(t *testing.T) {
	for what, test := range map[string]struct {
		call   string
		n      int // which call of that kind the other one comes before
		other  func(*fixture, *testing.T)
		want   error
		result string // none if empty
	}{
		"removed before the write": {firestoretest.Commit, 2, (*fixture).remove, stores.ErrConflict, ""},
		// There is nothing that the refusal can be about.
		"removed before the read": {firestoretest.Read, 1, (*fixture).remove, stores.ErrUnavailable, ""},
		"created before the write": {firestoretest.Commit, 2, func(f *fixture, t *testing.T) {
			f.save(t, f.key, "", "another's")
		}, stores.ErrConflict, "another's"},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.expire(t)
			seen := 0
			f.server.Inject(func(_ context.Context, call string, serve func() error) error {
				if call == test.call {
					if seen++; seen == test.n {
						test.other(f, t)
					}
				}
				return serve()
			})
			_, err := f.Save(t.Context(), f.key, record("new", ""))
			require.ErrorIs(t, err, test.want)
			if test.result == "" {
				require.Empty(t, f.server.Documents())
				f.save(t, f.key, "", "again")
				return
			}
			require.Equal(t, test.result, string(f.load(t).Data))
		})
	}
}

// Touch never shortens.
func TestTouchKeepsTheLongest(t *testing.T) {
	f := newFixture(t)
	longest := time.Now().Add(3 * time.Hour)
	long, err := f.Touch(t.Context(), f.key, f.rev, longest)
	require.NoError(t, err)
	for _, expires := range []time.Time{time.Now().Add(2 * time.Hour), longest, time.Now().Add(-time.Hour), {}} {
		got, err := f.Touch(t.Context(), f.key, long, expires)
		require.NoError(t, err)
		require.Equal(t, long, got, "nothing was changed")
		require.WithinDuration(t, longest, f.load(t).Expires, time.Microsecond)
	}
}

// A document that is fought over is a conflict, and where there is none to fight
// over, an outage. Nothing was written in either case.
func TestAborted(t *testing.T) {
	f := newFixture(t)
	f.server.Inject(firestoretest.Fail(firestoretest.Commit, 100, codes.Aborted))
	_, err := f.Save(t.Context(), f.key, record("two", f.rev))
	require.ErrorIs(t, err, stores.ErrConflict)
	f.holds(t, "one", f.rev)
	_, err = f.Save(t.Context(), newKey(), record("new", ""))
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.Equal(t, codes.Aborted, status.Code(err))
}

// A text that is no revision of this store's is at no record.
func TestForeignRevision(t *testing.T) {
	f := newFixture(t)
	for _, rev := range []stores.Revision{"x", "\x00", f.rev + "A", f.rev[1:], f.rev[:len(f.rev)-1] + "_", f.rev + "\n"} {
		for _, key := range []stores.Key{f.key, newKey()} {
			_, err := f.Save(t.Context(), key, record("two", rev))
			require.ErrorIs(t, err, stores.ErrConflict, "%q", rev)
			_, err = f.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour))
			require.ErrorIs(t, err, stores.ErrConflict, "%q", rev)
		}
	}
	f.holds(t, "one", f.rev)
	require.Len(t, f.server.Documents(), 1)
}

// What the session outlived is another revision.
func TestTouchedMeanwhile(t *testing.T) {
	f := newFixture(t)
	_, err := f.doc().Update(t.Context(), []firestore.Update{{Path: "expire", Value: time.Now().Add(2 * time.Hour)}})
	require.NoError(t, err)
	_, err = f.Save(t.Context(), f.key, record("two", f.rev))
	require.ErrorIs(t, err, stores.ErrConflict)
	f.holds(t, "one", f.load(t).Revision)
}

// Among many, those that are to blame for a refusal have a conflict and the
// others are written, whatever comes between.
func TestConflictsAmongMany(t *testing.T) {
	const n = 20
	many := func(t *testing.T, others int) (f *fixture, conflicts []bool) {
		f = newFixture(t)
		keys, recs := make([]stores.Key, n), make([]stores.Record, n)
		for i := range keys {
			keys[i] = newKey()
			recs[i] = record("mine", "")
			if i%2 == 0 {
				recs[i] = record("mine", f.save(t, keys[i], "", "one"))
			}
		}
		// Another one writes to the next record before each of the first commits.
		ours := true
		f.server.Inject(func(_ context.Context, call string, serve func() error) error {
			if call == firestoretest.Commit && ours && others > 0 {
				others--
				ours = false
				require.NoError(t, f.Put(context.Background(), keys[others], record("another's", "")))
				ours = true
				f.server.ResetCounts()
			}
			return serve()
		})
		conflicts, err := f.SaveMany(t.Context(), keys, recs)
		require.NoError(t, err)
		for i, key := range keys {
			rec, err := f.Load(t.Context(), key, stores.Fresh)
			switch {
			case !conflicts[i]:
				require.NoError(t, err)
				require.Equal(t, "mine", string(rec.Data))
			case err == nil:
				require.NotEqual(t, "mine", string(rec.Data))
			default:
				require.ErrorIs(t, err, stores.ErrNotFound)
			}
		}
		return f, conflicts
	}
	for _, others := range []int{0, 1, 2, 9} {
		_, conflicts := many(t, others)
		for i, conflict := range conflicts {
			require.Equal(t, i < others, conflict)
		}
	}
	// Somebody always comes between.
	_, conflicts := many(t, 10)
	require.NotContains(t, conflicts, false, "nothing was written")
}

// Larger records go in more commits, since Firestore takes 10 MiB in a request.
func TestManyLargeRecords(t *testing.T) {
	f := newFixture(t, firestorestore.WithTimeout(time.Minute))
	const n, size = 12, 1<<20 - 200
	keys, recs := make([]stores.Key, n), make([]stores.Record, n)
	for i := range keys {
		keys[i], recs[i] = newKey(), record(strings.Repeat("x", size), "")
	}
	conflicts, err := f.SaveMany(t.Context(), keys, recs)
	require.NoError(t, err)
	require.NotContains(t, conflicts, true)
	require.Equal(t, firestoretest.Counts{Calls: 2, Writes: n}, f.server.Counts())
}
