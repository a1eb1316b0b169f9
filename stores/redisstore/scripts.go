package redisstore

import (
	"context"
	"crypto/fips140"
	"slices"

	"github.com/redis/go-redis/v9"
)

// script is a Lua script about one key, or two. It is asked for by its hash; a server
// that does not know it yet gets the text.
type script struct{ text, hash string }

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

// at begins the scripts that change a revision. It takes the revision first and
// the machine's time in Unix milliseconds last, by which the record may have
// expired before its key did.
const at = `
local head = redis.call('GETRANGE', KEYS[1], 0, 23)
if #head < 24 or head:sub(1, 16) ~= ARGV[1] then
	return false
end
local expires = struct.unpack('>I8', head, 17)
if expires <= tonumber(ARGV[#ARGV]) then
	return false
end
`

// set takes a value, and for how many milliseconds it lives. A server that is out
// of memory refuses a SET, even one that frees memory, but not after a DEL in
// the same script: so sessions can be ended then.
const set = `
local function set(value, life)
	local reply = redis.pcall('SET', KEYS[1], value, 'PX', life)
	if not reply.err then
		return 1
	end
	if redis.call('STRLEN', KEYS[1]) < #value then
		return reply
	end
	redis.call('DEL', KEYS[1])
	redis.call('SET', KEYS[1], value, 'PX', life)
	return 1
end
`

// replaceScript takes the revision, the value, its life, and the time.
var replaceScript = newScript(at + set + `return set(ARGV[2], ARGV[3])`)

// putScript takes the value and its life.
var putScript = newScript(set + `return set(ARGV[1], ARGV[2])`)

// touchScript takes the revision, the 8 bytes of the expiry, the life, and the
// time. Of several machines' clocks the later one counts, also for the key. The
// key comes first, since a SETRANGE by itself is refused when memory is short.
var touchScript = newScript(at + `
if struct.unpack('>I8', ARGV[2]) > expires then
	redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), ARGV[3]))
	redis.call('SETRANGE', KEYS[1], 16, ARGV[2])
end
return 1
`)
