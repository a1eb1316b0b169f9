package storetest

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores/memstore"
)

// In FIPS 140 mode nothing that draws random bytes can run in a bubble; the suite
// goes on without. The test runs itself in that mode.
func TestSynctestInFIPS140Mode(t *testing.T) {
	if fips140.Enabled() {
		Run(t, breakMemory(func(*memstore.Store, *funcs) {}))
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
