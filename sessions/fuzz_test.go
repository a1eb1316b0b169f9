package sessions_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// planted has lists of owners whose entries say something else.
type planted struct {
	*store
	data []byte
}

func (p planted) Place() stores.Place { return stores.Place{Name: "planted", Server: p} }

func (p planted) Entries(ctx context.Context, owner stores.Key) ([]stores.Entry, error) {
	list, err := p.store.Entries(ctx, owner)
	for i := range list {
		list[i].Data = p.data
	}
	return list, err
}

// FuzzOwnerEntry puts any bytes into an owner's list, where no encryptor stands
// before them. Whatever they are, the session is listed, can be saved and moved, and
// can be ended.
func FuzzOwnerEntry(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := sessions.NewManager(planted{newStore(t), data}, sessions.Config{
			WithoutEncryption: true, Rolling: time.Hour,
			Owners: []encrypt.Key{encrypt.GenerateKey()}, MaxSessionsPerOwner: 2, Overflow: sessions.EndOldest,
		})
		require.NoError(t, err)
		o := &ownersOf{t: t, m: m}
		want, err := envelope.Split(data)
		if err != nil {
			want = envelope.Envelope{}
		}

		tok := o.login("ada", "a label")
		list, err := m.Sessions(t.Context(), "ada")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, sessions.Handle(tok.ID.Key().String()), list[0].Handle)
		require.Equal(t, want.Label, list[0].Label)
		require.Equal(t, want.Created, list[0].Created)
		require.WithinDuration(t, time.Now().Add(time.Hour), list[0].Expires, time.Minute)

		s := o.load(tok)
		require.NoError(t, s.SetLabel("another label"))
		require.NoError(t, s.Regenerate())
		tok = commit(t, m, s).Token
		for range 3 {
			o.login("ada", "one more")
		}
		list, err = m.Sessions(t.Context(), "ada")
		require.NoError(t, err)
		require.NotEmpty(t, list)
		require.NoError(t, m.Revoke(t.Context(), "ada", list[0].Handle))
		_, err = m.RevokeAll(t.Context(), "ada")
		require.NoError(t, err)
		o.dead(tok)
		list, err = m.Sessions(t.Context(), "ada")
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

func TestFuzzCorpus(t *testing.T) {
	seeds, err := os.ReadDir("testdata/fuzz/FuzzOwnerEntry")
	require.NoError(t, err)
	require.NotEmpty(t, seeds)
}
