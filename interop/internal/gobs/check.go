package gobs

import (
	"errors"
	"math/bits"
)

var (
	errCorrupt  = errors.New("not a gob")
	errCount    = errors.New("a gob that counts more than it holds")
	errDeep     = errors.New("a gob nested too deeply")
	errTrailing = errors.New("a gob with something after it")
)

// maxDepth bounds how deep values lie in one another, and so the stack.
const maxDepth = 200

// The types that every gob knows (encoding/gob, "Encoding Details").
const (
	boolType = 1 + iota
	intType
	uintType
	floatType
	bytesType
	stringType
	complexType
	interfaceType
)

// What a type is made of.
type kind int

const (
	arrayKind kind = iota
	sliceKind
	structKind
	mapKind
	opaqueKind // encodes itself, into bytes
)

type wireType struct {
	kind      kind
	key, elem int64
	length    int64
	fields    []int64
}

// walker goes through a gob as encoding/gob's Decoder does, and builds nothing.
type walker struct {
	rest  []byte // of the message
	more  []byte // messages after it
	types map[int64]*wireType
	depth int
}

// Check tells whether data is one gob whose counts its length can bear. It says nothing
// about the types that a program has for it.
func Check(data []byte) (err error) {
	w := &walker{more: data, types: make(map[int64]*wireType)}
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(walkError)
			if !ok {
				panic(p)
			}
			err = e.error
		}
	}()
	id := w.typeSequence(false)
	w.value(id)
	if len(w.rest)+len(w.more) > 0 {
		return errTrailing
	}
	return nil
}

type walkError struct{ error }

func fail(err error) { panic(walkError{err}) }

// message goes on to the next message.
func (w *walker) message() {
	w.rest = w.more
	n := w.count()
	w.rest, w.more = w.rest[:n], w.rest[n:]
}

// typeSequence reads definitions of types, up to the type of a value.
func (w *walker) typeSequence(within bool) int64 {
	for {
		if len(w.rest) == 0 {
			w.message()
		}
		id := w.int()
		if id >= 0 {
			return id
		}
		w.define(-id)
		if len(w.rest) > 0 {
			if !within {
				fail(errCorrupt)
			}
			w.uint()
		}
	}
}

func (w *walker) uint() uint64 {
	if len(w.rest) == 0 {
		fail(errCorrupt)
	}
	first := w.rest[0]
	w.rest = w.rest[1:]
	if first < 0x80 {
		return uint64(first)
	}
	n := -int(int8(first))
	if n > 8 || n > len(w.rest) {
		fail(errCorrupt)
	}
	var v uint64
	for _, b := range w.rest[:n] {
		v = v<<8 | uint64(b)
	}
	w.rest = w.rest[n:]
	return v
}

func (w *walker) int() int64 {
	v := w.uint()
	if v&1 != 0 {
		return ^int64(v >> 1)
	}
	return int64(v >> 1)
}

// count reads the number of things of which each takes a byte at least.
func (w *walker) count() int {
	n := w.uint()
	if n > uint64(len(w.rest)) {
		fail(errCount)
	}
	return int(n)
}

func (w *walker) skip() {
	n := w.count()
	w.rest = w.rest[n:]
}

// structure reads the fields of a struct, each by read.
func (w *walker) structure(read func(field int)) {
	field := -1
	for {
		delta := w.uint()
		if delta == 0 {
			return
		}
		if delta > uint64(1<<(bits.UintSize-2)) || field > 1<<20 {
			fail(errCorrupt)
		}
		field += int(delta)
		read(field)
	}
}

// define reads the definition of a type: the struct that encoding/gob calls wireType.
func (w *walker) define(id int64) {
	if w.types[id] != nil || id <= interfaceType {
		fail(errCorrupt)
	}
	t := &wireType{kind: -1}
	w.structure(func(field int) {
		if field > 6 || t.kind >= 0 {
			fail(errCorrupt)
		}
		t.kind = min(kind(field), opaqueKind)
		w.structure(func(field int) {
			switch {
			case field == 0:
				w.structure(func(field int) { // its name and number
					switch field {
					case 0:
						w.skip()
					case 1:
						w.int()
					default:
						fail(errCorrupt)
					}
				})
			case field == 1 && t.kind == structKind:
				t.fields = make([]int64, w.count())
				for i := range t.fields {
					w.structure(func(field int) {
						switch field {
						case 0:
							w.skip()
						case 1:
							t.fields[i] = w.int()
						default:
							fail(errCorrupt)
						}
					})
				}
			case field == 1 && t.kind == mapKind:
				t.key = w.int()
			case field == 2 && t.kind == mapKind, field == 1 && (t.kind == arrayKind || t.kind == sliceKind):
				t.elem = w.int()
			case field == 2 && t.kind == arrayKind:
				t.length = w.int()
			default:
				fail(errCorrupt)
			}
		})
	})
	if t.kind < 0 {
		fail(errCorrupt)
	}
	w.types[id] = t
}

// value goes through a value that stands alone.
func (w *walker) value(id int64) {
	if t := w.types[id]; t == nil || t.kind != structKind {
		if w.uint() != 0 {
			fail(errCorrupt)
		}
	}
	w.part(id)
}

// part goes through a value in another.
func (w *walker) part(id int64) {
	if w.depth++; w.depth > maxDepth {
		fail(errDeep)
	}
	defer func() { w.depth-- }()
	switch id {
	case boolType, uintType, floatType:
		w.uint()
		return
	case intType:
		w.int()
		return
	case complexType:
		w.uint()
		w.uint()
		return
	case bytesType, stringType:
		w.skip()
		return
	case interfaceType:
		w.dynamic()
		return
	}
	t := w.types[id]
	if t == nil {
		fail(errCorrupt)
	}
	switch t.kind {
	case arrayKind, sliceKind:
		n := w.count()
		if t.kind == arrayKind && int64(n) != t.length {
			fail(errCorrupt)
		}
		for range n {
			w.part(t.elem)
		}
	case mapKind:
		for range w.count() {
			w.part(t.key)
			w.part(t.elem)
		}
	case structKind:
		w.structure(func(field int) {
			if field >= len(t.fields) {
				fail(errCorrupt)
			}
			w.part(t.fields[field])
		})
	case opaqueKind:
		w.skip()
	}
}

// dynamic goes through an interface's value: the name of its type, its type, its length.
func (w *walker) dynamic() {
	name := w.count()
	w.rest = w.rest[name:]
	if name == 0 {
		return // nil
	}
	id := w.typeSequence(true)
	w.uint()
	w.value(id)
}
