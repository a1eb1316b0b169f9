package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores/memstore"
)

// newExample returns a manager for the examples.
func newExample() *sessions.Manager {
	store, err := memstore.New()
	if err != nil {
		panic(err)
	}
	m, err := sessions.NewManager(store, sessions.Config{WithoutEncryption: true})
	if err != nil {
		panic(err)
	}
	return m
}

func ExampleKey() {
	// Keys are constants, next to the code that uses them.
	const user = sessions.Key[string]("user")
	s := newExample().New() // in a handler: sessions.Load(r.Context())

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
	// Output:
	// nobody: true
	// ada <nil>
	// wrong type: true
}

// Two requests of one session count at the same time. The second one to commit
// meets the first one's record, and its update runs again on that.
func ExampleKey_Update() {
	const visits = sessions.Key[int]("visits")
	ctx := context.Background()
	m := newExample()
	visit := func(s *sessions.Session) {
		if _, err := visits.Update(s, func(n int) int { return n + 1 }); err != nil {
			fmt.Println(err)
		}
	}

	s := m.New()
	visit(s)
	change, err := m.Commit(ctx, s, sessions.BeforeResponse)
	if err != nil {
		fmt.Println(err)
	}

	a, _ := m.Load(ctx, change.Token)
	b, _ := m.Load(ctx, change.Token)
	visit(a)
	visit(b)
	m.Commit(ctx, a, sessions.BeforeResponse)
	m.Commit(ctx, b, sessions.BeforeResponse)

	s, _ = m.Load(ctx, change.Token)
	fmt.Println(visits.Get(s))
	// Output: 3 <nil>
}

func ExampleFlash() {
	const notices = sessions.Flash[string]("notices")
	s := newExample().New()
	notices.Add(s, "Your address was saved.")
	notices.Add(s, "Please confirm it by mail.")

	// On the next page:
	list, err := notices.Pop(s)
	for _, text := range list {
		fmt.Println(text)
	}
	list, err = notices.Pop(s)
	fmt.Println(len(list), err)
	// Output:
	// Your address was saved.
	// Please confirm it by mail.
	// 0 <nil>
}

// Package middleware does this for every request; a program that speaks another
// protocol than HTTP can do it itself.
func ExampleManager() {
	const user = sessions.Key[string]("user")
	ctx := context.Background()
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	enc, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := sessions.NewManager(store, sessions.Config{Encryptor: enc, Lifetime: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}

	// A login. The token goes to the client.
	s := m.New()
	user.Set(s, "ada")
	change, err := m.Commit(ctx, s, sessions.BeforeResponse)
	fmt.Println(change.Action == sessions.Replace, change.MaxAge.Round(time.Hour), err)
	token := change.Token

	// A later request, which ends the session.
	s, err = m.Load(ctx, token)
	who, _ := user.Get(s)
	fmt.Println(who, err)
	s.Destroy()
	change, err = m.Commit(ctx, s, sessions.BeforeResponse)
	fmt.Println(change.Action == sessions.Remove, err)

	_, err = m.Load(ctx, token)
	fmt.Println(err)
	// Output:
	// true 1h0m0s <nil>
	// ada <nil>
	// true <nil>
	// sessions: token rejected: unknown
}

func ExampleSession_Regenerate() {
	const user = sessions.Key[string]("user")
	ctx := context.Background()
	m := newExample()
	s := m.New()
	sessions.Key[int]("cart").Set(s, 3)
	before, _ := m.Commit(ctx, s, sessions.BeforeResponse)

	// At login: whoever knew the old ID has nothing of it.
	s, _ = m.Load(ctx, before.Token)
	user.Set(s, "ada")
	if err := s.Regenerate(); err != nil {
		fmt.Println(err)
	}
	after, err := m.Commit(ctx, s, sessions.BeforeResponse)
	fmt.Println("new ID:", !after.Token.ID.Equal(before.Token.ID), err)

	_, err = m.Load(ctx, before.Token)
	fmt.Println("old ID:", err)
	s, _ = m.Load(ctx, after.Token)
	fmt.Println(sessions.Key[int]("cart").Get(s))
	// Output:
	// new ID: true <nil>
	// old ID: sessions: token rejected: unknown
	// 3 <nil>
}
