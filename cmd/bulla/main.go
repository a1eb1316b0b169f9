// Bulla is a tool for the person on call:
//
//	bulla keygen                      prints a new key
//	bulla inspect [flags] < cookie    opens a cookie and prints the session in it
//	bulla inspect -record FILE < cookie
//
// Inspect reads the keys from the environment variable BULLA_KEY, separated by
// white space, and the cookie from standard input: as a value, as name=value, or
// as a whole Cookie header. Neither belongs on a command line, which every
// process of the machine can read. It prints the plain session to standard
// output, metadata first. Where the store's record is a stub, it says what became
// of the session.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fxamacker/cbor/v2"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/inspect"
	"github.com/bulla-go/bulla/stores/cookiestore"
)

const usage = `usage:
  bulla keygen
  bulla inspect [-name COOKIE] [-audience NAME] [-record FILE] < cookie

keys are read from BULLA_KEY, separated by white space`

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Getenv("BULLA_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, "bulla:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer, keys string) error {
	switch {
	case len(args) == 1 && args[0] == "keygen":
		_, err := fmt.Fprintln(stdout, encrypt.GenerateKey().ExportSecret())
		return err
	case len(args) > 0 && args[0] == "inspect":
		return inspectCookie(args[1:], stdin, stdout, keys)
	}
	return errors.New(usage)
}

func inspectCookie(args []string, stdin io.Reader, stdout io.Writer, keyText string) error {
	flags := flag.NewFlagSet("inspect", flag.ContinueOnError)
	name := flags.String("name", "__Host-Http-session", "the cookie's `name`")
	audience := flags.String("audience", "", "the application's `name`, as in WithAudience")
	recordFile := flags.String("record", "", "a `file` with the record that the store has for this cookie: raw, base64 or hexadecimal")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New(usage)
	}
	keys, err := parseKeys(keyText)
	if err != nil {
		return err
	}
	sealed, signed, err := openers(keys, sessions.Config{Audience: *audience, Name: *name})
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(stdin, 1<<20))
	if err != nil {
		return err
	}
	value := cookieValue(string(text), *name)
	records := [][]byte{nil}
	if *recordFile != "" {
		data, err := os.ReadFile(*recordFile)
		if err != nil {
			return err
		}
		records = readings(data)
	}
	found, err := inspectAny(sealed, value, records)
	if err != nil && *recordFile == "" {
		if s, signedErr := signed(value, nil); signedErr == nil {
			found, err = s, nil
		}
	}
	if err != nil {
		return fmt.Errorf("%w (is it -name %q, -audience %q, and are the keys those of the program that wrote it?)", err, *name, *audience)
	}
	print(stdout, found)
	return nil
}

// inspectAny opens the reading that opens. Where none does, a reading that has at
// least the form of a sealed record has the error that tells most.
func inspectAny(open opener, value string, readings [][]byte) (inspect.Session, error) {
	var best error
	for _, record := range readings {
		found, err := open(value, record)
		if err == nil {
			return found, nil
		}
		if best == nil || errors.Is(best, encrypt.ErrMalformed) {
			best = err
		}
	}
	return inspect.Session{}, best
}

