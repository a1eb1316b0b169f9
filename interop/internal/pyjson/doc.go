// Package pyjson cuts a JSON object, as Python's json.dumps writes one, into its
// members, and joins it again, without decoding a value. So what Go's encoding/json
// can't hold (NaN and Infinity, numbers of any size, lone surrogates) is written back as it
// was read.
package pyjson
