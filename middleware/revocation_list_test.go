package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// A process that never read the list, or not for long, refuses sessions, and says so.
func TestListIsDown(t *testing.T) {
	fleets(t, func(f *fleet) {
		list := f.list.(*listed)
		cookie := f.login(0, "", "ada")
		list.down.Store(true)
		late := f.start(1)
		pass := f.start(1, middleware.WithInsecureRevocationPassing())
		require.Equal(f.t, http.StatusServiceUnavailable, f.do(late, cookie, look).status)
		require.Equal(f.t, http.StatusServiceUnavailable, f.do(late, "", change).status)
		require.Equal(f.t, http.StatusServiceUnavailable, f.do(pass, cookie, look).status, "it was never read")
		require.Equal(f.t, http.StatusOK, f.do(late, "", look).status, "there is nothing to be looked up")

		f.lives(0, cookie, "ada")
		require.Equal(f.t, http.StatusOK, f.do(0, cookie, change).status)
		for _, do := range []func(*http.Request, *sessions.Session) error{logOut, renew, logIn("grace"), f.revokeOthers} {
			began := time.Now()
			a := f.do(0, cookie, do)
			require.Equal(f.t, http.StatusServiceUnavailable, a.status)
			require.Empty(f.t, a.cookie)
			require.False(f.t, a.gone, "a logout that is not listed is none")
			require.Less(f.t, time.Since(began), 12*time.Second)
		}
		list.down.Store(false)
		time.Sleep(every)
		f.lives(late, cookie, "ada")
		f.lives(pass, cookie, "ada")

		list.down.Store(true)
		time.Sleep(50 * time.Second)
		f.lives(late, cookie, "ada")
		time.Sleep(20 * time.Second)
		require.Equal(f.t, http.StatusServiceUnavailable, f.do(late, cookie, look).status)
		f.lives(pass, cookie, "ada")
		list.down.Store(false)
		time.Sleep(every)
		f.lives(late, cookie, "ada")
	})
}

// A slow list slows no request that does not ask it. One that is too slow is one that is
// down, and where sessions are refused for it, they are at once.
func TestListIsSlow(t *testing.T) {
	fleets(t, func(f *fleet) {
		list := f.list.(*listed)
		atOnce := func(cookie string, status int) {
			f.t.Helper()
			began := time.Now()
			for _, do := range []func(*http.Request, *sessions.Session) error{look, change} {
				require.Equal(f.t, status, f.do(1, cookie, do).status)
			}
			require.Equal(f.t, began, time.Now(), "a request has waited")
		}
		kept, cookie := f.login(0, "", "ada"), f.login(0, "", "ada")
		list.slow.Store(int64(limit - 100*time.Millisecond))
		for range 120 {
			time.Sleep(time.Second)
			atOnce(kept, http.StatusOK)
		}
		began := time.Now()
		require.True(f.t, f.do(0, cookie, logOut).gone)
		require.Equal(f.t, limit-100*time.Millisecond, time.Since(began), "a logout is one call")
		time.Sleep(2 * limit)
		f.everywhere(cookie, "")

		list.slow.Store(int64(limit + time.Second))
		for range 50 {
			time.Sleep(time.Second)
			atOnce(kept, http.StatusOK)
		}
		began = time.Now()
		a := f.do(0, kept, logOut)
		require.Equal(f.t, http.StatusServiceUnavailable, a.status)
		require.False(f.t, a.gone)
		require.Less(f.t, time.Since(began), 12*time.Second)
		time.Sleep(20 * time.Second)
		for range 60 {
			time.Sleep(time.Second)
			atOnce(kept, http.StatusServiceUnavailable)
		}
		list.slow.Store(0)
		time.Sleep(every)
		f.everywhere(kept, "ada")
	})
}

// Where the process could not read, because it was stopped or is new, the request waits.
func TestFirstRequestWaitsForTheList(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		f.do(0, cookie, logOut)
		mw, err := middleware.New(f.store(), append(slices.Clone(f.opts), middleware.WithRevocation(f.ctx, f.list, every))...)
		require.NoError(f.t, err)
		f.all = append(f.all, mw)
		f.lives(2, cookie, "") // with no time to have read it before
	})
}

