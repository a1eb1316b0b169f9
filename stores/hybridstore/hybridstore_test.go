package hybridstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/cookiestore"
	"github.com/bulla-go/bulla/stores/hybridstore"
	"github.com/bulla-go/bulla/stores/memstore"
)

// place is a store that is described by nothing else.
type place stores.Place

func (p place) Place() stores.Place { return stores.Place(p) }

func newMemory(t testing.TB) *memstore.Store {
	store, err := memstore.New()
	require.NoError(t, err)
	return store
}

// The server is the very one that was given, so that what it can do besides
// (touch, list owners) is there in the hybrid too.
func TestPlace(t *testing.T) {
	cookie, server := cookiestore.Sealed(), newMemory(t)
	store, err := hybridstore.New(cookie, server)
	require.NoError(t, err)
	require.Equal(t, stores.Place{
		Name:   "hybrid of cookie and memory",
		Server: server,
		Cookie: cookie.Place().Cookie,
	}, store.Place())
	require.Same(t, server, store.Place().Server)
	require.Implements(t, (*stores.Toucher)(nil), store.Place().Server)
	require.Implements(t, (*stores.OwnerIndex)(nil), store.Place().Server)
}

// What is in a cookie has left the process, wherever the server is; a replica
// that may answer does so in the hybrid as well.
func TestPlaceOfTheParts(t *testing.T) {
	store, err := hybridstore.New(cookiestore.Sealed(), place{Name: "x", Server: newMemory(t), InProcess: true, StaleReads: true})
	require.NoError(t, err)
	require.False(t, store.Place().InProcess)
	require.False(t, store.Place().Signed)
	require.True(t, store.Place().StaleReads)
	require.Equal(t, "hybrid of cookie and x", store.Place().Name)
}

func TestMisconfiguration(t *testing.T) {
	memory, sealed := newMemory(t), cookiestore.Sealed()
	signed, err := cookiestore.Signed(encrypt.GenerateKey())
	require.NoError(t, err)
	hybrid, err := hybridstore.New(sealed, memory)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		cookie, server stores.Store
		says           string
	}{
		"no cookie":               {nil, memory, "nil"},
		"no server":               {sealed, nil, "nil"},
		"a server that failed":    {sealed, (*memstore.Store)(nil), "nil"},
		"two servers":             {memory, memory, "the memory store does not keep records in the cookie alone"},
		"two cookies":             {sealed, sealed, "the cookie store does not keep records on a server alone"},
		"the wrong way round":     {memory, sealed, "give cookiestore.Sealed() first"},
		"a hybrid for the cookie": {hybrid, memory, "in the cookie alone"},
		"a hybrid for the server": {sealed, hybrid, "on a server alone"},
		"a signed cookie":         {signed, memory, "give cookiestore.Sealed() first"},
		"nowhere":                 {place{Name: "no"}, memory, "the no store"},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := hybridstore.New(test.cookie, test.server)
			require.ErrorContains(t, err, test.says)
			require.Nil(t, store)
		})
	}
}
