package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// replicas is what [WithReplicas] asks for: nothing where n is 0.
type replicas struct {
	n    int
	wait time.Duration
}

// check tells what keeps a client from waiting for replicas.
func (r replicas) check(c redis.UniversalClient, limit time.Duration) error {
	var patient time.Duration // how long the client waits for a reply
	switch c := c.(type) {
	case *redis.Client:
		patient = c.Options().ReadTimeout
	case *redis.ClusterClient:
		patient = c.Options().ReadTimeout
	default:
		return errors.New("redisstore: WithReplicas: who waits in a pipeline of others' commands holds them up; give the client itself")
	}
	if r.wait >= limit || patient > 0 && r.wait >= patient {
		return fmt.Errorf("redisstore: WithReplicas: the wait of %v must be shorter than WithTimeout's %v and the client's ReadTimeout %v", r.wait, limit, patient)
	}
	return nil
}

// confirmText answers what a key has, and writes its expiry once more: what is
// waited for behind it on the same connection covers all that was written to the
// key before, by whomever.
const confirmText = `
local value, at = redis.call('GET', KEYS[1]), redis.call('PEXPIRETIME', KEYS[1])
if at > 0 then
	redis.call('PEXPIREAT', KEYS[1], at)
end
return value
`

// replicated runs the commands about these keys, and waits until enough replicas
// have what they wrote. It is one round trip to each node. After an error none of
// the commands must be looked at; else each has its own.
func (c *client) replicated(ctx context.Context, names []string, cmds []redis.Cmder) error {
	byNode := make(map[*redis.Client][]redis.Cmder, 1)
	for i, cmd := range cmds {
		node, err := c.primary(ctx, names[i])
		if err != nil {
			return err
		}
		byNode[node] = append(byNode[node], cmd)
	}
	for node, cmds := range byNode {
		if err := c.waited(ctx, node, cmds...); err != nil {
			c.unreached(ctx, err)
			return err
		}
	}
	// A node that does not have the slot, or has it no longer or not yet, has
	// carried out nothing.
	for i, cmd := range cmds {
		for elsewhere(cmd.Err()) {
			if err := c.redirected(ctx, names[i], cmd); err != nil {
				return err
			}
		}
	}
	return nil
}

// waited runs commands on one connection, behind each other, and the WAIT behind
// them: only there it is about them.
func (c *client) waited(ctx context.Context, node *redis.Client, cmds ...redis.Cmder) error {
	wait := redis.NewIntCmd(ctx, "wait", c.replicas.n, c.replicas.wait.Milliseconds())
	_, err := node.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, cmd := range cmds {
			p.Process(ctx, cmd) // queues it
		}
		return p.Process(ctx, wait)
	})
	var reply redis.Error
	if err != nil && !errors.As(err, &reply) {
		return err
	}
	wrote := false
	for _, cmd := range cmds {
		wrote = wrote || cmd.Err() == nil
	}
	switch {
	case !wrote:
		return nil // nothing to wait for
	case wait.Err() != nil:
		return wait.Err()
	case wait.Val() < int64(c.replicas.n):
		return fmt.Errorf("%d of %d replicas had it within %v", wait.Val(), c.replicas.n, c.replicas.wait)
	}
	return nil
}

// primary returns the node that has a key.
func (c *client) primary(ctx context.Context, name string) (*redis.Client, error) {
	if cluster, ok := c.direct.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, name)
	}
	return c.direct.(*redis.Client), nil
}

// elsewhere tells whether a node of a Cluster has refused a command that another
// one carries out.
func elsewhere(err error) bool {
	return err != nil && (redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK") || redis.HasErrorPrefix(err, "READONLY"))
}

// redirected runs a command where its key is now.
func (c *client) redirected(ctx context.Context, name string, cmd redis.Cmder) error {
	cluster, ok := c.direct.(*redis.ClusterClient)
	if !ok {
		return cmd.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	to, asks := redis.IsAskError(cmd.Err())
	if !asks {
		cluster.ReloadState(ctx)
		node, err := cluster.MasterForKey(ctx, name)
		if err != nil {
			return err
		}
		time.Sleep(knocking / 10) // the nodes may not agree yet
		cmd.SetErr(nil)
		return c.waited(ctx, node, cmd)
	}
	var mu sync.Mutex
	var node *redis.Client
	err := cluster.ForEachMaster(ctx, func(_ context.Context, n *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		if n.Options().Addr == to {
			node = n
		}
		return nil
	})
	if err != nil || node == nil {
		return cmd.Err()
	}
	cmd.SetErr(nil)
	return c.waited(ctx, node, redis.NewStatusCmd(ctx, "asking"), cmd)
}
