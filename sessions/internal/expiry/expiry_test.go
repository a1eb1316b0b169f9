package expiry_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/internal/envelope"
	"github.com/bulla-go/bulla/sessions/internal/expiry"
)

const day = 24 * time.Hour

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func policy(t testing.TB, lifetime, idle, touch time.Duration) expiry.Policy {
	t.Helper()
	p, err := expiry.New(lifetime, idle, touch)
	require.NoError(t, err)
	return p
}

// after returns the time so long after began.
func after(d time.Duration) time.Time { return began.Add(d) }

func TestNew(t *testing.T) {
	require.Equal(t, 30*day, policy(t, 0, 0, 0).Lifetime)
	require.Zero(t, policy(t, 0, 0, 0).Idle)
	require.Equal(t, 400*day, policy(t, 400*day, 400*day, 0).Idle)
	odd := policy(t, time.Hour+time.Millisecond/3, time.Minute+time.Millisecond/3, 0)
	require.Equal(t, time.Hour, odd.Lifetime, "as records keep it")
	require.Equal(t, time.Minute, odd.Idle)
	for text, c := range map[string][3]time.Duration{
		"WithLifetime(-1ns)": {-1, 0, 0}, "WithLifetime(999.999999ms)": {time.Second - 1, 0, 0}, "400 days": {400*day + 1, 0, 0},
		"WithRolling(-1ns)": {0, -1, 0}, "WithRolling(999.999999ms)": {0, time.Second - 1, 0}, "lengthen the lifetime": {time.Hour, time.Hour + 1, 0},
		"WithTouchInterval(-1ns)": {0, time.Hour, -1}, "needs WithRolling": {0, 0, time.Minute}, "shorten it": {0, time.Hour, time.Hour},
	} {
		p, err := expiry.New(c[0], c[1], c[2])
		require.ErrorContains(t, err, text)
		require.Zero(t, p)
	}
}

func TestExpires(t *testing.T) {
	md := &envelope.Metadata{Created: began, Deadline: after(10 * time.Hour)}
	own := &envelope.Metadata{Created: began, Deadline: after(10 * time.Hour), OwnIdle: 30 * time.Minute}
	longer := &envelope.Metadata{Created: began, Deadline: after(10 * time.Hour), OwnIdle: 2 * time.Hour}
	fixed, rolling := policy(t, 10*time.Hour, 0, 0), policy(t, 10*time.Hour, time.Hour, 0)
	for what, c := range map[string]struct {
		p    expiry.Policy
		md   *envelope.Metadata
		now  time.Duration
		idle time.Duration
		want time.Duration
	}{
		"fixed":                       {fixed, md, time.Hour, 0, 10 * time.Hour},
		"fixed, an idle time its own": {fixed, own, time.Hour, 30 * time.Minute, 90 * time.Minute},
		"rolling":                     {rolling, md, time.Hour, time.Hour, 2 * time.Hour},
		"rolling, near the end":       {rolling, md, 9*time.Hour + time.Minute, time.Hour, 10 * time.Hour},
		"rolling, shorter its own":    {rolling, own, time.Hour, 30 * time.Minute, 90 * time.Minute},
		"rolling, longer its own":     {rolling, longer, time.Hour, time.Hour, 2 * time.Hour},
	} {
		require.Equal(t, c.idle, c.p.IdleOf(c.md), what)
		require.Equal(t, after(c.want), c.p.Expires(after(c.now), c.md), what)
	}
}

