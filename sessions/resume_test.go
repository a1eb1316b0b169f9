package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// resumable is a client whose session a job may go on with.
type resumable struct {
	t       *testing.T
	m       *sessions.Manager
	cookies map[string]string
	id      sessions.ID
}

func beginResumable(t *testing.T, m *sessions.Manager) *resumable {
	b := &resumable{t, m, map[string]string{}, sessions.ID{}}
	b.request(func(_ context.Context, s *sessions.Session) error {
		b.id = s.ID()
		return sessions.Key[int]("n").Set(s, 1)
	})
	return b
}

func (b *resumable) request(f func(context.Context, *sessions.Session) error) {
	b.t.Helper()
	require.NoError(b.t, serve(b.t.Context(), b.m, b.cookies, func(ctx context.Context) error {
		s, err := sessions.Load(ctx)
		if err != nil {
			return err
		}
		return f(ctx, s)
	}))
}

// n is what the client's next request reads.
func (b *resumable) n() (n int) {
	b.t.Helper()
	b.request(func(_ context.Context, s *sessions.Session) (err error) {
		n, err = sessions.Key[int]("n").GetOr(s, 0)
		return err
	})
	return n
}

func addOne(_ context.Context, s *sessions.Session) error {
	_, err := sessions.Key[int]("n").Update(s, func(n int) int { return n + 1 })
	return err
}

func resumableManager(t *testing.T, c sessions.Config) *sessions.Manager {
	store, err := memstore.New()
	require.NoError(t, err)
	m, err := sessions.NewManager(store, c)
	require.NoError(t, err)
	return m
}

func TestResume(t *testing.T) {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	for name, c := range map[string]sessions.Config{
		"plain":        {},
		"signed IDs":   {SignedIDs: []encrypt.Key{encrypt.GenerateKey()}},
		"cookie cache": {Encryptor: enc, CookieCache: time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			b := beginResumable(t, resumableManager(t, c))
			before := b.cookies["session"]
			require.NoError(t, b.m.Resume(t.Context(), b.id, addOne))
			require.Equal(t, before, b.cookies["session"])
			require.Equal(t, 2, b.n())

			// What f has for itself is what a handler has.
			require.NoError(t, b.m.Resume(t.Context(), b.id, func(ctx context.Context, s *sessions.Session) error {
				again, err := sessions.Load(ctx)
				require.NoError(t, err)
				require.Same(t, s, again)
				require.ErrorIs(t, s.Regenerate(), sessions.ErrTooLate)
				require.NoError(t, addOne(ctx, s))
				require.NoError(t, sessions.Commit(ctx))
				require.Equal(t, 3, b.n())
				return addOne(ctx, s)
			}))
			require.Equal(t, 4, b.n())

			// An error leaves nothing behind; a panic neither.
			failed := errors.New("failed")
			err := b.m.Resume(t.Context(), b.id, func(ctx context.Context, s *sessions.Session) error { return errors.Join(addOne(ctx, s), failed) })
			require.ErrorIs(t, err, failed)
			require.PanicsWithValue(t, "broke", func() {
				b.m.Resume(t.Context(), b.id, func(ctx context.Context, s *sessions.Session) error { addOne(ctx, s); panic("broke") })
			})
			require.Equal(t, 4, b.n())

			// But a logout stays one.
			err = b.m.Resume(t.Context(), b.id, func(_ context.Context, s *sessions.Session) error { s.Destroy(); return failed })
			require.ErrorIs(t, err, failed)
			require.Zero(t, b.n())
			require.ErrorIs(t, b.m.Resume(t.Context(), b.id, addOne), sessions.ErrEnded)
		})
	}
}

