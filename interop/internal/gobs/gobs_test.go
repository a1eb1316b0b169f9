package gobs

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type item struct {
	Name  string
	Count int
	Tags  []string
	Price *float64
	At    time.Time
	Pair  [2]uint8
	More  map[string]any
}

type tree []tree

type empty struct{}

func init() {
	gob.Register(item{})
	gob.Register([]item{})
	gob.Register(map[string]string{})
	gob.Register(map[string]any{})
	gob.Register([]any{})
	gob.Register(tree{})
	gob.Register(time.Time{})
	gob.Register([]empty{})
}

func encode(t testing.TB, v any) []byte {
	var b bytes.Buffer
	require.NoError(t, gob.NewEncoder(&b).Encode(v))
	return b.Bytes()
}

// samples are values as sessions hold them.
func samples() []any {
	price := 3.5
	return []any{
		1, -1, uint8(7), 1.5, true, "text", []byte("bytes"), complex(1, 2), []string{"a", ""}, []int{}, time.Unix(1e9, 5),
		map[string]string{"a": "b"}, map[string]any{"in": map[string]any{"deeper": []any{1, "x"}}},
		item{"n", 1, []string{"t"}, &price, time.Unix(1, 0), [2]uint8{1, 2}, map[string]any{"i": item{Name: "in"}}},
		[]item{{}, {Name: "b"}}, tree{{}, {{}, {}}}, []any{nil, 1, []any{map[string]string{"k": "v"}}}, []empty{{}, {}},
	}
}

// What encoding/gob writes and reads again passes; so does what it can't read again.
func TestWhatGobWrites(t *testing.T) {
	all := make(map[string]any)
	for i, v := range samples() {
		name := fmt.Sprintf("%T %d", v, i)
		all[name] = v
		one := encode(t, map[string]any{"v": v})
		require.NoError(t, Check(one), name)
		values := make(map[string]any)
		if want := gob.NewDecoder(bytes.NewReader(one)).Decode(&values); want != nil {
			continue
		}
		got := make(map[string]any)
		require.NoError(t, Decode(one, &got), name)
		require.Equal(t, values, got)
	}
	require.NoError(t, Check(encode(t, all)))
	require.NoError(t, Check(encode(t, struct {
		Deadline time.Time
		Values   map[string]any
	}{time.Unix(1e9, 0), map[string]any{"user": "ada", "cart": []item{{Name: "x"}}}})))
	require.NoError(t, Check(encode(t, map[any]any{"user": "ada", 1: int64(2)})))
	require.NoError(t, Check(encode(t, "a string alone")))
}

