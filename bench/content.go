package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// field is one value of a session under a key of its own.
type field struct {
	name  string
	value any
}

// The handlers of the scenarios read these two.
const (
	userField   = "user"
	visitsField = "visits"

	userValue   = "u-4815162342"
	visitsValue = 7
)

// noteSize is the length of one further value of a larger session.
const noteSize = 140

// content returns a session that is size bytes of JSON (one object with all
// fields), give or take nothing: the last field is cut to fit. Every contender
// gets the same fields.
func content(size int) []field {
	fields := []field{
		{userField, userValue},
		{"name", "Ada Lovelace"},
		{"email", "ada.lovelace@analytical.example.org"},
		{"roles", []string{"editor", "reviewer"}},
		{"since", int64(1767225600)},
		{"seen", int64(1767312000)},
		{"verified", true},
		{"theme", "dark"},
		{visitsField, visitsValue},
	}
	const frame = len(`,"note01":""`)
	for i := 1; ; i++ {
		room := size - jsonSize(fields) - frame
		if room < 0 {
			return fields
		}
		n := min(room, noteSize)
		if rest := room - n; rest > 0 && rest < frame {
			n -= frame // or the last one would have no room for its name
		}
		fields = append(fields, field{fmt.Sprintf("note%02d", i), text(i, n)})
	}
}

// text returns n letters that differ from note to note.
func text(seed, n int) string {
	var b strings.Builder
	x := uint32(seed) * 2654435761
	for range n {
		x = x*1664525 + 1013904223
		b.WriteByte("etaoin shrdlucmfwypvbgkq"[(x>>24)%24])
	}
	return b.String()
}

// cartItem is one line of a shopping cart.
type cartItem struct {
	Item  int `json:"item"`
	Count int `json:"count"`
	Price int `json:"price"`
}

// shopSession is the session whose cookies are compared: 570 bytes of JSON, part
// text, part numbers and structs, as sessions of shops are.
func shopSession() []field {
	return append(content(0),
		field{"cart", []cartItem{
			{4815162, 2, 1995}, {4815163, 1, 24900}, {3421877, 12, 250}, {2718281, 1, 799}, {3141592, 3, 4450},
		}},
		field{"viewed", []int{4815162, 4815163, 4815170, 3421877, 3421900, 2718281, 2718290, 3141592, 3141600, 1618033, 1618040, 1414213}},
		field{"note01", text(1, 42)},
	)
}

func jsonSize(fields []field) int { return len(asJSON(fields)) }

func asJSON(fields []field) []byte {
	data, err := json.Marshal(asMap(fields))
	if err != nil {
		panic(err)
	}
	return data
}

func asMap(fields []field) map[string]any {
	m := make(map[string]any, len(fields))
	for _, f := range fields {
		m[f.name] = f.value
	}
	return m
}
