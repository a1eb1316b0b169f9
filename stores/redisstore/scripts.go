package redisstore

import (
	"context"
	"crypto/fips140"
	"slices"

	"github.com/redis/go-redis/v9"
)

// script is a Lua script about one key, or two. It is asked for by its hash; a server
// that does not know it yet gets the text.
type script struct {
	text string
	hash any // a string, once for all commands
}

func newScript(text string) (s script) {
	// Redis names scripts by SHA-1. That protects nothing here, but a program
	// under GODEBUG=fips140=only would end before main.
	fips140.WithoutEnforcement(func() { s = script{text, redis.NewScript(text).Hash()} })
	return s
}

// on returns the command that runs the script on a key.
func (s *script) on(name string, args ...any) write {
	all := make([]any, 0, 8)
	return write{script: s, args: append(append(all, "evalsha", s.hash, 1, name), args...)}
}

// onTwo is on for a script about two keys of one Cluster slot.
func (s *script) onTwo(name, other string, args ...any) write {
	all := make([]any, 0, 10)
	return write{script: s, args: append(append(all, "evalsha", s.hash, 2, name, other), args...)}
}

// write is a command that changes something.
type write struct {
	args   []any
	script *script // none for a plain command
	lonely bool    // no replica is waited for
}

// name returns the key that it is about.
func (w write) name() string {
	if w.script != nil {
		return w.args[3].(string)
	}
	return w.args[1].(string)
}

func (w write) command(ctx context.Context) once {
	cmd := redis.NewCmd(ctx, w.args...)
	if w.script != nil {
		cmd.SetFirstKeyPos(3) // where a Cluster finds the key
	}
	return once{cmd}
}

// withText is the command for a server that does not know the script.
func (w write) withText(ctx context.Context) once {
	w.args = slices.Clone(w.args) // the client's hooks may have kept the first ones
	w.args[0], w.args[1] = "eval", w.script.text
	return w.command(ctx)
}

// once is a command that go-redis does not send again when the connection broke
// before its reply came: only the caller can find out whether it was carried
// out.
type once struct{ *redis.Cmd }

// NoRetry overrides that of [redis.Cmd].
func (once) NoRetry() bool { return true }

// Clone overrides that of [redis.Cmd], so that a copy isn't sent again either.
func (c once) Clone() redis.Cmder { return once{c.Cmd.Clone().(*redis.Cmd)} }

// A script that answers nothing (false) has met a conflict.

// Numbers stand there as strings: a number costs Redis 7.0 a microsecond to print.

// set ends the scripts that take a value, and for how many milliseconds it lives. A
// server that is out of memory refuses a SET, even one that frees memory, but not after
// a DEL in the same script: so sessions can be ended then.
const set = `
local reply = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if not reply.err then
	return 1
end
if redis.call('STRLEN', KEYS[1]) < #ARGV[1] then
	return reply
end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`

// replaceScript takes the value, its life, and the revision to be replaced. The
// machine's time in Unix milliseconds comes last where the record may have expired by
// it, before its key did.
var replaceScript = newScript(`
if redis.call('GETRANGE', KEYS[1], '0', '15') ~= ARGV[3] then
	return false
end
if ARGV[4] and struct.unpack('>I8', redis.call('GETRANGE', KEYS[1], '16', '23')) <= tonumber(ARGV[4]) then
	return false
end
` + set)

// putScript takes the value and its life.
var putScript = newScript(set)

// touchScript takes the revision, the 8 bytes of the expiry, the life, and the
// time. Of several machines' clocks the later one counts, also for the key. The
// key comes first, since a SETRANGE by itself is refused when memory is short.
var touchScript = newScript(`
local head = redis.call('GETRANGE', KEYS[1], '0', '23')
if #head < 24 or head:sub(1, 16) ~= ARGV[1] then
	return false
end
local expires = struct.unpack('>I8', head, 17)
if expires <= tonumber(ARGV[4]) then
	return false
end
if struct.unpack('>I8', ARGV[2]) > expires then
	redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), ARGV[3]))
	redis.call('SETRANGE', KEYS[1], '16', ARGV[2])
end
return 1
`)
