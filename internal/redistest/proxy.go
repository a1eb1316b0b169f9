//go:build unix

package redistest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client and a server. It counts round trips, and loses
// replies: the request reaches the server, then the connection breaks.
type Proxy struct {
	Addr string

	server string
	turns  atomic.Int64
	lose   atomic.Int64
	every  atomic.Int64
	lost   atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool // nil after the end
}

// NewProxy starts a proxy in front of the server at addr.
func NewProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	p := &Proxy{Addr: ln.Addr().String(), server: addr, conns: make(map[net.Conn]bool)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.closeAll()
		running.Wait()
	})
	return p
}

// RoundTrips returns how often a client has begun to send after it had received
// a reply, or for the first time on its connection: what waited for a reply in
// between is one round trip.
func (p *Proxy) RoundTrips() int64 { return p.turns.Load() }

// Lose loses the next n replies.
func (p *Proxy) Lose(n int64) { p.lose.Store(n) }

// LoseEvery loses every nth reply from now on; none if n is 0.
func (p *Proxy) LoseEvery(n int64) { p.every.Store(n) }

// Lost returns how many replies were lost.
func (p *Proxy) Lost() int64 { return p.lost.Load() }

// serve carries one connection until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close()
		return
	}
	if !p.add(client, server) {
		return
	}
	defer p.remove(client, server)

	var asking atomic.Bool
	var sending sync.WaitGroup
	sending.Go(func() {
		defer server.Close()
		carry(server, client, func() bool {
			if !asking.Swap(true) {
				p.turns.Add(1)
			}
			return true
		})
	})
	carry(client, server, func() bool {
		return !asking.Swap(false) || !p.losesThis()
	})
	client.Close()
	server.Close()
	sending.Wait()
}

// losesThis tells whether the reply that has begun to come in gets lost.
func (p *Proxy) losesThis() bool {
	if p.lose.Add(-1) >= 0 {
		p.lost.Add(1)
		return true
	}
	p.lose.Store(0)
	if n := p.every.Load(); n > 0 && p.turns.Load()%n == 0 {
		p.lost.Add(1)
		return true
	}
	return false
}

// carry copies until an end, an error, or pass says no.
func carry(dst, src net.Conn, pass func() bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if !pass() {
				return
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.conns == nil {
			c.Close()
			continue
		}
		p.conns[c] = true
	}
	return p.conns != nil
}

func (p *Proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c)
	}
}

func (p *Proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
