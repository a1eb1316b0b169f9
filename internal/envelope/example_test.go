package envelope_test

import (
	"fmt"
	"time"

	"github.com/bulla-go/bulla/internal/envelope"
)

func ExampleJoin() {
	created := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	values, err := envelope.Values{}.With("visits", []byte("3"))
	if err != nil {
		panic(err)
	}
	record, err := envelope.Join(nil, envelope.Envelope{
		Metadata: envelope.Metadata{
			Created:    created,
			Deadline:   created.Add(24 * time.Hour),
			Generation: 1,
		},
		Values: values,
	})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%x\n", record)
	// Output: 01809494caca3380b89929010001067669736974730133
}

func ExampleSplit() {
	record := []byte("\x01\x80\x94\x94\xca\xca\x33\x80\xb8\x99\x29\x01\x00\x01\x06visits\x013")
	env, err := envelope.Split(record)
	if err != nil {
		panic(err)
	}
	fmt.Println(env.Created, env.Deadline.Sub(env.Created))
	for name, data := range env.Values.All() {
		fmt.Printf("%s: %s\n", name, data)
	}
	// Output:
	// 2026-03-01 12:00:00 +0000 UTC 24h0m0s
	// visits: 3
}