// bombs are gobs of a few bytes that ask for more memory than there is.
func bombs(t testing.TB) map[string][]byte {
	patch := func(v any, from, to string) []byte {
		f, err := hex.DecodeString(from)
		require.NoError(t, err)
		n, err := hex.DecodeString(to)
		require.NoError(t, err)
		data := encode(t, v)
		i := bytes.LastIndex(data, f)
		require.GreaterOrEqual(t, i, 0, "%x", data)
		// The lengths around it grow as well; what they were is checked last.
		out := append(append(bytes.Clone(data[:i]), n...), data[i+len(f):]...)
		return reframe(t, out, len(n)-len(f))
	}
	return map[string][]byte{
		"a map of 2^33 entries":             patch(map[string]any{"k": 1}, "00"+"01"+"016b", "00"+"fb0200000000"+"016b"),
		"a map of 2^33 entries in a value":  patch(map[string]any{"k": map[string]string{"x": "y"}}, "00"+"01"+"0178", "00"+"fb0200000000"+"0178"),
		"a slice of 2^29 strings":           patch(map[string]any{"k": []string{"x"}}, "00"+"01"+"0178", "00"+"fc20000000"+"0178"),
		"a message of 2^29 bytes":           {0xfc, 0x20, 0, 0, 0, 1},
		"a string of 2^33 bytes":            patch(map[string]any{"k": "xyz"}, "03"+"78797a", "fb0200000000"+"78797a"),
		"a negative number of map entries":  patch(map[string]any{"k": 1}, "00"+"01"+"016b", "00"+"f8ffffffffffffffff"+"016b"),
		"a message with nothing in it":      {0},
		"nothing":                           {},
		"a length with nine bytes":          {0xf7, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		"a delta that leads out of a field": {0x05, 0xff, 0x81, 0xf8, 0x7f, 0xff},
	}
}

// reframe adds to the length of the last message.
func reframe(t testing.TB, data []byte, more int) []byte {
	for i := 0; i < len(data); {
		n, size := int(data[i]), 1
		if n >= 0x80 {
			size = 1 + -int(int8(data[i]))
			n = 0
			for _, b := range data[i+1 : i+size] {
				n = n<<8 | int(b)
			}
		}
		if i+size+n+more == len(data) {
			total := n + more
			return append(append(bytes.Clone(data[:i]), 0xfe, byte(total>>8), byte(total)), data[i+size:]...)
		}
		i += size + n
	}
	t.Fatal("no message ends there")
	return nil
}

func TestBombs(t *testing.T) {
	for what, data := range bombs(t) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := make(map[string]any)
		err := Decode(data, &got)
		runtime.ReadMemStats(&after)
		require.Error(t, err, what)
		require.NotContains(t, err.Error(), "gob.Register", "%s: it came as far as encoding/gob", what)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), what)
	}
}

func TestDepth(t *testing.T) {
	deep := func(n int) []byte {
		v := tree{}
		for range n {
			v = tree{v}
		}
		return encode(t, map[string]any{"v": v})
	}
	require.NoError(t, Check(deep(150)))
	require.ErrorIs(t, Check(deep(1000)), errDeep)
}

func TestRefused(t *testing.T) {
	good := encode(t, map[string]any{"user": "ada"})
	got := make(map[string]any)
	require.NoError(t, Decode(good, &got))
	require.ErrorIs(t, Decode(make([]byte, MaxSize+1), &got), ErrTooLarge)
	require.ErrorIs(t, Decode(append(bytes.Clone(good), 0), &got), errTrailing)
	require.ErrorIs(t, Decode(append(bytes.Clone(good), good...), &got), errTrailing)
	for i := range good {
		require.Error(t, Decode(good[:i], &got), "cut at %d", i)
	}
	var wrong map[string]string
	require.ErrorContains(t, Decode(encode(t, "ada"), &wrong), "gob.Register")
}

type panics struct{}

func (panics) GobEncode() ([]byte, error) { return []byte("x"), nil }
func (*panics) GobDecode([]byte) error    { panic("secret") }

func TestATypesOwnDecodingPanics(t *testing.T) {
	gob.Register(panics{})
	got := make(map[string]any)
	err := Decode(encode(t, map[string]any{"v": panics{}}), &got)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

// What passes the check does no harm to encoding/gob.
func FuzzDecode(f *testing.F) {
	f.Add(encode(f, map[string]any{"user": "ada", "cart": []item{{Name: "x"}}, "more": map[string]string{"a": "b"}}))
	for _, v := range samples() {
		f.Add(encode(f, map[string]any{"v": v}))
	}
	for _, data := range bombs(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			return
		}
		got := make(map[string]any)
		Decode(data, &got)
	})
}

// Any change of a few bytes of what gob writes either fails or does no harm.
func TestChangedBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	good := encode(t, map[string]any{"user": "ada", "cart": []item{{Name: "x", Tags: []string{"a"}}}, "more": map[string]string{"a": "b"}})
	n := 20_000
	if testing.Short() {
		n = 1000
	}
	for range n {
		data := bytes.Clone(good)
		for range 1 + rng.IntN(4) {
			data[rng.IntN(len(data))] = byte(rng.Uint32())
		}
		got := make(map[string]any)
		Decode(data, &got)
	}
}

func TestCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzDecode")
	require.NoError(t, err)
	require.NotEmpty(t, files)
}
