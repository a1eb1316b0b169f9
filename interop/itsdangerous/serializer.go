package itsdangerous

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
	"time"
)

// MaxInflated is how many bytes a compressed payload may have when it is unpacked.
// The signature is verified first, so only who has a secret gets so far.
const MaxInflated = 64 << 10

// URLSafeTimedSerializer signs JSON texts. It is immutable and safe for concurrent
// use; of the zero value what is said of [TimestampSigner] holds.
type URLSafeTimedSerializer struct {
	signer *TimestampSigner
}

// NewURLSafeTimedSerializer returns the serializer of URLSafeTimedSerializer(secret).
// The first secret signs, all verify, as with Python's list of keys read from its end.
// No secret and an empty one are an error.
func NewURLSafeTimedSerializer(secrets ...string) (*URLSafeTimedSerializer, error) {
	signer, err := newSigner(serializerSalt, secrets)
	if err != nil {
		return nil, err
	}
	return &URLSafeTimedSerializer{signer}, nil
}

// Sign signs a JSON text now. Python writes it compactly and in ASCII, and compresses
// it where that is shorter; Sign takes the text as it is and never compresses. Python
// reads both.
func (s *URLSafeTimedSerializer) Sign(json []byte) string { return s.SignAt(json, time.Now()) }

// SignAt is Sign with another time than now's; see [TimestampSigner.SignAt].
func (s *URLSafeTimedSerializer) SignAt(json []byte, at time.Time) string {
	return s.signer.SignAt(encoding.EncodeToString(json), at)
}

// Unsign returns the JSON text that was signed, as Value; the text is not looked at.
// maxAge and errors are those of [TimestampSigner.Unsign]; a payload that unpacks to
// more than [MaxInflated] bytes is [ErrMalformed].
func (s *URLSafeTimedSerializer) Unsign(signed string, maxAge time.Duration) (Signed, error) {
	got, err := s.signer.Unsign(signed, maxAge)
	if err != nil {
		return Signed{}, err
	}
	text, packed := strings.CutPrefix(got.Value, ".")
	data, err := decode(text)
	if err == nil && packed {
		data, err = inflate(data)
	}
	if err != nil {
		return Signed{}, err
	}
	got.Value = string(data)
	return got, nil
}

func inflate(packed []byte) ([]byte, error) {
	rest := bytes.NewReader(packed)
	r, err := zlib.NewReader(rest)
	if err != nil {
		return nil, fmt.Errorf("%w: not zlib", ErrMalformed)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxInflated+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: not zlib", ErrMalformed)
	case len(data) > MaxInflated:
		return nil, fmt.Errorf("%w: more than %d bytes when unpacked", ErrMalformed, MaxInflated)
	case rest.Len() > 0:
		return nil, fmt.Errorf("%w: bytes after the end", ErrMalformed)
	}
	return data, nil
}
