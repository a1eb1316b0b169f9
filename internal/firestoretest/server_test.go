package firestoretest_test

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
)

type fields = map[string]any

// The semantics that the API's reference publishes, seen by the official client.
func TestPreconditions(t *testing.T) {
	server := firestoretest.New(t)
	doc := server.Client(t).Collection("things").Doc("one")
	ctx := t.Context()
	code := func(want codes.Code, err error) {
		t.Helper()
		require.Equal(t, want, status.Code(err), "%v", err)
	}
	set := []firestore.Update{{Path: "n", Value: 2}}

	_, err := doc.Update(ctx, set)
	code(codes.NotFound, err)
	_, err = doc.Update(ctx, set, firestore.LastUpdateTime(time.Now().Truncate(time.Microsecond)))
	code(codes.NotFound, err)
	_, err = doc.Delete(ctx, firestore.Exists)
	code(codes.NotFound, err)
	_, err = doc.Delete(ctx)
	code(codes.OK, err)

	created, err := doc.Create(ctx, fields{"n": 1, "other": "stays"})
	code(codes.OK, err)
	_, err = doc.Create(ctx, fields{"n": 3})
	code(codes.AlreadyExists, err)
	_, err = doc.Update(ctx, set, firestore.LastUpdateTime(created.UpdateTime.Add(time.Microsecond)))
	code(codes.FailedPrecondition, err)
	_, err = doc.Update(ctx, set, firestore.LastUpdateTime(created.UpdateTime.Add(1)))
	code(codes.InvalidArgument, err)

	updated, err := doc.Update(ctx, set, firestore.LastUpdateTime(created.UpdateTime))
	code(codes.OK, err)
	require.True(t, updated.UpdateTime.After(created.UpdateTime))
	again, err := doc.Update(ctx, set)
	code(codes.OK, err)
	require.Equal(t, updated.UpdateTime, again.UpdateTime, "nothing was changed")

	snap, err := doc.Get(ctx)
	code(codes.OK, err)
	require.Equal(t, fields{"n": int64(2), "other": "stays"}, snap.Data())
	require.Equal(t, created.UpdateTime, snap.CreateTime)
	require.Equal(t, updated.UpdateTime, snap.UpdateTime)

	_, err = doc.Delete(ctx, firestore.LastUpdateTime(created.UpdateTime))
	code(codes.FailedPrecondition, err)
	_, err = doc.Delete(ctx, firestore.LastUpdateTime(updated.UpdateTime))
	code(codes.OK, err)
	snap, err = doc.Get(ctx)
	code(codes.NotFound, err)
	require.False(t, snap.Exists())

	require.Equal(t, firestoretest.Counts{Calls: 14, Reads: 2, Writes: 3, Deletes: 2}, server.Counts())
	server.ResetCounts()
	require.Zero(t, server.Counts())
}

// Times are kept in microseconds, rounded down.
func TestTimes(t *testing.T) {
	doc := firestoretest.New(t).Client(t).Collection("things").Doc("one")
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
	_, err := doc.Set(t.Context(), fields{"at": at, "in": fields{"list": []any{at}}})
	require.NoError(t, err)
	snap, err := doc.Get(t.Context())
	require.NoError(t, err)
	at = at.Truncate(time.Microsecond)
	require.Equal(t, fields{"at": at, "in": fields{"list": []any{at}}}, snap.Data())
}

// Every change has a later time than the one before.
func TestTimesGrow(t *testing.T) {
	doc := firestoretest.New(t).Client(t).Collection("things").Doc("one")
	var last time.Time
	for i := range 50 {
		result, err := doc.Set(t.Context(), fields{"n": i})
		require.NoError(t, err)
		require.True(t, result.UpdateTime.After(last))
		require.Zero(t, result.UpdateTime.Nanosecond()%1000)
		last = result.UpdateTime
	}
}

// The example of the page on storage sizes: a document of 147 bytes.
func TestSize(t *testing.T) {
	doc := firestoretest.New(t).Client(t).Collection("users").Doc("jeff").Collection("tasks").Doc("my_task_id")
	published := fields{"type": "Personal", "done": false, "priority": 1, "description": "Learn Cloud Firestore"}
	const room = 1<<20 - 147 - len("more") - 1
	published["more"] = make([]byte, room)
	_, err := doc.Set(t.Context(), published)
	require.NoError(t, err)
	published["more"] = make([]byte, room+1)
	_, err = doc.Set(t.Context(), published)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "1048577")
}

func TestNames(t *testing.T) {
	server := firestoretest.New(t)
	things := server.Client(t).Collection("things")
	for _, id := range []string{"", ".", "..", "____", "__x__", "a/b", strings.Repeat("x", 1501)} {
		_, err := things.Doc(id).Set(t.Context(), fields{})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%q", id)
		_, err = things.Doc(id).Get(t.Context())
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%q", id)
	}
	for _, id := range []string{"_", "__", "__x", "...", "é", strings.Repeat("x", 1500)} {
		_, err := things.Doc(id).Set(t.Context(), fields{})
		require.NoError(t, err, "%q", id)
	}
	require.Len(t, server.Documents(), 6)
}

// A commit is applied as a whole, and what is not served fails as a whole.
func TestAllOrNothing(t *testing.T) {
	server := firestoretest.New(t)
	client := server.Client(t)
	one, two := client.Collection("things").Doc("one"), client.Collection("things").Doc("two")
	_, err := one.Set(t.Context(), fields{"n": 1})
	require.NoError(t, err)

	_, err = client.Batch().Set(two, fields{"n": 1}).Create(one, fields{"n": 2}).Commit(t.Context())
	require.Equal(t, codes.AlreadyExists, status.Code(err))
	_, err = two.Set(t.Context(), fields{"at": firestore.ServerTimestamp})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.Len(t, server.Documents(), 1)

	_, err = client.Batch().Set(two, fields{"n": 1}).Delete(one).Commit(t.Context())
	require.NoError(t, err)
	require.Len(t, server.Documents(), 1)
	require.Equal(t, firestoretest.Counts{Calls: 4, Writes: 2, Deletes: 1}, server.Counts())
}

func TestFaults(t *testing.T) {
	server := firestoretest.New(t)
	doc := server.Client(t).Collection("things").Doc("one")
	ctx := t.Context()

	server.Inject(firestoretest.Fail(firestoretest.Commit, 1, codes.PermissionDenied))
	_, err := doc.Set(ctx, fields{})
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	require.Empty(t, server.Documents())

	server.Inject(firestoretest.LoseReply(firestoretest.Commit, 1))
	_, err = doc.Create(ctx, fields{})
	require.Equal(t, codes.AlreadyExists, status.Code(err), "the client retries on its own write")

	server.Inject(firestoretest.Instead(codes.AlreadyExists, codes.Aborted))
	_, err = doc.Create(ctx, fields{})
	require.Equal(t, codes.Aborted, status.Code(err))

	before := 0
	server.Inject(firestoretest.Before(firestoretest.Read, func() { before++ }))
	for range 2 {
		_, err = doc.Get(ctx)
		require.NoError(t, err)
	}
	require.Equal(t, 1, before)

	server.Inject(nil)
	_, err = doc.Create(ctx, fields{})
	require.Equal(t, codes.AlreadyExists, status.Code(err))
}
