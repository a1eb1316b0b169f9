package revoked

import "github.com/bulla-go/bulla/stores"

// Epochs is what a session has sealed of the numbers in the list.
//
//	epochs = number group*     everybody's; none at all is 0
//	group  = key number        such as its owner's
type Epochs struct {
	Everybody uint64
	Groups    []Group
}

// Group is a set of sessions that end together.
type Group struct {
	Key    stores.Key
	Number uint64
}

const groupSize = keySize + numberSize

// Bytes returns what a record keeps.
func (e Epochs) Bytes() []byte {
	b := appendNumber(make([]byte, 0, numberSize+len(e.Groups)*groupSize), e.Everybody)
	for _, g := range e.Groups {
		hash := g.Key.Hash()
		b = appendNumber(append(b, hash[:]...), g.Number)
	}
	return b
}

// ParseEpochs reads what Bytes wrote. Bytes of another form are no epochs, and their
// session ends with the next raise of everybody's.
func ParseEpochs(text []byte) (e Epochs) {
	if !wellFormed(text) {
		return e
	}
	e.Everybody = number(text)
	for text = text[numberSize:]; len(text) > 0; text = text[groupSize:] {
		e.Groups = append(e.Groups, Group{key(text), number(text[keySize:])})
	}
	return e
}

func wellFormed(text []byte) bool {
	return len(text) >= numberSize && (len(text)-numberSize)%groupSize == 0
}
