package bulla_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exported returns what a package exports: functions, types, constants and variables as
// they are, methods behind their type's name and a point.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				owner := ""
				if d.Recv != nil {
					ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
						if id, ok := n.(*ast.Ident); ok && owner == "" {
							owner = id.Name + "." // the first: of Key[T], Key
						}
						return true
					})
				}
				names[owner+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[spec.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							names[n.Name] = true
						}
					}
				}
			}
		}
	}
	require.NotEmpty(t, names, dir)
	return names
}

// TestComingFrom: each name of Bulla's in docs/coming-from.md is one.
func TestComingFrom(t *testing.T) {
	known := map[string]bool{}
	as := func(prefix, dir, owner string) {
		for name := range exported(t, dir) {
			if rest, ok := strings.CutPrefix(name, owner); ok && !strings.Contains(rest, ".") {
				known[prefix+rest] = true
			}
		}
	}
	packages := []string{"middleware", "sessions", "serialize", "stores/cookiestore", "stores/memstore", "stores/redisstore", "stores/sqlstore"}
	for _, dir := range packages {
		as(filepath.Base(dir)+".", dir, "")
	}
	as("mw.", "middleware", "Middleware.")
	as("m.", "sessions", "Manager.")
	as("s.", "sessions", "Session.")
	for _, key := range []string{"user.", "notice.", "visits."} {
		as(key, "sessions", "Key.")
	}
	as("messages.", "sessions", "Flash.")
	others := []string{"r.", "c.", "e.", "engine.", "echo.", "http."} // not Bulla's

	text, err := os.ReadFile("docs/coming-from.md")
	require.NoError(t, err)
	checked := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "|") {
			columns := strings.Split(strings.TrimSpace(line), "|")
			require.Len(t, columns, 4, line)
			line = columns[2]
		}
		for _, code := range regexp.MustCompile("`[^`]+`").FindAllString(line, -1) {
			for _, name := range regexp.MustCompile(`\b[a-z]+\.[A-Z]\w*`).FindAllString(code, -1) {
				if slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(name, o) }) {
					continue
				}
				require.True(t, known[name], "there is no %s, in: %s", name, line)
				checked++
			}
		}
	}
	require.Greater(t, checked, 60)
}
