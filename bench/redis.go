package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// redisServer is a real server on a loopback port that writes nothing to disk.
type redisServer struct {
	addr    string
	command *exec.Cmd
	dir     string
}

// startRedis starts redis-server from the PATH.
func startRedis() (*redisServer, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	addr := ln.Addr().String()
	ln.Close()
	_, port, _ := net.SplitHostPort(addr)
	s := &redisServer{addr: addr, dir: must(os.MkdirTemp("", "bulla-bench"))}
	s.command = exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir)
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	for range 200 {
		if err = client.Ping(context.Background()).Err(); err == nil {
			return s, nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	s.stop()
	return nil, err
}

func (s *redisServer) stop() {
	s.command.Process.Kill()
	s.command.Wait()
	os.RemoveAll(s.dir)
}

// traffic is what went between a client and the server.
type traffic struct {
	commands atomic.Int64
	trips    atomic.Int64
}

// client returns a client whose traffic is counted as it is written to the
// connections. A command, a script or a pipeline of a few hundred bytes is one
// write, and its reply is awaited before the connection is used again.
//
// contexts says whether the client ends a call with its context, which go-redis
// does only when told to.
//
// tracks says whether the client keeps what it has read, and is told of changes.
func (s *redisServer) client(contexts, tracks bool) (*redis.Client, *traffic) {
	t := new(traffic)
	var cache *redis.ClientSideCacheConfig
	if tracks {
		cache = &redis.ClientSideCacheConfig{MaxStaleness: time.Minute}
	}
	return redis.NewClient(&redis.Options{
		ClientSideCacheConfig: cache,

		Addr:                  s.addr,
		PoolSize:              32, // one for each of the clients at once
		ContextTimeoutEnabled: contexts,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return countedConn{conn, t}, err
		},
	}), t
}

type countedConn struct {
	net.Conn
	t *traffic
}

func (c countedConn) Write(b []byte) (int, error) {
	c.t.trips.Add(1)
	c.t.commands.Add(commands(b))
	return c.Conn.Write(b)
}

// commands counts those in what is written: "*2\r\n$3\r\nGET\r\n$1\r\na\r\n" is one. It
// is counted here and not by a hook of the client, since the copies that
// redis.Client.WithTimeout makes have none.
func commands(b []byte) (n int64) {
	number := func() int { // after the sign that b begins with
		line, rest, _ := bytes.Cut(b[1:], []byte("\r\n"))
		b = rest
		return must(strconv.Atoi(string(line)))
	}
	for len(b) > 0 {
		n++
		for range number() {
			size := number()
			b = b[size+len("\r\n"):]
		}
	}
	return n
}

// cpu is the CPU time that the server has used.
func (s *redisServer) cpu() time.Duration { return cpuTimeOf(s.command.Process.Pid) }

// redisContender is a site on a Redis client of its own.
type redisContender struct {
	name string
	open func(fields []field, client *redis.Client) *site

	ignoresContexts bool // the client does, as go-redis's does by default
	tracks          bool // the client does
}

func bullaRedis(options ...middleware.Option) func([]field, *redis.Client) *site {
	return func(fields []field, client *redis.Client) *site {
		return bullaSite(fields, must(redisstore.New(client)), options...)
	}
}

// bullaTracking lets the client's own cache answer.
func bullaTracking(options ...middleware.Option) func([]field, *redis.Client) *site {
	return func(fields []field, client *redis.Client) *site {
		return bullaSite(fields, must(redisstore.New(client, redisstore.WithStaleReads())), options...)
	}
}

// bullaAutoPipeline gives the store go-redis's own pipelining client, in the form
// that can be waited for.
func bullaAutoPipeline(options ...middleware.Option) func([]field, *redis.Client) *site {
	return func(fields []field, client *redis.Client) *site {
		return bullaSite(fields, must(redisstore.New(must(client.AsyncAutoPipeline()))), options...)
	}
}

func withEncryption() middleware.Option {
	return middleware.WithEncryptor(must(encrypt.NewAESGCM(bullaKey())))
}

func scsRedis(codec scs.Codec, idle time.Duration) func([]field, *redis.Client) *site {
	return func(fields []field, client *redis.Client) *site {
		m := scsManager(codec)
		m.Store = goredisstore.New(client)
		m.IdleTimeout = idle
		return scsSite(fields, m)
	}
}
