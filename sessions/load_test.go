package sessions_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/internal/payload"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/sessions/internal/token"
	"github.com/bulla-go/bulla/stores"
)

// stored returns the record as the store has it.
func stored(t testing.TB, st *store, tok token.Token) stores.Record {
	t.Helper()
	rec, err := st.Store.Load(context.Background(), tok.ID.Key(), stores.Fresh)
	require.NoError(t, err)
	return rec
}

// overwrite puts data in the place of tok's record.
func overwrite(t testing.TB, st *store, tok token.Token, data []byte) {
	t.Helper()
	rec := stored(t, st, tok)
	rec.Data = data
	_, err := st.Store.Save(context.Background(), tok.ID.Key(), rec)
	require.NoError(t, err)
}

// requireUnreadable checks that tok's record is an error, no new session, and
// stays as it is.
func requireUnreadable(t testing.TB, st *store, m *sessions.Manager, tok token.Token, cause error) {
	t.Helper()
	before, writes := stored(t, st, tok), st.writes()
	s, err := m.Load(context.Background(), received(t, tok))
	require.Nil(t, s)
	require.ErrorIs(t, err, sessions.ErrUnreadable)
	if cause != nil {
		require.ErrorIs(t, err, cause)
	}
	var r *sessions.RejectedError
	require.False(t, errors.As(err, &r), "the caller would go on with a new session")
	require.NotErrorIs(t, err, stores.ErrUnavailable)
	require.Equal(t, before, stored(t, st, tok))
	require.Equal(t, writes, st.writes())
}

func TestWrongKey(t *testing.T) {
	var ev events
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	wrong := newManager(t, st, sessions.Config{Hooks: ev.hooks()})
	requireUnreadable(t, st, wrong, tok, encrypt.ErrUnknownKey)
	require.Len(t, ev.of("store error"), 1)
	require.Empty(t, ev.of("rejected"))
	requireCount(t, m, tok, 1)
}

func TestGarbledRecord(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	data := stored(t, st, tok).Data
	for i := range data {
		garbled := bytes.Clone(data)
		garbled[i] ^= 1
		overwrite(t, st, tok, garbled)
		requireUnreadable(t, st, m, tok, nil)
	}
	for _, n := range []int{0, 1, len(data) / 2, len(data) - 1} {
		overwrite(t, st, tok, data[:n])
		requireUnreadable(t, st, m, tok, nil)
	}
	overwrite(t, st, tok, data)
	requireCount(t, m, tok, 1)

	// Without encryption the envelope is what tells.
	st, m = setup(t, sessions.Config{WithoutEncryption: true})
	tok = begin(t, m)
	data = stored(t, st, tok).Data
	for n := range data {
		overwrite(t, st, tok, data[:n])
		requireUnreadable(t, st, m, tok, nil)
	}
	overwrite(t, st, tok, append(bytes.Clone(data), 0))
	requireUnreadable(t, st, m, tok, nil)
}

// A record that becomes unreadable while a request holds it is not overwritten.
func TestUnreadableAtReplay(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	tok := begin(t, m)
	for _, change := range []func(*sessions.Session){
		func(s *sessions.Session) { count.Set(s, 9) },
		func(s *sessions.Session) { s.Regenerate() },
	} {
		s := load(t, m, tok)
		change(s)
		good := stored(t, st, tok).Data
		overwrite(t, st, tok, []byte("garbled"))
		_, err := m.Commit(t.Context(), s, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrUnreadable)
		require.Equal(t, []byte("garbled"), stored(t, st, tok).Data)
		require.Equal(t, 1, st.Len())
		overwrite(t, st, tok, good)
	}
}

func TestOutageIsNoLogout(t *testing.T) {
	for what, err := range map[string]error{"outage": errOutage, "deadline": context.DeadlineExceeded, "cancelled": context.Canceled} {
		t.Run(what, func(t *testing.T) {
			var ev events
			st, m := setup(t, sessions.Config{Hooks: ev.hooks()})
			tok := begin(t, m)
			st.before = on("load", 1, func() error { return err })
			s, got := m.Load(t.Context(), tok)
			require.Nil(t, s)
			require.ErrorIs(t, got, err)
			var r *sessions.RejectedError
			require.False(t, errors.As(got, &r))
			require.Empty(t, ev.of("rejected"))
			require.Len(t, ev.of("store error"), 1)
			requireCount(t, m, tok, 1)
		})
	}
}

