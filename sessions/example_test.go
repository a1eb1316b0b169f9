package sessions_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// newExample returns a manager for the examples.
func newExample() *sessions.Manager {
	store, err := memstore.New()
	if err != nil {
		panic(err)
	}
	m, err := sessions.NewManager(store, sessions.Config{})
	if err != nil {
		panic(err)
	}
	return m
}

// handle is a request of a client with these cookies. In a program package middleware
// calls the handler.
func handle(m *sessions.Manager, cookies map[string]string, handler func(ctx context.Context, s *sessions.Session)) {
	err := serve(context.Background(), m, cookies, func(ctx context.Context) error {
		s, err := sessions.Load(ctx)
		if err == nil {
			handler(ctx, s)
		}
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
}

func ExampleKey() {
	// Keys are constants, next to the code that uses them.
	const user = sessions.Key[string]("user")

	handle(newExample(), map[string]string{}, func(ctx context.Context, s *sessions.Session) {
		_, err := user.Get(s)
		fmt.Println("nobody:", errors.Is(err, sessions.ErrNoValue))

		if err := user.Set(s, "ada"); err != nil {
			fmt.Println(err)
		}
		who, err := user.Get(s)
		fmt.Println(who, err)

		// A value of another type is an error, never a zero value in silence.
		_, err = sessions.Key[int](user).Get(s)
		fmt.Println("wrong type:", errors.Is(err, sessions.ErrDecode))
	})
	// Output:
	// nobody: true
	// ada <nil>
	// wrong type: true
}

// Two requests of one session count at the same time. The second one to commit
// meets the first one's record, and its update runs again on that.
func ExampleKey_Update() {
	const visits = sessions.Key[int]("visits")
	m, cookies := newExample(), make(map[string]string)
	visit := func(ctx context.Context, s *sessions.Session) {
		if _, err := visits.Update(s, func(n int) int { return n + 1 }); err != nil {
			fmt.Println(err)
		}
	}
	handle(m, cookies, visit)

	handle(m, cookies, func(ctx context.Context, s *sessions.Session) {
		visit(ctx, s)
		handle(m, cookies, visit) // comes later, and is stored first
	})
	handle(m, cookies, func(ctx context.Context, s *sessions.Session) {
		fmt.Println(visits.Get(s))
	})
	// Output: 3 <nil>
}

func ExampleFlash() {
	const notices = sessions.Flash[string]("notices")
	m, cookies := newExample(), make(map[string]string)
	handle(m, cookies, func(ctx context.Context, s *sessions.Session) {
		notices.Add(s, "Your address was saved.")
		notices.Add(s, "Please confirm it by mail.")
	})
	for range 2 { // pages
		handle(m, cookies, func(ctx context.Context, s *sessions.Session) {
			list, err := notices.Pop(s)
			fmt.Println(len(list), err)
			for _, text := range list {
				fmt.Println(text)
			}
		})
	}
	// Output:
	// 2 <nil>
	// Your address was saved.
	// Please confirm it by mail.
	// 0 <nil>
}

func ExampleSession_Regenerate() {
	const user = sessions.Key[string]("user")
	const cart = sessions.Key[int]("cart")
	m, cookies := newExample(), make(map[string]string)
	handle(m, cookies, func(ctx context.Context, s *sessions.Session) { cart.Set(s, 3) })
	old := map[string]string{"session": cookies["session"]}

	// At login: whoever knew the old ID has nothing of it.
	handle(m, cookies, func(ctx context.Context, s *sessions.Session) {
		user.Set(s, "ada")
		if err := s.Regenerate(); err != nil {
			fmt.Println(err)
		}
	})
	fmt.Println("new ID:", cookies["session"] != old["session"])

	show := func(ctx context.Context, s *sessions.Session) {
		who, _ := user.GetOr(s, "nobody")
		items, _ := cart.GetOr(s, 0)
		fmt.Println(who, items)
	}
	handle(m, cookies, show)
	handle(m, old, show)
	// Output:
	// new ID: true
	// ada 3
	// nobody 0
}

// An attempt must be counted before it is let through: what Update returns is
// provisional until it is committed.
func ExampleCommit() {
	const attempts = sessions.Key[int]("attempts")
	handle(newExample(), map[string]string{}, func(ctx context.Context, s *sessions.Session) {
		n, err := attempts.Update(s, func(n int) int { return n + 1 })
		if err == nil {
			err = sessions.Commit(ctx)
		}
		if err == nil && n <= 3 {
			fmt.Println("the password is looked at")
		}
	})
	// Output: the password is looked at
}

// A stream ends with its session. In a program the handler sends what comes in until
// the context is done.
func ExampleWatch() {
	const user = sessions.Key[string]("user")
	m, cookies := newExample(), make(map[string]string)
	handle(m, cookies, func(ctx context.Context, s *sessions.Session) { user.Set(s, "ada") })

	handle(m, cookies, func(ctx context.Context, _ *sessions.Session) {
		stream, err := sessions.Watch(ctx)
		fmt.Println(stream.Err(), err)

		// The user logs out in another tab.
		handle(m, cookies, func(_ context.Context, s *sessions.Session) { s.Destroy() })
		<-stream.Done()
		fmt.Println(context.Cause(stream))
	})
	// Output:
	// <nil> <nil>
	// sessions: the session was ended elsewhere
}