func TestDue(t *testing.T) {
	md := &envelope.Metadata{Created: began, Deadline: after(30 * day)}
	for what, c := range map[string]struct {
		idle, touch, want time.Duration
	}{
		"a twentieth":    {time.Hour, 0, 3 * time.Minute},
		"five minutes":   {day, 0, 5 * time.Minute},
		"configured":     {time.Hour, 20 * time.Minute, 20 * time.Minute},
		"every response": {time.Hour, time.Nanosecond, 1},
	} {
		p := policy(t, 30*day, c.idle, c.touch)
		require.False(t, p.Due(after(c.want-1), after(c.idle), md), what)
		require.True(t, p.Due(after(c.want), after(c.idle), md), what)
	}
	require.False(t, policy(t, 30*day, 0, 0).Due(after(29*day), after(30*day), md), "without an idle time nothing moves")
	require.False(t, policy(t, 30*day, time.Hour, 0).Due(after(30*day-time.Minute), after(30*day), md), "nor past the deadline")
}

func TestLive(t *testing.T) {
	meta := func(deadline, idle, sealed time.Duration) envelope.Metadata {
		md := envelope.Metadata{Created: began, Deadline: after(deadline), Idle: idle}
		if sealed >= 0 {
			md.Sealed = after(sealed)
		}
		return md
	}
	const server, client, none = time.Duration(-1), time.Duration(0), time.Duration(0)
	for what, c := range map[string]struct {
		p        expiry.Policy
		md       envelope.Metadata
		stored   time.Duration // 0: the client holds it
		expires  time.Duration
		deadline time.Duration
		changed  bool
	}{
		"fixed":                              {policy(t, 2*time.Hour, none, 0), meta(2*time.Hour, none, server), 2 * time.Hour, 2 * time.Hour, 2 * time.Hour, false},
		"fixed, shorter now":                 {policy(t, time.Hour, none, 0), meta(2*time.Hour, none, server), 2 * time.Hour, time.Hour, time.Hour, false},
		"fixed, longer now":                  {policy(t, 3*time.Hour, none, 0), meta(2*time.Hour, none, server), 2 * time.Hour, 2 * time.Hour, 2 * time.Hour, false},
		"fixed, in the client's hands":       {policy(t, 2*time.Hour, none, 0), meta(2*time.Hour, none, 0), client, 2 * time.Hour, 2 * time.Hour, false},
		"rolling":                            {policy(t, 9*time.Hour, time.Hour, 0), meta(9*time.Hour, time.Hour, server), 90 * time.Minute, 90 * time.Minute, 9 * time.Hour, false},
		"rolling, in the client's hands":     {policy(t, 9*time.Hour, time.Hour, 0), meta(9*time.Hour, time.Hour, 30*time.Minute), client, 90 * time.Minute, 9 * time.Hour, false},
		"rolling, shorter now":               {policy(t, 9*time.Hour, 40*time.Minute, 0), meta(9*time.Hour, time.Hour, server), 90 * time.Minute, 70 * time.Minute, 9 * time.Hour, true},
		"rolling, shorter, with the client":  {policy(t, 9*time.Hour, 40*time.Minute, 0), meta(9*time.Hour, time.Hour, 30*time.Minute), client, 70 * time.Minute, 9 * time.Hour, true},
		"rolling, longer now":                {policy(t, 9*time.Hour, 2*time.Hour, 0), meta(9*time.Hour, time.Hour, server), 90 * time.Minute, 90 * time.Minute, 9 * time.Hour, true},
		"rolling now":                        {policy(t, 9*time.Hour, time.Hour, 0), meta(9*time.Hour, none, server), 9 * time.Hour, 9 * time.Hour, 9 * time.Hour, true},
		"no more rolling":                    {policy(t, 9*time.Hour, none, 0), meta(9*time.Hour, time.Hour, server), 90 * time.Minute, 90 * time.Minute, 9 * time.Hour, true},
		"the store has it for longer":        {policy(t, 9*time.Hour, none, 0), meta(2*time.Hour, none, server), 3 * time.Hour, 2 * time.Hour, 2 * time.Hour, false},
		"a deadline that is a session's own": {policy(t, 9*time.Hour, time.Hour, 0), meta(80*time.Minute, time.Hour, server), 80 * time.Minute, 80 * time.Minute, 80 * time.Minute, false},
	} {
		t.Run(what, func(t *testing.T) {
			stored := time.Time{}
			if c.stored > 0 {
				stored = after(c.stored)
			}
			for _, now := range []time.Duration{c.expires - time.Millisecond, c.expires} {
				md := c.md
				expires, changed, live := c.p.Live(after(now), stored, &md)
				require.Equal(t, after(c.expires), expires)
				require.Equal(t, after(c.deadline), md.Deadline)
				require.Equal(t, c.changed, changed)
				require.Equal(t, now < c.expires, live)
			}
		})
	}
}

