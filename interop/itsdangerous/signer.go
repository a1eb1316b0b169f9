package itsdangerous

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"
)

// Errors of reading. They are wrapped; test them with errors.Is. Their text carries
// nothing of what was signed.
var (
	// ErrMalformed: the text is none that Python would have written.
	ErrMalformed = errors.New("itsdangerous: malformed")

	// ErrSignature: no secret verifies the signature.
	ErrSignature = errors.New("itsdangerous: the signature does not match")

	// ErrExpired: the signature is older than the caller accepts, or its time is in
	// the future. As in Python, a second is enough: there is no allowance for clocks.
	ErrExpired = errors.New("itsdangerous: the signature has expired")
)

// The salts that the two Python classes have where nothing else is said.
const (
	signerSalt     = "itsdangerous.Signer"
	serializerSalt = "itsdangerous"
)

// latest is the last second that Python's datetime knows, in the year 9999.
const latest = 253402300799

// encoding has one spelling for each text; Python ignores what it does not know.
var encoding = base64.RawURLEncoding.Strict()

// Signed is what a signature was good for.
type Signed struct {
	Value   string
	At      time.Time // when it was signed, in whole seconds
	Retired bool      // another secret than the first has signed it: sign it afresh
}

// TimestampSigner signs texts. It is immutable and safe for concurrent use; the zero
// TimestampSigner has no secret, signs nothing (it panics) and verifies nothing.
type TimestampSigner struct {
	// Functions, since fmt can print what lies in a slice.
	macs []func() hash.Hash
}

// NewTimestampSigner returns the signer of TimestampSigner(secret). The first secret
// signs, all verify; Python sides that pass str(secret_key), as Starlette and
// starsessions do, know one alone. No secret and an empty one are an error.
func NewTimestampSigner(secrets ...string) (*TimestampSigner, error) {
	return newSigner(signerSalt, secrets)
}

func newSigner(salt string, secrets []string) (*TimestampSigner, error) {
	if fips140.Enforced() {
		return nil, errors.New("itsdangerous: HMAC-SHA1 is not approved, and this program runs under GODEBUG=fips140=only")
	}
	if len(secrets) == 0 {
		return nil, errors.New("itsdangerous: no secret; give the one that the Python side has")
	}
	s := new(TimestampSigner)
	for i, secret := range secrets {
		if secret == "" {
			return nil, fmt.Errorf("itsdangerous: secret %d of %d is empty; give the one that the Python side has", i+1, len(secrets))
		}
		if slices.Contains(secrets[:i], secret) {
			return nil, fmt.Errorf("itsdangerous: secret %d is there twice; give each once", i+1)
		}
		// itsdangerous calls this key derivation "django-concat".
		key := sha1.Sum([]byte(salt + "signer" + secret))
		s.macs = append(s.macs, func() hash.Hash { return hmac.New(sha1.New, key[:]) })
	}
	return s, nil
}

// Sign signs value now.
func (s *TimestampSigner) Sign(value string) string { return s.SignAt(value, time.Now()) }

// SignAt signs value with another time than now's, cut to seconds. Before 1970 there
// is none.
func (s *TimestampSigner) SignAt(value string, at time.Time) string {
	text := value + "." + encodeTime(at)
	return text + "." + encoding.EncodeToString(s.sum(0, text))
}

func (s *TimestampSigner) sum(i int, text string) []byte {
	mac := s.macs[i]()
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// Unsign returns what was signed. With a maxAge other than 0 a signature that is
// older, in whole seconds by this machine's clock, or of the future, is [ErrExpired];
// a negative maxAge has every one expired. With 0 the time does not count, as with
// Python's max_age=None.
func (s *TimestampSigner) Unsign(signed string, maxAge time.Duration) (Signed, error) {
	text, signature, ok := cutLast(signed)
	if !ok {
		return Signed{}, fmt.Errorf("%w: no signature", ErrMalformed)
	}
	value, clock, ok := cutLast(text)
	if !ok {
		return Signed{}, fmt.Errorf("%w: no time", ErrMalformed)
	}
	sum, err := decode(signature)
	if err != nil || len(sum) != sha1.Size {
		return Signed{}, fmt.Errorf("%w: the signature is not one", ErrMalformed)
	}
	key := -1
	for i := range s.macs {
		if hmac.Equal(s.sum(i, text), sum) {
			key = i
			break
		}
	}
	if key < 0 {
		return Signed{}, ErrSignature
	}
	unix, err := decodeTime(clock)
	if err != nil {
		return Signed{}, err
	}
	if age := time.Now().Unix() - unix; maxAge != 0 && (maxAge < 0 || age < 0 || age > int64(maxAge/time.Second)) {
		return Signed{}, ErrExpired
	}
	return Signed{Value: value, At: time.Unix(unix, 0).UTC(), Retired: key > 0}, nil
}

// cutLast cuts at the last dot: a value may have dots of its own.
func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, '.')
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

// decode refuses every spelling but the one that Python writes.
func decode(text string) ([]byte, error) {
	data, err := encoding.DecodeString(text)
	if err != nil || len(text) != encoding.EncodedLen(len(data)) { // Go's decoder skips line ends
		return nil, fmt.Errorf("%w: not base64url", ErrMalformed)
	}
	return data, nil
}

// encodeTime returns a time as Python does: big endian, without leading zero bytes.
func encodeTime(at time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(max(at.Unix(), 0)))
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return encoding.EncodeToString(b)
}

func decodeTime(text string) (int64, error) {
	b, err := decode(text)
	if err != nil || len(b) == 0 || len(b) > 8 || b[0] == 0 {
		return 0, fmt.Errorf("%w: the time is not one", ErrMalformed)
	}
	var wide [8]byte
	copy(wide[8-len(b):], b)
	unix := binary.BigEndian.Uint64(wide[:])
	if unix > latest {
		return 0, fmt.Errorf("%w: the time is after the year 9999", ErrMalformed)
	}
	return int64(unix), nil
}
