package main

import "github.com/gorilla/securecookie"

type secureCookie struct{ *securecookie.SecureCookie }

func (c secureCookie) seal(m map[string]any) (string, error) { return c.Encode("session", m) }

func (c secureCookie) open(value string) (m map[string]any, err error) {
	err = c.Decode("session", value, &m)
	return m, err
}

func secureCookieSite(fields []field, hashKey, blockKey []byte) *site {
	c := securecookie.New(hashKey, blockKey).MaxAge(int(lifetime.Seconds()))
	return mapSite(fields, secureCookie{c.SetSerializer(securecookie.JSONEncoder{})})
}

func secureCookieSigned(fields []field) *site {
	return secureCookieSite(fields, randomBytes(64), nil)
}

func secureCookieEncrypted(fields []field) *site {
	return secureCookieSite(fields, randomBytes(64), randomBytes(32))
}
