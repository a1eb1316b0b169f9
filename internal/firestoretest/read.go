package firestoretest

import (
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// BatchGetDocuments answers for every document with its state or with its
// absence, in no promised order.
func (v *service) BatchGetDocuments(req *pb.BatchGetDocumentsRequest, stream pb.Firestore_BatchGetDocumentsServer) error {
	var replies []*pb.BatchGetDocumentsResponse
	err := v.server.serve(stream.Context(), Read, func() (err error) {
		replies, err = v.server.read(req)
		return err
	})
	if err != nil {
		return err
	}
	for _, reply := range replies {
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) read(req *pb.BatchGetDocumentsRequest) ([]*pb.BatchGetDocumentsResponse, error) {
	if req.Mask != nil || req.ConsistencySelector != nil {
		return nil, status.Error(codes.Unimplemented, "masks, transactions and read times are not served here")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.tick()
	seen := make(map[string]bool)
	var replies []*pb.BatchGetDocumentsResponse
	for _, name := range req.Documents {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		s.count.Reads++
		reply := &pb.BatchGetDocumentsResponse{ReadTime: now}
		if doc, ok := s.docs[name]; ok {
			reply.Result = &pb.BatchGetDocumentsResponse_Found{Found: doc}
		} else {
			reply.Result = &pb.BatchGetDocumentsResponse_Missing{Missing: name}
		}
		replies = append(replies, reply)
	}
	return replies, nil
}
