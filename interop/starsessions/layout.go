package starsessions

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/interop/internal/pyjson"
	"github.com/bulla-go/bulla/interop/internal/signed"
	"github.com/bulla-go/bulla/serialize"
)

// A record is the JSON of Python's session dict with one more member:
//
//	"__metadata__": {"lifetime": 3600, "created": 1795267761.7, "last_access": 1795267761.7, "bulla": "AZqm…"}
//
// starsessions overwrites lifetime and last_access when it loads, takes created as it
// is, and carries other members along. So the marks of Bulla's commits are there: in an
// envelope without values, in base64url.
const (
	metadata   = "__metadata__"
	lifetime   = "lifetime"
	created    = "created"
	lastAccess = "last_access"
	bulla      = "bulla"
)

// The fields in which members that Bulla does not look at come through a save.
const (
	tagRest         byte = 200 + iota // members that no session of ours can have
	tagMetadata                       // members of the metadata
	tagMetadataRest                   // such members of the metadata
	tagCreated                        // the text of created
)

// layout lays out and seals the records of one [Config].
type layout struct {
	serialize.Serializer
	lifetime  time.Duration
	idle      time.Duration
	encryptor Encryptor
	signed    bool // the record is in a cookie: in front is the time of the signature
}

var block = base64.RawURLEncoding.Strict()

var errMetadata = errors.New("starsessions: the session's __metadata__ is none that starsessions writes")

// KeepsMarks implements [envelope.Layout]: starsessions saves the metadata that it has
// loaded together with the values that it has loaded.
func (*layout) KeepsMarks() bool { return true }

// Split implements [envelope.Layout].
func (l *layout) Split(data []byte) (env envelope.Envelope, err error) {
	var sealed time.Time
	if l.signed {
		if sealed, data, err = signed.CutTime(data); err != nil {
			return env, err
		}
	}
	if data, err = l.encryptor.open(data); err != nil {
		return env, err
	}
	o, err := pyjson.Cut(data)
	if err != nil {
		return env, err
	}
	about := o.Take(metadata)
	if env.Values, err = o.Envelope(); err != nil {
		return envelope.Envelope{}, err
	}
	if about != nil {
		if env.Metadata, err = split(about); err != nil {
			return envelope.Envelope{}, err
		}
	}
	env.Extra = with(env.Extra, tagRest, o.Rest)
	env.Idle, env.Sealed = l.idle, sealed
	if l.signed && env.Created.IsZero() {
		// As Starlette writes it under the same secret. Counted from each load, a fixed
		// lifetime would never be over; Python looks at the signature.
		env.Created = sealed
	}
	return env, nil
}

// split reads the metadata.
func split(text []byte) (md envelope.Metadata, err error) {
	o, err := pyjson.Cut(text)
	if err != nil {
		return md, fmt.Errorf("%w: not an object", errMetadata)
	}
	if own := o.Take(bulla); own != nil {
		if md, err = splitOwn(own); err != nil {
			return envelope.Metadata{}, err
		}
	}
	when := o.Take(created)
	if when != nil {
		if md.Created, err = parseTime(when); err != nil {
			return envelope.Metadata{}, err
		}
		if now := time.Now(); md.Created.After(now) { // the other machine's clock is ahead
			md.Created = now.Truncate(time.Millisecond).UTC()
		}
	}
	if !md.Deadline.IsZero() && md.Deadline.Before(md.Created) {
		md.Deadline = md.Created
	}
	o.Take(lifetime)
	o.Take(lastAccess)
	vals, err := o.Envelope()
	if err != nil {
		return envelope.Metadata{}, err
	}
	var others []byte
	for name, value := range vals.All() {
		others = pyjson.AppendMember(others, name, value)
	}
	md.Extra = with(md.Extra, tagMetadata, others)
	md.Extra = with(md.Extra, tagMetadataRest, o.Rest)
	md.Extra = with(md.Extra, tagCreated, when)
	return md, nil
}

