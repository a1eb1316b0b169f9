package revoked

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/stores"
)

// losing is a list that loses everything, and whose readings may fail, or be waited for.
type losing struct {
	*lateList
	fails int    // how many Since do
	then  func() // is called by the next one
}

func (l *losing) Since(ctx context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	if l.fails > 0 {
		l.fails--
		return stores.RevocationPage{}, errLost
	}
	page, err := l.lateList.Since(ctx, after)
	if then := l.then; then != nil {
		l.then = nil
		then()
	}
	return page, err
}

func (l *losing) lose() {
	clear(l.all)
	l.last = 0
}

func newLosing() *losing {
	l := &losing{lateList: newLateList(1)}
	l.until.Store(true)
	return l
}

var everybody, someGroup = stores.NewKey([24]byte{1}), stores.NewKey([24]byte{2})

// process returns a list that is read when the test says so.
func process(t *testing.T, server stores.RevocationList) *List {
	l := New(Config{List: server, Everybody: everybody, Lifetime: time.Hour, Timeout: time.Second, Failed: func(context.Context, error) {}})
	require.NoError(t, l.read(t.Context()))
	return l
}

func (l *List) groupOf(k stores.Key) uint64 {
	hash := k.Hash()
	return l.table.group(&hash)
}

// A process finds out that the list has lost everything, whatever came before its own
// reading: then it reads all there is, forgets the numbers that no login finds any more,
// and ends what began before.
func TestLossIsFound(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, server *losing, other, l *List){
		"by the reader": func(*testing.T, *losing, *List, *List) {},
		"after a login has seen it": func(t *testing.T, _ *losing, _, l *List) {
			_, err := l.Confirm(t.Context(), stores.Key{}, nil, someGroup)
			require.NoError(t, err)
		},
		"after everybody was ended": func(t *testing.T, _ *losing, other, _ *List) {
			require.NoError(t, other.Raise(t.Context(), everybody))
		},
		"by the second reading": func(t *testing.T, server *losing, _, l *List) {
			server.fails = 1
			require.Error(t, l.read(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newLosing()
				other, l := process(t, server), process(t, server)
				before := Epochs{Everybody: l.Everyone()}.Bytes()
				for i := range byte(9) { // which the new list has not as many of
					_, err := other.End(t.Context(), Ending{Key: stores.NewKey([24]byte{3, i})})
					require.NoError(t, err)
				}
				require.NoError(t, other.Raise(t.Context(), someGroup))
				require.NoError(t, l.read(t.Context()))
				require.NotZero(t, l.groupOf(someGroup))
				time.Sleep(2 * time.Minute)
				require.NoError(t, l.read(t.Context()))
				time.Sleep(2 * time.Minute)

				server.lose()
				require.NoError(t, other.read(t.Context()))
				key := stores.NewKey([24]byte{4})
				_, err := other.End(t.Context(), Ending{Key: key})
				require.NoError(t, err)
				meanwhile(t, server, other, l)
				require.NoError(t, l.read(t.Context()))
				require.Equal(t, Revoked, l.Look(stores.NewKey([24]byte{5}), before))
				require.Equal(t, Ended, l.Look(key, nil), "an entry of the new list was overlooked")
				require.Zero(t, l.groupOf(someGroup), "a user is kept out by what the list has lost")
			})
		})
	}
}

// Who begins a lost list anew with a clock that is behind, or a server that has gone back
// to what it had before, does not bring sessions back.
func TestLostListBeginsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newLosing()
		l := process(t, server)
		ended := Epochs{Everybody: l.Everyone()}.Bytes()
		require.NoError(t, l.Raise(t.Context(), everybody))
		raised := l.Everyone()
		server.lose()
		slow := stores.Revocation{Key: everybody, Value: numberValue(kindBorn, raised-5), Until: time.Now().Add(time.Hour)}
		_, err := server.Swap(t.Context(), "", slow)
		require.NoError(t, err)
		require.NoError(t, l.read(t.Context()))
		other := process(t, server)
		require.Equal(t, Revoked, other.Look(stores.NewKey([24]byte{5}), ended))
		require.Equal(t, Revoked, other.Look(stores.NewKey([24]byte{5}), Epochs{Everybody: raised}.Bytes()))
		require.Equal(t, Live, other.Look(stores.NewKey([24]byte{5}), Epochs{Everybody: other.Everyone()}.Bytes()))
	})
}

