package aiohttp

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/interop/internal/pyjson"
	"github.com/bulla-go/bulla/serialize"
)

// A record is
//
//	{"created": 1795267798, "session": {…}, "bulla": "…"}
//
// where created is the time of the last change. The last member is ours: the marks of
// commits, so that no two writes are the same. aiohttp-session drops it.
type layout struct {
	serialize.Serializer
	maxAge time.Duration
}

const (
	created = "created"
	session = "session"
	bulla   = "bulla"
)

// tagRest has the members that no session of ours can have.
const tagRest = 200

var errRecord = errors.New("aiohttpsession: the record is none of aiohttp-session's")

// KeepsMarks implements [envelope.Layout].
func (layout) KeepsMarks() bool { return false }

// Split implements [envelope.Layout].
func (l layout) Split(data []byte) (env envelope.Envelope, err error) {
	o, err := pyjson.Cut(data)
	if err != nil {
		return env, err
	}
	at := time.Unix(0, 0).UTC() // of a record without: with a max_age it is over
	if text := o.Values[created]; text != nil && string(text) != "null" {
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil || math.IsNaN(f) || f < 0 || f > math.MaxInt64/1e9 {
			return env, errRecord
		}
		at = time.Unix(int64(f), 0).UTC()
	}
	text := o.Values[session]
	if text == nil || string(text) == "null" {
		text = []byte("{}")
	}
	inner, err := pyjson.Cut(text)
	if err != nil {
		return env, errRecord
	}
	if env.Values, err = inner.Envelope(); err != nil {
		return envelope.Envelope{}, err
	}
	if len(inner.Rest) > 0 {
		env.Extra = []envelope.Field{{Tag: tagRest, Data: inner.Rest}}
	}
	env.Marks = marks(o.Values[bulla])
	if env.Idle, env.Sealed = l.maxAge, at; l.maxAge == 0 {
		env.Idle = maxLifetime
	}
	// The other machine's clock may be ahead; and without a max_age the time does not
	// count, so that there need not be one.
	if now := time.Now(); at.After(now) || l.maxAge == 0 && at.Unix() == 0 {
		env.Sealed = now.Truncate(time.Millisecond).UTC()
	}
	return env, nil
}

var block = base64.RawURLEncoding.Strict()

// marks reads what Join wrote last. It is there if nobody has changed the session since.
func marks(text []byte) envelope.Marks {
	if len(text) < 2 || text[0] != '"' {
		return nil
	}
	data, err := block.DecodeString(string(text[1 : len(text)-1]))
	if err != nil {
		return nil
	}
	env, err := envelope.Split(data)
	if err != nil {
		return nil
	}
	return env.Marks
}

// Join implements [envelope.Layout].
func (l layout) Join(dst []byte, env envelope.Envelope) ([]byte, error) {
	var rest []byte
	for _, f := range env.Extra {
		if f.Tag == tagRest {
			rest = f.Data
		}
	}
	dst = append(dst, `{"`+created+`": `...)
	dst = strconv.AppendInt(dst, time.Now().Unix(), 10)
	dst = append(dst, `, "`+session+`": `...)
	dst, err := pyjson.Append(dst, env.Values.All(), rest)
	if err != nil {
		return nil, err
	}
	if len(env.Marks) > 0 {
		epoch := time.Unix(0, 0)
		data, err := envelope.Join(nil, envelope.Envelope{Metadata: envelope.Metadata{Created: epoch, Deadline: epoch, Marks: env.Marks}})
		if err != nil {
			return nil, err
		}
		dst = append(dst, `, "`+bulla+`": `...)
		dst = pyjson.AppendString(dst, block.EncodeToString(data))
	}
	return append(dst, '}'), nil
}