func TestRejectedReasons(t *testing.T) {
	m := newManager(t, clientStore{}, sessions.Config{})
	tok := begin(t, m)
	data, err := payload.Decode(tok.Payload)
	require.NoError(t, err)
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 0x80
		requireRejected(t, m, token.Token{ID: tok.ID, Payload: payload.Encode(changed)}, sessions.Tampered)
	}
	requireRejected(t, m, token.Token{ID: tok.ID}, sessions.Unknown)
	// More than a browser keeps is not even decoded.
	long := tok.Payload + strings.Repeat("A", 4097-len(tok.Payload))
	requireRejected(t, m, token.Token{ID: tok.ID, Payload: long[:4096]}, sessions.Tampered)
	requireRejected(t, m, token.Token{ID: tok.ID, Payload: long}, sessions.Malformed)
	_, err = m.Load(t.Context(), token.Token{ID: tok.ID, Payload: "*"})
	var r *sessions.RejectedError
	require.ErrorAs(t, err, &r)
	require.Equal(t, sessions.Malformed, r.Reason)
	require.ErrorIs(t, err, stores.ErrMalformed)
	require.ErrorContains(t, err, "malformed")
	requireRejected(t, newManager(t, clientStore{}, sessions.Config{}), tok, sessions.Tampered)
}

func TestRecordMovedToAnotherSession(t *testing.T) {
	st, m := setup(t, sessions.Config{})
	victim, attacker := begin(t, m), begin(t, m)
	overwrite(t, st, attacker, stored(t, st, victim).Data)
	requireUnreadable(t, st, m, attacker, encrypt.ErrTampered)
}

func TestRecordOfAnotherApplicationOrCookie(t *testing.T) {
	ring := newRing(t)
	st := newStore(t)
	home := sessions.Config{Encryptor: ring, Audience: "shop", Name: "session"}
	for what, c := range map[string]sessions.Config{
		"audience":       {Audience: "admin", Name: "session"},
		"name":           {Audience: "shop", Name: "other"},
		"none":           {},
		"swapped":        {Audience: "session", Name: "shop"},
		"joined":         {Audience: "shopsession"},
		"split earlier":  {Audience: "sho", Name: "psession"},
		"the other side": {Name: "shopsession"},
	} {
		c.Encryptor = ring
		tok := begin(t, newManager(t, st, home))
		requireUnreadable(t, st, newManager(t, st, c), tok, encrypt.ErrTampered)

		client := begin(t, newManager(t, clientStore{}, home))
		requireRejected(t, newManager(t, clientStore{}, c), client, sessions.Tampered)
		require.NotEmpty(t, what)
	}
}