func TestReadingEndsWithItsContext(t *testing.T) {
	fleets(t, func(f *fleet) {
		ctx, cancel := context.WithCancel(f.ctx)
		f.ctx = ctx
		stopped := f.start(1)
		cookie := f.login(stopped, "", "ada")
		cancel()
		synctest.Wait()
		f.lives(stopped, cookie, "ada")
		time.Sleep(2 * time.Minute)
		a := f.do(stopped, cookie, look)
		require.Equal(f.t, http.StatusServiceUnavailable, a.status)
	})
}

// A list that has lost everything can't tell any more what had ended.
func TestListIsLost(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("sessions stay: %t", keep), func(t *testing.T) {
			var opts []middleware.Option
			if keep {
				opts = append(opts, middleware.WithInsecureRevocationLoss())
			}
			fleets(t, func(f *fleet) {
				list := f.list.(*listed)
				out, kept := f.login(0, "", "ada"), f.login(0, "", "grace")
				revoked := f.login(0, "", "linus")
				f.do(0, out, logOut)
				f.all[0].Manager().RevokeAll(f.t.Context(), "linus")
				f.everywhere(kept, "grace")

				empty, err := memstore.NewRevocations()
				require.NoError(f.t, err)
				list.list.Store(empty)
				time.Sleep(2 * every)
				restarted := f.start(1)
				if keep {
					f.everywhere(kept, "grace")
					f.lives(0, out, "") // who goes on remembers
					f.lives(restarted, out, "ada")
				} else {
					f.everywhere(kept, "")
					f.everywhere(out, "")
					f.everywhere(revoked, "")
				}
				for _, name := range []string{"ada", "linus"} {
					again := f.login(restarted, "", name)
					f.everywhere(again, name)
					f.do(0, again, logOut)
					f.everywhere(again, "")
				}
				again := f.login(restarted, "", "linus")
				f.all[0].Manager().RevokeAll(f.t.Context(), "linus")
				f.everywhere(again, "")
				f.everywhere(revoked, "")
			}, opts...)
		})
	}
}

// Somebody begins sessions and logs out of them, over and over: what they can fill has a
// limit, and behind it whoever has an account logs in and out as ever. BULLA_SOAK=1 has a
// million of them.
func TestFloodOfLogouts(t *testing.T) {
	most := 1000
	if os.Getenv("BULLA_SOAK") != "" {
		most = 1_000_000
	}
	const every = 100 * time.Millisecond
	list := newListed(t, memstore.WithMaxRevocations(2*most))
	var refused atomic.Int64
	f := &fleet{t: t, ctx: t.Context(), store: func() stores.Store { return cookiestore.Sealed() }, list: list, opts: []middleware.Option{
		middleware.WithEncryptor(ring(t, encrypt.GenerateKey())), middleware.WithOwners(encrypt.GenerateKey()), quiet,
		middleware.WithAnonymousRevocation(most),
		middleware.WithHooks(sessions.Hooks{Refused: func(context.Context, sessions.Event) { refused.Add(1) }}),
	}}
	for range 2 {
		mw, err := middleware.New(f.store(), append(slices.Clone(f.opts), middleware.WithRevocation(f.ctx, list, every))...)
		require.NoError(t, err)
		f.all = append(f.all, mw)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	begin := func() string {
		return f.do(0, "", func(_ *http.Request, s *sessions.Session) error { return user.Set(s, "visitor") }).cookie
	}
	empty, began := heap(), time.Now()
	var some []string
	for i := range most {
		cookie := begin()
		require.True(t, f.do(0, cookie, logOut).gone)
		if i%(most/100) == 0 {
			some = append(some, cookie)
		}
	}
	t.Logf("%d logouts in %v; the list and two copies are %d bytes for each", most, time.Since(began).Round(time.Second), int(heap()-empty)/most)
	for range most / 10 {
		a := f.do(0, begin(), logOut)
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.False(t, a.gone)
	}
	require.EqualValues(t, most/10, refused.Load())
	require.EqualValues(t, most, list.list.Load().Len()-1, "and everybody's number")

	ada := f.login(0, begin(), "ada")
	require.NotEmpty(t, f.do(0, f.login(0, "", "ada"), renew).cookie)
	require.True(t, f.do(0, ada, logOut).gone)
	some = append(some, ada)
	require.Eventually(t, func() bool { return f.do(1, ada, look).body == "" }, time.Minute, every)
	for _, cookie := range some {
		f.lives(0, cookie, "")
		f.lives(1, cookie, "")
	}
}

// No machine's clock decides, but for an hour: an entry outlives its session.
func TestEntriesOutliveTheirSessions(t *testing.T) {
	fleetsEvery(t, time.Hour, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		f.do(0, cookie, logOut)
		for range 30 {
			f.everywhere(cookie, "")
			time.Sleep(23 * time.Hour)
		}
		list := f.list.(*listed)
		// Four calls: everybody's number is read and moved on, then what is new, then all.
		require.Less(f.t, list.calls.Load(), int64(2*4*24*31), "more than an hourly reading of each process")

		// A list that nobody has read for longer than sessions live is no lost one.
		kept := f.login(0, "", "ada")
		f.everywhere(kept, "ada")
	})
}