// What this process raises while it reads everything it does not forget for it.
func TestRaisedDuringAReadingOfEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newLosing()
		l := process(t, server)
		l.nextAll = 0
		server.then = func() { require.NoError(t, l.Raise(t.Context(), someGroup)) }
		require.NoError(t, l.readAgain(t.Context(), time.Hour))
		require.NotZero(t, l.groupOf(someGroup))
	})
}

// late is a list of pages in which an entry comes into sight far behind the end.
type late struct {
	pages
	behind stores.Revocation // zero: not in sight
}

func (l *late) Since(ctx context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	page, err := l.pages.Since(ctx, after)
	if n, _ := strconv.Atoi(string(after)); n == 0 && l.behind.Value != "" {
		page.Entries = append(page.Entries, l.behind)
	}
	return page, err
}

// Where many end within a minute, an entry may come into sight so far behind the first
// reading that no page of its end has it.
func TestLateBehindTheFirstReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &late{}
		for range 20_000 {
			server.entries = append(server.entries, stores.Revocation{Key: randomKey(), Value: "E", Until: time.Now().Add(time.Hour)})
		}
		l := process(t, server)
		server.behind = stores.Revocation{Key: randomKey(), Value: "E", Until: time.Now().Add(time.Hour)}
		for range 13 { // every five seconds
			time.Sleep(5 * time.Second)
			require.NoError(t, l.read(t.Context()))
			require.NoError(t, l.readAgain(t.Context(), time.Hour))
		}
		require.Equal(t, Ended, l.Look(server.behind.Key, nil))
	})
}

// slow is a list of many pages, each of which takes a second.
type slow struct {
	pages
	mu   sync.Mutex
	last stores.Revocation // what was written last
}

func (s *slow) Since(ctx context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	time.Sleep(time.Second)
	page, err := s.pages.Since(ctx, after)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !page.More {
		page.Entries = append(slices.Clone(page.Entries), s.last)
	}
	return page, err
}

// While everything is read again, which takes longer than a copy may be old, what is new
// is read as ever.
func TestReadingEverythingTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		entry := func() stores.Revocation {
			return stores.Revocation{Key: randomKey(), Value: "E", Until: time.Now().Add(24 * time.Hour)}
		}
		server := &slow{pages: pages{size: 20}, last: entry()}
		for range 100 * server.size {
			server.entries = append(server.entries, entry())
		}
		l := New(Config{
			List: server, Every: 5 * time.Second, RefuseAfter: time.Minute, Everybody: everybody, Lifetime: time.Hour,
			Failed: func(_ context.Context, err error) { t.Error(err) },
		})
		l.Start(ctx)
		time.Sleep(2 * time.Minute)
		for range 5 {
			e := entry()
			server.mu.Lock()
			server.last = e
			server.mu.Unlock()
			for range 12 {
				time.Sleep(time.Second)
				before := time.Now()
				require.NoError(t, l.Usable(ctx))
				require.Equal(t, before, time.Now(), "a request waits")
			}
			require.Equal(t, Ended, l.Look(e.Key, nil))
		}
		time.Sleep(3 * time.Minute)
		require.EqualValues(t, 2, l.pass.Load(), "everything is read once more")
		cancel()
		<-l.stopped
		require.Nil(t, l.whole)
	})
}

// flaky is a list of many pages, of whose calls every third fails.
type flaky struct {
	pages
	calls int
}

func (f *flaky) Since(ctx context.Context, after stores.Cursor) (stores.RevocationPage, error) {
	if f.calls++; f.calls%3 == 0 {
		return stores.RevocationPage{}, errLost
	}
	return f.pages.Since(ctx, after)
}

// A long list is read in the end, however often its server fails.
func TestFirstReadingGoesOn(t *testing.T) {
	server := &flaky{pages: pages{size: 20}}
	for range 30 * server.size {
		server.entries = append(server.entries, stores.Revocation{Key: randomKey(), Value: "E", Until: time.Now().Add(time.Hour)})
	}
	l := New(Config{List: server, Everybody: everybody, Lifetime: time.Hour, Timeout: time.Second, Failed: func(context.Context, error) {}})
	for tries := 0; l.read(t.Context()) != nil; tries++ {
		require.Less(t, tries, 30)
	}
	for _, e := range server.entries {
		require.Equal(t, Ended, l.Look(e.Key, nil))
	}
}
