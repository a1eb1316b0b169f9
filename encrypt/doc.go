// Package encrypt seals bytes so that nobody else reads or changes them, under keys
// that can be replaced while what they sealed still opens.
//
// [GenerateKey] and [ParseKey] make a [Key], and [NewAESGCM] the [Encryptor] to
// take unless something speaks for another one. The first key of its list seals,
// all of them open.
//
// What is sealed is bound to what it belongs to. Every call takes a binding, and
// the key in use is derived from the configured key and that binding, so sealed
// bytes that were moved elsewhere do not open. The package knows nothing of
// sessions, stores or HTTP.
//
// Package encrypttest proves an Encryptor of your own; package fernet is apart from
// all this, and exchanges tokens with other systems.
package encrypt