// A layout that keeps no times counts from when it is read.
func TestLiveWithoutTimes(t *testing.T) {
	p := policy(t, 2*time.Hour, 0, 0)
	var md envelope.Metadata
	expires, _, live := p.Live(began, after(time.Hour), &md)
	require.True(t, live)
	require.Equal(t, after(time.Hour), expires)
	require.Equal(t, began, md.Created)
	require.Equal(t, after(2*time.Hour), md.Deadline)

	md = envelope.Metadata{Created: after(-time.Hour)}
	expires, _, live = p.Live(began, after(5*time.Hour), &md)
	require.True(t, live)
	require.Equal(t, after(time.Hour), expires, "from Created on, where that is there")
}

// A deadline, a configuration, an expiry and an idle time only ever shorten.
func TestLiveNeverLengthens(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	some := func(most time.Duration) time.Duration {
		return time.Duration(rng.Int64N(int64(most/time.Second))) * time.Second
	}
	for range 20_000 {
		lifetime := time.Second + some(20*time.Hour)
		idle := min(lifetime, some(20*time.Hour))
		p := policy(t, lifetime, idle, 0)
		md := envelope.Metadata{Created: began, Deadline: after(time.Second + some(20*time.Hour)), Idle: some(5 * time.Hour), OwnIdle: some(5 * time.Hour)}
		if rng.IntN(2) == 0 {
			md.Idle, md.OwnIdle = 0, 0
		}
		var stored time.Time
		if rng.IntN(2) == 0 {
			md.Sealed = after(some(20 * time.Hour))
		} else {
			stored = after(time.Second + some(20*time.Hour))
		}
		was, now := md, after(some(20*time.Hour))
		expires, changed, live := p.Live(now, stored, &md)
		require.Equal(t, now.Before(expires), live)
		require.Equal(t, p.IdleOf(&was) != was.Idle, changed)
		for _, most := range []time.Time{was.Deadline, after(lifetime), md.Deadline} {
			require.False(t, expires.After(most))
		}
		if !stored.IsZero() {
			require.False(t, expires.After(stored))
		} else if was.Idle > 0 {
			require.False(t, expires.After(was.Sealed.Add(was.Idle)))
		}
		if seen := expiry.LastSeen(stored, &was); !seen.IsZero() && p.IdleOf(&was) > 0 {
			require.False(t, expires.After(seen.Add(p.IdleOf(&was))))
		}
		// What is seen does not change by being read again.
		again, _, _ := p.Live(now, expires, &md)
		require.Equal(t, expires, again)
	}
}

func TestLastSeen(t *testing.T) {
	deadline := after(9 * time.Hour)
	require.Zero(t, expiry.LastSeen(after(time.Hour), &envelope.Metadata{Deadline: deadline}), "reads leave no trace")
	require.Equal(t, began, expiry.LastSeen(after(time.Hour), &envelope.Metadata{Deadline: deadline, Idle: time.Hour}))
	require.Zero(t, expiry.LastSeen(deadline, &envelope.Metadata{Deadline: deadline, Idle: time.Hour}), "the deadline hides it")
	require.Equal(t, after(7), expiry.LastSeen(deadline, &envelope.Metadata{Deadline: deadline, Idle: time.Hour, Sealed: after(7)}))
}

func TestEarlier(t *testing.T) {
	require.Equal(t, began, expiry.Earlier(began, after(1)))
	require.Equal(t, began, expiry.Earlier(after(1), began))
}
