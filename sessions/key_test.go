package sessions_test

import (
	"context"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
)

func hexText(b []byte) string { return hex.EncodeToString(b) }

func serializers(t testing.TB) map[string]serialize.Serializer {
	own, err := serialize.Func(json.Marshal, json.Unmarshal)
	require.NoError(t, err)
	return map[string]serialize.Serializer{
		"JSON": serialize.JSON, "Gob": serialize.Gob, "CBOR": serialize.CBOR, "Func": own, "bare": bare{},
	}
}

// bare is a Serializer whose errors quote the value.
type bare struct{}

func (bare) Marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("marshal %v: %w", v, err)
	}
	return data, nil
}

func (bare) Unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("unmarshal %s: %w", data, errors.Join(err, errors.New(string(data))))
	}
	return nil
}

type user struct {
	Name  string
	Roles []string
	Since time.Time
	Inner struct{ Score float64 }
}

// roundTrip sets v in one request and gets it in the next.
func roundTrip[T any](t *testing.T, m *sessions.Manager, v T) T {
	t.Helper()
	s := m.New()
	k := sessions.Key[T]("k")
	require.NoError(t, k.Set(s, v))
	got, err := k.Get(load(t, m, commit(t, m, s).Token))
	require.NoError(t, err)
	return got
}

func TestTypesAreKept(t *testing.T) {
	gob.Register(map[string]any{})
	zoned := time.Date(2024, 2, 29, 23, 59, 58, 123456789, time.FixedZone("", 5*3600+1800))
	for format, serializer := range serializers(t) {
		t.Run(format, func(t *testing.T) {
			_, m := setup(t, sessions.Config{Serializer: serializer})
			require.Equal(t, int64(math.MaxInt64), roundTrip(t, m, int64(math.MaxInt64)))
			require.Equal(t, int64(math.MinInt64), roundTrip(t, m, int64(math.MinInt64)))
			require.Equal(t, uint64(math.MaxUint64), roundTrip(t, m, uint64(math.MaxUint64)))
			require.Equal(t, 0.1, roundTrip(t, m, 0.1))
			require.Equal(t, []byte{0, 0xff, 0xfe, '"'}, roundTrip(t, m, []byte{0, 0xff, 0xfe, '"'}))
			require.Equal(t, "Zürich, 東京 \u2028 <&> \U0001F3FA", roundTrip(t, m, "Zürich, 東京 \u2028 <&> \U0001F3FA"))
			require.Equal(t, "", roundTrip(t, m, ""))
			require.Equal(t, false, roundTrip(t, m, false))

			got := roundTrip(t, m, zoned)
			require.True(t, got.Equal(zoned))
			require.Equal(t, zoned.Format(time.RFC3339Nano), got.Format(time.RFC3339Nano))

			nested := map[string]map[string][]int64{"a": {"b": {1, math.MaxInt64}}, "ä": {"": {}}}
			back := roundTrip(t, m, nested)
			require.Equal(t, nested["a"], back["a"])
			require.Contains(t, back["ä"], "")

			u := user{Name: "Ödön", Roles: []string{"admin", "ops"}, Since: zoned}
			u.Inner.Score = math.Pi
			gotUser := roundTrip(t, m, u)
			require.True(t, gotUser.Since.Equal(zoned))
			gotUser.Since = u.Since
			require.Equal(t, u, gotUser)
		})
	}
}

func TestNoValue(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	s := m.New()
	_, err := count.Get(s)
	require.ErrorIs(t, err, sessions.ErrNoValue)
	require.ErrorContains(t, err, `"count"`)
	_, err = count.Pop(s)
	require.ErrorIs(t, err, sessions.ErrNoValue)
	n, err := count.GetOr(s, 7)
	require.NoError(t, err)
	require.Equal(t, 7, n)
	require.NoError(t, count.Delete(s))

	// A value that was removed is no value, the zero value is one.
	require.NoError(t, count.Set(s, 0))
	n, err = count.GetOr(s, 7)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, count.Delete(s))
	_, err = count.Get(s)
	require.ErrorIs(t, err, sessions.ErrNoValue)
}

