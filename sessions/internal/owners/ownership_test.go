package owners

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/stores"
)

func testKey(b byte) stores.Key { return stores.NewKey([24]byte{b}) }

func TestOwnershipText(t *testing.T) {
	for text, want := range map[string]Ownership{
		"abcd 0 0\x00ann":             {User: "ann", filed: "abcd"},
		"abcd 7 3\x00ann":             {User: "ann", filed: "abcd", number: 7, epoch: 3},
		"abcd 7 3\x00ann smith\x00jr": {User: "ann smith\x00jr", filed: "abcd", number: 7, epoch: 3},
		"abcd 18446744073709551615 18446744073709551615\x00\xff": {User: "\xff", filed: "abcd", number: 1<<64 - 1, epoch: 1<<64 - 1},
		"abcd 1 2 " + testKey(1).Name() + "@1772366400 " + testKey(2).Name() + "@1772366401\x00ann": {
			User: "ann", filed: "abcd", number: 1, epoch: 2,
			replaced: []replaced{{testKey(1), 1772366400}, {testKey(2), 1772366401}},
		},
		// base64url of 05 "op.io" "s 1\x00"
		"abcd 1 2 +BW9wLmlvcyAxAA " + testKey(1).Name() + "@1772366400\x00ann": {
			User: "ann", filed: "abcd", number: 1, epoch: 2, external: External{"op.io", "s 1\x00"},
			replaced: []replaced{{testKey(1), 1772366400}},
		},
	} {
		got, ok := ParseOwnership(text)
		require.True(t, ok, "%q", text)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
		require.Equal(t, want.number, got.Number())
	}
	for _, text := range []string{
		"", "ann", "\x00ann", "abcd\x00ann", "abcd 1\x00ann", "abcd 1 x\x00ann", "abcd x 1\x00ann", "abcd -1 1\x00ann",
		"abcd 18446744073709551616 1\x00ann", "abcd 1 2 key\x00ann", "abcd 1 2 " + testKey(1).Name() + "\x00ann",
		"abcd 1 2 " + testKey(1).Name() + "@\x00ann", "abcd 1 2 " + testKey(1).Name() + "@x\x00ann", "abcd 1 2 @1\x00ann",
		"abcd 1 2 +\x00ann", "abcd 1 2 +BW9w\x00ann", "abcd 1 2 +BW9wLmlv=\x00ann", "abcd 1 2 +!\x00ann",
	} {
		w, ok := ParseOwnership(text)
		require.False(t, ok, "%q", text)
		require.Zero(t, w)
	}
}

// Whose session it is tells the user alone.
func TestSame(t *testing.T) {
	md := func(text string) *envelope.Metadata { return &envelope.Metadata{Owner: text} }
	require.True(t, Same(md("a 1 2\x00ann"), md("b 3 4\x00ann")))
	require.True(t, Same(md(""), md("")))
	require.False(t, Same(md("a 1 2\x00ann"), md("a 1 2\x00bob")))
	require.False(t, Same(md("a 1 2\x00ann"), md("")))
}

// The keys that a session had are remembered while their stubs live, so that an old
// handle ends it.
func TestReplacedKeysAreForgottenWithTheirStubs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Ownership
		for i := range byte(30) {
			w.replaced = w.replaces(testKey(i), 10*time.Minute)
			require.Equal(t, testKey(i), w.replaced[len(w.replaced)-1].key)
			require.LessOrEqual(t, len(w.replaced), 11)
			time.Sleep(time.Minute)
		}
		require.Equal(t, testKey(19), w.replaced[0].key)
	})
}

// Whatever stands in a record, what is read is what is written.
func FuzzParseOwnership(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		w, ok := ParseOwnership(text)
		if !ok {
			require.Zero(t, w)
			return
		}
		require.True(t, strings.HasSuffix(text, "\x00"+w.User))
		again, ok := ParseOwnership(w.String())
		require.True(t, ok, "%q", w.String())
		require.Equal(t, w, again)
	})
}

func TestFuzzCorpus(t *testing.T) {
	for _, target := range []string{"FuzzParseOwnership", "FuzzOpenEntry"} {
		files, err := os.ReadDir("testdata/fuzz/" + target)
		require.NoError(t, err)
		require.NotEmpty(t, files, target)
	}
}
