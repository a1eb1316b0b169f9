//go:build unix

package redistest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a client, or a replica, and a server. It counts round
// trips, loses replies (the request reaches the server, then the connection
// breaks), holds them back, and cuts the line.
type Proxy struct {
	Addr string

	server string
	turns  atomic.Int64
	lose   atomic.Int64
	every  atomic.Int64
	since  atomic.Int64 // replies, since LoseEvery was called
	lost   atomic.Int64
	delay  atomic.Int64
	silent atomic.Bool

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
func (p *Proxy) LoseEvery(n int64) {
	p.since.Store(0)
	p.every.Store(n)
}

// Lost returns how many replies were lost.
func (p *Proxy) Lost() int64 { return p.lost.Load() }

// Delay lets everything that comes from the server arrive later by d, from now
// on.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Silence drops everything that comes from the server while on, without an end of
// any connection, as a firewall does.
func (p *Proxy) Silence(on bool) { p.silent.Store(on) }

// Cut breaks all connections. What is under way is lost. New ones are possible.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

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
	late := newLateWriter(client)
	carry(late, server, func() bool {
		late.delay = time.Duration(p.delay.Load())
		late.silent = p.silent.Load()
		return !asking.Swap(false) || !p.losesThis()
	})
	late.end()
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
	if n := p.every.Load(); n > 0 && p.since.Add(1)%n == 0 {
		p.lost.Add(1)
		return true
	}
	return false
}

// carry copies until an end, an error, or pass says no.
func carry(dst io.Writer, src net.Conn, pass func() bool) {
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

// lateWriter writes to a connection, some time later, or never.
type lateWriter struct {
	conn   net.Conn
	delay  time.Duration
	silent bool

	queue   chan parcel
	running sync.WaitGroup
}

type parcel struct {
	at   time.Time
	data []byte
}

func newLateWriter(conn net.Conn) *lateWriter {
	w := &lateWriter{conn: conn, queue: make(chan parcel, 100_000)}
	w.running.Go(func() {
		for p := range w.queue {
			time.Sleep(time.Until(p.at))
			w.conn.Write(p.data) // fails where the connection is broken already
		}
	})
	return w
}

// Write implements io.Writer.
func (w *lateWriter) Write(b []byte) (int, error) {
	switch {
	case w.silent:
		return len(b), nil
	case w.delay == 0 && len(w.queue) == 0:
		return w.conn.Write(b)
	}
	w.queue <- parcel{time.Now().Add(w.delay), bytes.Clone(b)}
	return len(b), nil
}

func (w *lateWriter) end() {
	close(w.queue)
	w.running.Wait()
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
