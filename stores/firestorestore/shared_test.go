package firestorestore_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/firestorestore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// texts makes every value another one, and a text, as a Shared needs it of its caller.
type texts struct{ *firestorestore.Shared }

func asText(rec stores.Record) stores.Record {
	rec.Data = []byte(rand.Text() + base64.StdEncoding.EncodeToString(rec.Data))
	return rec
}

func (s texts) Load(ctx context.Context, key stores.Key, f stores.Freshness) (stores.Record, error) {
	rec, err := s.Shared.Load(ctx, key, f)
	if err == nil {
		rec.Data, err = base64.StdEncoding.DecodeString(string(rec.Data[26:]))
	}
	return rec, err
}

func (s texts) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	return s.Shared.Save(ctx, key, asText(rec))
}

func (s texts) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	return s.Shared.Put(ctx, key, asText(rec))
}

func TestSharedContract(t *testing.T) {
	for name, client := range backends(t) {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				New: func(t *testing.T) stores.Server {
					s, err := firestorestore.NewShared(client, "aiohttp_sessions", time.Hour, firestorestore.WithTimeout(time.Minute))
					require.NoError(t, err)
					return texts{s}
				},
				Unreachable: func(t *testing.T) stores.Server {
					s, err := firestorestore.NewShared(silent(t), "aiohttp_sessions", time.Hour, firestorestore.WithTimeout(100*time.Millisecond))
					require.NoError(t, err)
					return texts{s}
				},
				Lossy: func(t *testing.T) stores.Server {
					server := firestoretest.New(t)
					server.Inject(everyThird())
					s, err := firestorestore.NewShared(server.Client(t), "aiohttp_sessions", time.Hour, firestorestore.WithTimeout(time.Minute))
					require.NoError(t, err)
					return texts{s}
				},
			})
		})
	}
}

// What another program writes is read as it is, and an end is what it takes for none.
func TestSharedDocuments(t *testing.T) {
	ctx := t.Context()
	client := firestoretest.New(t).Client(t)
	s, err := firestorestore.NewShared(client, "aiohttp_sessions", time.Hour)
	require.NoError(t, err)
	doc := client.Collection("aiohttp_sessions").Doc("0123456789abcdefGHIJ")
	key := stores.ForeignKey(doc.ID)
	set := func(fields map[string]any) {
		t.Helper()
		_, err := doc.Set(ctx, fields)
		require.NoError(t, err)
	}
	missing := func() {
		t.Helper()
		_, err := s.Load(ctx, key, stores.Fresh)
		require.ErrorIs(t, err, stores.ErrNotFound)
	}
	missing()
	for _, fields := range []map[string]any{
		{}, {"data": ""}, {"data": "{}"}, {"data": 1}, {"data": "{}", "bulla": "x"}, {"data": `{"a": 1}`, "expire": time.Now().Add(-time.Second)},
	} {
		set(fields)
		missing()
	}
	unreadable := map[string]any{"__oid__": 1} // of which the client makes an error
	set(map[string]any{"data": unreadable})
	missing()
	set(map[string]any{"data": `{"a": 0}`, "beside": unreadable})
	rec, err := s.Load(ctx, key, stores.Fresh)
	require.NoError(t, err)
	require.Equal(t, `{"a": 0}`, string(rec.Data))
	set(map[string]any{"data": `{"a": 1}`})
	rec, err = s.Load(ctx, key, stores.Fresh)
	require.NoError(t, err)
	require.Equal(t, `{"a": 1}`, string(rec.Data))
	require.WithinDuration(t, time.Now().Add(time.Hour), rec.Expires, time.Second)
	again, err := s.Load(ctx, key, stores.Fresh)
	require.NoError(t, err)
	require.Equal(t, rec.Revision, again.Revision)
	rec.Data = []byte(`{"a": 2}`)
	rev, err := s.Save(ctx, key, rec)
	require.NoError(t, err)
	snap, err := doc.Get(ctx)
	require.NoError(t, err)
	require.Equal(t, `{"a": 2}`, snap.Data()["data"])
	require.WithinDuration(t, rec.Expires, snap.Data()["expire"].(time.Time), time.Millisecond)

	set(map[string]any{"data": `{"a": 3}`})
	rec.Revision = rev
	_, err = s.Save(ctx, key, rec)
	require.ErrorIs(t, err, stores.ErrConflict, "the other system has written")
	require.NoError(t, s.Retire(ctx, key, time.Minute))
	rec, err = s.Load(ctx, key, stores.Fresh)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Minute), rec.Expires, time.Second)
	require.NoError(t, s.Retire(ctx, key, time.Hour))

	note := []byte("\x00bulla stub\x00E12345678")
	_, err = s.Save(ctx, key, stores.Record{Data: note, Expires: time.Now().Add(time.Minute), Revision: rec.Revision})
	require.NoError(t, err)
	snap, err = doc.Get(ctx)
	require.NoError(t, err)
	require.Equal(t, "{}", snap.Data()["data"], "for aiohttp-session it is no session")
	rec, err = s.Load(ctx, key, stores.Fresh)
	require.NoError(t, err)
	require.True(t, s.IsEnd(rec.Data))

	for _, id := range []string{"a/b", ".", "..", "__a__"} {
		_, err = s.Load(ctx, stores.ForeignKey(id), stores.Fresh)
		require.ErrorIs(t, err, stores.ErrNotFound)
		_, err = s.Save(ctx, stores.ForeignKey(id), stores.Record{Data: []byte("x"), Expires: time.Now().Add(time.Hour)})
		require.ErrorIs(t, err, stores.ErrInvalidRecord)
	}
	_, err = s.Save(ctx, key, stores.Record{Data: []byte("\xff"), Expires: time.Now().Add(time.Hour)})
	require.ErrorIs(t, err, stores.ErrInvalidRecord)
	_, err = firestorestore.NewShared(client, "x", 0)
	require.ErrorContains(t, err, "positive")
	_, err = firestorestore.NewShared(nil, "x", time.Hour)
	require.Error(t, err)
}

// Firestore's errors name the document, whose ID is a login.
func TestSharedErrorsDoNotTellTheID(t *testing.T) {
	ctx := t.Context()
	server := firestoretest.New(t)
	s, err := firestorestore.NewShared(server.Client(t), "aiohttp_sessions", time.Hour, firestorestore.WithTimeout(time.Minute))
	require.NoError(t, err)
	const id = "0123456789abcdefGHIJ"
	key, rec := stores.ForeignKey(id), stores.Record{Data: []byte(`{"a": 1}`), Expires: time.Now().Add(time.Hour)}
	rec.Revision, err = s.Save(ctx, key, rec)
	require.NoError(t, err)
	server.Inject(func(context.Context, string, func() error) error {
		return status.Error(codes.PermissionDenied, "projects/p/databases/(default)/documents/aiohttp_sessions/"+id+" is not for you")
	})
	_, load := s.Load(ctx, key, stores.Fresh)
	_, save := s.Save(ctx, key, rec)
	_, touch := s.Touch(ctx, key, rec.Revision, rec.Expires.Add(time.Hour))
	for _, err := range []error{load, save, touch, s.Put(ctx, key, rec), s.Retire(ctx, key, time.Minute)} {
		require.ErrorIs(t, err, stores.ErrUnavailable)
		require.ErrorContains(t, err, "is not for you")
		require.NotContains(t, err.Error(), id)
		require.NotContains(t, fmt.Errorf("wrapped: %w", err).Error(), id)
	}
}
