package main

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
)

// site is a small application, written with one library as its users would write
// it.
type site struct {
	login     http.Handler // puts the content into the session
	read      http.Handler // answers with the user and the number of visits; 401 without a user
	change    http.Handler // the same, after it has raised the number by one and saved
	untouched http.Handler // does not ask for the session

	calls *callCount // of the store; nil where there is none to ask
}

// callCount counts calls while it is on. It is off while time is measured: all
// goroutines write to it, which the fastest contender would suffer from most.
type callCount struct {
	on atomic.Bool
	n  atomic.Int64
}

func (c *callCount) add() {
	if c.on.Load() {
		c.n.Add(1)
	}
}

// contender is one library in one configuration.
type contender struct {
	name string
	open func(content []field) *site
}

// floor marks what no library can be expected to beat; targets do not compare
// with it.
const floor = "by hand (floor)"

// answer is the body of every handler that found a user.
func answer(w http.ResponseWriter, user string, visits int) {
	io.WriteString(w, user)
	io.WriteString(w, " ")
	io.WriteString(w, strconv.Itoa(visits))
}

func unauthorized(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }

func answerOK(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }

// must is for what fails only where this program is wrong.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
