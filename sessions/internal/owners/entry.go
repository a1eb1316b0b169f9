package owners

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/record"
	"github.com/bulla-go/bulla/stores"
)

// content is what an entry shows of its session. It is sealed, as an envelope
// without values.
type content struct {
	Label    string
	Created  time.Time
	Deadline time.Time
	Idle     time.Duration // that holds for the session; 0: none
	LoggedIn time.Time     // as the envelope's Sealed
	epochs   []byte        // that the session has seen
	replaced []replaced    // as its field 255: keys of 24 bytes with 8 bytes of Unix seconds each
}

const (
	tagReplaced  = 255
	replacedSize = 24 + 8
)

func (o *Owners) binding(owner stores.Key) []byte {
	h := owner.Hash()
	return append(append(slices.Clone(o.label), byte(len(h))), h[:]...)
}

func (o *Owners) sealEntry(owner stores.Key, c content) ([]byte, error) {
	env := envelope.Envelope{Metadata: envelope.Metadata{
		Created: c.Created, Deadline: c.Deadline, Label: c.Label, Idle: c.Idle, Sealed: c.LoggedIn, Epochs: c.epochs,
	}}
	if len(c.replaced) > 0 {
		var data []byte
		for _, r := range c.replaced {
			h := r.key.Hash()
			data = binary.BigEndian.AppendUint64(append(data, h[:]...), uint64(r.at))
		}
		env.Extra = []envelope.Field{{Tag: tagReplaced, Data: data}}
	}
	plain, err := envelope.Join(nil, env)
	if err != nil {
		return nil, err
	}
	bound, err := o.Engine.Sealer.BindTo(o.binding(owner))
	if err != nil || bound == nil {
		return plain, err
	}
	return bound.Seal(plain)
}

func (o *Owners) openEntry(owner stores.Key, data []byte) (c content, err error) {
	bound, err := o.Engine.Sealer.BindTo(o.binding(owner))
	if err != nil {
		return c, err
	}
	if bound != nil {
		if data, err = bound.Open(data); err != nil {
			return c, fmt.Errorf("%w: %w", record.ErrUnreadable, err)
		}
	}
	env, err := envelope.Split(data)
	if err != nil {
		return c, fmt.Errorf("%w: %w", record.ErrUnreadable, err)
	}
	c = content{Label: env.Label, Created: env.Created, Deadline: env.Deadline, Idle: env.Idle, LoggedIn: env.Sealed, epochs: env.Epochs}
	for _, f := range env.Extra {
		if f.Tag != tagReplaced || len(f.Data)%replacedSize != 0 {
			continue
		}
		for one := range slices.Chunk(f.Data, replacedSize) {
			c.replaced = append(c.replaced, replaced{stores.NewKey([24]byte(one)), int64(binary.BigEndian.Uint64(one[24:]))})
		}
	}
	return c, nil
}
