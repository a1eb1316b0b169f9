package sessions_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/memstore"
)

// A configuration that is shorter than it was applies to sessions that are out;
// one that is longer does not lengthen them.
func TestConfigurationChanges(t *testing.T) {
	fixed := func(d time.Duration) sessions.Config { return sessions.Config{Lifetime: d} }
	rolling := func(idle, cap time.Duration) sessions.Config {
		return sessions.Config{Rolling: idle, Lifetime: cap}
	}
	for what, c := range map[string]struct {
		was, is sessions.Config
		use     time.Duration // when it is used under the old configuration
		ends    time.Duration // after its begin
	}{
		"fixed, shorter":            {fixed(2 * time.Hour), fixed(time.Hour), 0, time.Hour},
		"fixed, longer":             {fixed(time.Hour), fixed(2 * time.Hour), 0, time.Hour},
		"idle, shorter":             {rolling(2*time.Hour, 0), rolling(time.Hour, 0), 30 * time.Minute, 90 * time.Minute},
		"idle, longer":              {rolling(time.Hour, 0), rolling(2*time.Hour, 0), 30 * time.Minute, 90 * time.Minute},
		"cap, shorter":              {rolling(2*time.Hour, 10*time.Hour), rolling(2*time.Hour, 3*time.Hour), 100 * time.Minute, 3 * time.Hour},
		"cap, longer":               {rolling(2*time.Hour, 3*time.Hour), rolling(2*time.Hour, 10*time.Hour), 100 * time.Minute, 3 * time.Hour},
		"idle and cap, shorter":     {rolling(12*time.Hour, 24*time.Hour), rolling(time.Hour, 12*time.Hour), time.Hour, 2 * time.Hour},
		"fixed to rolling":          {fixed(3 * time.Hour), rolling(time.Hour, 2*time.Hour), 0, 2 * time.Hour},
		"rolling to fixed":          {rolling(time.Hour, 10*time.Hour), fixed(2 * time.Hour), 30 * time.Minute, 90 * time.Minute},
		"default to fixed, shorter": {sessions.Config{}, fixed(time.Hour), 0, time.Hour},
		"fixed to default":          {fixed(time.Hour), sessions.Config{}, 0, time.Hour},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
				c.was.Encryptor, c.is.Encryptor = ring, ring
				was, is := newManager(t, st, c.was), newManager(t, st, c.is)
				start := time.Now()
				tok := begin(t, was)
				if c.use > 0 {
					time.Sleep(c.use)
					tok = use(t, was, tok, false)
				}
				seen := time.Now()
				if last := load(t, is, tok).Metadata().LastSeen; !last.IsZero() { // a cap may hide it
					require.WithinDuration(t, seen, last, 0)
				}
				requireEndsAt(t, is, tok, start.Add(c.ends))
			})
		})
	}
}

// Use under the new configuration brings a session in line with it, but never
// past the deadline that it began with.
func TestConfigurationAppliesAtUse(t *testing.T) {
	bubble(t, func(t *testing.T, st stores.Store, ring encrypt.Encryptor) {
		was := newManager(t, st, sessions.Config{Encryptor: ring, Rolling: 10 * time.Minute, Lifetime: 2 * time.Hour})
		is := newManager(t, st, sessions.Config{Encryptor: ring, Rolling: time.Hour, Lifetime: 10 * time.Hour})
		end := time.Now().Add(2 * time.Hour)
		tok := begin(t, was)
		time.Sleep(5 * time.Minute)
		tok = use(t, is, tok, false) // written, although nothing is due
		time.Sleep(55 * time.Minute)
		tok = use(t, is, tok, false)
		time.Sleep(30 * time.Minute)
		requireEndsAt(t, is, use(t, is, tok, true), end)
	})
}

