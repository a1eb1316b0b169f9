package firestoretest

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The names by which a [Fault] knows the calls.
const (
	Read   = "BatchGetDocuments"
	Commit = "Commit"
	Query  = "RunQuery"
)

// Fault stands around every call. It decides whether the call is served at all,
// and what the client is told. ctx ends with the client's call.
type Fault func(ctx context.Context, call string, serve func() error) error

// Inject puts f around every call from now on; nil ends that.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Fail fails the next n of these calls and does nothing else.
func Fail(call string, n int, code codes.Code) Fault {
	next := first(call, n)
	return func(_ context.Context, call string, serve func() error) error {
		if next(call) {
			return status.Error(code, "injected failure")
		}
		return serve()
	}
}

// LoseReply serves the next n of these calls, but the client learns only that
// the connection broke. It retries by itself.
func LoseReply(call string, n int) Fault {
	next := first(call, n)
	return func(_ context.Context, call string, serve func() error) error {
		err := serve()
		if next(call) {
			return status.Error(codes.Unavailable, "injected loss of a reply")
		}
		return err
	}
}

// Before runs f once, before the next of these calls: that is another client
// that comes between.
func Before(call string, f func()) Fault {
	next := first(call, 1)
	return func(_ context.Context, call string, serve func() error) error {
		if next(call) {
			f()
		}
		return serve()
	}
}

// Instead tells the client code to where the true one is code from.
func Instead(from, to codes.Code) Fault {
	return func(_ context.Context, _ string, serve func() error) error {
		err := serve()
		if status.Code(err) == from {
			return status.Error(to, status.Convert(err).Message())
		}
		return err
	}
}

// Hang answers none of these calls.
func Hang(call string) Fault {
	return func(ctx context.Context, called string, serve func() error) error {
		if called == call {
			<-ctx.Done()
			return status.FromContextError(ctx.Err()).Err()
		}
		return serve()
	}
}

// Chain puts outer around inner.
func Chain(outer, inner Fault) Fault {
	return func(ctx context.Context, call string, serve func() error) error {
		return outer(ctx, call, func() error { return inner(ctx, call, serve) })
	}
}

// first tells for every call whether it is one of the first n of its kind.
func first(call string, n int) func(string) bool {
	var seen atomic.Int64
	return func(called string) bool { return called == call && seen.Add(1) <= int64(n) }
}

// serve runs one call through the fault, if there is one.
func (s *Server) serve(ctx context.Context, call string, do func() error) error {
	s.mu.Lock()
	s.count.Calls++
	fault := s.fault
	s.mu.Unlock()
	if fault == nil {
		return do()
	}
	return fault(ctx, call, do)
}
