package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContent(t *testing.T) {
	for size, fields := range map[int][]field{
		small: content(small),
		570:   shopSession(),
		large: content(large),
	} {
		require.Equal(t, size, jsonSize(fields))
		// The floor's struct must have a place for every field.
		var a account
		data := asJSON(fields)
		require.NoError(t, json.Unmarshal(data, &a))
		back, err := json.Marshal(a)
		require.NoError(t, err)
		var m map[string]any
		require.NoError(t, json.Unmarshal(back, &m))
		delete(m, "ends")
		require.Len(t, m, len(fields))
	}
}

func TestContendersDoTheWork(t *testing.T) {
	seen := make(map[string]bool)
	for _, sc := range scenarios() {
		for _, c := range sc.contenders {
			if !seen[c.name] {
				seen[c.name] = true
				require.NoError(t, prove(c.name, c.open, content(sc.size)))
			}
		}
	}
	require.GreaterOrEqual(t, len(seen), 11)
}

// The proof must fail for a contender that does not do the work.
func TestProveFindsWhoDoesNot(t *testing.T) {
	broken := func(change func(*site)) func([]field) *site {
		return func(fields []field) *site {
			s := bullaSealed(fields)
			change(s)
			return s
		}
	}
	for name, open := range map[string]func([]field) *site{
		"nothing is read":     broken(func(s *site) { s.read = s.untouched }),
		"nothing is changed":  broken(func(s *site) { s.change = s.read }),
		"nothing is stored":   broken(func(s *site) { s.login = s.untouched }),
		"a read is a change":  broken(func(s *site) { s.read = s.change }),
		"forgeries are taken": unchecked,
	} {
		require.Error(t, prove(name, open, content(small)), name)
	}
}

type uncheckedCodec struct{ floorHMAC }

func (c uncheckedCodec) open(value string) (account, error) {
	a, err := c.floorHMAC.open(value)
	if err != nil {
		a, err = account{User: userValue, Visits: 9}, nil
	}
	return a, err
}

func unchecked(fields []field) *site {
	return floorSite(fields, uncheckedCodec{floorHMAC{randomBytes(32)}})
}

// For profiles: go test -bench 'encrypted_read,_200_B/Bulla' -cpuprofile cpu.out
func BenchmarkScenario(b *testing.B) {
	for _, sc := range scenarios() {
		b.Run(sc.name, func(b *testing.B) {
			for _, c := range sc.contenders {
				b.Run(c.name, func(b *testing.B) {
					sub := sc.subject(c.name, c.open(content(sc.size)))
					b.ReportAllocs()
					b.ResetTimer()
					sub.run((b.N + len(sub.workers) - 1) / len(sub.workers))
				})
			}
		})
	}
}
