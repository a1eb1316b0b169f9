package middleware

import (
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
)

// Option configures a [Middleware]. Options are checked together in [New]; of
// two that set the same thing, the later one counts.
type Option func(*config)

// config is what the options say. What concerns sessions goes to the manager as
// it is.
type config struct {
	sessions sessions.Config
	touch    *time.Duration

	encrypts      bool
	cookieName    string
	cookiePath    string
	cookieDomain  string
	sameSite      http.SameSite
	partitioned   bool
	insecureHTTP  bool
	scriptAccess  bool
	owned         bool
	signed        bool
	signingKeys   []encrypt.Key
	errorHandler  func(http.ResponseWriter, *http.Request, error)
	autoloadAll   bool
	autoload      []string
	autoloadRegex []*regexp.Regexp
	autoloadFuncs []func(*http.Request) bool
	skips         []func(*http.Request) bool
}

// WithEncryptor seals every record, in the cookie and on the server.
func WithEncryptor(e encrypt.Encryptor) Option {
	return func(c *config) { c.sessions.Encryptor, c.encrypts = e, true }
}

// WithoutEncryption allows a store outside the process to hold records that
// everybody who reads the store can read.
func WithoutEncryption() Option {
	return func(c *config) { c.sessions.WithoutEncryption = true }
}

// WithSerializer sets how values are encoded; the default is [serialize.JSON].
// Sessions whose values are encoded otherwise do not decode any more.
func WithSerializer(s serialize.Serializer) Option {
	return func(c *config) { c.sessions.Serializer = s }
}

// WithAudience names the application. Records are bound to it, so that two
// applications that share keys and a cookie name do not accept each other's
// sessions. Changing it ends every session.
func WithAudience(name string) Option {
	return func(c *config) { c.sessions.Audience = name }
}

// WithLifetime sets how long a session lives from its creation or, together
// with [WithRolling], from its last use; 400 days at most. The default 0 is
// session-only: the cookie has no Max-Age and goes with the browser; on the
// server the session ends after [WithMaxLifetime].
func WithLifetime(d time.Duration) Option {
	return func(c *config) { c.sessions.Lifetime = d }
}

// WithRolling makes the lifetime an idle timeout: use extends it, up to
// [WithMaxLifetime] after the session's creation. Only requests that load the
// session count as use.
func WithRolling() Option {
	return func(c *config) { c.sessions.Rolling = true }
}

// WithMaxLifetime ends rolling and session-only sessions this long after their
// creation, however much they are used; the default is 30 days.
func WithMaxLifetime(d time.Duration) Option {
	return func(c *config) { c.sessions.MaxLifetime = d }
}

// WithTouchInterval sets how often at most use extends a rolling session; 0 is
// with every response. The default is a twentieth of the lifetime, at most five
// minutes. Last access is known to within that interval.
func WithTouchInterval(d time.Duration) Option {
	return func(c *config) { c.touch = &d }
}

// WithOwners lets sessions have owners ([sessions.Session.SetOwner]), whose
// sessions can be listed and ended. It needs a store on a server. Owners are
// filed under hashes that are keyed with the first key, and found under all. To
// change keys, add the new one at the end on every machine first, and only then
// move it to the front: a machine that does not have it finds nothing under it.
func WithOwners(keys ...encrypt.Key) Option {
	return func(c *config) { c.owned, c.sessions.Owners = true, keys }
}

// WithMaxSessionsPerOwner limits how many sessions an owner has. A login over
// the limit fails at commit with [sessions.ErrTooManySessions] (403 by default) or,
// with endOldest, ends the owner's oldest logins. It holds for logins at the same
// moment too, whichever server they reach.
//
// A limit that refuses counts what nobody uses: where the answer to a login is lost
// the browser has no cookie, but the session lives until it idles out or ends, and
// the user is refused for as long. With a limit of 1 that is every login that is
// retried; prefer endOldest, or keep the idle lifetime short. A login that died
// before its session was written counts for a minute.
func WithMaxSessionsPerOwner(n int, endOldest bool) Option {
	return func(c *config) { c.sessions.MaxSessionsPerOwner, c.sessions.EndOldest = n, endOldest }
}

// WithCookieCache puts a sealed copy of a server-held session into the cookie,
// beside the ID. For the time given, an hour at most, after the server was asked a
// request reads the copy: no round trip. A change saves at the copy's revision: one.
// A response that was on its way while another changed the session may show the
// older state for as long; changes are never lost. A login can be undone in the
// browser by the answer to an older request that crosses it within a tenth of a
// second. The copy is left out where it has no room.
//
// A session that was ended elsewhere is out within that time, and as much later as
// the clocks of the processes differ. Until then it passes every handler that only
// reads it, for a POST too; where a handler changes it, its answer stands, but
// nothing is written. What must not happen after an end calls [sessions.Commit]
// first: like a new ID, that always asks the server.
func WithCookieCache(fresh time.Duration) Option {
	return func(c *config) { c.sessions.CookieCache = fresh }
}

// WithCookieCacheFallback lets a copy serve reads for this long while the store
// is unavailable; at most for as long as a session lasts without use. Changes
// still fail then. A session that was ended elsewhere can be read for as long.
// One read a second waits to see whether the store still fails.
func WithCookieCacheFallback(d time.Duration) Option {
	return func(c *config) { c.sessions.CookieCacheFallback = d }
}

// WithCommitTimeout bounds a commit with all its retries; the default is five
// seconds. A commit does not stop when the client goes away.
func WithCommitTimeout(d time.Duration) Option {
	return func(c *config) { c.sessions.CommitTimeout = d }
}

