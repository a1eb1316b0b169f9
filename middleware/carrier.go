package middleware

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"

	"github.com/bulla-go/bulla/sessions"
)

// carrier is the [sessions.Carrier] in the handler's context. Behind it are the
// request's cookies and the Set-Cookie line, and fmt prints what is behind a
// pointer; it can't follow an atomic.Pointer.
type carrier struct{ q atomic.Pointer[request] }

func (c *carrier) Load(ctx context.Context) (*sessions.Session, error) { return c.q.Load().load(ctx) }
func (c *carrier) Loaded() *sessions.Session                           { return c.q.Load().loaded() }
func (c *carrier) Commit(ctx context.Context) error                    { return c.q.Load().commit(ctx) }

// errInside answers who commits a session that is being loaded or committed.
var errInside = errors.New("middleware: the session is being loaded or committed; hooks, log handlers and stores can't commit it")

// inside is the context for whatever runs while a request loads or commits its
// session: hooks, the log, the store, the error handler. It is the caller's,
// but for a Carrier that answers at once with what there is: a log handler that
// looks up the session would otherwise wait for itself.
type inside struct {
	sessions.Context
	outer *carrier
	err   error // in the error handler: what failed
}

// within makes i the context inside of parent.
func (i *inside) within(parent context.Context, outer *carrier) *inside {
	i.Context, i.outer = sessions.Context{Context: parent, Carrier: i}, outer
	return i
}

func (i *inside) Load(context.Context) (*sessions.Session, error) {
	if s := i.Loaded(); s != nil {
		return s, nil
	}
	return nil, cmp.Or(i.err, sessions.ErrNotLoaded)
}

func (i *inside) Loaded() *sessions.Session { return i.outer.q.Load().session.Load() }

func (i *inside) Commit(context.Context) error { return cmp.Or(i.err, errInside) }
