package main

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
)

// The sizes of sessions, in bytes of JSON.
const (
	small = 200
	large = 2000
)

// scenario is one request that all its contenders answer.
type scenario struct {
	name       string
	size       int
	workers    int // goroutines, each with a session of its own; 0 is one
	contenders []contender
	handler    func(*site) http.Handler
	prepare    func(*site, *client) // nil: log in
}

// What a scenario's request asks for.
func read(s *site) http.Handler      { return s.read }
func change(s *site) http.Handler    { return s.change }
func untouched(s *site) http.Handler { return s.untouched }

// What the browser has before it.
func loggedIn(s *site, c *client)    { c.send(s.login) }
func withoutCookie(*site, *client)   {}
func withForged(s *site, c *client)  { c.send(s.login); c.setCookie(forge(c.cookie())) }
func withGarbage(s *site, c *client) { c.send(s.login); c.setCookie(garbage(c.cookie())) }

// The names of Bulla's configurations.
const (
	sealed       = "Bulla, sealed cookie"
	sealedCBOR   = "Bulla, sealed cookie, CBOR"
	signed       = "Bulla, signed cookie"
	memory       = "Bulla, memory"
	memorySigned = "Bulla, memory, signed IDs"
)

// The names of the others.
const (
	scsGobName     = "scs, memory, gob"
	scsJSONName    = "scs, memory, JSON"
	gorillaEncName = "gorilla/sessions, encrypted"
)

func signedContenders() []contender {
	return []contender{
		{signed, bullaSigned},
		{"gorilla/sessions, signed", gorillaSigned},
		{"securecookie, signed, JSON", secureCookieSigned},
		{floor, floorSigned},
	}
}

func encryptedContenders() []contender {
	return []contender{
		{sealed, bullaSealed},
		{gorillaEncName, gorillaEncrypted},
		{"securecookie, encrypted, JSON", secureCookieEncrypted},
		{"fernet-go, JSON", fernetSite},
		{floor, floorEncrypted},
	}
}

// largeContenders are those that can hold the large session in a cookie:
// gorilla/sessions, with gob and two turns of base64, makes more than 4096
// characters of it.
func largeContenders() []contender {
	return slices.DeleteFunc(encryptedContenders(), func(c contender) bool { return c.name == gorillaEncName })
}

func memoryContenders() []contender {
	return []contender{
		{memory, bullaMemory},
		{scsGobName, scsMemory(nil)},
		{scsJSONName, scsMemory(scsJSON{})},
	}
}

func memoryForgers() []contender {
	return append([]contender{{memorySigned, bullaMemorySignedIDs}}, memoryContenders()...)
}

func untouchedContenders() []contender {
	return append([]contender{{sealed, bullaSealed}}, memoryContenders()...)
}

// scenarios are those that need nothing but this process.
func scenarios() []scenario {
	cores := runtime.GOMAXPROCS(0)
	return []scenario{
		{name: "signed read, 200 B", size: small, contenders: signedContenders(), handler: read},
		{name: "encrypted read, 200 B", size: small, contenders: encryptedContenders(), handler: read},
		{name: "encrypted read, 2 KB", size: large, contenders: largeContenders(), handler: read},
		{name: "encrypted read-change-write, 200 B", size: small, contenders: encryptedContenders(), handler: change},
		{name: "encrypted read-change-write, 2 KB", size: large, contenders: largeContenders(), handler: change},
		{name: "memory read, 200 B", size: small, contenders: memoryContenders(), handler: read},
		{name: "memory read, 200 B, parallel", size: small, workers: cores, contenders: memoryContenders(), handler: read},
		{name: "memory change, 200 B", size: small, contenders: memoryContenders(), handler: change},
		{name: "memory change, 200 B, parallel", size: small, workers: cores, contenders: memoryContenders(), handler: change},
		{name: "no cookie, untouched", size: small, contenders: untouchedContenders(), handler: untouched, prepare: withoutCookie},
		{name: "valid cookie, untouched", size: small, contenders: untouchedContenders(), handler: untouched},
		{name: "forged cookie, session in the cookie", size: small, contenders: encryptedContenders(), handler: read, prepare: withForged},
		{name: "forged cookie, session in memory", size: small, contenders: memoryForgers(), handler: read, prepare: withForged},
		{name: "garbage cookie, session in the cookie", size: small, contenders: encryptedContenders(), handler: read, prepare: withGarbage},
		{name: "garbage cookie, session in memory", size: small, contenders: memoryForgers(), handler: read, prepare: withGarbage},
	}
}

// row is one contender's result in a scenario.
type row struct {
	sample
	storeCalls float64 // per request; negative where there is no store to ask
}

// run proves the contenders and measures them.
func (sc scenario) run(e effort) ([]row, error) {
	fields := content(sc.size)
	var subjects []subject
	var sites []*site
	for _, c := range sc.contenders {
		if err := prove(c.name, c.open, fields); err != nil {
			return nil, fmt.Errorf("%s: %w", sc.name, err)
		}
		s := c.open(fields)
		sites = append(sites, s)
		subjects = append(subjects, sc.subject(c.name, s))
	}
	rows := make([]row, len(subjects))
	for i, m := range measure(e, subjects) {
		rows[i] = row{m, storeCalls(sites[i], subjects[i])}
	}
	return rows, nil
}

// subject prepares a browser for each worker.
func (sc scenario) subject(name string, s *site) subject {
	prepare, h := sc.prepare, sc.handler(s)
	if prepare == nil {
		prepare = loggedIn
	}
	sub := subject{name: name}
	for range max(1, sc.workers) {
		c := newClient()
		prepare(s, c)
		sub.workers = append(sub.workers, func(n int) {
			for range n {
				c.send(h)
			}
		})
	}
	return sub
}

func storeCalls(s *site, sub subject) float64 {
	if s.calls == nil {
		return -1
	}
	const n = 10
	s.calls.on.Store(true)
	defer s.calls.on.Store(false)
	before := s.calls.n.Load()
	sub.workers[0](n)
	return float64(s.calls.n.Load()-before) / n
}