func parseKeys(text string) ([]encrypt.Key, error) {
	var keys []encrypt.Key
	for i, field := range strings.Fields(text) {
		key, err := encrypt.ParseKey(field)
		if err != nil {
			return nil, fmt.Errorf("BULLA_KEY, key %d: %w", i+1, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("BULLA_KEY is not set: put the program's keys there, separated by white space")
	}
	return keys, nil
}

// opener opens a cookie, or a server's record of it.
type opener func(value string, rec []byte) (inspect.Session, error)

// openers open what any algorithm has sealed under any of the keys, and what
// cookiestore.Signed has signed under any of them.
func openers(keys []encrypt.Key, c sessions.Config) (sealed, signed opener, err error) {
	store, err := cookiestore.Signed(keys...)
	if err != nil {
		return nil, nil, fmt.Errorf("BULLA_KEY: %w", err)
	}
	signed = func(value string, rec []byte) (inspect.Session, error) { return inspect.Open(store, c, value, rec) }
	var rings []*encrypt.Keyring
	for _, algorithm := range []func(...encrypt.Key) (*encrypt.Keyring, error){encrypt.NewAESGCM, encrypt.NewXChaCha20Poly1305, encrypt.NewAESCBCHMAC} {
		ring, err := algorithm(keys...)
		if err != nil {
			return nil, nil, fmt.Errorf("BULLA_KEY: %w", err)
		}
		rings = append(rings, ring)
	}
	ring, err := encrypt.NewKeyring(rings...)
	if err != nil {
		return nil, nil, err
	}
	encrypted := c
	encrypted.Encryptor = ring
	sealed = func(value string, rec []byte) (inspect.Session, error) {
		return inspect.Open(cookiestore.Sealed(), encrypted, value, rec)
	}
	return sealed, signed, nil
}

// cookieValue finds our cookie's value in a value, a pair or a header.
func cookieValue(text, name string) string {
	text = strings.TrimPrefix(strings.TrimSpace(text), "Cookie: ")
	for part := range strings.SplitSeq(text, ";") {
		if n, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && n == name {
			return value
		}
	}
	return text
}

// headSize is what the Redis store puts in front of a record: 16 bytes of mark and
// 8 of expiry.
const headSize = 24

// readings returns what the bytes of a record's file may stand for: a store's
// tool prints them raw or encoded, with or without a line end and the Redis store's head.
func readings(data []byte) [][]byte {
	all := [][]byte{data, bytes.TrimSuffix(data, []byte("\n"))}
	text := strings.TrimSpace(string(data))
	for _, decode := range []func(string) ([]byte, error){
		base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString, hex.DecodeString,
	} {
		if b, err := decode(text); err == nil {
			all = append(all, b)
		}
	}
	for _, b := range all {
		if len(b) > headSize {
			all = append(all, b[headSize:])
		}
	}
	return all
}

// stub is the kind of what stands in a record's place for some minutes after the
// session's end, or after it got a new ID.
const stub = "stub on a server"

func print(w io.Writer, found inspect.Session) {
	line(w, "session", found.Key)
	line(w, "kind", found.Kind)
	if found.SignedID {
		line(w, "signed ID", "yes (not verified here)")
	}
	if found.Kind == stub {
		explain(w, found)
		return
	}
	if found.Retired {
		line(w, "sealed under", "a key or algorithm that is not the first")
	}
	when(w, "created", found.Created)
	when(w, "deadline", found.Deadline)
	when(w, "expires", found.Expires)
	when(w, "sealed", found.Sealed)
	when(w, "authenticated", found.Authenticated)
	if found.Idle > 0 {
		line(w, "idle timeout", found.Idle)
	}
	line(w, "generation", found.Generation)
	if found.Owner != "" {
		line(w, "owner", visible(found.Owner))
	}
	if found.Label != "" {
		line(w, "label", visible(found.Label))
	}
	var values []string
	for name, data := range found.Values() {
		values = append(values, fmt.Sprintf("%s: %s\n", strconv.Quote(name), readable(data)))
	}
	fmt.Fprintf(w, "\n%d values\n%s", len(values), strings.Join(values, ""))
}

func explain(w io.Writer, found inspect.Session) {
	if found.MovedTo.IsZero() {
		when(w, "ended", found.Ended)
		fmt.Fprintln(w, "\nThe session has ended: by a logout, or because its owner's sessions were ended or became too many.")
	} else {
		when(w, "new ID since", found.Ended)
		line(w, "filed under", found.MovedTo)
		fmt.Fprintln(w, "\nThe session got a new ID, as it does at a login. This cookie is an old one.")
	}
	fmt.Fprintln(w, "A stub is not sealed: nothing proves who wrote it, or that it belongs to this cookie.")
}

func line(w io.Writer, name string, value any) { fmt.Fprintf(w, "%-14s %v\n", name, value) }

func when(w io.Writer, name string, t time.Time) {
	if !t.IsZero() {
		line(w, name, fmt.Sprintf("%s (%s)", t.Format(time.RFC3339), relative(time.Until(t))))
	}
}

func relative(d time.Duration) string {
	if d < 0 {
		return (-d).Round(time.Second).String() + " ago"
	}
	return "in " + d.Round(time.Second).String()
}

// readable shows JSON as it is, CBOR in its diagnostic notation, and other bytes
// in hexadecimal.
func readable(data []byte) string {
	if json.Valid(data) {
		return visible(string(data))
	}
	if text, err := cbor.Diagnose(data); err == nil {
		return visible(text)
	}
	return "0x" + hex.EncodeToString(data)
}

// visible leaves out what would drive the terminal: the content is the users'.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