// A job and requests change the session at once.
func TestResumeCrosses(t *testing.T) {
	b := beginResumable(t, resumableManager(t, sessions.Config{}))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				b.request(addOne) // a server-held session's cookie stays
			}
		})
		all.Go(func() {
			for range 20 {
				require.NoError(t, b.m.Resume(t.Context(), b.id, addOne))
			}
		})
	}
	all.Wait()
	require.Equal(t, 1+8*40, b.n())

	// A logout while the job runs: nothing brings the session back.
	err := b.m.Resume(t.Context(), b.id, func(ctx context.Context, s *sessions.Session) error {
		b.request(func(_ context.Context, s *sessions.Session) error { s.Destroy(); return nil })
		return addOne(ctx, s)
	})
	require.ErrorIs(t, err, sessions.ErrEnded)
	require.ErrorIs(t, b.m.Resume(t.Context(), b.id, addOne), sessions.ErrEnded)

	// A login while it runs: the session has a new ID, and the job has lost it.
	b = beginResumable(t, resumableManager(t, sessions.Config{}))
	err = b.m.Resume(t.Context(), b.id, func(ctx context.Context, s *sessions.Session) error {
		b.request(func(_ context.Context, s *sessions.Session) error { return s.Regenerate() })
		return addOne(ctx, s)
	})
	require.ErrorIs(t, err, sessions.ErrEnded)
	require.ErrorIs(t, b.m.Resume(t.Context(), b.id, addOne), sessions.ErrEnded)
	require.Equal(t, 1, b.n())
}

func TestResumeExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := beginResumable(t, resumableManager(t, sessions.Config{Rolling: time.Hour}))
		time.Sleep(50 * time.Minute)
		require.NoError(t, b.m.Resume(t.Context(), b.id, addOne))
		time.Sleep(50 * time.Minute)
		require.Equal(t, 2, b.n(), "it counts as use")
		time.Sleep(61 * time.Minute)
		require.ErrorIs(t, b.m.Resume(t.Context(), b.id, addOne), sessions.ErrEnded)
	})
}

func TestResumeWhatCantBe(t *testing.T) {
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	never := func(context.Context, *sessions.Session) error { panic("there is no session") }

	m, err := sessions.NewManager(cookiestore.Sealed(), sessions.Config{Encryptor: enc})
	require.NoError(t, err)
	require.ErrorIs(t, m.Resume(t.Context(), beginResumable(t, m).id, never), sessions.ErrConfig)

	mem, err := memstore.New()
	require.NoError(t, err)
	hybrid, err := hybridstore.New(cookiestore.Sealed(), mem)
	require.NoError(t, err)
	m, err = sessions.NewManager(hybrid, sessions.Config{Encryptor: enc, Room: 4000})
	require.NoError(t, err)
	require.ErrorIs(t, m.Resume(t.Context(), beginResumable(t, m).id, never), sessions.ErrEnded, "the client holds it")

	m = resumableManager(t, sessions.Config{})
	require.ErrorIs(t, m.Resume(t.Context(), sessions.ID{}, never), sessions.ErrInvalid)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := beginResumable(t, m)
	require.NoError(t, m.Resume(ctx, b.id, addOne), "memory does not wait, and a commit does not stop with its caller")
}

// A job that a request has begun tells the user of its end.
func ExampleManager_Resume() {
	const notice = sessions.Flash[string]("notice")
	m, cookies := newExample(), map[string]string{}
	done := make(chan error)
	handle(m, cookies, func(_ context.Context, s *sessions.Session) {
		if err := notice.Add(s, "Your export has begun."); err != nil {
			fmt.Println(err)
		}
		id := s.ID() // and not the session, which ends with its request
		go func() {
			<-done // the work
			done <- m.Resume(context.Background(), id, func(_ context.Context, s *sessions.Session) error {
				return notice.Add(s, "Your export is ready.")
			})
		}()
	})
	done <- nil
	fmt.Println(<-done)
	handle(m, cookies, func(_ context.Context, s *sessions.Session) {
		fmt.Println(notice.Pop(s))
	})
	// Output:
	// <nil>
	// [Your export has begun. Your export is ready.] <nil>
}
