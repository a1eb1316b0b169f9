package storetest

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/bulla-go/bulla/stores"
)

// clientChecks are for records that the client holds. Their expiry is the
// manager's; the rules with a c do not hold.
var clientChecks = []check{
	{"ClientHolder", func(s *subject) {
		holder, ok := s.store.(stores.ClientHolder)
		if !ok {
			s.Fatalf("ClientHolder: the store puts records into the token, but does not implement stores.ClientHolder")
		}
		tok := s.token()
		if !holder.ClientHolds(tok, "", 100, s.cfg.ClientRoom) {
			s.Errorf("ClientHolder: ClientHolds is false for a record of 100 bytes with room for %d characters", s.cfg.ClientRoom)
		}
		tok, _ = s.save(tok, "", strings.Repeat("x", 100))
		if !holder.ClientHolds(tok, "", 100, s.cfg.ClientRoom) {
			s.Errorf("ClientHolder: ClientHolds is false for a record that the client holds already")
		}
	}},
	{"client save and load", func(s *subject) {
		tok := s.token()
		for _, data := range []string{"one", "two", "a longer three"} {
			var rev stores.Revision
			tok, rev = s.save(tok, "", data)
			if rev != "" {
				s.Errorf("Store: Save returned the Revision %q for a record that the client holds", rev)
			}
			s.holds(6, "after Save", tok, data, "")
			if s.load(tok).Stale {
				s.Errorf("Record: a record that was saved just now is Stale")
			}
		}
	}},
	{"client payload is in the grammar", func(s *subject) {
		for n := 1; n < 20; n++ { // every remainder that base64 can have, once and twice encoded
			tok, _ := s.save(s.token(), "", strings.Repeat("x", n))
			got, _, err := stores.ParseToken(tok.Value(nil))
			if err != nil || got.Payload != tok.Payload {
				s.Fatalf("ParseToken: does not read the token that Save returned: %s", text(err))
			}
			if _, err := tok.DecodePayload(); err != nil {
				s.Errorf("Token: the payload that Save returned has not the form of one: %v", err)
			}
		}
	}},
	{"client load without payload", func(s *subject) {
		s.missing(3, "a token with no payload", s.token())
	}},
	{"client changed payload", func(s *subject) {
		// Sizes for every remainder of base64, once and twice encoded.
		for _, size := range []int{29, 33, 34} {
			s.changedPayload(strings.Repeat("x", size))
		}
	}},
	{"client payload elsewhere", func(s *subject) {
		// A store that does not authenticate leaves this to the encryptor,
		// whose binding covers the same.
		if !s.authenticates() {
			return
		}
		tok, _ := s.save(s.token(), "", "one")
		elsewhere := map[string]stores.Token{
			"under another ID":          s.token(),
			"under another cookie name": bind(tok.ID, "other"),
			"without a binding":         {ID: tok.ID},
		}
		for where, other := range elsewhere {
			other.Payload = tok.Payload
			if _, err := s.store.Load(s.ctx, other); !errors.Is(err, stores.ErrTampered) {
				s.Errorf("SealNever: Load of a payload %s: got error %q, want ErrTampered", where, text(err))
			}
		}
		unbound := stores.Token{ID: stores.NewID()}
		if got, _, err := s.store.Save(s.ctx, unbound, s.record("one", "")); err == nil || got.Payload != "" {
			s.Errorf("SealNever: Save signed a record that is bound to nothing")
		}
	}},
	{"client record too large", func(s *subject) {
		tok := s.token()
		saved, _ := s.save(tok, "", strings.Repeat("x", 100))
		rec := s.record(strings.Repeat("x", 100), "")
		rec.Room = len(saved.Payload)
		if got, _ := s.saveRecord(tok, rec); len(got.Payload) > rec.Room {
			s.Errorf("Record: a payload of %d characters, but Room is %d", len(got.Payload), rec.Room)
		}
		for _, room := range []int{len(saved.Payload) - 1, 1, 0} {
			if h, ok := s.store.(stores.ClientHolder); !ok || !h.ClientHolds(tok, "", len(rec.Data), room) {
				continue // it goes to a server
			}
			rec.Room = room
			got, _, err := s.store.Save(s.ctx, tok, rec)
			if got.Payload != "" {
				s.Errorf("Record: Save returned a payload of %d characters, but Room is %d", len(got.Payload), room)
			}
			if !errors.Is(err, stores.ErrTooLarge) {
				s.Errorf("Record: Save with too little Room: got error %q, want ErrTooLarge", text(err))
				continue
			}
			for _, size := range []int{len(saved.Payload), room} {
				if !strings.Contains(err.Error(), strconv.Itoa(size)) {
					s.Errorf("Record: the error %q does not name the size %d", err, size)
				}
			}
		}
	}},
	{"client invalid expiry", func(s *subject) {
		s.refusesExpires(s.token(), "")
	}},
	{"client delete", func(s *subject) {
		tok, _ := s.save(s.token(), "", "one")
		for range 2 {
			if err := s.store.Delete(s.ctx, tok, ""); err != nil {
				s.Errorf("rule 4: Delete: %v", err)
			}
		}
	}},
	{"client ended context", func(s *subject) {
		tok, _ := s.save(s.token(), "", "one")
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		rec, err := s.store.Load(ctx, tok)
		if err == nil && !bytes.Equal(rec.Data, []byte("one")) || err != nil && !errors.Is(err, context.Canceled) {
			s.Errorf("rule 3: Load with an ended context: got error %q, want none or %q", text(err), context.Canceled)
		}
	}},
}

// changedPayload tests that no other payload loads as this data, and where the
// store authenticates, that no other payload loads at all.
func (s *subject) changedPayload(data string) {
	s.Helper()
	tok, _ := s.save(s.token(), "", data)
	for what, payload := range changed(tok.Payload) {
		tok := tok
		tok.Payload = payload
		rec, err := s.store.Load(s.ctx, tok)
		switch {
		case err == nil && string(rec.Data) == data:
			// Two texts for one token: one of them is not canonical.
			s.Errorf("Token: a payload with %s loads as if it had not been changed", what)
		case err == nil && s.authenticates():
			s.Errorf("SealNever: a payload with %s loads", what)
		case err != nil && !errors.Is(err, stores.ErrTampered) && !errors.Is(err, stores.ErrMalformed):
			s.Errorf("Store: Load of a payload with %s: got error %q, want ErrTampered or ErrMalformed", what, err)
		}
	}
}

// authenticates tells whether the store itself must notice a change.
func (s *subject) authenticates() bool {
	return stores.Describe(s.store).Sealing == stores.SealNever
}

// changed returns changes of payload under descriptions of them.
func changed(payload string) map[string]string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	all := map[string]string{
		"padding":             payload + "=",
		"double padding":      payload + "==",
		"a character more":    payload + "A",
		"4 characters more":   payload + "AAAA",
		"itself again":        payload + payload,
		"a dot":               payload + ".",
		"a line end":          payload + "\n",
		"a line end inside":   payload[:5] + "\r\n" + payload[5:],
		"a space":             " " + payload,
		"a foreign character": payload[:5] + "é" + payload[6:],
		"a zero byte":         payload + "\x00",
	}
	for i := range payload {
		where := " at " + strconv.Itoa(i)
		for _, c := range alphabet + "+/=" {
			if byte(c) != payload[i] {
				all[string(c)+where] = payload[:i] + string(c) + payload[i+1:]
			}
		}
		if i > 0 {
			all["its end cut off"+where] = payload[:i]
		}
	}
	return all
}
