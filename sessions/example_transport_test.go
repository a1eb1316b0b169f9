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

// request is one request of a client that keeps its cookies in a map. With serve it
// is a whole transport, for a protocol that has neither headers nor a first byte.
type request struct {
	cookies  map[string]string
	exchange sessions.Exchange
	reply    sessions.Reply
}

func (r *request) Values() []string {
	if value, ok := r.cookies["session"]; ok {
		return []string{value}
	}
	return nil
}

func (r *request) Autoload() bool             { return false }
func (r *request) Reply(reply sessions.Reply) { r.reply = reply }

// serve runs a handler, and gives its client the cookie that comes of it.
func serve(ctx context.Context, m *sessions.Manager, cookies map[string]string, handler func(context.Context) error) error {
	r := &request{cookies: cookies}
	ctx = r.exchange.Begin(ctx, m, r)
	err := handler(ctx)
	if _, failed := r.exchange.Respond(); failed != nil {
		return failed
	}
	switch {
	case r.reply.Remove:
		delete(cookies, "session")
	case !r.reply.IsZero():
		cookies["session"] = r.reply.Value() // for r.reply.MaxAge
	}
	r.exchange.Finish()
	return err
}

// A transport of its own: package middleware does for net/http what serve does here.
func ExampleExchange() {
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

	login := func(ctx context.Context) error {
		s, err := sessions.Load(ctx)
		if err != nil {
			return err
		}
		return errors.Join(s.Regenerate(), user.Set(s, "ada"))
	}
	who := func(ctx context.Context) error {
		s, err := sessions.Load(ctx)
		if err != nil {
			return err
		}
		name, err := user.GetOr(s, "nobody")
		fmt.Println(name)
		return err
	}
	logout := func(ctx context.Context) error {
		s, err := sessions.Load(ctx)
		if err != nil {
			return err
		}
		s.Destroy()
		return nil
	}

	cookies := make(map[string]string)
	for _, handler := range []func(context.Context) error{who, login, who, logout, who} {
		if err := serve(ctx, m, cookies, handler); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(len(cookies), "cookies")
	// Output:
	// nobody
	// ada
	// nobody
	// 0 cookies
}
