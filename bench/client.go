package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// client is the HTTP server and the browser in one: it hands a request on as
// net/http would, with the cookie, and keeps what comes back. Everything in it
// is used again, so that it costs the same few nanoseconds and no allocation
// whoever is measured. It is one browser with one session, and for one goroutine.
type client struct {
	template http.Request
	request  http.Request
	cookies  []string // the Cookie header, none or one line

	cancel context.CancelFunc // of the requests' context; never called

	header http.Header
	status int
	body   []byte
}

func newClient() *client {
	// net/http's server puts itself and the address into the context, which can
	// be cancelled.
	ctx := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{})
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{})
	ctx, cancel := context.WithCancel(ctx)
	c := &client{cancel: cancel, header: make(http.Header), body: make([]byte, 0, 1024), cookies: make([]string, 0, 1)}
	c.template = *(&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Path: "/account"},
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host:       "example.org",
		RequestURI: "/account",
		RemoteAddr: "192.0.2.1:50000",
		Body:       http.NoBody,
		TLS:        new(tls.ConnectionState), // a Secure cookie over plain HTTP is warned of
		Header: http.Header{
			"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
			"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
			"Accept-Language": {"en-GB,en;q=0.5"},
			"Accept-Encoding": {"gzip, deflate, br"},
			"Connection":      {"keep-alive"},
		},
	}).WithContext(ctx)
	return c
}

// send lets h answer a request, and keeps the cookie that it sets.
func (c *client) send(h http.Handler) {
	c.request = c.template
	clear(c.header)
	c.status, c.body = 0, c.body[:0]
	h.ServeHTTP(c, &c.request)
	if lines := c.header["Set-Cookie"]; len(lines) > 0 {
		pair, attributes, _ := strings.Cut(lines[len(lines)-1], ";")
		if strings.Contains(attributes, "Max-Age=0") {
			pair = ""
		}
		c.setCookie(pair)
	}
}

// setCookie makes pair, "name=value", what the next request carries.
func (c *client) setCookie(pair string) {
	if pair == "" {
		delete(c.template.Header, "Cookie")
		return
	}
	c.cookies = append(c.cookies[:0], pair)
	c.template.Header["Cookie"] = c.cookies
}

func (c *client) cookie() string {
	if len(c.template.Header["Cookie"]) == 0 {
		return ""
	}
	return c.cookies[0]
}

// What follows is the http.ResponseWriter, with the methods beside it that
// net/http's has.

func (c *client) Header() http.Header { return c.header }

func (c *client) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

func (c *client) Write(b []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	c.body = append(c.body, b...)
	return len(b), nil
}

func (c *client) WriteString(s string) (int, error) {
	c.WriteHeader(http.StatusOK)
	c.body = append(c.body, s...)
	return len(s), nil
}

func (c *client) Flush() { c.WriteHeader(http.StatusOK) }

func (c *client) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("this connection can't be taken over")
}
