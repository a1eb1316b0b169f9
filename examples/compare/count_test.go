package compare

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// size is how much a program takes.
type size struct {
	lines int // that are neither blank nor comment
	ifs   int // that ask for an error
}

// asks finds what asks whether there is an error.
var asks = regexp.MustCompile(`\bif\b.*\berr [!=]= nil`)

func measure(t *testing.T, application, version string) (s size) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(application, version, "app.go"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		s.lines++
		if asks.MatchString(line) {
			s.ifs++
		}
	}
	return s
}

// TestCount counts the applications. README.md has the table.
func TestCount(t *testing.T) {
	versions := []string{"bulla", "scs", "gorilla"}
	sum := map[string]size{}
	table := "| | Bulla | scs | gorilla/sessions |\n|---|---|---|---|\n"
	row := func(name string, sizes map[string]size) {
		table += "| " + name
		for _, v := range versions {
			table += fmt.Sprintf(" | %d lines, %d × `if err`", sizes[v].lines, sizes[v].ifs)
		}
		table += " |\n"
	}
	for _, application := range []string{"login", "cart", "devices"} {
		sizes := map[string]size{}
		for _, v := range versions {
			one := measure(t, application, v)
			sizes[v] = one
			sum[v] = size{sum[v].lines + one.lines, sum[v].ifs + one.ifs}
		}
		row("["+application+"]("+application+")", sizes)
	}
	row("together", sum)

	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), table)
	for _, other := range versions[1:] {
		require.LessOrEqual(t, sum["bulla"].lines, sum[other].lines, other)
		if other == "scs" {
			require.LessOrEqual(t, sum["bulla"].ifs, sum[other].ifs, other)
		}
	}
}
