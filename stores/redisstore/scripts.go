package redisstore

import (
	"crypto/fips140"
	"strings"

	"github.com/redis/go-redis/v9"
)

// The layout of a value, which doc.go describes. The scripts have these numbers
// too.
const (
	markSize = 16
	headSize = markSize + 7*8
)

// zeroMark stands where a conditional delete removed the record. No record has
// it: marks are 16 bytes from crypto/rand.
var zeroMark = strings.Repeat("\x00", markSize)

// What the scripts answer.
const (
	answerOK      = "ok"
	answerGone    = "gone"
	answerExists  = "exists"
	answerChanged = "changed"
	answerPast    = "past"
	answerForeign = "foreign" // the value is not one of ours
	answerForever = "forever" // the key has no expiry
)

// newScript is redis.NewScript, which names a script by its SHA-1, as Redis does.
// That is no cryptography, but a program in FIPS 140-only mode would end before
// its main.
func newScript(source string) (script *redis.Script) {
	fips140.WithoutEnforcement(func() { script = redis.NewScript(source) })
	return script
}

// loadScript is a script and not a pipeline of GET and PEXPIRETIME for three
// reasons: the two belong to one revision; a Cluster client sends it to the
// primary, also where it reads from replicas, which may not have a session that
// was just begun; and no client-side cache answers it.
var loadScript = newScript(`
local value = redis.call('GET', KEYS[1])
if not value then
	return false
end
return {value, redis.call('PEXPIRETIME', KEYS[1])}
`)

// head begins the scripts that write. It reads the marks, not the data.
const head = `
local zero = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
local head = redis.call('GETRANGE', KEYS[1], 0, 71)
local mark = head:sub(1, 16)
local gone = mark == zero or (head == '' and redis.call('EXISTS', KEYS[1]) == 0)
if not gone and #head < 72 then
	return 'foreign'
end
`

// saveScript takes the revision to replace or none, the mark of this save, the
// data, and when the record ends in Unix milliseconds.
var saveScript = newScript(head + `
local expected, own, data, ends = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local older
if not gone and mark == expected and mark:sub(1, 4) == own:sub(1, 4) then
	older = head:sub(17) -- this writer was the last one too
else
	local short, none = own:sub(1, 8), zero:sub(1, 8)
	local seen = {[own:sub(1, 4)] = true}
	older = ''
	if not gone then
		for _, at in ipairs({1, 17, 25, 33, 41, 49, 57, 65}) do
			local before = head:sub(at, at + 7)
			if before == short then
				return 'ok' -- carried out before, and its reply lost
			end
			local writer = before:sub(1, 4)
			if before ~= none and not seen[writer] then
				seen[writer] = true
				older = older .. before
			end
		end
	end
	if expected ~= '' then
		if gone then
			return 'gone'
		end
		if mark ~= expected then
			return 'changed'
		end
	elseif not gone then
		return 'exists'
	end
	older = (older .. string.rep('\0', 56)):sub(1, 56)
end
redis.call('SET', KEYS[1], own .. older .. data, 'PXAT', ends)
if redis.call('EXISTS', KEYS[1]) == 0 then
	return 'past'
end
return 'ok'
`)

// touchScript takes the revision and the new end in Unix milliseconds.
var touchScript = newScript(head + `
if gone then
	return 'gone'
end
if mark ~= ARGV[1] then
	return 'changed'
end
local ends = redis.call('PEXPIRETIME', KEYS[1])
if ends < 0 then
	return 'forever'
end
if ends < tonumber(ARGV[2]) then
	redis.call('PEXPIREAT', KEYS[1], ARGV[2])
end
return 'ok'
`)

// deleteScript takes the revision, the mark of this delete, and for how many
// milliseconds the delete must know itself again.
//
// A server that is out of memory refuses every SET, even one that frees memory.
// Then the record goes without a trace: better than not at all.
var deleteScript = newScript(head + `
if gone then
	return head == zero .. ARGV[2] and 'ok' or 'gone'
end
if mark ~= ARGV[1] then
	return 'changed'
end
if redis.pcall('SET', KEYS[1], zero .. ARGV[2], 'PX', ARGV[3]).err then
	redis.call('DEL', KEYS[1])
end
return 'ok'
`)
