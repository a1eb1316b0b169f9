package storetest

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"testing"

	"github.com/bulla-go/bulla/stores"
)

// In FIPS 140 mode nothing that draws random bytes can run in a bubble; the suite
// goes on without. The test runs itself in that mode.
func TestSynctestInFIPS140Mode(t *testing.T) {
	if fips140.Enabled() {
		Run(t, Config{New: func(t *testing.T) stores.Server { return newReference() }, Synctest: true})
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
