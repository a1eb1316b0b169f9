// Package itsdangerous makes and reads what two classes of Python's itsdangerous
// (2.x) do: TimestampSigner, with which Starlette and starsessions sign their
// cookies, and URLSafeTimedSerializer, with which authx signs its session IDs.
//
// A signed text is
//
//	value "." time "." signature
//
// with the time in Unix seconds and an HMAC-SHA1, both in base64url. What is signed
// is authentic but not secret, and bound to nothing: it is good under every cookie
// name, and in every application, that has the same secret and salt. Sessions of
// your own need none of this; see package cookiestore.
//
// HMAC-SHA1 still holds as a MAC, but is not approved for FIPS 140: under
// GODEBUG=fips140=only the constructors fail.
package itsdangerous