// secret is the content that no error may show.
const secret = "hunter2-Zürich"

// blabber has methods whose errors quote the content.
type blabber struct{ Text string }

func (b blabber) MarshalJSON() ([]byte, error) {
	if b.Text == secret {
		return nil, fmt.Errorf("can't encode %q", b.Text)
	}
	return json.Marshal(b.Text)
}

func (b *blabber) UnmarshalJSON(data []byte) error { return fmt.Errorf("can't decode %s", data) }

func (b blabber) MarshalCBOR() ([]byte, error)     { return b.MarshalJSON() }
func (b *blabber) UnmarshalCBOR(data []byte) error { return b.UnmarshalJSON(data) }
func (b blabber) GobEncode() ([]byte, error)       { return b.MarshalJSON() }
func (b *blabber) GobDecode(data []byte) error     { return b.UnmarshalJSON(data) }
func requireNoSecret(t testing.TB, err error) {
	t.Helper()
	for _, verb := range []string{"%v", "%s", "%q", "%+v", "%#v", "%x"} {
		text := fmt.Sprintf(verb, err)
		require.NotContains(t, text, secret)
		require.NotContains(t, text, "hunter2")
		require.NotContains(t, text, hexText([]byte("hunter2")))
	}
}

func TestErrorsNameKeyAndTypeNotContent(t *testing.T) {
	for format, serializer := range serializers(t) {
		t.Run(format, func(t *testing.T) {
			st, m := setup(t, sessions.Config{Serializer: serializer})
			s := m.New()
			require.NoError(t, name.Set(s, secret))
			require.NoError(t, count.Set(s, 5))
			tok := commit(t, m, s).Token
			s = load(t, m, tok)
			writes := st.writes()

			fails := func(err error, kind error, typ string) {
				t.Helper()
				require.ErrorIs(t, err, kind)
				require.ErrorContains(t, err, `"name"`)
				require.ErrorContains(t, err, typ)
				requireNoSecret(t, err)
			}
			number, when, blab := sessions.Key[int](name), sessions.Key[time.Time](name), sessions.Key[blabber](name)
			_, err := number.Get(s)
			fails(err, sessions.ErrDecode, "int")
			n, err := number.GetOr(s, 7)
			fails(err, sessions.ErrDecode, "int")
			require.Zero(t, n, "a default would hide the loss")
			_, err = number.Pop(s)
			fails(err, sessions.ErrDecode, "int")
			_, err = number.Update(s, func(int) int { t.Error("called without a value"); return 1 })
			fails(err, sessions.ErrDecode, "int")
			_, err = when.Get(s)
			fails(err, sessions.ErrDecode, "time.Time")
			_, err = blab.Get(s)
			fails(err, sessions.ErrDecode, "sessions_test.blabber")
			_, err = sessions.Key[map[string]user](name).Get(s)
			fails(err, sessions.ErrDecode, "map[string]sessions_test.user")
			_, err = sessions.Flash[string](name).Pop(s)
			fails(err, sessions.ErrDecode, "[]")
			fails(sessions.Flash[string](name).Add(s, "x"), sessions.ErrDecode, "[]")

			fails(blab.Set(s, blabber{secret}), sessions.ErrEncode, "sessions_test.blabber")
			fails(sessions.Key[func()](name).Set(s, func() {}), sessions.ErrEncode, "func()")
			_, err = sessions.Key[chan int](name).Update(m.New(), func(chan int) chan int { return make(chan int) })
			fails(err, sessions.ErrEncode, "chan int")

			// Nothing of it was lost, and nothing is to be written.
			text, err := name.Get(s)
			require.NoError(t, err)
			require.Equal(t, secret, text)
			n, err = count.Get(s)
			require.NoError(t, err)
			require.Equal(t, 5, n)
			commit(t, m, s)
			require.Equal(t, writes, st.writes())
		})
	}
}

