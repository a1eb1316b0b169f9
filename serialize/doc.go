// Package serialize is the room where values become bytes: the [Serializer]
// contract with JSON, Gob and CBOR, and the envelope that holds a session's
// encoded values and its metadata.
//
// A value is encoded when it is set and decoded when it is asked for. The
// [Envelope] around the encoded values is the same for every Serializer; it
// splits and joins without looking into them. docs/format.md gives it byte by
// byte. The package knows nothing of keys, stores or HTTP.
package serialize
