package serialize

// Serializer turns one value into bytes and back.
//
// Rules:
//
//  1. Marshal is given a pointer to the value, Unmarshal a pointer to a zero
//     value of the same type.
//  2. What Marshal returned, Unmarshal reads back as an equal value, or Marshal
//     or Unmarshal fails. The result shares no memory with data.
//  3. Neither panics, whatever the value or the bytes. Unmarshal may be given
//     bytes that were encoded from a value of another type.
//  4. Neither keeps a reference to its arguments. Both are safe for concurrent
//     use.
type Serializer interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}
