package sessions_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// loadMany and saveMany do what a Batcher does, one by one.
func loadMany(ctx context.Context, s stores.Server, keys []stores.Key) ([]stores.Record, error) {
	recs := make([]stores.Record, len(keys))
	for i, key := range keys {
		var err error
		if recs[i], err = s.Load(ctx, key, stores.Fresh); err != nil && !errors.Is(err, stores.ErrNotFound) {
			return nil, err
		}
	}
	return recs, nil
}

func saveMany(ctx context.Context, s stores.Server, keys []stores.Key, recs []stores.Record) ([]bool, error) {
	conflicts := make([]bool, len(keys))
	for i, key := range keys {
		_, err := s.Save(ctx, key, recs[i])
		if conflicts[i] = errors.Is(err, stores.ErrConflict); err != nil && !conflicts[i] {
			return nil, err
		}
	}
	return conflicts, nil
}

// batcher is a store that can ask for many records at once. failing is what SaveMany
// answers after it has carried out the first.
type batcher struct {
	*store
	loaded, saved int
	between       func() // before a SaveMany
	failing       error
}

func (b *batcher) Place() stores.Place { return stores.Place{Name: "batches", Server: b} }

func (b *batcher) LoadMany(ctx context.Context, keys []stores.Key) ([]stores.Record, error) {
	b.loaded++
	return loadMany(ctx, b.store, keys)
}

func (b *batcher) SaveMany(ctx context.Context, keys []stores.Key, recs []stores.Record) ([]bool, error) {
	b.saved++
	if b.between != nil {
		b.between()
	}
	if b.failing != nil {
		saveMany(ctx, b.store, keys[:1], recs[:1])
		return nil, b.failing
	}
	return saveMany(ctx, b.store, keys, recs)
}

// Sessions are ended together, and those that changed meanwhile, or of which there was
// no answer, one by one.
func TestRevokeAllInOne(t *testing.T) {
	start := func(t *testing.T) (*batcher, *ownersOf, []token.Token) {
		st := &batcher{store: newStore(t)}
		o := newOwnersOf(t, st, nil)
		return st, o, []token.Token{o.login("ann", "1"), o.login("ann", "2"), o.login("ann", "3")}
	}
	end := func(t *testing.T, o *ownersOf) {
		n, err := o.m.RevokeAll(t.Context(), "ann")
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Empty(t, o.labels("ann"))
	}
	t.Run("plainly", func(t *testing.T) {
		st, o, tokens := start(t)
		end(t, o)
		require.Equal(t, 1, st.saved)
		require.EqualValues(t, 3, st.ends.Load())
		for _, tok := range tokens {
			o.dead(tok)
		}
	})
	t.Run("one changed, one moved", func(t *testing.T) {
		st, o, tokens := start(t)
		st.between = func() {
			st.between = nil
			o.use(tokens[0], 1)
			s := o.load(tokens[1])
			require.NoError(t, s.Regenerate())
			_, err := o.m.Commit(t.Context(), s, sessions.BeforeResponse)
			require.ErrorIs(t, err, sessions.ErrEnded, "the epoch is another one")
			o.use(tokens[2], 1)
		}
		end(t, o)
		for _, tok := range tokens {
			o.dead(tok)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		st, o, tokens := start(t)
		st.failing = errOutage
		end(t, o)
		for _, tok := range tokens {
			o.dead(tok)
		}
	})
}