func TestHarmlessCausesAreShown(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	s := m.New()
	require.EqualError(t, name.Set(s, "secret\xff"), `sessions: the value does not encode: key "name", type string: text is not valid UTF-8`)
	require.NoError(t, name.Set(s, "secret"))
	_, err := sessions.Key[int](name).Get(s)
	require.EqualError(t, err, `sessions: the value does not decode: key "name", type int: a *json.UnmarshalTypeError`)
}

func TestGetGivesFreshCopies(t *testing.T) {
	const k = sessions.Key[map[string][]string]("k")
	_, m := setup(t, sessions.Config{})
	s := m.New()
	mine := map[string][]string{"a": {"x"}}
	require.NoError(t, k.Set(s, mine))
	mine["a"][0] = "changed after Set"
	got, err := k.Get(s)
	require.NoError(t, err)
	got["a"][0] = "changed after Get"
	got, err = k.GetOr(s, nil)
	require.NoError(t, err)
	got["a"][0] = "changed after GetOr"
	got, err = k.Update(s, func(v map[string][]string) map[string][]string { v["b"] = nil; return v })
	require.NoError(t, err)
	got["a"][0] = "changed after Update"
	got, err = k.Get(s)
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"a": {"x"}, "b": nil}, got)
}

func TestEqualValueWritesNothing(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	writes := st.writes()
	s := load(t, m, tok)
	require.NoError(t, count.Set(s, 1))
	require.NoError(t, sessions.Key[int]("absent").Delete(s))
	_, err := name.Update(s, func(v string) string { return v })
	require.NoError(t, err)
	require.Equal(t, sessions.Change{}, commit(t, m, s))
	require.Equal(t, writes, st.writes())
}

func TestNamesOfKeys(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	for _, bad := range []string{"", strings.Repeat("n", 256)} {
		s := m.New()
		k := sessions.Key[int](bad)
		require.ErrorIs(t, k.Set(s, 1), sessions.ErrInvalid)
		require.ErrorIs(t, k.Delete(s), sessions.ErrInvalid)
		_, err := k.Update(s, func(int) int { return 1 })
		require.ErrorIs(t, err, sessions.ErrInvalid)
		require.ErrorIs(t, sessions.Flash[int](bad).Add(s, 1), sessions.ErrInvalid)
		_, err = k.Get(s)
		require.ErrorIs(t, err, sessions.ErrNoValue)
		require.Equal(t, sessions.Change{}, commit(t, m, s))
	}
	s := m.New()
	for _, good := range []string{"n", strings.Repeat("n", 255), "ä.b/c d\x00\xff"} {
		require.NoError(t, sessions.Key[int](good).Set(s, 1))
	}
	s = load(t, m, commit(t, m, s).Token)
	for _, good := range []string{"n", strings.Repeat("n", 255), "ä.b/c d\x00\xff"} {
		_, err := sessions.Key[int](good).Get(s)
		require.NoError(t, err)
	}
}

func TestNilSession(t *testing.T) {
	var s *sessions.Session
	errOf := func(_ any, err error) error { return err }
	f := sessions.Flash[string]("f")
	for what, err := range map[string]error{
		"Get":        errOf(count.Get(s)),
		"GetOr":      errOf(count.GetOr(s, 1)),
		"Set":        count.Set(s, 1),
		"Update":     errOf(count.Update(s, func(n int) int { return n })),
		"Pop":        errOf(count.Pop(s)),
		"Delete":     count.Delete(s),
		"Add":        f.Add(s, "x"),
		"Flash.Pop":  errOf(f.Pop(s)),
		"Regenerate": s.Regenerate(),
	} {
		require.ErrorIs(t, err, sessions.ErrNotLoaded, what)
	}
	s.Destroy()
	require.True(t, s.IsNew())
	require.True(t, s.ID().IsZero())
	require.Equal(t, sessions.Metadata{}, s.Metadata())
	require.Zero(t, s.Remaining())
	require.NotEmpty(t, s.String())
	require.NotContains(t, fmt.Sprintf("%v %+v %d", s, s, s), "PANIC")
	s.LogValue()
}

