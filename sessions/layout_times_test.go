package sessions_test

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
)

// timeless is a layout that has no place for metadata.
type timeless struct{ serialize.Serializer }

func (timeless) KeepsMarks() bool { return false }

func (timeless) Join(dst []byte, env envelope.Envelope) ([]byte, error) {
	for name, data := range env.Values.All() {
		dst = append(dst, byte(len(name)), byte(len(data)))
		dst = append(append(dst, name...), data...)
	}
	return dst, nil
}

func (timeless) Split(data []byte) (env envelope.Envelope, err error) {
	env.Values, err = envelope.NewValues(func(yield func(string, []byte) bool) {
		for len(data) > 0 {
			n, d := int(data[0])+2, int(data[1])
			if !yield(string(data[2:n]), data[n:n+d]) {
				return
			}
			data = data[n+d:]
		}
	})
	return env, err
}

func TestLayoutWithoutTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: time.Hour, Serializer: timeless{serialize.JSON}})
		tok := begin(t, m)
		end := time.Now().Add(time.Hour)
		time.Sleep(10 * time.Minute)
		s := load(t, m, tok)
		require.WithinDuration(t, time.Now(), s.Metadata().Created, 0)
		requireCount(t, m, use(t, m, tok, true), 2)
		requireEndsAt(t, m, tok, end) // the store keeps it
	})
}

// dated is a layout that has a place for one time.
type dated struct {
	timeless
	time func(*envelope.Metadata) *time.Time
}

func (l dated) Join(dst []byte, env envelope.Envelope) ([]byte, error) {
	at := *l.time(&env.Metadata)
	return l.timeless.Join(binary.BigEndian.AppendUint64(dst, uint64(at.UnixMilli())), env)
}

func (l dated) Split(data []byte) (envelope.Envelope, error) {
	env, err := l.timeless.Split(data[8:])
	*l.time(&env.Metadata) = time.UnixMilli(int64(binary.BigEndian.Uint64(data)))
	return env, err
}

// Without a deadline the configuration says when a session ends, also when the
// configuration has become another.
func TestLayoutWithCreatedAlone(t *testing.T) {
	layout := dated{timeless{serialize.JSON}, func(meta *envelope.Metadata) *time.Time { return &meta.Created }}
	for _, rolling := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := sessions.Config{Lifetime: 2 * time.Hour, Serializer: layout, Encryptor: newRing(t)}
			if rolling {
				c.Lifetime, c.Rolling = 3*time.Hour, 2*time.Hour
			}
			st, m := setup(t, c)
			began := time.Now()
			tok := begin(t, m)
			time.Sleep(time.Hour)
			tok = use(t, m, tok, true)
			requireCount(t, m, tok, 2)
			require.Equal(t, began.UnixMilli(), load(t, m, tok).Metadata().Created.UnixMilli())
			end := began.Add(2 * time.Hour)
			if rolling {
				end = began.Add(3 * time.Hour)
			}
			require.Equal(t, end.UnixMilli(), load(t, m, tok).Metadata().Deadline.UnixMilli())

			if c.Lifetime = 90 * time.Minute; rolling {
				c.Rolling = 90 * time.Minute
			}
			shorter, err := sessions.NewManager(st, c)
			require.NoError(t, err)
			requireEndsAt(t, shorter, tok, began.Add(90*time.Minute))
		})
	}
}

// A deadline holds although nothing tells when the session began.
func TestLayoutWithDeadlineAlone(t *testing.T) {
	layout := dated{timeless{serialize.JSON}, func(meta *envelope.Metadata) *time.Time { return &meta.Deadline }}
	synctest.Test(t, func(t *testing.T) {
		_, m := setup(t, sessions.Config{Lifetime: time.Hour, Serializer: layout})
		tok := begin(t, m)
		end := time.Now().Add(time.Hour)
		time.Sleep(30 * time.Minute)
		tok = use(t, m, tok, true)
		require.Equal(t, end.UnixMilli(), load(t, m, tok).Metadata().Deadline.UnixMilli())
		requireEndsAt(t, m, tok, end)
	})
}