// What the client holds never passes for a server's record, nor the other way
// round, though key, application, cookie and ID are the same.
func TestDomains(t *testing.T) {
	ring := newRing(t)
	st := newStore(t)
	server := newManager(t, st, sessions.Config{Encryptor: ring})
	client := newManager(t, clientStore{}, sessions.Config{Encryptor: ring})

	tok := begin(t, server)
	tok.Payload = payload.Encode(stored(t, st, tok).Data)
	requireRejected(t, client, tok, sessions.Tampered)

	tok = begin(t, client)
	data, err := payload.Decode(tok.Payload)
	require.NoError(t, err)
	_, err = st.Save(t.Context(), tok.ID.Key(), stores.Record{Data: data, Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	requireUnreadable(t, st, server, token.Token{ID: tok.ID}, encrypt.ErrTampered)
}

// binding is written out here as the design has it.
func binding(domain, audience, name string, id []byte) []byte {
	var b []byte
	for _, part := range [][]byte{[]byte(domain), []byte(audience), []byte(name), id} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return b
}

// Who has the database and the master key, but no client's cookie, opens
// nothing: everything but the ID is known here, and the hash that the store has
// is no ID.
func TestDumpAndMasterKeyOpenNothing(t *testing.T) {
	ring := newRing(t)
	st := newStore(t)
	m := newManager(t, st, sessions.Config{Encryptor: ring, Audience: "shop", Name: "session"})
	var dump [][]byte
	var keys []stores.Key
	st.before = func(_ context.Context, c call) error {
		if c.op == "save" {
			dump, keys = append(dump, bytes.Clone(c.rec.Data)), append(keys, c.key)
			require.NotContains(t, string(c.rec.Data), "Ada")
		}
		return nil
	}
	tok := begin(t, m)
	other := begin(t, m)
	for _, data := range dump {
		for _, id := range []sessions.ID{tok.ID, other.ID} {
			require.NotContains(t, string(data), string(id.AppendSecret(nil)))
		}
	}

	// The control: with the ID it opens.
	_, err := ring.Decrypt(nil, dump[0], binding("bulla record on a server", "shop", "session", tok.ID.AppendSecret(nil)))
	require.NoError(t, err)

	ids := [][]byte{nil, make([]byte, 24), bytes.Repeat([]byte{0xff}, 24)}
	for _, k := range keys {
		hash := k.Hash()
		ids = append(ids, hash[:], []byte(k.String()))
	}
	for _, data := range dump {
		ids = append(ids, data[:24], data[len(data)-24:], data)
	}
	for _, data := range dump {
		for _, id := range ids {
			for _, domain := range []string{"bulla record on a server", "bulla record in a cookie", "bulla copy in a cookie", ""} {
				for _, audience := range []string{"shop", ""} {
					for _, name := range []string{"session", ""} {
						full := binding(domain, audience, name, id)
						for _, b := range [][]byte{full, full[:len(full)-len(id)], full[:len(full)-len(id)-1], id} {
							if len(b) == 0 {
								continue
							}
							_, err := ring.Decrypt(nil, data, b)
							require.ErrorIs(t, err, encrypt.ErrTampered)
						}
					}
				}
			}
		}
	}
	// Nor does the kit itself, with a token that is made of what the store has.
	for _, k := range keys {
		forged, _, err := token.Parse(k.String())
		require.NoError(t, err)
		requireRejected(t, m, forged, sessions.Unknown)
	}
}

func TestRetiredKeyIsSealedAfresh(t *testing.T) {
	for what, change := range map[string]bool{"only read": false, "changed": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, st stores.Store, _ encrypt.Encryptor) {
				old, key := encrypt.GenerateKey(), encrypt.GenerateKey()
				manager := func(keys ...encrypt.Key) *sessions.Manager {
					ring, err := encrypt.NewAESGCM(keys...)
					require.NoError(t, err)
					return newManager(t, st, sessions.Config{Encryptor: ring, Lifetime: time.Hour})
				}
				before, during, after := manager(old), manager(key, old), manager(key)
				tok := begin(t, before)
				end := time.Now().Add(time.Hour)
				time.Sleep(10 * time.Minute)

				tok = use(t, during, tok, change)
				want := 1
				if change {
					want = 2
				}
				requireCount(t, after, tok, want)

				// Once: under the new key nothing is left to do.
				s := load(t, during, tok)
				require.Equal(t, sessions.Change{}, commit(t, during, s))
				requireEndsAt(t, after, tok, end)
			})
		})
	}
}

// A record that can't be sealed afresh stays readable, and the request is none
// the worse.
func TestRetiredKeyAndOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ev events
		old, key := encrypt.GenerateKey(), encrypt.GenerateKey()
		was, err := encrypt.NewAESGCM(old)
		require.NoError(t, err)
		is, err := encrypt.NewAESGCM(key, old)
		require.NoError(t, err)
		st := newStore(t)
		tok := begin(t, newManager(t, st, sessions.Config{Encryptor: was}))
		m := newManager(t, st, sessions.Config{Encryptor: is, Hooks: ev.hooks()})
		st.before = down(errOutage, "save")
		require.Equal(t, sessions.Change{}, commit(t, m, load(t, m, tok)))
		require.Len(t, ev.of("store error"), 1)
		st.before = nil
		commit(t, m, load(t, m, tok))
		require.Len(t, ev.of("saved"), 1)
	})
}