func TestSessionPrintsNoContent(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	s := m.New()
	require.NoError(t, name.Set(s, secret))
	texts := []string{s.String(), s.LogValue().String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, s), fmt.Sprintf(verb, struct{ s *sessions.Session }{s}))
	}
	data, err := json.Marshal(s)
	require.NoError(t, err)
	for _, text := range append(texts, string(data)) {
		require.NotContains(t, text, "hunter2")
		for _, id := range secretTexts(s.ID()) {
			require.NotContains(t, text, id)
		}
	}
	require.Contains(t, s.String(), s.ID().Key().String())
}

// An update function that touches the session breaks the rule, but must not lock
// up the request.
func TestUpdateFunctionThatTouchesTheSession(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	within(t, func() {
		_, err := count.Update(s, func(n int) int {
			text, _ := name.Get(s)
			s.ID()
			s.Metadata()
			return n + len(text)
		})
		require.NoError(t, err)
		_, err = count.Update(s, func(n int) int { count.Set(s, n+1); return n })
		require.ErrorIs(t, err, sessions.ErrBusy)
	})

	// Also not when it is replayed at commit, nor when it is replayed on what
	// a commit wrote that it came into.
	g := newGate()
	other := load(t, m, tok)
	increment(t, other)
	commit(t, m, other)
	st.before = on("save", 2, g.wait)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := m.Commit(context.Background(), s, sessions.Midway)
		require.NoError(t, err)
	})
	<-g.reached
	_, err := count.Update(s, func(n int) int {
		name.Get(s)
		return n + 10
	})
	require.NoError(t, err)
	close(g.open)
	within(t, wg.Wait)
	n, err := count.Get(s)
	require.NoError(t, err)
	commit(t, m, s)
	requireCount(t, m, tok, n)
}

// within fails where f hangs. It is far longer than f takes.
func within(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("locked up")
	}
}

func TestGoroutinesOfOneRequest(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	s := load(t, m, tok)
	f := sessions.Flash[int]("f")
	var wg sync.WaitGroup
	for i := range 8 {
		own := sessions.Key[int](fmt.Sprint("own", i))
		wg.Go(func() {
			for range 50 {
				if _, err := count.Update(s, func(n int) int { return n + 1 }); err != nil && !errors.Is(err, sessions.ErrBusy) {
					t.Error(err)
				}
				own.Set(s, i)
				own.Get(s)
				name.GetOr(s, "")
				f.Add(s, i)
				f.Pop(s)
				own.Pop(s)
				s.Metadata()
				s.Remaining()
				s.ID()
				s.IsNew()
				_ = s.String()
				m.Token(s)
			}
			own.Set(s, i)
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 20 {
				if _, err := m.Commit(context.Background(), s, sessions.Midway); err != nil {
					t.Error(err)
				}
				other, err := m.Load(context.Background(), received(t, tok))
				if err != nil {
					t.Error(err)
					continue
				}
				count.Update(other, func(n int) int { return n + 1000 })
				if _, err := m.Commit(context.Background(), other, sessions.BeforeResponse); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	commit(t, m, s)
	requireCount(t, m, tok, 1+8*50+40*1000)
	s = load(t, m, tok)
	for i := range 8 {
		got, err := sessions.Key[int](fmt.Sprint("own", i)).Get(s)
		require.NoError(t, err)
		require.Equal(t, i, got)
	}
}

// A value that decodes in part is not handed out.
func TestNoHalfValues(t *testing.T) {
	_, m := setup(t, sessions.Config{})
	s := m.New()
	require.NoError(t, sessions.Key[map[string]any]("pair").Set(s, map[string]any{"A": 1, "B": "text"}))
	pair := sessions.Key[struct{ A, B int }]("pair")
	v, err := pair.Get(s)
	require.ErrorIs(t, err, sessions.ErrDecode)
	require.Zero(t, v)
	v, err = pair.GetOr(s, struct{ A, B int }{7, 7})
	require.ErrorIs(t, err, sessions.ErrDecode)
	require.Zero(t, v)
}
