package hybridstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

func newMemory(t testing.TB) *memstore.Store {
	store, err := memstore.New()
	require.NoError(t, err)
	return store
}

func newStore(t testing.TB, server stores.Store) *hybridstore.Store {
	store, err := hybridstore.New(cookiestore.Sealed(), server)
	require.NoError(t, err)
	return store
}

// plain is a server store that can only do what every store can.
type plain struct{ stores.Store }

var errDown = errors.Join(stores.ErrUnavailable, errors.New("connection refused"))

// down is a server store that does not answer.
type down struct{}

func (down) Load(context.Context, stores.Token) (stores.Record, error) {
	return stores.Record{}, errDown
}

func (down) Save(context.Context, stores.Token, stores.Record) (stores.Token, stores.Revision, error) {
	return stores.Token{}, "", errDown
}

func (down) Delete(context.Context, stores.Token, stores.Revision) error { return errDown }

// Where the token has no room it is a store on a server, with all its rules.
func TestOnTheServer(t *testing.T) {
	for name, wrap := range map[string]func(stores.Store) stores.Store{
		"Toucher":    func(s stores.Store) stores.Store { return s },
		"no Toucher": func(s stores.Store) stores.Store { return plain{s} },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				New:            func(t *testing.T) stores.Store { return newStore(t, wrap(newMemory(t))) },
				NewUnreachable: func(t *testing.T) stores.Store { return newStore(t, down{}) },
				Synctest:       true,
			})
		})
	}
}

// Where it has room it is a cookie store, and no server is needed.
func TestInTheCookie(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New:        func(t *testing.T) stores.Store { return newStore(t, newMemory(t)) },
		ClientRoom: storetest.MinClientRoom,
		Synctest:   true,
	})
}

func record(data string, rev stores.Revision, room int) stores.Record {
	return stores.Record{Data: []byte(data), Expires: time.Now().Add(time.Hour), Revision: rev, Room: room}
}

// A session leaves the cookie when it has no room there, under the same ID, and
// stays on the server however small it becomes.
func TestMoves(t *testing.T) {
	server := newMemory(t)
	store := newStore(t, server)
	ctx, room := t.Context(), stores.PayloadChars(100)
	fits, large := strings.Repeat("x", 100), strings.Repeat("x", 101)
	first := stores.Token{ID: stores.NewID()}

	tok, rev, err := store.Save(ctx, first, record(fits, "", room))
	require.NoError(t, err)
	require.Empty(t, rev)
	require.Len(t, tok.Payload, room)
	require.Zero(t, server.Len())
	inCookie := tok

	tok, rev, err = store.Save(ctx, tok, record(large, "", room))
	require.NoError(t, err)
	require.NotEmpty(t, rev)
	require.Empty(t, tok.Payload)
	require.True(t, tok.ID.Equal(first.ID))
	require.Equal(t, 1, server.Len())

	tok, rev, err = store.Save(ctx, tok, record("x", rev, room))
	require.NoError(t, err)
	require.NotEmpty(t, rev)
	require.Empty(t, tok.Payload)
	rec, err := store.Load(ctx, tok)
	require.NoError(t, err)
	require.Equal(t, "x", string(rec.Data))

	// The old cookie shows what it held, and does not write over the session.
	rec, err = store.Load(ctx, inCookie)
	require.NoError(t, err)
	require.Equal(t, fits, string(rec.Data))
	require.Empty(t, rec.Revision)
	_, _, err = store.Save(ctx, inCookie, record(large, "", room))
	require.ErrorIs(t, err, stores.ErrConflict)
	require.ErrorIs(t, err, stores.ErrExists)
	rec, err = store.Load(ctx, tok)
	require.NoError(t, err)
	require.Equal(t, "x", string(rec.Data))

	// Without a payload it is an ID that is there already.
	_, _, err = store.Save(ctx, stores.Token{ID: first.ID}, record(large, "", room))
	require.ErrorIs(t, err, stores.ErrExists)
	require.NotErrorIs(t, err, stores.ErrConflict)

	require.NoError(t, store.Delete(ctx, inCookie, ""))
	require.Zero(t, server.Len())
}

// A small session needs no server.
func TestServerDown(t *testing.T) {
	store := newStore(t, down{})
	tok, _, err := store.Save(t.Context(), stores.Token{ID: stores.NewID()}, record("small", "", 100))
	require.NoError(t, err)
	rec, err := store.Load(t.Context(), tok)
	require.NoError(t, err)
	require.Equal(t, "small", string(rec.Data))

	_, _, err = store.Save(t.Context(), tok, record(strings.Repeat("x", 101), "", 100))
	require.ErrorIs(t, err, stores.ErrUnavailable)
	require.NotErrorIs(t, err, stores.ErrConflict)
}

func TestDescribe(t *testing.T) {
	require.Equal(t, stores.Info{Name: "hybrid of cookie and memory", Sealing: stores.SealAlways}, stores.Describe(newStore(t, newMemory(t))))
}

func TestMisconfiguration(t *testing.T) {
	signed, err := cookiestore.Signed(encrypt.GenerateKey())
	require.NoError(t, err)
	for name, test := range map[string]struct {
		client, server stores.Store
		says           string
	}{
		"no client":       {nil, newMemory(t), "nil"},
		"no server":       {cookiestore.Sealed(), nil, "nil"},
		"two servers":     {newMemory(t), newMemory(t), "does not put records into the token"},
		"two clients":     {cookiestore.Sealed(), cookiestore.Sealed(), "keeps nothing on a server"},
		"hybrid in it":    {cookiestore.Sealed(), newStore(t, newMemory(t)), "keeps nothing on a server"},
		"a signed cookie": {signed, newMemory(t), "cookiestore.Sealed()"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hybridstore.New(test.client, test.server)
			require.ErrorContains(t, err, test.says)
		})
	}
}
