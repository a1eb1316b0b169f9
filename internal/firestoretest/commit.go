package firestoretest

import (
	"cmp"
	"context"
	"maps"
	"regexp"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Commit applies all writes or none.
func (v *service) Commit(ctx context.Context, req *pb.CommitRequest) (*pb.CommitResponse, error) {
	var reply *pb.CommitResponse
	err := v.server.serve(ctx, Commit, func() (err error) {
		reply, err = v.server.commit(req)
		return err
	})
	return reply, err
}

func (s *Server) commit(req *pb.CommitRequest) (*pb.CommitResponse, error) {
	if len(req.Transaction) > 0 {
		return nil, status.Error(codes.Unimplemented, "transactions are not served here")
	}
	if len(req.Writes) > maxWrites {
		return nil, status.Errorf(codes.InvalidArgument, "maximum %d writes allowed per request", maxWrites)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.tick()
	reply := &pb.CommitResponse{CommitTime: now}
	changed := make(changes)
	count := s.count
	for _, w := range req.Writes {
		result, err := s.write(changed, &count, w, now)
		if err != nil {
			return nil, err
		}
		reply.WriteResults = append(reply.WriteResults, result)
	}
	for name, doc := range changed {
		if doc == nil {
			delete(s.docs, name)
		} else {
			s.docs[name] = doc
		}
	}
	s.count = count
	return reply, nil
}

// changes are documents that are to be, by name; nil where one is to go.
type changes map[string]*pb.Document

// write adds to changed and count what w does. The caller holds the lock.
func (s *Server) write(changed changes, count *Counts, w *pb.Write, now *timestamppb.Timestamp) (*pb.WriteResult, error) {
	name := cmp.Or(w.GetUpdate().GetName(), w.GetDelete())
	old, ok := changed[name]
	if !ok {
		old = s.docs[name]
	}
	switch op := w.Operation.(type) {
	case *pb.Write_Update:
		if len(w.UpdateTransforms) > 0 {
			return nil, status.Error(codes.Unimplemented, "transforms are not served here")
		}
		if err := check(old, name, w.CurrentDocument); err != nil {
			return nil, err
		}
		doc, err := updated(old, op.Update, w.UpdateMask, now)
		if err != nil {
			return nil, err
		}
		changed[name] = doc
		count.Writes++
		return &pb.WriteResult{UpdateTime: doc.UpdateTime}, nil
	case *pb.Write_Delete:
		if err := check(old, name, w.CurrentDocument); err != nil {
			return nil, err
		}
		changed[name] = nil
		count.Deletes++
		return new(pb.WriteResult), nil
	default:
		return nil, status.Errorf(codes.Unimplemented, "%T is not served here", op)
	}
}

// check refuses a write whose document has another name or state than it must.
// doc is nil where there is none.
func check(doc *pb.Document, name string, p *pb.Precondition) error {
	if err := checkName(name); err != nil {
		return err
	}
	exists := doc != nil
	switch c := p.GetConditionType().(type) {
	case *pb.Precondition_Exists:
		if c.Exists && !exists {
			return status.Errorf(codes.NotFound, "No document to update: %s", name)
		}
		if !c.Exists && exists {
			return status.Errorf(codes.AlreadyExists, "Document already exists: %s", name)
		}
	case *pb.Precondition_UpdateTime:
		if c.UpdateTime.GetNanos()%1000 != 0 {
			return status.Error(codes.InvalidArgument, "the update time must be microsecond aligned")
		}
		if !exists {
			return status.Errorf(codes.NotFound, "No document to update: %s", name)
		}
		if !proto.Equal(c.UpdateTime, doc.UpdateTime) {
			return status.Errorf(codes.FailedPrecondition, "the stored version (%d) does not match the required base version (%d)",
				doc.UpdateTime.AsTime().UnixMicro(), c.UpdateTime.AsTime().UnixMicro())
		}
	}
	return nil
}

// updated returns what the write of fresh makes of old, which may be nil.
func updated(old, fresh *pb.Document, mask *pb.DocumentMask, now *timestamppb.Timestamp) (*pb.Document, error) {
	// What is stored is read without the lock, so it is never changed.
	fresh = proto.Clone(fresh).(*pb.Document)
	for _, v := range fresh.Fields {
		truncate(v)
	}
	doc := &pb.Document{Name: fresh.Name, Fields: fresh.Fields, CreateTime: now, UpdateTime: now}
	if mask != nil {
		doc.Fields = make(map[string]*pb.Value)
		maps.Copy(doc.Fields, old.GetFields())
		for _, path := range mask.FieldPaths {
			if !simplePath.MatchString(path) {
				return nil, status.Errorf(codes.Unimplemented, "the field path %q is not served here", path)
			}
			if v, ok := fresh.Fields[path]; ok {
				doc.Fields[path] = v
			} else {
				delete(doc.Fields, path)
			}
		}
	}
	if n := size(doc); n > maxSize {
		return nil, status.Errorf(codes.InvalidArgument,
			"Document '%s' cannot be written because its size (%d bytes) exceeds the maximum allowed size of %d bytes.", doc.Name, n, maxSize)
	}
	if old != nil {
		doc.CreateTime = old.CreateTime
		if proto.Equal(&pb.Document{Fields: old.Fields}, &pb.Document{Fields: doc.Fields}) {
			doc.UpdateTime = old.UpdateTime // nothing was changed
		}
	}
	return doc, nil
}

var simplePath = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z_0-9]*$`)

// truncate cuts times to microseconds, as Firestore does.
func truncate(v *pb.Value) {
	switch v := v.ValueType.(type) {
	case *pb.Value_TimestampValue:
		v.TimestampValue.Nanos -= v.TimestampValue.Nanos % 1000
	case *pb.Value_ArrayValue:
		for _, v := range v.ArrayValue.Values {
			truncate(v)
		}
	case *pb.Value_MapValue:
		for _, v := range v.MapValue.Fields {
			truncate(v)
		}
	}
}
