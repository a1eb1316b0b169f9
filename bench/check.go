package main

import (
	"fmt"
	"net/http"
	"strings"
)

// prove makes sure that a contender really does the work: login, read, change,
// read again, and no session for a cookie that is forged or garbage. A benchmark
// of handlers that do nothing is worth nothing.
func prove(name string, open func([]field) *site, fields []field) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: panic: %v", name, p)
		}
	}()
	s, c := open(fields), newClient()
	expect := func(step string, h http.Handler, status int, body string) {
		if err != nil {
			return
		}
		if c.send(h); c.status != status || string(c.body) != body {
			err = fmt.Errorf("%s: %s: got %d %q, want %d %q", name, step, c.status, c.body, status, body)
		}
	}
	expect("read without a cookie", s.read, http.StatusUnauthorized, "")
	expect("login", s.login, http.StatusOK, "ok")
	if c.cookie() == "" {
		return fmt.Errorf("%s: login set no cookie", name)
	}
	expect("untouched", s.untouched, http.StatusOK, "ok")
	expect("read", s.read, http.StatusOK, userValue+" 7")
	expect("read again", s.read, http.StatusOK, userValue+" 7")
	expect("change", s.change, http.StatusOK, userValue+" 8")
	expect("change again", s.change, http.StatusOK, userValue+" 9")
	expect("read after the changes", s.read, http.StatusOK, userValue+" 9")
	if err != nil {
		return err
	}
	good := c.cookie()
	for _, forged := range []string{forge(good), garbage(good)} {
		c.setCookie(forged)
		expect("read with a forged cookie", s.read, http.StatusUnauthorized, "")
		c.setCookie(forged)
		expect("change with a forged cookie", s.change, http.StatusUnauthorized, "")
	}
	c.setCookie(good)
	expect("read after the forgeries", s.read, http.StatusOK, userValue+" 9")
	return err
}

// forge returns a cookie in the form of the one given, with one character of
// what authenticates it changed: well-formed for whoever reads it, and wrong.
func forge(pair string) string {
	name, value := cut(pair)
	b := []byte(value)
	// In securecookie's double base64 only the last tenth is the MAC. Of a token
	// with a payload it is the ID that must be wrong: a cookie cache rightly
	// ignores a copy that does not open. The middle of an ID has no unused bits.
	at := len(b) - len(b)/10
	if head, _, ok := strings.Cut(value, "."); ok || len(b) < 64 {
		at = len(head) / 2
	}
	for _, c := range []byte("ABCDEFGH") {
		if b[at] != c {
			b[at] = c
			break
		}
	}
	return name + "=" + string(b)
}

// garbage returns a cookie of the same name and length that is nobody's.
func garbage(pair string) string {
	name, value := cut(pair)
	return name + "=" + strings.Repeat("garbage!", len(value)/8+1)[:len(value)]
}

func cut(pair string) (name, value string) {
	name, value, _ = strings.Cut(pair, "=")
	return name, value
}
