package main

import (
	"context"
	"net/http"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// lifetime is every contender's.
const lifetime = 14 * 24 * time.Hour

const (
	userKey   = sessions.Key[string](userField)
	visitsKey = sessions.Key[int](visitsField)
)

func bullaSite(fields []field, store stores.Store, options ...middleware.Option) *site {
	store, calls := counted(store)
	options = append([]middleware.Option{middleware.WithLifetime(lifetime), middleware.WithPersistentCookie()}, options...)
	mw := must(middleware.New(store, options...))
	return &site{
		calls: calls,
		login: mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Load(r.Context())
			check(err)
			check(s.Regenerate())
			for _, f := range fields {
				check(sessions.Key[any](f.name).Set(s, f.value))
			}
			answerOK(w, r)
		})),
		read: mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Load(r.Context())
			if err != nil {
				http.Error(w, "try again later", http.StatusServiceUnavailable)
				return
			}
			user, err := userKey.GetOr(s, "")
			if err != nil || user == "" {
				unauthorized(w)
				return
			}
			visits, err := visitsKey.Get(s)
			if err != nil {
				http.Error(w, "error", http.StatusInternalServerError)
				return
			}
			answer(w, user, visits)
		})),
		change: mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := sessions.Load(r.Context())
			if err != nil {
				http.Error(w, "try again later", http.StatusServiceUnavailable)
				return
			}
			user, err := userKey.GetOr(s, "")
			if err != nil || user == "" {
				unauthorized(w)
				return
			}
			visits, err := visitsKey.Update(s, func(n int) int { return n + 1 })
			if err != nil {
				http.Error(w, "error", http.StatusInternalServerError)
				return
			}
			answer(w, user, visits)
		})),
		untouched: mw.Handler(http.HandlerFunc(answerOK)),
	}
}

func bullaKey() encrypt.Key { return encrypt.GenerateKey() }

func bullaSealed(fields []field) *site {
	enc := must(encrypt.NewAESGCM(bullaKey()))
	return bullaSite(fields, cookiestore.Sealed(), middleware.WithEncryptor(enc))
}

func bullaSealedCBOR(fields []field) *site {
	enc := must(encrypt.NewAESGCM(bullaKey()))
	return bullaSite(fields, cookiestore.Sealed(), middleware.WithEncryptor(enc), middleware.WithSerializer(serialize.CBOR))
}

func bullaSigned(fields []field) *site {
	return bullaSite(fields, must(cookiestore.Signed(bullaKey())))
}

func bullaMemory(fields []field) *site {
	return bullaSite(fields, must(memstore.New()))
}

func bullaMemorySignedIDs(fields []field) *site {
	return bullaSite(fields, must(memstore.New()), middleware.WithSignedIDs(bullaKey()))
}

// countedStore is a store on a server that counts its calls.
type countedStore struct{ place stores.Place }

func (s countedStore) Place() stores.Place { return s.place }

// counted returns store so that its calls are counted, and where. What the cookie
// holds is no call.
func counted(store stores.Store) (stores.Store, *callCount) {
	place := store.Place()
	if place.Server == nil {
		return store, nil
	}
	calls := new(callCount)
	place.Server = countedServer{place.Server, place.Server.(stores.Toucher), calls}
	return countedStore{place}, calls
}

type countedServer struct {
	server  stores.Server
	toucher stores.Toucher
	calls   *callCount
}

func (s countedServer) Load(ctx context.Context, key stores.Key, fresh stores.Freshness) (stores.Record, error) {
	s.calls.add()
	return s.server.Load(ctx, key, fresh)
}

func (s countedServer) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	s.calls.add()
	return s.server.Save(ctx, key, rec)
}

func (s countedServer) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	s.calls.add()
	return s.server.Put(ctx, key, rec)
}

func (s countedServer) Touch(ctx context.Context, key stores.Key, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	s.calls.add()
	return s.toucher.Touch(ctx, key, rev, expires)
}
