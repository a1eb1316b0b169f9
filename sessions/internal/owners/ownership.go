package owners

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Ownership is what a record says of its owner. It is sealed with the record.
type Ownership struct {
	User     string
	filed    string     // the ID of the key under whose hash it is filed
	number   uint64     // of its entry
	epoch    uint64     // in which its login began
	external External   // by which somebody else may end it; zero: none
	replaced []replaced // the keys that it had as this owner's, while their stubs live
}

type replaced struct {
	key stores.Key
	at  int64 // Unix seconds
}

// External is what another system calls a session, and ends it by: of an OpenID Connect
// provider the issuer and its sid.
type External struct{ Issuer, ID string }

// IsZero tells whether there is none.
func (x External) IsZero() bool { return x == External{} }

// External returns what another system calls the session.
func (w Ownership) External() External { return w.external }

// Text is what is hashed, and what a record keeps: the issuer behind its
// length, and the ID.
func (x External) Text() []byte {
	return append(append(binary.AppendUvarint(nil, uint64(len(x.Issuer))), x.Issuer...), x.ID...)
}

func parseExternal(text []byte) (x External, ok bool) {
	size, n := binary.Uvarint(text)
	if n <= 0 || size > uint64(len(text)-n) {
		return External{}, false
	}
	text = text[n:]
	return External{Issuer: string(text[:size]), ID: string(text[size:])}, true
}

// ParseOwnership reads what String wrote.
func ParseOwnership(text string) (w Ownership, ok bool) {
	if text == "" { // as in every session without an owner
		return Ownership{}, false
	}
	head, user, ok := strings.Cut(text, "\x00")
	if !ok {
		return Ownership{}, false
	}
	fields := strings.Fields(head)
	if len(fields) < 3 {
		return Ownership{}, false
	}
	w = Ownership{User: user, filed: fields[0]}
	// Not by fmt, for which w would be allocated, also where there is no owner.
	var err, err2 error
	w.number, err = strconv.ParseUint(fields[1], 10, 64)
	if w.epoch, err2 = strconv.ParseUint(fields[2], 10, 64); err != nil || err2 != nil {
		return Ownership{}, false
	}
	for _, f := range fields[3:] {
		if text, ok := strings.CutPrefix(f, "+"); ok {
			data, err := base64.RawURLEncoding.Strict().DecodeString(text)
			if err != nil {
				return Ownership{}, false
			}
			if w.external, ok = parseExternal(data); !ok {
				return Ownership{}, false
			}
			continue
		}
		name, at, _ := strings.Cut(f, "@")
		r := replaced{}
		var err error
		if r.key, err = stores.ParseKey(name); err != nil {
			return Ownership{}, false
		}
		if r.at, err = strconv.ParseInt(at, 10, 64); err != nil {
			return Ownership{}, false
		}
		w.replaced = append(w.replaced, r)
	}
	return w, true
}

// String returns the text that a record keeps: key, number, epoch, the external ID, the
// replaced keys, a zero byte, and the user's ID.
func (w Ownership) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %d", w.filed, w.number, w.epoch)
	if x := w.external; !x.IsZero() {
		b.WriteString(" +" + base64.RawURLEncoding.EncodeToString(x.Text()))
	}
	for _, r := range w.replaced {
		fmt.Fprintf(&b, " %s@%d", r.key.Name(), r.at)
	}
	b.WriteByte(0)
	b.WriteString(w.User)
	return b.String()
}

// Unlisted is what a record says whose owner no index lists.
func Unlisted(user, filed string, x External) Ownership {
	return Ownership{User: user, filed: filed, external: x}
}

// Number tells the session from all others of its owner, whatever its ID.
func (w Ownership) Number() uint64 { return w.number }

// maxReplaced bounds how long a record gets by changes of the ID: of that many within a
// stub's life nobody keeps a handle.
const maxReplaced = 16

// replaces returns the replaced keys of a session that gives up key now.
func (w Ownership) replaces(key stores.Key, stubLife time.Duration) []replaced {
	oldest := time.Now().Add(-stubLife).Unix()
	all := slices.DeleteFunc(slices.Clone(w.replaced), func(r replaced) bool { return r.at < oldest })
	all = append(all, replaced{key, time.Now().Unix()})
	return all[max(0, len(all)-maxReplaced):]
}

// InEpoch returns w as of epoch n, or of the later one that it knows already.
func (w Ownership) InEpoch(n uint64) Ownership {
	w.epoch = max(w.epoch, n)
	return w
}
