package middleware_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// open opens a stream at a process.
func (f *fleet) open(process int, cookie string) (stream context.Context) {
	f.t.Helper()
	a := f.do(process, cookie, func(r *http.Request, _ *sessions.Session) (err error) {
		ctx, cancel := context.WithCancel(r.Context())
		context.AfterFunc(f.ctx, cancel)
		stream, err = sessions.Watch(ctx)
		return err
	})
	require.NoError(f.t, a.err)
	require.NoError(f.t, stream.Err())
	return stream
}

// closes checks that a stream ends no later than within from now.
func (f *fleet) closes(stream context.Context, within time.Duration, cause error) {
	f.t.Helper()
	select {
	case <-stream.Done():
	case <-time.After(within):
		synctest.Wait()
	}
	require.Error(f.t, stream.Err(), "the stream goes on")
	require.ErrorIs(f.t, context.Cause(stream), cause)
}

func (f *fleet) goesOn(stream context.Context, d time.Duration) {
	f.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	require.NoError(f.t, stream.Err(), "%v", context.Cause(stream))
}

const watching = 5 * time.Second // the default interval

// By a list of what has ended streams of sessions in cookies end, too.
func TestWatchWithAList(t *testing.T) {
	fleets(t, func(f *fleet) {
		within := every + watching
		bystander := f.open(0, f.login(0, "", "eve"))

		cookie := f.login(0, "", "ada")
		stream := f.open(0, cookie)
		f.do(1, cookie, logOut)
		f.closes(stream, within, sessions.ErrEnded)
		cookie = f.login(0, "", "ada")
		stream = f.open(0, cookie)
		f.do(0, cookie, logOut)
		f.closes(stream, 0, sessions.ErrEnded)

		for process, within := range []time.Duration{0, within} {
			stream = f.open(0, f.login(0, "", "ada"))
			_, err := f.all[process].Manager().RevokeAll(t.Context(), "ada")
			require.NoError(t, err)
			f.closes(stream, within, sessions.ErrRevoked)
		}
		stream = f.open(0, f.do(0, "", logInBy("ada", "s1")).cookie)
		_, err := f.all[1].Manager().RevokeExternal(t.Context(), "https://op.example", "s1")
		require.NoError(t, err)
		f.closes(stream, within, sessions.ErrRevoked)

		// A new ID is no end, wherever it was given.
		for process := range 2 {
			before := f.login(0, "", "ada")
			stream = f.open(0, before)
			cookie = before
			for range 3 {
				cookie = f.do(process, cookie, renew).cookie
			}
			f.goesOn(stream, 2*within)
			cookie = f.do(process, cookie, renew).cookie
			second := f.open(0, cookie)
			f.goesOn(stream, 2*within)
			f.do(1, cookie, logOut)
			f.closes(stream, within, sessions.ErrEnded)
			f.closes(second, 0, sessions.ErrEnded)
		}
		// Nor does what came before the ID help.
		before := f.login(0, "", "ada")
		stream = f.open(0, f.do(0, before, renew).cookie)
		f.do(0, before, logOut)
		f.closes(stream, 0, sessions.ErrEnded)

		cookie = f.login(0, "", "ada")
		stream = f.open(0, cookie)
		f.do(1, cookie, logIn("bob"))
		f.closes(stream, within, sessions.ErrOwnerChanged)

		f.goesOn(bystander, 0)
		require.NoError(t, f.all[1].Manager().RevokeEverything(t.Context()))
		f.closes(bystander, within, sessions.ErrRevoked)
		time.Sleep(within)
		stream = f.open(0, f.login(0, "", "ada"))
		require.NoError(t, f.all[0].Manager().RevokeEverything(t.Context()))
		f.closes(stream, 0, sessions.ErrRevoked)
	})
}

// RevokeOthers spares the own session, whose stream goes on where it was called.
func TestWatchAcrossRevokeOthers(t *testing.T) {
	fleets(t, func(f *fleet) {
		own := f.login(0, "", "ada")
		stream, others := f.open(0, own), f.open(0, f.login(0, "", "ada"))
		own = f.do(0, own, f.revokeOthers).cookie
		f.closes(others, watching, sessions.ErrRevoked)
		f.goesOn(stream, time.Minute)
		f.do(1, own, logOut)
		f.closes(stream, every+watching, sessions.ErrEnded)
	})
}

// The times of a session that moved elsewhere are those that its new ID began with.
func TestWatchedTimesWithAList(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		stream := f.open(0, cookie)
		f.goesOn(stream, 40*time.Minute)
		f.do(1, cookie, renew)
		f.goesOn(stream, time.Hour-time.Millisecond)
		f.closes(stream, time.Millisecond, sessions.ErrDeadline)
	}, middleware.WithLifetime(time.Hour))
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		stream := f.open(0, cookie)
		f.goesOn(stream, 4*time.Minute)
		f.do(1, cookie, renew)
		f.closes(stream, 10*time.Minute+2*watching, sessions.ErrEnded)
	}, middleware.WithRolling(10*time.Minute))
}

// A list that is down ends streams when it ends requests.
func TestWatchWhileTheListIsDown(t *testing.T) {
	fleets(t, func(f *fleet) {
		cookie := f.login(0, "", "ada")
		stream := f.open(0, cookie)
		list := f.list.(*listed)
		list.down.Store(true)
		f.goesOn(stream, 50*time.Second)
		list.down.Store(false)
		f.goesOn(stream, time.Minute)
		list.down.Store(true)
		f.closes(stream, 80*time.Second, stores.ErrUnavailable)
		require.NotErrorIs(t, context.Cause(stream), sessions.ErrEnded)
		require.Equal(t, http.StatusServiceUnavailable, f.do(0, cookie, look).status)
		list.down.Store(false)
		time.Sleep(time.Minute)
		f.open(0, cookie)
	})
}

// On a server the list ends everything, and the server the rest.
func TestWatchOnAServerWithAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store, err := memstore.New()
		require.NoError(t, err)
		f := &fleet{t: t, ctx: ctx, store: func() stores.Store { return store }, opts: []middleware.Option{quiet}, list: newListed(t), every: every}
		f.start(2)
		cookie := f.do(0, "", change).cookie
		stream := f.open(0, cookie)
		cookie = f.do(1, cookie, renew).cookie
		f.goesOn(stream, time.Minute)
		require.NoError(t, f.all[1].Manager().RevokeEverything(t.Context()))
		f.closes(stream, every+watching, sessions.ErrRevoked)
		f.lives(0, cookie, "")
		cancel()
		synctest.Wait()
	})
}
