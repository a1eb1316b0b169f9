package firestoretest

import (
	"context"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Project is the project of every client of a Server.
const Project = "test-project"

// Server is a Firestore in memory. It is safe for concurrent use.
type Server struct {
	addr string

	mu    sync.Mutex
	docs  map[string]*pb.Document // by full name; never changed in place
	last  time.Time               // of the last change or read
	count Counts
	fault Fault
}

// Counts is what was asked of a [Server]. A call that fails is counted as a call
// alone.
type Counts struct {
	Calls   int // RPCs, with those that the client retried
	Reads   int // documents read; a missing one is billed as a read too
	Writes  int // documents written
	Deletes int // documents deleted
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal("firestoretest: ", err)
	}
	s := &Server{addr: listener.Addr().String(), docs: make(map[string]*pb.Document)}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxRequest))
	pb.RegisterFirestoreServer(server, &service{server: s})
	go server.Serve(listener) // returns when the server is stopped
	t.Cleanup(server.Stop)
	return s
}

// Client returns an official client of the server, which ends with the test.
func (s *Server) Client(t testing.TB) *firestore.Client {
	t.Helper()
	return Dial(t, s.addr)
}

// Dial returns an official client of the server at addr, without credentials
// and encryption. Nothing need listen there.
func Dial(t testing.TB, addr string) *firestore.Client {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		t.Fatal("firestoretest: ", err)
	}
	client, err := firestore.NewClient(context.Background(), Project, option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal("firestoretest: ", err)
	}
	t.Cleanup(func() {
		client.Close()
		conn.Close()
	})
	return client
}

// Counts returns what was asked of the server since [Server.ResetCounts].
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// ResetCounts sets all counts to zero.
func (s *Server) ResetCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count = Counts{}
}

// Documents returns copies of all documents, as the server keeps them, by full
// name.
func (s *Server) Documents() map[string]*pb.Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	docs := maps.Clone(s.docs)
	for name, doc := range docs {
		docs[name] = proto.Clone(doc).(*pb.Document)
	}
	return docs
}

// tick returns the time of a change or a read: in microseconds, as Firestore keeps
// it, and later than that of any before. The caller holds the lock.
func (s *Server) tick() *timestamppb.Timestamp {
	now := time.Now().Truncate(time.Microsecond)
	if !now.After(s.last) {
		now = s.last.Add(time.Microsecond)
	}
	s.last = now
	return timestamppb.New(now)
}

// service is apart from Server, which would otherwise show its RPCs to tests.
type service struct {
	pb.UnimplementedFirestoreServer
	server *Server
}
