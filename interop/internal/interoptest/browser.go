package interoptest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
)

// Act does in Go what the applications in Python do: what the query says, in its order.
// "incr" counts a value up, "login" sets the user under a new ID, "logout" ends the
// session, "sleep" waits for some seconds, and "set" takes an object of values. It
// answers all values.
func Act(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(part, "=")
		value, err := url.QueryUnescape(value)
		if err != nil {
			return err
		}
		switch name {
		case "incr":
			_, err = sessions.Key[int](value).Update(s, func(n int) int { return n + 1 })
		case "login":
			if err = s.Regenerate(); err == nil {
				err = sessions.Key[string]("user").Set(s, value)
			}
		case "logout":
			s.Destroy()
		case "sleep":
			d, _ := time.ParseDuration(value + "s")
			time.Sleep(d)
		case "set":
			var all map[string]json.RawMessage
			if err = json.Unmarshal([]byte(value), &all); err != nil {
				return err
			}
			for name, value := range all {
				if err = sessions.Key[json.RawMessage](name).Set(s, value); err != nil {
					return err
				}
			}
		}
		if err != nil {
			return err
		}
	}
	if err := sessions.Commit(r.Context()); err != nil {
		return err
	}
	all := map[string]json.RawMessage{}
	for _, name := range s.Names() {
		value, err := sessions.Key[json.RawMessage](name).Get(s)
		if err != nil {
			value = json.RawMessage(`"not for Go"`)
		}
		all[name] = value
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{"session": all, "remaining": s.Remaining().Seconds()})
}

// Browser has one cookie, of this name, and sends it whatever its attributes.
type Browser struct {
	T      testing.TB
	Name   string
	Cookie string
	Set    *http.Cookie // by the last response, if it did
}

// Answer is what an application answers.
type Answer struct {
	Session   map[string]any
	Metadata  map[string]any
	Remaining float64
	Text      string
}

// readable makes JSON for Go of Python's.
var readable = strings.NewReplacer("NaN", "0", "-Infinity", "0", "Infinity", "0")

// Try asks, and returns the status and the body.
func (b *Browser) Try(base, query string) (int, string) {
	b.T.Helper()
	req, err := http.NewRequest("GET", base+"/?"+query, nil)
	require.NoError(b.T, err)
	if b.Cookie != "" {
		req.Header.Set("Cookie", b.Name+"="+b.Cookie)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.T, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.T, err)
	b.Set = nil
	for _, line := range resp.Header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil || c.Name != b.Name {
			continue
		}
		b.Set = c
		b.Cookie, _, _ = strings.Cut(strings.TrimPrefix(line, b.Name+"="), ";") // quotes and all
		if c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now()) {
			b.Cookie = ""
		}
	}
	return resp.StatusCode, string(body)
}

// Do is Try, where all goes well.
func (b *Browser) Do(base, query string) Answer {
	b.T.Helper()
	code, body := b.Try(base, query)
	require.Equal(b.T, 200, code, "%s", body)
	a := Answer{Text: body}
	require.NoError(b.T, json.Unmarshal([]byte(readable.Replace(body)), &a), body)
	return a
}

// User returns who is logged in.
func (b *Browser) User(base string) any {
	b.T.Helper()
	return b.Do(base, "").Session["user"]
}