// Everything that can happen to a session, told to hooks and log. Neither
// carries an ID or content.
func TestHooksAndLogTellAllButSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ev events
		var log bytes.Buffer
		both := handlers{
			slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}),
			slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}),
		}
		st, m := setup(t, sessions.Config{Rolling: time.Hour, Hooks: ev.hooks(), Logger: slog.New(both)})
		var ids []sessions.ID
		expect := func(kind string, n int, id sessions.ID) sessions.Event {
			t.Helper()
			list := ev.of(kind)
			require.Len(t, list, n, kind)
			last := list[n-1]
			require.Equal(t, id.Key(), last.Key, kind)
			require.Equal(t, "memory", last.Store)
			ids = append(ids, id)
			return last
		}

		s := m.New()
		require.NoError(t, count.Set(s, 1))
		require.NoError(t, name.Set(s, secret))
		tok := commit(t, m, s).Token
		require.Equal(t, 1, expect("created", 1, tok.ID).Attempts)

		a, b := load(t, m, tok), load(t, m, tok)
		expect("loaded", 2, tok.ID)
		increment(t, a)
		commit(t, m, a)
		require.Equal(t, 1, expect("saved", 1, tok.ID).Attempts)
		increment(t, b)
		commit(t, m, b)
		require.Equal(t, 1, expect("conflict", 1, tok.ID).Attempts)
		require.Equal(t, 2, expect("saved", 2, tok.ID).Attempts)

		time.Sleep(30 * time.Minute)
		st.before = func(context.Context, call) error { time.Sleep(time.Second); return nil }
		commit(t, m, load(t, m, tok))
		require.Equal(t, time.Second, expect("touched", 1, tok.ID).Took)
		st.before = nil

		s = load(t, m, tok)
		late := load(t, m, tok)
		require.NoError(t, s.Regenerate())
		fresh := commit(t, m, s).Token
		expect("regenerated", 1, fresh.ID)
		ids = append(ids, tok.ID)

		increment(t, late)
		_, err := m.Commit(t.Context(), late, sessions.BeforeResponse)
		require.ErrorIs(t, err, sessions.ErrEnded)
		expect("ended", 1, tok.ID)
		requireRejected(t, m, tok, sessions.Replaced)
		require.Equal(t, sessions.Replaced, expect("rejected", 1, tok.ID).Reason)

		s = load(t, m, fresh)
		st.before = down(errOutage, "save")
		increment(t, s)
		_, err = m.Commit(t.Context(), s, sessions.Midway)
		require.ErrorIs(t, err, stores.ErrUnavailable)
		st.before = nil
		require.ErrorIs(t, expect("store error", 1, fresh.ID).Err, stores.ErrUnavailable)
		data := stored(t, st, fresh).Data
		overwrite(t, st, fresh, []byte("garbled"))
		_, err = m.Load(t.Context(), fresh)
		require.ErrorIs(t, err, sessions.ErrUnreadable)
		require.ErrorIs(t, expect("store error", 2, fresh.ID).Err, sessions.ErrUnreadable)
		overwrite(t, st, fresh, data)

		exchanged(t, m, "no token")
		require.Equal(t, sessions.Malformed, expect("rejected", 2, sessions.ID{}).Reason)

		s = load(t, m, fresh)
		s.Destroy()
		require.NoError(t, name.Set(s, secret))
		ids = append(ids, s.ID())
		_, err = m.Commit(t.Context(), s, sessions.AfterResponse)
		require.ErrorIs(t, err, sessions.ErrTooLate)
		expect("destroyed", 1, fresh.ID)
		require.Len(t, ev.of("late change"), 1)

		text := log.String()
		for _, said := range []string{
			"session created", "session loaded", "session saved", "replaying", "session touched", "new ID", "ended elsewhere",
			"token rejected", "session store failed", "session destroyed", "after the response began",
			"attempts=2", "reason=malformed", "store=memory", tok.ID.Key().String(), fresh.ID.Key().String(),
		} {
			require.Contains(t, text, said)
		}
		for _, list := range ev.list {
			for _, e := range list {
				text += fmt.Sprintf("%v %+v %#v %x\n", e, e, e, e)
			}
		}
		j, err := json.Marshal(ev.list["created"])
		require.NoError(t, err)
		text += string(j)
		require.NotContains(t, text, "hunter2")
		require.NotContains(t, text, tok.Value(nil))
		for _, id := range ids {
			if id.IsZero() {
				continue
			}
			for _, form := range secretTexts(id) {
				require.NotContains(t, text, form)
				require.NotContains(t, strings.ToLower(text), strings.ToLower(form))
			}
		}
	})
}

// handlers gives every record to both.
type handlers [2]slog.Handler

func (h handlers) Enabled(context.Context, slog.Level) bool { return true }
func (h handlers) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h[0].Handle(ctx, r), h[1].Handle(ctx, r))
}
func (h handlers) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h handlers) WithGroup(string) slog.Handler      { return h }

func TestLogKeepsItsLevel(t *testing.T) {
	_, m := setup(t, sessions.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	requireCount(t, m, begin(t, m), 1)
	exchanged(t, m, "no token")
}

// exchanged is one request with these values of the cookie.
func exchanged(t testing.TB, m *sessions.Manager, values ...string) *sessions.Session {
	t.Helper()
	var x sessions.Exchange
	s, err := sessions.Load(x.Begin(t.Context(), m, sent(values)))
	require.NoError(t, err)
	return s
}

// sent is a transport that has the values of a cookie, and is told nothing.
type sent []string

func (s sent) Values() []string   { return s }
func (sent) Autoload() bool       { return false }
func (sent) Reply(sessions.Reply) {}
