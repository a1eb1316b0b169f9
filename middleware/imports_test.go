package middleware_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/bulla-go/bulla/"

// list asks the go command of packages of this module: what they import, or all that
// they depend on.
func list(t *testing.T, field string, pkgs ...string) map[string][]string {
	t.Helper()
	args := []string{"list", "-f", "{{.ImportPath}} {{join ." + field + ` " "}}`}
	for _, pkg := range pkgs {
		args = append(args, module+pkg)
	}
	out, err := exec.Command("go", args...).Output()
	require.NoError(t, err)
	all := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		all[strings.TrimPrefix(words[0], module)] = words[1:]
	}
	require.NotEmpty(t, all)
	return all
}

// Who keeps sessions in cookies or in memory builds no database client.
func TestNoHeavyImports(t *testing.T) {
	light := []string{"sessions", "encrypt", "serialize", "middleware", "middleware/sessionstest", "stores", "stores/cookiestore", "stores/memstore"}
	all := list(t, "Deps", light...)
	for _, pkg := range light {
		require.NotEmpty(t, all[pkg], pkg)
		for _, dep := range all[pkg] {
			for _, heavy := range []string{"google.golang.org/", "cloud.google.com/", "github.com/redis/", "go.opentelemetry.io/", "github.com/stretchr/"} {
				require.False(t, strings.HasPrefix(dep, heavy), "%s depends on %s", pkg, dep)
			}
		}
	}
}

// Imports go one way.
func TestImportsGoOneWay(t *testing.T) {
	below := []string{"serialize", "encrypt", "encrypt/internal/cbchmac", "stores", "internal/envelope", "internal/mac", "internal/payload"}
	inside := []string{
		"sessions/internal/token", "sessions/internal/expiry", "sessions/internal/oplog",
		"sessions/internal/record", "sessions/internal/swap", "sessions/internal/owners", "sessions/internal/revoked", "sessions/internal/watch",
	}
	deps := list(t, "Deps", "...")
	for _, tt := range []struct {
		pkg  string
		only []string // of our packages
	}{
		{"serialize", nil},
		{"encrypt", []string{"encrypt/internal/cbchmac"}},
		{"encrypt/fernet", []string{"encrypt", "encrypt/internal/cbchmac"}},
		{"stores", nil},
		{"internal/envelope", []string{"serialize"}},
		{"internal/mac", []string{"encrypt", "encrypt/internal/cbchmac"}},
		{"internal/payload", []string{"stores"}},
		{"sessions", append(below, inside...)},
		{"middleware", append(append([]string{"sessions"}, below...), inside...)},
		{"middleware/sessionstest", append(append([]string{"middleware", "sessions"}, below...), inside...)},
		{"stores/memstore", []string{"stores"}},
		{"stores/sqlstore", []string{"stores"}},
		{"stores/cookiestore", []string{"stores", "encrypt", "encrypt/internal/cbchmac", "internal/payload"}},
		{"sessions/internal/token", []string{"encrypt", "encrypt/internal/cbchmac", "internal/mac", "stores"}},
		{"sessions/internal/expiry", []string{"serialize", "internal/envelope"}},
		{"sessions/internal/oplog", []string{"serialize", "internal/envelope"}},
		{"sessions/internal/record", append([]string{"sessions/internal/token", "sessions/internal/expiry"}, below...)},
		{"sessions/internal/swap", append([]string{"sessions/internal/token", "sessions/internal/expiry", "sessions/internal/record"}, below...)},
	} {
		allowed := []string{module + tt.pkg}
		for _, p := range tt.only {
			allowed = append(allowed, module+p)
		}
		require.Contains(t, deps, tt.pkg)
		for _, dep := range deps[tt.pkg] {
			if strings.HasPrefix(dep, module) {
				require.Contains(t, allowed, dep, "imported by %s", tt.pkg)
			}
		}
	}
	// The other stores see no more of us than that either.
	for store, imports := range list(t, "Imports", "stores/...") {
		for _, dep := range imports {
			if strings.HasPrefix(dep, module) {
				require.True(t, strings.HasPrefix(dep, module+"stores") || dep == module+"encrypt" || dep == module+"internal/payload", "%s imports %s", store, dep)
			}
		}
	}
	// What is inside a record, and HTTP, are none of the stores' business.
	for _, pkg := range []string{"serialize", "encrypt", "stores", "stores/memstore", "sessions"} {
		require.NotEmpty(t, deps[pkg], pkg)
		require.NotContains(t, deps[pkg], "net/http", pkg)
	}
}
