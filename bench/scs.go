package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

// scsJSON is the codec that an application with scs writes to have JSON.
type scsJSON struct{}

type scsRecord struct {
	Deadline time.Time
	Values   map[string]any
}

func (scsJSON) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return json.Marshal(scsRecord{deadline, values})
}

func (scsJSON) Decode(data []byte) (time.Time, map[string]any, error) {
	var rec scsRecord
	err := json.Unmarshal(data, &rec)
	return rec.Deadline, rec.Values, err
}

// scsManager returns a manager with the default codec, gob, or with JSON.
func scsManager(codec scs.Codec) *scs.SessionManager {
	m := scs.New()
	m.Lifetime = lifetime
	m.Cookie.Secure = true
	if codec != nil {
		m.Codec = codec
	}
	return m
}

func scsSite(fields []field, m *scs.SessionManager) *site {
	counted := &countedSCS{Store: m.Store}
	m.Store = counted
	if ctxStore, ok := counted.Store.(scs.CtxStore); ok {
		m.Store = countedSCSCtx{counted, ctxStore}
	}
	visits := m.GetInt
	if _, ok := m.Codec.(scsJSON); ok {
		// JSON's numbers come back as float64.
		visits = func(ctx context.Context, name string) int { n, _ := m.Get(ctx, name).(float64); return int(n) }
	}
	return &site{
		calls: &counted.calls,
		login: m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			check(m.RenewToken(r.Context()))
			for _, f := range fields {
				m.Put(r.Context(), f.name, f.value)
			}
			answerOK(w, r)
		})),
		read: m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user := m.GetString(r.Context(), userField)
			if user == "" {
				unauthorized(w)
				return
			}
			answer(w, user, visits(r.Context(), visitsField))
		})),
		change: m.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user := m.GetString(r.Context(), userField)
			if user == "" {
				unauthorized(w)
				return
			}
			n := visits(r.Context(), visitsField) + 1
			if _, ok := m.Codec.(scsJSON); ok {
				m.Put(r.Context(), visitsField, float64(n))
			} else {
				m.Put(r.Context(), visitsField, n)
			}
			answer(w, user, n)
		})),
		untouched: m.LoadAndSave(http.HandlerFunc(answerOK)),
	}
}

// scsMemory keeps the default store, the one in memory.
func scsMemory(codec scs.Codec) func([]field) *site {
	return func(fields []field) *site { return scsSite(fields, scsManager(codec)) }
}

// countedSCS counts the calls of a store.
type countedSCS struct {
	scs.Store
	calls callCount
}

func (s *countedSCS) Find(token string) ([]byte, bool, error) {
	s.calls.add()
	return s.Store.Find(token)
}

func (s *countedSCS) Commit(token string, data []byte, expiry time.Time) error {
	s.calls.add()
	return s.Store.Commit(token, data, expiry)
}

func (s *countedSCS) Delete(token string) error {
	s.calls.add()
	return s.Store.Delete(token)
}

// countedSCSCtx does the same for a store that takes contexts.
type countedSCSCtx struct {
	*countedSCS
	store scs.CtxStore
}

func (s countedSCSCtx) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	s.calls.add()
	return s.store.FindCtx(ctx, token)
}

func (s countedSCSCtx) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	s.calls.add()
	return s.store.CommitCtx(ctx, token, data, expiry)
}

func (s countedSCSCtx) DeleteCtx(ctx context.Context, token string) error {
	s.calls.add()
	return s.store.DeleteCtx(ctx, token)
}
