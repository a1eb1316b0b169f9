package main

import (
	"testing"
	"time"

	"github.com/bulla-go/bulla/stores"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// What a round trip costs, and what of it the compare-and-swap does: the calls go one
// after the other, as those of one request.
func BenchmarkRedisCommands(b *testing.B) {
	server, err := startRedis()
	if err != nil {
		b.Skip(err)
	}
	defer server.stop()
	client, _ := server.client(true, false)
	defer client.Close()
	ctx := b.Context()

	value := randomBytes(260)
	check(client.Set(ctx, "key", value, time.Hour).Err())
	script := func(text string) func() {
		hash := must(client.ScriptLoad(ctx, text).Result())
		return func() {
			check(client.EvalSha(ctx, hash, []string{"key"}, value, time.Hour.Milliseconds(), string(value[:16])).Err())
		}
	}
	store, key := must(redisstore.New(client)), stores.NewKey([24]byte{1})
	rec := stores.Record{Data: value, Expires: time.Now().Add(time.Hour)}
	rec.Revision = must(store.Save(ctx, key, rec))

	for _, c := range []struct {
		name string
		call func()
	}{
		{"GET", func() { check(client.Get(ctx, "key").Err()) }},
		{"Load", func() { must(store.Load(ctx, key, stores.MayBeStale)) }},
		{"SET", func() { check(client.Set(ctx, "key", value, time.Hour).Err()) }},
		{"a script that does nothing", script(`return 1`)},
		{"a script that does SET", script(`redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1`)},
		{"the barest compare-and-swap", script(`
			if redis.call('GETRANGE', KEYS[1], '0', '15') ~= ARGV[3] then return false end
			redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1`)},
		{"Save", func() { rec.Revision = must(store.Save(ctx, key, rec)) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			there, here := server.cpu(), cpuTime()
			for b.Loop() {
				c.call()
			}
			report := func(used time.Duration, unit string) {
				b.ReportMetric(used.Seconds()*1e6/float64(b.N), unit)
			}
			report(cpuTime()-here, "client-µs/op")
			report(server.cpu()-there, "server-µs/op")
		})
	}
}
