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
	counted := &countedStore{Store: store}
	options = append([]middleware.Option{middleware.WithLifetime(lifetime)}, options...)
	mw := must(middleware.New(counted.as(), options...))
	return &site{
		calls: &counted.calls,
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

// countedStore counts the calls of a store.
type countedStore struct {
	stores.Store
	calls callCount
}

// as returns s with the optional methods that the store beneath has.
func (s *countedStore) as() stores.Store {
	toucher, touches := s.Store.(stores.Toucher)
	holder, holds := s.Store.(stores.ClientHolder)
	switch {
	case touches:
		return countedServer{s, toucher}
	case holds:
		return countedClient{s, holder}
	}
	return s
}

func (s *countedStore) Describe() stores.Info { return stores.Describe(s.Store) }

func (s *countedStore) Load(ctx context.Context, tok stores.Token) (stores.Record, error) {
	s.calls.add()
	return s.Store.Load(ctx, tok)
}

func (s *countedStore) Save(ctx context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	s.calls.add()
	return s.Store.Save(ctx, tok, rec)
}

func (s *countedStore) Delete(ctx context.Context, tok stores.Token, rev stores.Revision) error {
	s.calls.add()
	return s.Store.Delete(ctx, tok, rev)
}

type countedServer struct {
	*countedStore
	toucher stores.Toucher
}

func (s countedServer) Touch(ctx context.Context, tok stores.Token, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	s.calls.add()
	return s.toucher.Touch(ctx, tok, rev, expires)
}

type countedClient struct {
	*countedStore
	stores.ClientHolder
}
