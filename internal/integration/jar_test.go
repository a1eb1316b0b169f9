//go:build unix

package integration_test

import (
	"context"

	"github.com/bulla-go/bulla/sessions"
)

// jar is a client with one cookie, and a transport without HTTP. It is for one
// goroutine.
type jar struct {
	value string
	told  bool // the last request's reply was about the cookie
}

func (j *jar) Values() []string {
	if j.value == "" {
		return nil
	}
	return []string{j.value}
}

func (j *jar) Autoload() bool { return false }

func (j *jar) Reply(r sessions.Reply) {
	j.told = !r.IsZero()
	switch {
	case r.Remove:
		j.value = ""
	case j.told:
		j.value = r.Value()
	}
}

// do is one request. The error is that of the load, of f or of the commit.
func (j *jar) do(ctx context.Context, m *sessions.Manager, f func(context.Context, *sessions.Session) error) error {
	var x sessions.Exchange
	j.told = false
	ctx = x.Begin(ctx, m, j)
	s, err := sessions.Load(ctx)
	if err != nil {
		return err
	}
	err = f(ctx, s)
	if _, failed := x.Respond(); failed != nil {
		return failed
	}
	x.Finish()
	return err
}

// alive tells whether the jar's cookie names a session.
func (j *jar) alive(ctx context.Context, m *sessions.Manager) (is bool, err error) {
	err = (&jar{value: j.value}).do(ctx, m, func(_ context.Context, s *sessions.Session) error {
		is = !s.IsNew()
		return nil
	})
	return is, err
}

// clone is another client with the same cookie.
func (j *jar) clone() *jar { return &jar{value: j.value} }

// id is another client with the session's ID alone, without a copy.
func (j *jar) id() *jar { return &jar{value: j.value[:idSize]} }

func (j *jar) browser() *browser { return &browser{j.value} }
