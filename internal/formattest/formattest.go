// Package formattest reads the examples of docs/format.md, for the tests that hold
// them to the code.
package formattest

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Text returns the last block of code in the section of docs/format.md with this
// heading.
func Text(t testing.TB, heading string) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		var doc []byte
		if doc, err = os.ReadFile(filepath.Join(dir, "docs", "format.md")); err == nil {
			return block(t, string(doc), heading)
		} else if parent := filepath.Dir(dir); parent != dir {
			dir, err = parent, nil
		}
	}
	t.Fatal("docs/format.md is not found: ", err)
	return ""
}

var nextHeading = regexp.MustCompile(`(?m)^##+ `)

func block(t testing.TB, doc, heading string) string {
	t.Helper()
	_, section, found := strings.Cut(doc, "\n### "+heading+"\n")
	if !found {
		t.Fatalf("docs/format.md has no section %q", heading)
	}
	if end := nextHeading.FindStringIndex(section); end != nil {
		section = section[:end[0]]
	}
	parts := strings.Split(section, "```\n")
	if len(parts) < 3 || len(parts)%2 == 0 {
		t.Fatalf("the section %q of docs/format.md has no block of code", heading)
	}
	return parts[len(parts)-2]
}

var hexLine = regexp.MustCompile(`^((?:[0-9a-f]{2} ?)+?)(?:  +\S.*)?$`)

// Bytes returns the bytes of that block, whose lines are hexadecimal numbers and,
// after two spaces or more, what they mean.
func Bytes(t testing.TB, heading string) (all []byte) {
	t.Helper()
	for line := range strings.Lines(Text(t, heading)) {
		m := hexLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("docs/format.md: no bytes in %q", line)
		}
		b, err := hex.DecodeString(strings.ReplaceAll(m[1], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}
