// Package encrypt is the room where plain bytes become sealed bytes: the
// [Encryptor] contract, keys and key rings.
//
// What is sealed is bound to what it belongs to. Every call takes a binding, and
// the key in use is derived from the configured key and that binding, so sealed
// bytes that were moved elsewhere do not open. The package knows nothing of
// sessions, stores or HTTP.
//
// [NewAESGCM] makes the Encryptor to take unless something speaks for another
// one. [FernetTokens] is apart from all this: it reads and writes the tokens of
// the public Fernet specification, for other systems.
package encrypt
