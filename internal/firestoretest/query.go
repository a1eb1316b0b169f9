package firestoretest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// RunQuery answers one kind of query: the documents of a collection whose field
// is later than a time, in the order of that field and then of their names, from
// after a cursor on, at most as many as the limit says.
func (v *service) RunQuery(req *pb.RunQueryRequest, stream pb.Firestore_RunQueryServer) error {
	var docs []*pb.Document
	var now *timestamppb.Timestamp
	err := v.server.serve(stream.Context(), Query, func() (err error) {
		docs, now, err = v.server.query(req)
		return err
	})
	if err != nil {
		return err
	}
	if len(docs) == 0 {
		return stream.Send(&pb.RunQueryResponse{ReadTime: now})
	}
	for _, doc := range docs {
		if err := stream.Send(&pb.RunQueryResponse{Document: doc, ReadTime: now}); err != nil {
			return err
		}
	}
	return nil
}

// later is a query that is served here.
type later struct {
	prefix string // of the documents' names
	field  string
	than   time.Time
	after  []*pb.Value // up to two: of the field, and a name
	limit  int
}

func (s *Server) query(req *pb.RunQueryRequest) ([]*pb.Document, *timestamppb.Timestamp, error) {
	q, err := parseQuery(req)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*pb.Document
	for name, doc := range s.docs {
		id, ok := strings.CutPrefix(name, q.prefix)
		if ok && !strings.Contains(id, "/") && q.selects(doc) {
			found = append(found, doc)
		}
	}
	slices.SortFunc(found, func(a, b *pb.Document) int {
		return cmp.Or(q.time(a).Compare(q.time(b)), strings.Compare(a.Name, b.Name))
	})
	if q.limit > 0 && len(found) > q.limit {
		found = found[:q.limit]
	}
	s.count.Reads += max(len(found), 1) // a query without results is billed as one read
	return found, s.tick(), nil
}

func parseQuery(req *pb.RunQueryRequest) (q later, err error) {
	unserved := func(what string) (later, error) {
		return q, status.Errorf(codes.Unimplemented, "queries with %s are not served here", what)
	}
	query := req.GetStructuredQuery()
	filter := query.GetWhere().GetFieldFilter()
	than, isTime := filter.GetValue().GetValueType().(*pb.Value_TimestampValue)
	switch {
	case req.ConsistencySelector != nil || req.ExplainOptions != nil:
		return unserved("transactions, read times or explanations")
	case len(query.GetFrom()) != 1 || query.From[0].AllDescendants:
		return unserved("other than one collection")
	case query.Select != nil || query.Offset != 0 || query.EndAt != nil || query.FindNearest != nil:
		return unserved("projections, offsets, ends or vectors")
	case filter.GetOp() != pb.StructuredQuery_FieldFilter_GREATER_THAN || !isTime || !simplePath.MatchString(filter.GetField().GetFieldPath()):
		return unserved("other filters than one for a later time")
	}
	q = later{
		prefix: req.Parent + "/" + query.From[0].CollectionId + "/",
		field:  filter.Field.FieldPath, than: than.TimestampValue.AsTime(), limit: int(query.Limit.GetValue()),
	}
	for i, want := range []string{q.field, "__name__"} {
		if i < len(query.OrderBy) && (query.OrderBy[i].Field.GetFieldPath() != want || query.OrderBy[i].Direction == pb.StructuredQuery_DESCENDING) {
			return unserved("another order")
		}
	}
	if len(query.OrderBy) > 2 {
		return unserved("another order")
	}
	if cursor := query.StartAt; cursor != nil {
		if cursor.Before || len(cursor.Values) == 0 || len(cursor.Values) > max(1, len(query.OrderBy)) {
			return unserved("another cursor")
		}
		q.after = cursor.Values
	}
	return q, checkName(q.prefix + "x")
}

func (q later) time(doc *pb.Document) time.Time {
	return doc.Fields[q.field].GetTimestampValue().AsTime()
}

func (q later) selects(doc *pb.Document) bool {
	if _, ok := doc.Fields[q.field].GetValueType().(*pb.Value_TimestampValue); !ok || !q.time(doc).After(q.than) {
		return false
	}
	if len(q.after) == 0 {
		return true
	}
	order := q.time(doc).Compare(q.after[0].GetTimestampValue().AsTime())
	if order == 0 && len(q.after) == 2 {
		order = strings.Compare(doc.Name, q.after[1].GetReferenceValue())
	}
	return order > 0
}
