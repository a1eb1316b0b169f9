package pyjson

import (
	"errors"
	"unicode/utf8"
)

// ErrSyntax: the text is none that Python's json.loads would read, or it is nested
// deeper than Python goes. Its text says nothing of the content.
var ErrSyntax = errors.New("pyjson: not a JSON object")

// maxDepth is about how deep Python's own reader goes (sys.getrecursionlimit).
const maxDepth = 1000

// scanner reads a text that is UTF-8.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next tells whether c comes next, and skips it.
func (s *scanner) next(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// word skips a word.
func (s *scanner) word(w string) bool {
	if len(s.text)-s.at >= len(w) && string(s.text[s.at:s.at+len(w)]) == w {
		s.at += len(w)
		return true
	}
	return false
}

// value skips one value. open are the brackets that are open, in a slice and not on
// the stack: what a store has may be nested by an enemy.
func (s *scanner) value() bool {
	var open []byte
	for {
		s.space()
		switch {
		case s.next('['):
			if s.space(); !s.next(']') {
				if open = append(open, ']'); len(open) > maxDepth {
					return false
				}
				continue
			}
		case s.next('{'):
			if s.space(); !s.next('}') {
				if open = append(open, '}'); len(open) > maxDepth || !s.name() {
					return false
				}
				continue
			}
		case !s.scalar():
			return false
		}
		for { // after a value
			if len(open) == 0 {
				return true
			}
			s.space()
			last := open[len(open)-1]
			if s.next(last) {
				open = open[:len(open)-1]
				continue
			}
			if !s.next(',') || last == '}' && !s.name() {
				return false
			}
			break
		}
	}
}

// name skips a name and its colon.
func (s *scanner) name() bool {
	s.space()
	if !s.str() {
		return false
	}
	s.space()
	return s.next(':')
}

func (s *scanner) scalar() bool {
	if s.at == len(s.text) {
		return false
	}
	switch s.text[s.at] {
	case '"':
		return s.str()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	case 'N':
		return s.word("NaN")
	case 'I':
		return s.word("Infinity")
	}
	if s.next('-') && s.word("Infinity") {
		return true
	}
	return s.number()
}

// number skips a number; its sign has been skipped.
func (s *scanner) number() bool {
	if !s.next('0') && !s.digits() {
		return false
	}
	if s.next('.') && !s.digits() {
		return false
	}
	if s.next('e') || s.next('E') {
		if !s.next('+') {
			s.next('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// str skips a string.
func (s *scanner) str() bool {
	if !s.next('"') {
		return false
	}
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == '"':
			return true
		case c < ' ':
			return false
		case c != '\\':
			continue
		case s.at == len(s.text):
			return false
		}
		c = s.text[s.at]
		s.at++
		switch c {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if _, ok := hex4(s.text[s.at:]); !ok {
				return false
			}
			s.at += 4
		default:
			return false
		}
	}
	return false
}

// hex4 returns the number of four hexadecimal digits.
func hex4(text []byte) (r rune, ok bool) {
	if len(text) < 4 {
		return 0, false
	}
	for _, c := range text[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// decodeName returns the text of a string with its quotes, and false where it has a
// surrogate without its other half, which no UTF-8 can hold.
func decodeName(raw []byte) (name string, ok bool) {
	raw = raw[1 : len(raw)-1]
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		if raw[0] != '\\' {
			out, raw = append(out, raw[0]), raw[1:]
			continue
		}
		c := raw[1]
		raw = raw[2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(raw)
			raw = raw[4:]
			if r >= 0xdc00 && r < 0xe000 {
				return "", false
			}
			if r >= 0xd800 && r < 0xdc00 {
				if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
					return "", false
				}
				low, _ := hex4(raw[2:])
				if low < 0xdc00 || low >= 0xe000 {
					return "", false
				}
				raw = raw[6:]
				r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		out = append(out, c)
	}
	return string(out), true
}
