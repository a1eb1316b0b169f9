package revoked

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions/internal/swap"
	"github.com/bulla-go/bulla/stores"
)

// meeting is a list at which all who read meet before they go on.
type meeting struct {
	*lateList
	all sync.WaitGroup
}

func (m *meeting) Get(ctx context.Context, keys ...stores.Key) ([]string, error) {
	values, err := m.lateList.Get(ctx, keys...)
	m.all.Done()
	m.all.Wait()
	return values, err
}

// Of two who raise a number in the same millisecond, from the same one, one has done it:
// a thief, with a copy of the cookie, must not be taken for the user.
func TestOneOfTwoRaises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &meeting{lateList: newLateList(1)}
		m.until.Store(true)
		m.all.Add(2)
		var errs [2]error
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				l := New(Config{List: m, Lifetime: time.Hour, Timeout: time.Second})
				_, errs[i] = l.RaiseFrom(t.Context(), stores.NewKey([24]byte{2}), 0)
			})
		}
		wg.Wait()
		require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v", errs)
		for _, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, swap.ErrRevoked)
			}
		}
	})
}

// between is a list at which something happens after the first reading.
type between struct {
	*lateList
	then func()
}

func (b *between) Get(ctx context.Context, keys ...stores.Key) ([]string, error) {
	values, err := b.lateList.Get(ctx, keys...)
	if then := b.then; then != nil {
		b.then = nil
		then()
	}
	return values, err
}

// Who ends the others just before all are ended does not survive that.
func TestRaiseEndsWhoEndsTheOthers(t *testing.T) {
	server := newLateList(1)
	server.until.Store(true)
	list := func(l stores.RevocationList) *List {
		return New(Config{List: l, Lifetime: time.Hour, Timeout: time.Second})
	}
	group := stores.NewKey([24]byte{2})
	var spared uint64
	b := &between{lateList: server, then: func() {
		var err error
		spared, err = list(server).RaiseFrom(t.Context(), group, 0)
		require.NoError(t, err)
	}}
	require.NoError(t, list(b).Raise(t.Context(), group))
	now, err := list(server).Confirm(t.Context(), stores.Key{}, nil, group)
	require.NoError(t, err)
	require.Greater(t, now.Groups[0].Number, spared)
}

func TestEpochs(t *testing.T) {
	for _, e := range []Epochs{
		{}, {Everybody: 7}, {Everybody: 1<<48 - 1, Groups: []Group{{stores.NewKey([24]byte{1, 2}), 9}, {stores.NewKey([24]byte{3}), 0}}},
	} {
		require.Equal(t, e, ParseEpochs(e.Bytes()))
	}
	for n := range 60 {
		e := ParseEpochs(make([]byte, n))
		require.Equal(t, n == 36, len(e.Groups) == 1, n)
	}
}

func TestValues(t *testing.T) {
	m := move{stores.NewKey([24]byte{1, 23: 24}), true, time.UnixMilli(1772366402123)}
	for _, anonymous := range []bool{true, false} {
		value := m.value(anonymous)
		require.LessOrEqual(t, len(value), stores.MaxRevocationValue)
		got, ok := parseMove(value)
		require.True(t, ok)
		require.Equal(t, m, got)
		_, _, ok = parseNumber(value)
		require.False(t, ok)
		for n := range value {
			_, ok := parseMove(value[:n])
			require.False(t, ok)
		}
	}
	value := numberValue(kindBorn, 1<<48-1)
	n, born, ok := parseNumber(value)
	require.True(t, ok)
	require.True(t, born)
	require.Equal(t, uint64(1<<48-1), n)

	// What a later version writes has ended.
	table := newTable()
	key := [24]byte{5}
	table.add(stores.Revocation{Key: stores.NewKey(key), Value: "Z later", Until: time.Now()}, 1)
	require.Equal(t, ended, table.find(&key))
}

// What is over goes with a reading of everything, unless the list still has it.
func TestTableForgets(t *testing.T) {
	table := newTable()
	hash := func(i byte) *[24]byte { return &[24]byte{i} }
	key := func(i byte) stores.Key { return stores.NewKey(*hash(i)) }
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	for i, e := range []struct {
		until time.Time
		pass  uint8
		want  state
	}{{past, 1, live}, {past, 2, ended}, {future, 1, ended}, {future, 2, ended}} {
		table.add(stores.Revocation{Key: key(byte(i)), Value: "e", Until: e.until}, e.pass)
	}
	require.EqualValues(t, 4, table.anonymous.Load())
	table.forget(2)
	require.Equal(t, live, table.find(hash(0)))
	require.EqualValues(t, 3, table.anonymous.Load())
	for i := range byte(3) {
		require.Equal(t, ended, table.find(hash(i+1)))
	}
	table.add(stores.Revocation{Key: key(9), Value: numberValue(kindRaised, 7), Until: future}, 2)
	table.forget(3)
	require.Zero(t, table.group(hash(9)))
}

// What was added is found, whatever is added, replaced and forgotten meanwhile: the
// filter is never behind the table.
func TestTableOverlooksNothing(t *testing.T) {
	table := newTable()
	raised := Group{Key: randomKey(), Number: 7}
	const writes = 2000
	var wg sync.WaitGroup
	for writer := range 4 {
		wg.Go(func() {
			for i := range writes {
				k, gone := randomKey(), randomKey()
				hash := k.Hash()
				table.add(stores.Revocation{Key: gone, Value: "E", Until: time.Unix(1, 0)}, 0)
				table.add(stores.Revocation{Key: k, Value: "E", Until: time.Now().Add(time.Hour)}, 1)
				if table.find(&hash) != ended {
					t.Error("an entry is overlooked")
				}
				if writer == 0 && i%200 == 0 {
					table.add(stores.Revocation{Key: raised.Key, Value: numberValue(kindRaised, raised.Number)}, 1)
					table.forget(1)
					group := raised.Key.Hash()
					if table.group(&group) != raised.Number {
						t.Error("a number is overlooked")
					}
				}
				if table.find(&hash) != ended {
					t.Error("an entry is forgotten")
				}
			}
		})
	}
	wg.Wait()
	table.forget(1)
	n := 0
	for i := range table.shards {
		sh := &table.shards[i]
		n += sh.marks.n + len(sh.numbers)
		for hash := range sh.marks.all() {
			require.True(t, table.filter.Load().mayHave(hash))
		}
	}
	require.Equal(t, 4*writes+1, n)
	require.Equal(t, n, table.n)

	maybe := 0
	for range 100_000 {
		if hash := randomKey().Hash(); table.filter.Load().mayHave(&hash) {
			maybe++
		}
	}
	require.Less(t, maybe, 100_000*4/100)
}

// filled returns a list with a copy of n entries.
func filled(n int) (*List, []stores.Key) {
	l := New(Config{})
	keys := make([]stores.Key, n)
	for i := range keys {
		keys[i] = randomKey()
		l.table.add(stores.Revocation{Key: keys[i], Value: "E", Until: time.Now().Add(time.Hour)}, 1)
	}
	l.readAt.Store(1)
	l.RefuseAfter = time.Hour
	return l, keys
}

func TestLookAllocatesNothing(t *testing.T) {
	l, keys := filled(100)
	epochs := Epochs{Everybody: 1, Groups: []Group{{randomKey(), 2}}}.Bytes()
	other := randomKey()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if l.Usable(context.Background()) != nil || l.Look(other, epochs) != Live || l.Look(keys[0], epochs) != Ended {
			panic("wrong")
		}
	}))
}
