// Package envelope gives a session's record its bytes: the metadata, and the
// encoded values behind it. It splits and joins without looking into a value.
// docs/format.md gives the format byte by byte.
package envelope
