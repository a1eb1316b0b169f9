package bulla_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// flat is code without what gofmt may change where it moves: indentation.
func flat(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// sources are all Go files of the repository, flat.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = "\n" + flat(string(text))
		return err
	}))
	return all
}

// TestRecipes: the code of docs/recipes.md is a part of what tests run.
func TestRecipes(t *testing.T) {
	all := sources(t)
	code := append(blocks(t, "docs/recipes.md", "go"), blocks(t, "docs/recipes.md", "html")...)
	require.Greater(t, len(code), 10)
	for _, block := range code {
		found := false
		for _, text := range all {
			found = found || strings.Contains(text, "\n"+flat(block))
		}
		require.True(t, found, "no program has this:\n%s", block)
	}

	// What is not Go stands in the documentation of the stores, whose tests run it.
	text, err := os.ReadFile("docs/recipes.md")
	require.NoError(t, err)
	for _, command := range []string{"ACL SETUSER", "gcloud firestore"} {
		line := regexp.MustCompile("(?m)^" + command + ".*$").FindString(string(text))
		require.NotEmpty(t, line)
		doc := all["stores/redisstore/doc.go"] + all["stores/firestorestore/doc.go"]
		require.Contains(t, doc, line)
	}
}

// TestLinks: what the documents link to is there, headings among it.
func TestLinks(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, pattern := range []string{"*.md", "examples/*.md", "examples/*/*.md"} {
		more, err := filepath.Glob(pattern)
		require.NoError(t, err)
		documents = append(documents, more...)
	}
	links := 0
	for _, name := range documents {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		prose := regexp.MustCompile("(?s)\n```.*?\n```").ReplaceAllString(string(text), "")
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") { // another site's
				continue
			}
			links++
			to := name
			if target != "" {
				to = filepath.Join(filepath.Dir(name), target)
				_, err := os.Stat(to)
				require.NoError(t, err, "%s links to %s", name, m[1])
			}
			if anchor != "" {
				require.Contains(t, anchors(t, to), anchor, "%s links to %s", name, m[1])
			}
		}
	}
	require.Greater(t, links, 40)
}

// anchors are the headings of a document, as links name them.
func anchors(t *testing.T, name string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(anchor, " ", "-"))
	}
	return all
}

// TestOperating: docs/operating.md knows every reason, and every line of the log.
func TestOperating(t *testing.T) {
	text, err := os.ReadFile("docs/operating.md")
	require.NoError(t, err)
	reasons, err := os.ReadFile("sessions/errors.go")
	require.NoError(t, err)
	all := regexp.MustCompile(`(?m)^\t\w+ +Reason = "([^"]+)"`).FindAllStringSubmatch(string(reasons), -1)
	require.GreaterOrEqual(t, len(all), 8)
	for _, r := range all {
		require.Contains(t, string(text), "\n| `"+r[1]+"` | ", "no remedy for this reason")
	}
	hooks, err := os.ReadFile("sessions/hooks.go")
	require.NoError(t, err)
	lines := regexp.MustCompile(`(?m)slog\.Level(\w+), "([^":]+)`).FindAllStringSubmatch(string(hooks), -1)
	require.GreaterOrEqual(t, len(lines), 16)
	for _, l := range lines {
		begin, _, _ := strings.Cut(l[2], ",")
		require.Regexp(t, `(?m)^\| `+strings.ToLower(l[1])+" \\| `"+regexp.QuoteMeta(begin), string(text))
	}
}