func splitOwn(text []byte) (envelope.Metadata, error) {
	if len(text) < 2 || text[0] != '"' {
		return envelope.Metadata{}, fmt.Errorf("%w: what Bulla has there is of another form", errMetadata)
	}
	data, err := block.DecodeString(string(text[1 : len(text)-1]))
	if err != nil {
		return envelope.Metadata{}, fmt.Errorf("%w: what Bulla has there is of another form", errMetadata)
	}
	env, err := envelope.Split(data)
	if err != nil || env.Values.Len() > 0 {
		return envelope.Metadata{}, fmt.Errorf("%w: what Bulla has there is of another form", errMetadata)
	}
	// Of a proof of the user's, say, nobody knows whether it is still the same user.
	own := env.Metadata
	return envelope.Metadata{Deadline: own.Deadline, Generation: own.Generation, Marks: own.Marks}, nil
}

// Join implements [envelope.Layout].
func (l *layout) Join(dst []byte, env envelope.Envelope) ([]byte, error) {
	if _, ok := env.Values.Get(metadata); ok {
		return nil, fmt.Errorf("%w: a value named %s, which is starsessions' own", envelope.ErrInvalid, metadata)
	}
	about, err := l.join(env.Metadata)
	if err != nil {
		return nil, err
	}
	members := func(yield func(string, []byte) bool) {
		for name, value := range env.Values.All() {
			if !yield(name, value) {
				return
			}
		}
		yield(metadata, about)
	}
	text, err := pyjson.Append(nil, members, field(env.Extra, tagRest))
	if err != nil {
		return nil, err
	}
	if text, err = l.encryptor.seal(text); err != nil {
		return nil, err
	}
	if l.signed {
		dst = signed.AppendTime(dst, env.Sealed)
	}
	return append(dst, text...), nil
}

// join writes the metadata.
func (l *layout) join(md envelope.Metadata) ([]byte, error) {
	when := field(md.Extra, tagCreated)
	if at, err := parseTime(when); when == nil || err != nil || !at.Equal(md.Created.Truncate(time.Millisecond)) {
		when = appendTime(nil, md.Created)
	}
	own := envelope.Metadata{Created: md.Created, Deadline: md.Deadline, Generation: md.Generation, Marks: md.Marks}
	data, err := envelope.Join(nil, envelope.Envelope{Metadata: own})
	if err != nil {
		return nil, err
	}
	text := append([]byte("{"), pyjson.AppendMember(nil, lifetime, strconv.AppendInt(nil, int64(l.lifetime/time.Second), 10))...)
	text = pyjson.AppendMember(text, created, when)
	text = pyjson.AppendMember(text, lastAccess, appendTime(nil, time.Now()))
	for _, tag := range []byte{tagMetadata, tagMetadataRest} {
		if others := field(md.Extra, tag); others != nil {
			text = append(append(text, ", "...), others...)
		}
	}
	text = pyjson.AppendMember(text, bulla, pyjson.AppendString(nil, block.EncodeToString(data)))
	return append(text, '}'), nil
}

// parseTime reads what Python's time.time() returned. What it can't have returned is
// an error: starsessions itself could not go on with most of it.
func parseTime(text []byte) (time.Time, error) {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < 0 || f > math.MaxInt64/1e9 || math.IsNaN(f) {
		return time.Time{}, fmt.Errorf("%w: the session was created at no time", errMetadata)
	}
	return time.UnixMicro(int64(math.Round(f * 1e6))).Truncate(time.Millisecond).UTC(), nil
}

// appendTime writes a time as Python does, to the microsecond.
func appendTime(dst []byte, at time.Time) []byte {
	return strconv.AppendFloat(dst, float64(at.UnixMicro())/1e6, 'f', 6, 64)
}

// with adds a field with a greater tag than those before; none where there is nothing
// in it.
func with(fields []envelope.Field, tag byte, data []byte) []envelope.Field {
	if len(data) == 0 {
		return fields
	}
	at := len(fields)
	for at > 0 && fields[at-1].Tag > tag {
		at--
	}
	fields = append(fields[:at:at], append([]envelope.Field{{Tag: tag, Data: data}}, fields[at:]...)...)
	return fields
}

func field(fields []envelope.Field, tag byte) []byte {
	for _, f := range fields {
		if f.Tag == tag {
			return f.Data
		}
	}
	return nil
}
