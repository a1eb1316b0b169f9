package firestorestore_test

import (
	"encoding/gob"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/stores"
)

// What an application reads from Firestore for its own purposes can be kept in a
// session as it came.
func TestValuesFromFirestore(t *testing.T) {
	gob.Register(map[string]any{})
	gob.Register([]any{})
	gob.Register(time.Time{})

	for name, serializer := range map[string]serialize.Serializer{"CBOR": serialize.CBOR, "Gob": serialize.Gob} {
		for backend, client := range backends(t) {
			t.Run(name+"/"+backend, func(t *testing.T) {
				queried := query(t, client)
				data, err := serializer.Marshal(queried)
				require.NoError(t, err)
				store, key := newStore(t, client), newKey()
				_, err = store.Save(t.Context(), key, record(string(data), ""))
				require.NoError(t, err)
				rec, err := store.Load(t.Context(), key, stores.Fresh)
				require.NoError(t, err)
				var got map[string]any
				require.NoError(t, serializer.Unmarshal(rec.Data, &got))
				requireSame(t, queried, got, "profile")
			})
		}
	}
}

// query returns a document as the client hands it out, with a value of each kind
// that is a plain Go value.
func query(t *testing.T, client *firestore.Client) map[string]any {
	doc := client.Collection("profiles").NewDoc()
	born := time.Date(1985, 10, 26, 1, 21, 0, 123456000, time.UTC)
	_, err := doc.Set(t.Context(), map[string]any{
		"name":   "Marty",
		"born":   born,
		"visits": 42,
		"large":  int64(1) << 62,
		"ratio":  0.1,
		"whole":  2.0,
		"admin":  false,
		"photo":  []byte{0, 1, 0xff},
		"nested": map[string]any{
			"seen":   born.Add(time.Hour).In(time.FixedZone("", 3600)),
			"deeper": map[string]any{"since": born, "tags": []any{"a", int64(1), born}},
		},
		"list": []any{map[string]any{"at": born}, "text", 1.5, true},
	})
	require.NoError(t, err)
	snap, err := doc.Get(t.Context())
	require.NoError(t, err)
	queried := snap.Data()
	require.Equal(t, born, queried["born"])
	require.IsType(t, time.Time{}, queried["nested"].(map[string]any)["seen"])
	return queried
}

// requireSame tests that two values have the same types and content; times, the
// same instant and offset, since a serializer need not keep the zone's pointer.
func requireSame(t *testing.T, want, got any, path string) {
	t.Helper()
	require.IsType(t, want, got, path)
	switch want := want.(type) {
	case map[string]any:
		require.Len(t, got, len(want), path)
		for name, v := range want {
			requireSame(t, v, got.(map[string]any)[name], path+"."+name)
		}
	case []any:
		require.Len(t, got, len(want), path)
		for i, v := range want {
			requireSame(t, v, got.([]any)[i], path)
		}
	case time.Time:
		got := got.(time.Time)
		require.True(t, want.Equal(got), "%s: %v, want %v", path, got, want)
		_, wantOffset := want.Zone()
		_, offset := got.Zone()
		require.Equal(t, wantOffset, offset, path)
	default:
		require.Equal(t, want, got, path)
	}
}
