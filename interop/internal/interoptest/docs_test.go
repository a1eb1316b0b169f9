package interoptest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every test that docs/interop.md names is there, and every one of the 35 cases has one.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile(Dir("..", "docs", "interop.md"))
	require.NoError(t, err)
	var code strings.Builder
	for _, root := range []string{Dir(), Dir("..", "middleware")} {
		require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, "_test.go") {
				data, err := os.ReadFile(path)
				code.Write(data)
				return err
			}
			return err
		}))
	}
	names := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(names), 35)
	for _, name := range names {
		require.Contains(t, code.String(), "func "+name[1]+"(t *testing.T)")
	}
	_, table, _ := strings.Cut(string(page), "## Which test shows it")
	cases := map[string]bool{}
	for _, row := range regexp.MustCompile(`\| (\d+) `).FindAllStringSubmatch(table, -1) {
		cases[row[1]] = true
	}
	require.Len(t, cases, 35)
}