func TestInvalidConfig(t *testing.T) {
	ring := newRing(t)
	server := newStore(t) // outside the process
	for what, c := range map[string]struct {
		store stores.Store
		c     sessions.Config
		want  []string
	}{
		"no store":                  {nil, sessions.Config{}, []string{"store is nil", "memstore.New"}},
		"a nil pointer":             {(*store)(nil), sessions.Config{}, []string{"store is nil", "constructor"}},
		"a store of nothing":        {placed{Name: "empty"}, sessions.Config{}, []string{"empty", "Place"}},
		"no encryptor":              {server, sessions.Config{}, []string{"WithEncryptor", "WithoutEncryption"}},
		"no encryptor, client":      {clientStore{}, sessions.Config{}, []string{"client", "add WithEncryptor"}},
		"waived, client":            {clientStore{}, sessions.Config{WithoutEncryption: true}, []string{"client", "add WithEncryptor"}},
		"waived, both":              {placed{Name: "both", Server: server, Cookie: clientStore{}}, sessions.Config{WithoutEncryption: true}, []string{"both", "add WithEncryptor"}},
		"both":                      {server, sessions.Config{Encryptor: ring, WithoutEncryption: true}, []string{"WithEncryptor", "WithoutEncryption", "leave one out"}},
		"readable":                  {placed{Name: "readable", Cookie: clientStore{}, Signed: true}, sessions.Config{Encryptor: ring}, []string{"WithEncryptor", "cookiestore.Sealed"}},
		"negative lifetime":         {nil, sessions.Config{Lifetime: -1}, []string{"WithLifetime(-1ns)", "leave it out"}},
		"short lifetime":            {nil, sessions.Config{Lifetime: time.Second - 1}, []string{"WithLifetime(999.999999ms)", "longer"}},
		"long lifetime":             {nil, sessions.Config{Lifetime: 400*day + 1}, []string{"WithLifetime(", "400 days", "shorter"}},
		"negative idle":             {nil, sessions.Config{Rolling: -1}, []string{"WithRolling(-1ns)", "leave it out"}},
		"short idle":                {nil, sessions.Config{Rolling: time.Second - 1}, []string{"WithRolling(999.999999ms)", "longer"}},
		"lifetime under idle":       {nil, sessions.Config{Lifetime: time.Hour, Rolling: 2 * time.Hour}, []string{"WithRolling(2h0m0s)", "WithLifetime(1h0m0s)", "lengthen"}},
		"default under idle":        {nil, sessions.Config{Rolling: 31 * day}, []string{"WithRolling(744h0m0s)", "WithLifetime(720h0m0s)", "lengthen"}},
		"negative touch":            {nil, sessions.Config{Rolling: time.Hour, TouchInterval: -1}, []string{"WithTouchInterval(-1ns)", "use 0"}},
		"touch of fixed":            {nil, sessions.Config{Lifetime: time.Hour, TouchInterval: time.Minute}, []string{"WithTouchInterval", "WithRolling", "leave"}},
		"touch as long as the idle": {nil, sessions.Config{Rolling: time.Hour, TouchInterval: time.Hour}, []string{"WithTouchInterval(1h0m0s)", "WithRolling(1h0m0s)", "shorten"}},
		"negative commit timeout":   {nil, sessions.Config{CommitTimeout: -1}, []string{"WithCommitTimeout(-1ns)", "leave it out"}},
		"long commit timeout":       {nil, sessions.Config{CommitTimeout: time.Minute + 1}, []string{"WithCommitTimeout(", "shorten"}},
		"short stubs":               {nil, sessions.Config{StubLifetime: time.Minute - 1}, []string{"WithStubLifetime(", "leave it out"}},
		"negative stubs":            {nil, sessions.Config{StubLifetime: -1}, []string{"WithStubLifetime(-1ns)", "leave it out"}},
		"negative cache":            {nil, sessions.Config{Encryptor: ring, CookieCache: -1}, []string{"WithCookieCache", "leave them out"}},
		"long cache":                {nil, sessions.Config{Encryptor: ring, CookieCache: time.Hour + 1}, []string{"WithCookieCache(", "an hour", "shorten"}},
		"fallback alone":            {nil, sessions.Config{Encryptor: ring, CookieCacheFallback: time.Hour}, []string{"WithCookieCacheFallback", "add WithCookieCache"}},
		"fallback under cache":      {nil, sessions.Config{Encryptor: ring, CookieCache: time.Hour, CookieCacheFallback: time.Minute}, []string{"WithCookieCacheFallback(1m0s)", "WithCookieCache(1h0m0s)", "lengthen"}},
		"fallback over idle":        {nil, sessions.Config{Encryptor: ring, Rolling: time.Hour, CookieCache: time.Minute, CookieCacheFallback: time.Hour + 1}, []string{"WithCookieCacheFallback(", "1h0m0s", "shorten"}},
		"cache in the open":         {nil, sessions.Config{WithoutEncryption: true, CookieCache: time.Minute}, []string{"WithCookieCache", "add WithEncryptor"}},
		"cache of the client's own": {clientStore{}, sessions.Config{Encryptor: ring, CookieCache: time.Minute}, []string{"WithCookieCache", "client"}},
		"limit without owners":      {nil, sessions.Config{Encryptor: ring, MaxSessionsPerOwner: 1}, []string{"WithMaxSessionsPerOwner", "add WithOwners"}},
		"negative limit":            {nil, sessions.Config{Encryptor: ring, Owners: []encrypt.Key{encrypt.GenerateKey()}, MaxSessionsPerOwner: -1}, []string{"WithMaxSessionsPerOwner(-1)", "leave it out"}},
		"owners of a cookie":        {clientStore{}, sessions.Config{Encryptor: ring, Owners: []encrypt.Key{encrypt.GenerateKey()}}, []string{"WithOwners", "client"}},
		"owners without an index":   {placed{Name: "plain", Server: struct{ stores.Server }{server}}, sessions.Config{Encryptor: ring, Owners: []encrypt.Key{encrypt.GenerateKey()}}, []string{"WithOwners", "plain"}},
		"a zero owners' key":        {nil, sessions.Config{Encryptor: ring, Owners: []encrypt.Key{{}}}, []string{"WithOwners"}},
		"a zero key of signed IDs":  {nil, sessions.Config{Encryptor: ring, SignedIDs: []encrypt.Key{{}}}, []string{"WithSignedIDs"}},
	} {
		t.Run(what, func(t *testing.T) {
			if c.store == nil && what != "no store" {
				if c.store = server; c.c.Encryptor == nil {
					c.c.WithoutEncryption = true
				}
			}
			m, err := sessions.NewManager(c.store, c.c)
			require.ErrorIs(t, err, sessions.ErrConfig)
			require.Nil(t, m)
			for _, text := range c.want {
				require.ErrorContains(t, err, text)
			}
		})
	}
	inProcess, err := memstore.New()
	require.NoError(t, err)
	_, err = sessions.NewManager(inProcess, sessions.Config{})
	require.NoError(t, err, "nothing leaves the process")
	for what, c := range map[string]sessions.Config{
		"waived":                   {WithoutEncryption: true},
		"400 days":                 {Encryptor: ring, Lifetime: 400 * day},
		"400 days, rolling":        {Encryptor: ring, Lifetime: 400 * day, Rolling: 400 * day},
		"a second, rolling":        {Encryptor: ring, Rolling: time.Second},
		"as long as the lifetime":  {Encryptor: ring, Lifetime: time.Hour, Rolling: time.Hour},
		"a commit of a minute":     {Encryptor: ring, CommitTimeout: time.Minute},
		"stubs for a minute":       {Encryptor: ring, StubLifetime: time.Minute},
		"a cache of an hour":       {Encryptor: ring, CookieCache: time.Hour},
		"a fallback as long as it": {Encryptor: ring, CookieCache: time.Hour, CookieCacheFallback: 30 * day},
	} {
		_, err := sessions.NewManager(server, c)
		require.NoError(t, err, what)
	}
}

// placed is a store that is described by nothing else.
type placed stores.Place

func (p placed) Place() stores.Place { return stores.Place(p) }