func TestRevocationMisconfiguration(t *testing.T) {
	mem, err := memstore.New()
	require.NoError(t, err)
	list := newListed(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	enc := middleware.WithEncryptor(ring(t, encrypt.GenerateKey()))
	owners := middleware.WithOwners(encrypt.GenerateKey())
	with := func(every time.Duration) middleware.Option { return middleware.WithRevocation(ctx, list, every) }
	for name, c := range map[string]struct {
		store stores.Store
		opts  []middleware.Option
		text  string
	}{
		"no list":               {cookiestore.Sealed(), []middleware.Option{enc, owners, middleware.WithRevocation(ctx, nil, every)}, "WithRevocation: the list is nil"},
		"a nil list":            {cookiestore.Sealed(), []middleware.Option{enc, owners, middleware.WithRevocation(ctx, (*memstore.Revocations)(nil), every)}, "the list is nil"},
		"no context":            {cookiestore.Sealed(), []middleware.Option{enc, owners, middleware.WithRevocation(nil, list, every)}, "context"}, //nolint
		"too often":             {cookiestore.Sealed(), []middleware.Option{enc, owners, with(time.Millisecond)}, "from 100ms"},
		"too seldom":            {cookiestore.Sealed(), []middleware.Option{enc, owners, with(2 * time.Hour)}, "from 100ms"},
		"nothing to list":       {cookiestore.Sealed(), []middleware.Option{enc, with(every)}, "WithAnonymousRevocation"},
		"owners without a list": {cookiestore.Sealed(), []middleware.Option{enc, owners}, "WithRevocation"},
		"a limit":               {cookiestore.Sealed(), []middleware.Option{enc, owners, with(every), middleware.WithMaxSessionsPerOwner(1, sessions.RefuseNew)}, "counts sessions"},
		"anonymous on a server": {mem, []middleware.Option{with(every), middleware.WithAnonymousRevocation(1)}, "ends them itself"},
		"anonymous alone":       {cookiestore.Sealed(), []middleware.Option{enc, middleware.WithAnonymousRevocation(1)}, "add WithRevocation"},
		"none anonymous":        {cookiestore.Sealed(), []middleware.Option{enc, with(every), middleware.WithAnonymousRevocation(0)}, "leave it out"},
		"fewer than none":       {cookiestore.Sealed(), []middleware.Option{enc, with(every), middleware.WithAnonymousRevocation(-1)}, "negative"},
		"refusal too soon":      {cookiestore.Sealed(), []middleware.Option{enc, owners, with(every), middleware.WithRevocationRefusal(every)}, "under twice"},
		"refusal at once":       {cookiestore.Sealed(), []middleware.Option{enc, owners, with(every), middleware.WithRevocationRefusal(0)}, "positive"},
		"refuses and passes":    {cookiestore.Sealed(), []middleware.Option{enc, owners, with(every), middleware.WithRevocationRefusal(time.Hour), middleware.WithInsecureRevocationPassing()}, "contradict"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := middleware.New(c.store, c.opts...)
			require.ErrorIs(t, err, sessions.ErrConfig)
			require.ErrorContains(t, err, c.text)
		})
	}
	mw, err := middleware.New(mem)
	require.NoError(t, err)
	require.ErrorIs(t, mw.Manager().RevokeEverything(t.Context()), sessions.ErrConfig)
	mw, err = middleware.New(mem, with(every))
	require.NoError(t, err)
	require.NoError(t, mw.Manager().RevokeEverything(t.Context()))
}