// WithCookieName names the cookie. The default is "__Host-Http-session": the
// prefix makes browsers refuse the cookie from sibling subdomains, plain HTTP and
// scripts. Where another option rules it out, the default is "__Secure-session"
// (a path or domain), "__Host-session" ([WithInsecureScriptAccess]) or "session"
// ([WithInsecureHTTP]).
func WithCookieName(name string) Option {
	return func(c *config) { c.cookieName = name }
}

// WithFirebaseHosting names the cookie "__session", the only one that Firebase
// Hosting passes on to a backend.
func WithFirebaseHosting() Option { return WithCookieName("__session") }

// WithCookiePath limits the cookie to a path; the default is "/". It is no
// protection from other programs on the same host.
func WithCookiePath(path string) Option {
	return func(c *config) { c.cookiePath = path }
}

// WithCookieDomain sends the cookie to a domain and all its subdomains. Without
// it only the host that set the cookie gets it.
func WithCookieDomain(domain string) Option {
	return func(c *config) { c.cookieDomain = domain }
}

// WithSameSite sets when other sites' requests carry the cookie: the default
// [http.SameSiteLaxMode] on top-level navigation, Strict never, None always. With
// Strict a user who follows a link from another site arrives without the cookie;
// if that page writes its new session, the new cookie takes the place of the
// user's.
func WithSameSite(mode http.SameSite) Option {
	return func(c *config) { c.sameSite = mode }
}

// WithPartitioned keeps a separate cookie for each top-level site that embeds
// this one (CHIPS).
func WithPartitioned() Option {
	return func(c *config) { c.partitioned = true }
}

// WithInsecureHTTP drops the cookie's Secure attribute: anybody on the network
// can then read and plant sessions. Browsers accept Secure cookies on
// http://localhost, so development does not need it.
func WithInsecureHTTP() Option {
	return func(c *config) { c.insecureHTTP = true }
}

// WithInsecureScriptAccess drops the cookie's HttpOnly attribute: every script
// on the page can then read the session's token and send it away.
func WithInsecureScriptAccess() Option {
	return func(c *config) { c.scriptAccess = true }
}

// WithSignedIDs adds a MAC to the ID in the cookie and checks it before the
// store is asked, so that forged cookies cost no round trip. The first key
// signs, all verify. It is a filter: what protects a session is that its ID
// can't be guessed. Cookies without a MAC are rejected once the option is on.
func WithSignedIDs(keys ...encrypt.Key) Option {
	return func(c *config) { c.signed, c.signingKeys = true, keys }
}

// WithAutoload loads the session before the handler runs, for requests that
// match one of the patterns and carry the cookie; with no pattern, for every
// request that does. Patterns are those of [http.ServeMux]: "/app/" is a
// subtree, "/admin" only itself, "GET /admin/{rest...}" one method.
//
// A load that fails is answered by the error handler.
func WithAutoload(patterns ...string) Option {
	return func(c *config) {
		c.autoloadAll = c.autoloadAll || len(patterns) == 0
		c.autoload = append(c.autoload, patterns...)
	}
}

// WithAutoloadRegexp is [WithAutoload] for paths that match an expression as a
// whole: "/admin" does not match "/administrator".
func WithAutoloadRegexp(exprs ...*regexp.Regexp) Option {
	return func(c *config) { c.autoloadRegex = append(c.autoloadRegex, exprs...) }
}

// WithAutoloadFunc is [WithAutoload] for requests of which match says true.
func WithAutoloadFunc(match func(*http.Request) bool) Option {
	return func(c *config) { c.autoloadFuncs = append(c.autoloadFuncs, match) }
}

// WithSkip hands requests of which skip says true to the handler untouched: they
// have no session, and Load answers [sessions.ErrNoMiddleware].
func WithSkip(skip func(*http.Request) bool) Option {
	return func(c *config) { c.skips = append(c.skips, skip) }
}

// WithSkipHeader skips requests that have the header, with one of the values
// where there are any. Any client can send any header: it saves work, and must
// not decide what a client may do.
func WithSkipHeader(name string, values ...string) Option {
	return WithSkip(func(r *http.Request) bool {
		for _, have := range r.Header.Values(name) {
			if len(values) == 0 {
				return true
			}
			for _, v := range values {
				if have == v {
					return true
				}
			}
		}
		return false
	})
}

// WithErrorHandler sets what answers a request whose session can't be loaded by
// autoload, or can't be committed. Nothing of the handler's answer has been sent
// then, and nothing that it writes later will be; the error handler must write a
// status, or net/http sends 200. It gets the handler's request; a session that is
// loaded is found there as it is stored, without what could not be committed. The
// default answers 503 where the store failed or a record does not open, 403 where
// the user has too many sessions, and 500 otherwise, and says nothing of the cause.
func WithErrorHandler(h func(http.ResponseWriter, *http.Request, error)) Option {
	return func(c *config) { c.errorHandler = h }
}

// WithLogger logs what happens to sessions: failures as errors, discarded changes,
// sessions over a limit and cookies that name a key which is not in the ring as
// warnings, other rejected tokens and sessions that were ended elsewhere as
// information, the rest as debug. IDs appear as hashes only.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.sessions.Logger = l }
}

// WithHooks calls functions as things happen to sessions.
func WithHooks(h sessions.Hooks) Option {
	return func(c *config) { c.sessions.Hooks = h }
}
