package main

import (
	"fmt"
	"time"

	"github.com/bulla-go/bulla/middleware"
)

// The names of the configurations with Redis.
const (
	redisSealed   = "Bulla, Redis, sealed"
	redisPlain    = "Bulla, Redis, not encrypted"
	redisCached   = "Bulla, Redis, cookie cache"
	redisIgnores  = "Bulla, Redis, sealed, client ignores contexts"
	redisPipeline = "Bulla, Redis, sealed, auto-pipelining"
	redisTracking = "Bulla, Redis, sealed, client-side caching"
	redisDue      = "Bulla, Redis, sealed, a touch each time"
	redisGob      = "scs, Redis, gob"
	redisJSON     = "scs, Redis, JSON"

	redisJSONIgnores = "scs, Redis, JSON, client ignores contexts"
)

// redisScenario is a scenario whose contenders have a Redis client each.
type redisScenario struct {
	scenario
	contenders []redisContender
}

// redisClients is how many browsers are at work where there are many.
const redisClients = 32

func redisScenarios() []redisScenario {
	cache := middleware.WithCookieCache(time.Minute)
	rolling := middleware.WithRolling(lifetime)
	contenders := func(rolls bool) []redisContender {
		var options []middleware.Option
		var idle time.Duration
		if rolls {
			options, idle = append(options, rolling), lifetime
		}
		with := func(more ...middleware.Option) []middleware.Option {
			return append(more, options...)
		}
		list := []redisContender{
			{name: redisSealed, open: bullaRedis(with(withEncryption())...)},
			{name: redisPlain, open: bullaRedis(with(middleware.WithoutEncryption())...)},
			{name: redisCached, open: bullaRedis(with(withEncryption(), cache)...)},
			{name: redisTracking, open: bullaTracking(with(withEncryption())...), tracks: true},
			{name: redisIgnores, open: bullaRedis(with(withEncryption())...), ignoresContexts: true},
			{name: redisGob, open: scsRedis(nil, idle)},
			{name: redisJSON, open: scsRedis(scsJSON{}, idle)},
			{name: redisJSONIgnores, open: scsRedis(scsJSON{}, idle), ignoresContexts: true},
		}
		if rolls {
			due := bullaRedis(with(withEncryption(), middleware.WithTouchInterval(0))...)
			list = append(list, redisContender{name: redisDue, open: due})
		}
		return list
	}
	many := append(contenders(false), redisContender{name: redisPipeline, open: bullaAutoPipeline(withEncryption())})
	return []redisScenario{
		{scenario{name: "Redis read, 200 B", size: small, handler: read}, contenders(false)},
		{scenario{name: "Redis change, 200 B", size: small, handler: change}, contenders(false)},
		{scenario{name: "Redis rolling read, 200 B", size: small, handler: read}, contenders(true)},
		{scenario{name: "Redis untouched, 200 B", size: small, handler: untouched}, contenders(false)},
		{scenario{name: "Redis read, 200 B, 32 clients", size: small, handler: read, workers: redisClients}, many},
		{scenario{name: "Redis change, 200 B, 32 clients", size: small, handler: change, workers: redisClients}, many},
	}
}

// redisRow is one contender's result in a scenario with Redis.
type redisRow struct {
	sample
	commands, trips float64 // per request
}

func (sc redisScenario) run(e effort, server *redisServer) ([]redisRow, error) {
	fields := content(sc.size)
	var subjects []subject
	var counts []*traffic
	for _, c := range sc.contenders {
		client, count := server.client(!c.ignoresContexts, c.tracks)
		defer client.Close()
		open := func(fields []field) *site { return c.open(fields, client) }
		if err := prove(c.name, open, fields); err != nil {
			return nil, fmt.Errorf("%s: %w", sc.name, err)
		}
		sub := sc.subject(c.name, open(fields))
		sub.server = server.cpu
		subjects, counts = append(subjects, sub), append(counts, count)
	}
	rows := make([]redisRow, len(subjects))
	for i, m := range measure(e.across(sc.workers), subjects) {
		rows[i].sample = m
		n := 2000/len(subjects[i].workers) + 1
		requests := n * len(subjects[i].workers)
		commands, trips := counts[i].commands.Load(), counts[i].trips.Load()
		subjects[i].run(n)
		rows[i].commands = float64(counts[i].commands.Load()-commands) / float64(requests)
		rows[i].trips = float64(counts[i].trips.Load()-trips) / float64(requests)
	}
	return rows, nil
}
