package firestoretest_test

import (
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulla-go/bulla/internal/firestoretest"
)

func ids(docs []*firestore.DocumentSnapshot) (all []string) {
	for _, doc := range docs {
		all = append(all, doc.Ref.ID)
	}
	return all
}

func TestQuery(t *testing.T) {
	server := firestoretest.New(t)
	client := server.Client(t)
	things, now := client.Collection("things"), time.Now().Truncate(time.Microsecond)
	for id, at := range map[string]any{
		"c": now.Add(time.Second), "a": now.Add(2 * time.Second), "b": now.Add(2 * time.Second), "d": now.Add(3 * time.Second),
		"now": now, "before": now.Add(-time.Second), "text": "later", "null": nil,
	} {
		_, err := things.Doc(id).Set(t.Context(), fields{"at": at})
		require.NoError(t, err)
	}
	for _, other := range []*firestore.DocumentRef{
		things.Doc("none"), things.Doc("a").Collection("things").Doc("x"), client.Collection("thingsx").Doc("x"),
	} {
		_, err := other.Set(t.Context(), fields{"other": now.Add(time.Hour)})
		require.NoError(t, err)
	}
	server.ResetCounts()

	query := things.Where("at", ">", now).OrderBy("at", firestore.Asc)
	docs, err := query.Documents(t.Context()).GetAll()
	require.NoError(t, err)
	require.Equal(t, []string{"c", "a", "b", "d"}, ids(docs))
	require.Equal(t, fields{"at": now.Add(time.Second).UTC()}, docs[0].Data())
	require.Equal(t, firestoretest.Counts{Calls: 1, Reads: 4}, server.Counts())

	var paged []string
	for next := query.Limit(2); ; {
		docs, err := next.Documents(t.Context()).GetAll()
		require.NoError(t, err)
		if len(docs) == 0 {
			break
		}
		paged = append(paged, ids(docs)...)
		next = query.Limit(2).StartAfter(docs[len(docs)-1])
	}
	require.Equal(t, []string{"c", "a", "b", "d"}, paged, "no document is left out between two with the same time")
	require.Equal(t, firestoretest.Counts{Calls: 4, Reads: 9}, server.Counts(), "the empty page is a read too")

	docs, err = query.StartAfter(now.Add(2 * time.Second)).Documents(t.Context()).GetAll()
	require.NoError(t, err)
	require.Equal(t, []string{"d"}, ids(docs))
	docs, err = things.Doc("a").Collection("things").Where("other", ">", now).Documents(t.Context()).GetAll()
	require.NoError(t, err)
	require.Equal(t, []string{"x"}, ids(docs))

	for what, query := range map[string]firestore.Query{
		"no filter":           things.Query,
		"another filter":      things.Where("at", ">=", now),
		"another type":        things.Where("at", ">", "x"),
		"two filters":         things.Where("at", ">", now).Where("at", "<", now),
		"all collections":     client.CollectionGroup("things").Where("at", ">", now),
		"a projection":        things.Where("at", ">", now).Select("at"),
		"an offset":           things.Where("at", ">", now).Offset(1),
		"another order":       things.Where("at", ">", now).OrderBy("at", firestore.Desc),
		"another field":       things.Where("at", ">", now).OrderBy("other", firestore.Asc),
		"an end":              query.EndAt(now),
		"a cursor before it":  query.StartAt(now),
		"names in descending": query.OrderBy(firestore.DocumentID, firestore.Desc),
	} {
		_, err := query.Documents(t.Context()).GetAll()
		require.Equal(t, codes.Unimplemented, status.Code(err), "%s: %v", what, err)
	}

	server.Inject(firestoretest.Fail(firestoretest.Query, 1, codes.PermissionDenied))
	_, err = query.Documents(t.Context()).GetAll()
	require.Equal(t, codes.PermissionDenied, status.Code(err))
}

func TestWritesInACommit(t *testing.T) {
	server := firestoretest.New(t)
	client := server.Client(t)
	write := func(n int) error {
		batch := client.Batch()
		for i := range n {
			batch.Set(client.Collection("things").Doc(fmt.Sprint(i)), fields{})
		}
		_, err := batch.Commit(t.Context())
		return err
	}
	require.Equal(t, codes.InvalidArgument, status.Code(write(501)))
	require.Empty(t, server.Documents())
	require.NoError(t, write(500))
	require.Len(t, server.Documents(), 500)
}
