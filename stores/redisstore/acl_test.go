//go:build unix

package redisstore_test

import (
	"errors"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/redistest"
	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
	"github.com/bulla-go/bulla/stores/storetest"
)

// aclRules are the lines of the package's documentation that begin with "ACL
// SETUSER", by user: the first line is for each.
func aclRules(t *testing.T) map[string][]string {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	require.NoError(t, err)
	var lines [][]string
	for _, block := range new(comment.Parser).Parse(file.Doc.Text()).Content {
		code, ok := block.(*comment.Code)
		if !ok {
			continue
		}
		for line := range strings.Lines(code.Text) {
			if words := strings.Fields(line); len(words) > 3 && words[0] == "ACL" {
				lines = append(lines, words[3:])
			}
		}
	}
	require.Len(t, lines, 5)
	return map[string][]string{
		"sessions":  lines[0],
		"listing":   slices.Concat(lines[0], lines[1]),
		"tracking":  slices.Concat(lines[0], lines[2]),
		"careful":   slices.Concat(lines[0], lines[3]),
		"clustered": slices.Concat(lines[0], lines[4]),
	}
}

// The contract, as a user of Redis who may do what the documentation says and no
// more; and nothing of it can be left out.
func TestACL(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	nodes := redistest.ReplicatedCluster(t)
	stale, replicas := redisstore.WithStaleReads(), redisstore.WithReplicas(1, time.Second)
	servers := append(nodes.Servers, p.primary)
	rules := aclRules(t)
	allow := func(user string, without string) {
		args := []any{"ACL", "SETUSER", user, "reset"}
		for _, rule := range rules[user] {
			if rule != without {
				args = append(args, rule)
			}
		}
		for _, s := range servers {
			require.NoError(t, s.Client().Do(t.Context(), args...).Err())
		}
	}
	single := func(user string, o *redis.Options) redis.UniversalClient {
		o.Addr, o.Username, o.Password, o.ContextTimeoutEnabled = p.primary.Addr, user, "secret", true
		return newClient(t, o)
	}
	clustered := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: nodes.Addrs, Username: "clustered", Password: "secret", ContextTimeoutEnabled: true, RouteRandomly: true,
	})
	t.Cleanup(func() { clustered.Close() })
	for user, test := range map[string]struct {
		client redis.UniversalClient
		opts   []redisstore.Option
	}{
		"sessions":  {single("sessions", &redis.Options{}), nil},
		"tracking":  {single("tracking", tracking("", time.Minute)), []redisstore.Option{stale}},
		"careful":   {single("careful", &redis.Options{}), []redisstore.Option{replicas}},
		"clustered": {clustered, []redisstore.Option{stale}},
	} {
		open := func(t *testing.T) *redisstore.Store { return newStore(t, test.client, test.opts...) }
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			allow(user, "")
			require.NoError(t, everything(t, open(t))) // and connects
			storetest.Run(t, storetest.Config{New: func(t *testing.T) stores.Server { return open(t) }})
			for _, rule := range rules[user] {
				if !strings.HasPrefix(rule, "+") || user != "sessions" && user != "careful" {
					continue // go-redis makes do without, but neither tracks nor asks replicas
				}
				if rule == "+del" || rule == "+strlen" {
					continue // for a full server, see TestOutOfMemory
				}
				t.Run("without "+rule, func(t *testing.T) {
					allow(user, rule)
					require.Regexp(t, "NOPERM|can't run this command", everything(t, open(t)), "it is not needed")
				})
			}
		})
	}
}

// The same for a list of what has ended.
func TestRevocationsACL(t *testing.T) {
	server := redistest.Single(t)
	rules := aclRules(t)["listing"]
	client := newClient(t, &redis.Options{Addr: server.Addr, Username: "listing", Password: "secret", ContextTimeoutEnabled: true})
	list := newRevocations(t, client)
	everything := func() error {
		for _, life := range []time.Duration{brief, time.Hour} { // the second drops the first
			if _, err := list.Swap(t.Context(), "", stores.Revocation{Key: newKey(), Value: "x", Until: time.Now().Add(life)}); err != nil {
				return err
			}
			time.Sleep(2 * brief) // a life is rounded up
		}
		if _, err := list.Get(t.Context(), newKey()); err != nil {
			return err
		}
		_, err := list.Since(t.Context(), "")
		return err
	}
	for _, without := range append([]string{"", "+hset", "+hget", "+hdel", "+time"}, aclRules(t)["listing"][len(aclRules(t)["sessions"]):]...) {
		args := []any{"ACL", "SETUSER", "listing", "reset"}
		for _, rule := range rules {
			if rule != without {
				args = append(args, rule)
			}
		}
		require.NoError(t, server.Client().Do(t.Context(), args...).Err())
		require.NoError(t, server.Client().FlushAll(t.Context()).Err())
		if without == "" {
			require.NoError(t, everything())
		} else {
			require.Regexp(t, "NOPERM|can't run this command", everything(), "%s is not needed", without)
		}
	}
}

// brief is a life, long enough that an entry is not over before it is written.
const brief = 100 * time.Millisecond

// everything does all that there is, on either way through the scripts, and returns
// the first failure.
func everything(t *testing.T, store *redisstore.Store) error {
	key, owner := newKey(), newKey()
	var rev stores.Revision
	for _, data := range []string{"one", "longer", "less"} {
		next, err := store.Save(t.Context(), key, record(data, rev))
		if err != nil {
			return err
		}
		rev = next
	}
	if _, err := store.Touch(t.Context(), key, rev, time.Now().Add(2*time.Hour)); err != nil {
		return err
	}
	if _, err := store.AddEntry(t.Context(), owner, entry(newKey(), brief)); err != nil {
		return err
	}
	time.Sleep(2 * brief)
	if _, err := store.AddEntry(t.Context(), owner, entry(key, time.Hour)); err != nil { // which drops the first one
		return err
	}
	for _, call := range calls(store, key, rev) {
		if err := call(t.Context()); errors.Is(err, stores.ErrUnavailable) {
			return err
		}
	}
	return nil
}
