// Package serialize provides the formats in which a session's values are kept: [JSON],
// which is the default, [Gob] and [CBOR], and with [Func] one of your own.
//
// A value is encoded when it is set and decoded when it is asked for.
package serialize
