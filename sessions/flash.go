package sessions

import "math/rand/v2"

// Flash names a list of messages that are shown once, on the next page:
//
//	const notices = sessions.Flash[string]("notices")
//
// Messages that other requests add at the same time are kept; a message that
// two requests pop at the same time may be shown by both.
type Flash[T any] string

// message carries a number so that Pop can tell the messages that it returned
// from equal ones that came later. It is no secret and need only differ within
// one list.
type message[T any] struct {
	N uint32 `json:"n"`
	V T      `json:"v"`
}

// Add appends a message.
func (f Flash[T]) Add(s *Session, v T) error {
	m := message[T]{rand.Uint32(), v}
	_, err := Key[[]message[T]](f).Update(s, func(list []message[T]) []message[T] { return append(list, m) })
	return err
}

// Pop returns the messages in the order in which they were added, and removes
// them; nil where there are none.
func (f Flash[T]) Pop(s *Session) ([]T, error) {
	key := Key[[]message[T]](f)
	list, err := key.GetOr(s, nil)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var all []T
	seen := make(map[uint32]bool, len(list))
	for _, m := range list {
		all = append(all, m.V)
		seen[m.N] = true
	}
	err = s.apply(string(f), func(old []byte, ok bool) ([]byte, bool, error) {
		if !ok {
			return nil, false, nil
		}
		var list []message[T]
		if err := key.decode(s, old, &list); err != nil {
			return nil, false, err
		}
		var rest []message[T]
		for _, m := range list {
			if !seen[m.N] {
				rest = append(rest, m)
			}
		}
		if len(rest) == 0 {
			return nil, false, nil
		}
		data, err := key.encode(s, &rest)
		return data, true, err
	})
	return all, err
}

// Delete removes all messages, also those that do not decode ([ErrDecode]).
func (f Flash[T]) Delete(s *Session) error { return Key[T](f).Delete(s) }
