package firestoretest

import (
	"regexp"
	"strings"
	"unicode/utf8"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxSize is the published limit of a document, in bytes.
const maxSize = 1 << 20

// maxRequest is the published limit of a request, in bytes.
const maxRequest = 10 << 20

// maxWrites is the published limit of the writes in a commit.
const maxWrites = 500

const (
	root      = "projects/" + Project + "/databases/(default)/documents/"
	maxIDSize = 1500
)

var reserved = regexp.MustCompile(`(?s)^__.*__$`)

// checkName refuses what is not the name of a document that may exist.
func checkName(name string) error {
	path, ok := strings.CutPrefix(name, root)
	parts := strings.Split(path, "/")
	if !ok || len(parts)%2 != 0 {
		return status.Errorf(codes.InvalidArgument, "%q is not the name of a document", name)
	}
	for _, id := range parts {
		if id == "" || id == "." || id == ".." || len(id) > maxIDSize || !utf8.ValidString(id) || reserved.MatchString(id) {
			return status.Errorf(codes.InvalidArgument, "%q has the invalid or reserved ID %q", name, id)
		}
	}
	return nil
}

// size returns the size of doc by the published rules (Firestore, "Storage size
// calculations").
func size(doc *pb.Document) int {
	return nameSize(doc.Name) + fieldsSize(doc.Fields) + 32
}

func nameSize(name string) int {
	n := 16
	for id := range strings.SplitSeq(strings.TrimPrefix(name, root), "/") {
		n += stringSize(id)
	}
	return n
}

func stringSize(s string) int { return len(s) + 1 }

func fieldsSize(fields map[string]*pb.Value) int {
	n := 0
	for name, v := range fields {
		n += stringSize(name) + valueSize(v)
	}
	return n
}

func valueSize(v *pb.Value) int {
	switch v := v.ValueType.(type) {
	case *pb.Value_NullValue, *pb.Value_BooleanValue:
		return 1
	case *pb.Value_StringValue:
		return stringSize(v.StringValue)
	case *pb.Value_BytesValue:
		return len(v.BytesValue)
	case *pb.Value_ReferenceValue:
		return nameSize(v.ReferenceValue)
	case *pb.Value_GeoPointValue:
		return 16
	case *pb.Value_ArrayValue:
		n := 0
		for _, v := range v.ArrayValue.Values {
			n += valueSize(v)
		}
		return n
	case *pb.Value_MapValue:
		return fieldsSize(v.MapValue.Fields) + 32
	default: // numbers and times
		return 8
	}
}
