package compare

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"
)

// TestComingFrom: docs/coming-from.md names what scs and gorilla/sessions have.
func TestComingFrom(t *testing.T) {
	text, err := os.ReadFile("../../docs/coming-from.md")
	require.NoError(t, err)
	for section, test := range map[string]struct {
		name string
		of   reflect.Type
	}{
		"\n## From scs\n":              {"sm", reflect.TypeFor[*scs.SessionManager]()},
		"\n## From gorilla/sessions\n": {"session", reflect.TypeFor[*sessions.Session]()},
	} {
		_, table, ok := strings.Cut(string(text), section)
		require.True(t, ok, section)
		table, _, _ = strings.Cut(table, "\n## ")
		names := regexp.MustCompile(`\b`+test.name+`\.([A-Z]\w*)`).FindAllStringSubmatch(table, -1)
		require.Greater(t, len(names), 5)
		for _, m := range names {
			_, method := test.of.MethodByName(m[1])
			_, field := test.of.Elem().FieldByName(m[1])
			require.True(t, method || field, m[0])
		}
	}
}
