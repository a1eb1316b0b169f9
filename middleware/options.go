package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"regexp"
	"time"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/bulla-go/bulla/serialize"
	"github.com/bulla-go/bulla/sessions"
	"github.com/bulla-go/bulla/stores"
)

// Option configures a [Middleware]. Options are checked together in [New]; of
// two that set the same thing, the later one counts.
type Option func(*options) error

// options is what the options say. What concerns sessions goes to the manager as
// it is.
type options struct {
	sessions sessions.Config

	cookieName    string
	cookiePath    string
	cookieDomain  string
	sameSite      http.SameSite
	partitioned   bool
	insecureHTTP  bool
	scriptAccess  bool
	errorHandler  func(http.ResponseWriter, *http.Request, error)
	autoloadAll   bool
	autoload      []string
	autoloadRegex []*regexp.Regexp
	autoloadFuncs []func(*http.Request) bool
	skips         []func(*http.Request) bool
	proofPage     string
}

// set returns the option that can't fail by itself.
func set(f func(*options)) Option {
	return func(o *options) error {
		f(o)
		return nil
	}
}

// WithEncryptor seals every record, in the cookie and on the server.
func WithEncryptor(e encrypt.Encryptor) Option {
	return func(o *options) error {
		// The result of a constructor whose error was not looked at, or of none.
		k, ok := e.(*encrypt.Keyring)
		if e == nil || ok && k == nil {
			return errors.New("WithEncryptor: the encryptor is nil; check the error of its constructor")
		}
		if ok {
			if _, err := k.Encrypt(nil, nil, []byte("probe")); err != nil {
				return fmt.Errorf("WithEncryptor: %w; make the ring with a constructor", err)
			}
		}
		o.sessions.Encryptor = e
		return nil
	}
}

// WithoutEncryption allows a store outside the process to hold records that
// everybody who reads the store can read.
func WithoutEncryption() Option {
	return set(func(o *options) { o.sessions.WithoutEncryption = true })
}

// WithSerializer sets how values are encoded; the default is [serialize.JSON].
// Sessions whose values are encoded otherwise do not decode any more.
func WithSerializer(s serialize.Serializer) Option {
	return set(func(o *options) { o.sessions.Serializer = s })
}

// WithAudience names the application. Records are bound to it, so that two
// applications that share keys and a cookie name do not accept each other's
// sessions. Changing it ends every session.
func WithAudience(name string) Option {
	return set(func(o *options) { o.sessions.Audience = name })
}

// WithLifetime sets how long a session lives from its beginning, or its user's last
// login, however much it is used: the absolute end. The default is 30 days, the most
// 400.
func WithLifetime(d time.Duration) Option {
	return set(func(o *options) { o.sessions.Lifetime = d })
}

// WithRolling ends a session that is not used for as long as idle, before its
// lifetime is over. Only requests that load the session count as use.
func WithRolling(idle time.Duration) Option {
	return func(o *options) error {
		if idle == 0 {
			return errors.New("WithRolling(0) has no idle time; give one, or leave it out")
		}
		o.sessions.Rolling = idle
		return nil
	}
}

// WithPersistentCookie lets the browser keep the cookie when it is closed, for as
// long as the session can live: the cookie has a Max-Age, to the absolute end. Without
// it the browser forgets the cookie then. A session may differ; see
// [sessions.Session.SetPersistent].
func WithPersistentCookie() Option {
	return set(func(o *options) { o.sessions.PersistentCookie = true })
}

// WithTouchInterval sets how often at most use extends a rolling session; 0 is
// with every response. The default is a twentieth of the idle time, at most five
// minutes. Last access is known to within that interval.
func WithTouchInterval(d time.Duration) Option {
	return set(func(o *options) {
		if o.sessions.TouchInterval = d; d == 0 {
			o.sessions.TouchInterval = time.Nanosecond // every response: 0 would be the default
		}
	})
}

// WithOwners lets sessions have owners ([sessions.Session.SetOwner]), whose
// sessions can be listed and ended. It needs a store on a server or, to end them alone,
// [WithRevocation]. Owners are
// filed under hashes that are keyed with the first key, and found under all. To
// change keys, add the new one at the end on every machine first, and only then
// move it to the front: a machine that does not have it finds nothing under it.
func WithOwners(keys ...encrypt.Key) Option {
	return func(o *options) error {
		if len(keys) == 0 {
			return errors.New("WithOwners: no keys; give it at least one, from encrypt.GenerateKey")
		}
		o.sessions.Owners = keys
		return nil
	}
}

// WithRevocation lets sessions be ended that the client holds: those of
// cookiestore.Sealed, cookiestore.Signed and the hybrid. What has ended stands in list;
// this process keeps a copy of it in memory and asks for what is new once in every, until
// ctx ends, whatever the traffic. So a request asks nobody, and an end holds at each
// process within every: [sessions.Session.Destroy], the cookie from before a
// [sessions.Session.Regenerate], [sessions.Manager.RevokeAll] and RevokeOthers by
// numbers that [sessions.Session.SetOwner] seals (WithOwners), and
// [sessions.Manager.RevokeEverything]. A new ID and [sessions.Commit] ask the list
// itself: what must not happen after an end calls Commit first.
//
// What can't be listed is an error: a logout that failed answers 503, and the cookie
// stays. Sessions without an owner are listed with [WithAnonymousRevocation] alone.
//
// Until the list is read for the first time requests with a session wait for it, some
// seconds at most, and then are refused (503), as they are when it was not read for a
// minute ([WithRevocationRefusal]). A list that has lost everything, such as one in a
// Redis that keeps nothing on disk, can't tell any more what had ended: then all sessions
// from before end, unless [WithInsecureRevocationLoss] is given.
//
// With a store on a server, which ends its sessions itself, the list is for
// RevokeEverything.
func WithRevocation(ctx context.Context, list stores.RevocationList, every time.Duration) Option {
	return func(o *options) error {
		if v := reflect.ValueOf(list); list == nil || v.Kind() == reflect.Pointer && v.IsNil() {
			return errors.New("WithRevocation: the list is nil; check the error of its constructor")
		}
		r := &o.sessions.Revocation
		r.Context, r.List, r.Every = ctx, list, every
		return nil
	}
}

// WithAnonymousRevocation lists the ends and new IDs of sessions without an owner, too,
// up to that many; then they are an error. Everybody can begin sessions and end them, so
// without a limit everybody could fill the list. The hook Refused tells of it.
func WithAnonymousRevocation(most int) Option {
	return func(o *options) error {
		if most == 0 {
			return errors.New("WithAnonymousRevocation(0) lists nothing; leave it out")
		}
		o.sessions.Revocation.Anonymous = most
		return nil
	}
}

// WithRevocationRefusal refuses sessions, with 503, when the list of what has ended was
// not read for as long as after, in place of a minute: until then an end may be
// overlooked.
func WithRevocationRefusal(after time.Duration) Option {
	return func(o *options) error {
		if after <= 0 {
			return errors.New("WithRevocationRefusal: the time must be positive; leave it out for a minute")
		}
		o.sessions.Revocation.RefuseAfter = after
		return nil
	}
}

// WithInsecureRevocationPassing lets sessions pass for however long the list of what has
// ended can't be read, once it was: what ends elsewhere meanwhile lives on here.
func WithInsecureRevocationPassing() Option {
	return set(func(o *options) { o.sessions.Revocation.Pass = true })
}

// WithInsecureRevocationLoss lets sessions live on when the list of what has ended has
// lost everything: with them those that had ended live again, at each process that
// begins after the loss. Without it all sessions from before the loss end.
func WithInsecureRevocationLoss() Option {
	return set(func(o *options) { o.sessions.Revocation.KeepLost = true })
}

// WithMaxSessionsPerOwner limits how many sessions an owner has. A login over the
// limit fails at commit with [sessions.ErrTooManySessions] or, with
// [sessions.EndOldest], ends the owner's oldest logins. Of two logins at once beyond
// the limit the later one is refused, or the earlier one ended. A refusing limit
// counts a login whose answer was lost for as long as its session lives, and one that
// died on the way for as long as a stub lives ([WithStubLifetime]).
func WithMaxSessionsPerOwner(n int, over sessions.Overflow) Option {
	return set(func(o *options) { o.sessions.MaxSessionsPerOwner, o.sessions.Overflow = n, over })
}

// WithCookieCache puts a sealed copy of a server-held session into the cookie,
// beside the ID. For the time given, an hour at most, after the server was asked a request reads
// the copy: no round trip. A change saves at the copy's revision: one. Ending a
// session elsewhere takes effect within that time, and a response that was on
// its way while another changed the session may show the older state for as
// long; changes are never lost. A login can be undone in the browser by the
// answer to an older request that crosses it within a tenth of a second. The copy
// is left out where it has no room, and the cookie is taken away when a request asks the
// server and nothing is left of the session there.
//
// Regenerating the ID and [sessions.Commit] always ask the server.
func WithCookieCache(fresh time.Duration) Option {
	return set(func(o *options) { o.sessions.CookieCache = fresh })
}

// WithCookieCacheFallback lets a copy serve reads for this long while the store
// is unavailable; at most for as long as a session lasts without use. Changes
// still fail then. A session that was ended elsewhere can be read for as long.
// One read a second waits to see whether the store still fails.
func WithCookieCacheFallback(d time.Duration) Option {
	return set(func(o *options) { o.sessions.CookieCacheFallback = d })
}

// WithCommitTimeout bounds a commit with all its retries; the default is five
// seconds. A commit does not stop when the client goes away.
func WithCommitTimeout(d time.Duration) Option {
	return set(func(o *options) { o.sessions.CommitTimeout = d })
}

// WithStubLifetime sets how long a store remembers that a session has ended or has
// another ID, in place of ten minutes: longer than the longest handler, since a
// request that has loaded the session before must find out when it commits.
func WithStubLifetime(d time.Duration) Option {
	return set(func(o *options) { o.sessions.StubLifetime = d })
}

// WithWatchInterval sets how often the store is asked about the sessions of open streams
// ([sessions.Watch]), all of this process in one call; the default is every five
// seconds. It is a tenth of a second at least, and half of [WithStubLifetime] at most.
func WithWatchInterval(d time.Duration) Option {
	return func(o *options) error {
		if d == 0 {
			return errors.New("WithWatchInterval(0) has no time; give one, or leave it out for five seconds")
		}
		o.sessions.WatchInterval = d
		return nil
	}
}

// WithCookieName names the cookie. The default is "__Host-Http-session": the
// prefix makes browsers refuse the cookie from sibling subdomains, plain HTTP and
// scripts. Where another option rules it out, the default is "__Secure-session"
// (a path or domain), "__Host-session" ([WithInsecureScriptAccess]) or "session"
// ([WithInsecureHTTP]).
func WithCookieName(name string) Option {
	return set(func(o *options) { o.cookieName = name })
}

// WithFirebaseHosting names the cookie "__session", the only one that Firebase
// Hosting passes on to a backend.
func WithFirebaseHosting() Option { return WithCookieName("__session") }

// WithCookiePath limits the cookie to a path; the default is "/". It is no
// protection from other programs on the same host.
func WithCookiePath(path string) Option {
	return set(func(o *options) { o.cookiePath = path })
}

// WithCookieDomain sends the cookie to a domain and all its subdomains. Without
// it only the host that set the cookie gets it.
func WithCookieDomain(domain string) Option {
	return set(func(o *options) { o.cookieDomain = domain })
}

// WithSameSite sets when other sites' requests carry the cookie: the default
// [http.SameSiteLaxMode] on top-level navigation, Strict never, None always. With
// Strict a user who follows a link from another site arrives without the cookie;
// if that page writes its new session, the new cookie takes the place of the
// user's.
func WithSameSite(mode http.SameSite) Option {
	return set(func(o *options) { o.sameSite = mode })
}

// WithPartitioned keeps a separate cookie for each top-level site that embeds
// this one (CHIPS). It needs [WithSameSite](http.SameSiteNoneMode): a cookie that is
// Lax or Strict is not sent in an embedded page at all. Browsers that block other sites'
// cookies take the partitioned ones alone, so WithSameSite(http.SameSiteNoneMode)
// without it serves embedded pages in some browsers only.
func WithPartitioned() Option {
	return set(func(o *options) { o.partitioned = true })
}

// WithInsecureHTTP drops the cookie's Secure attribute: anybody on the network
// can then read and plant sessions. Browsers accept Secure cookies on
// http://localhost, so development does not need it.
func WithInsecureHTTP() Option {
	return set(func(o *options) { o.insecureHTTP = true })
}

// WithInsecureScriptAccess drops the cookie's HttpOnly attribute: every script
// on the page can then read the session's token and send it away.
func WithInsecureScriptAccess() Option {
	return set(func(o *options) { o.scriptAccess = true })
}

// WithSignedIDs adds a MAC to the ID in the cookie and checks it before the
// store is asked, so that forged cookies cost no round trip. The first key
// signs, all verify. It is a filter: what protects a session is that its ID
// can't be guessed. Cookies without a MAC are rejected once the option is on.
func WithSignedIDs(keys ...encrypt.Key) Option {
	return func(o *options) error {
		if len(keys) == 0 {
			return errors.New("WithSignedIDs: no keys; give it at least one, from encrypt.GenerateKey")
		}
		o.sessions.SignedIDs = keys
		return nil
	}
}

// WithAutoload loads the session before the handler runs, for requests that
// match one of the patterns and carry the cookie; with no pattern, for every
// request that does. Patterns are those of [http.ServeMux]: "/app/" is a
// subtree, "/admin" only itself, "GET /admin/{rest...}" one method.
//
// A load that fails is answered by the error handler.
func WithAutoload(patterns ...string) Option {
	return set(func(o *options) {
		o.autoloadAll = o.autoloadAll || len(patterns) == 0
		o.autoload = append(o.autoload, patterns...)
	})
}

// WithAutoloadRegexp is [WithAutoload] for paths that match an expression as a
// whole: "/admin" does not match "/administrator".
func WithAutoloadRegexp(exprs ...*regexp.Regexp) Option {
	return set(func(o *options) { o.autoloadRegex = append(o.autoloadRegex, exprs...) })
}

// WithAutoloadFunc is [WithAutoload] for requests of which match says true.
func WithAutoloadFunc(match func(*http.Request) bool) Option {
	return func(o *options) error {
		if match == nil {
			return errors.New("WithAutoloadFunc: the function is nil; leave it out")
		}
		o.autoloadFuncs = append(o.autoloadFuncs, match)
		return nil
	}
}

// WithSkip hands requests of which skip says true to the handler untouched: they
// have no session, and Load answers [sessions.ErrNoMiddleware].
func WithSkip(skip func(*http.Request) bool) Option {
	return func(o *options) error {
		if skip == nil {
			return errors.New("WithSkip: the function is nil; leave it out")
		}
		o.skips = append(o.skips, skip)
		return nil
	}
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
// autoload, or can't be committed, or whose function returned an error
// ([Middleware.HandlerFunc]). Nothing of the handler's answer has been sent
// then, and nothing that it writes later will be; the error handler must write a
// status, or net/http sends 200. It gets the handler's request; a session that is
// loaded is found there as it is stored, without what could not be committed. The
// default says nothing of the cause, and answers with the status that [StatusOf] has for
// it.
func WithErrorHandler(h func(http.ResponseWriter, *http.Request, error)) Option {
	return set(func(o *options) { o.errorHandler = h })
}

// WithProofPage names the page to which [Middleware.RequireFresh] sends who must prove
// anew who they are: the login, or one that asks for the password again. It is a path of
// this site, with a query or without, such as "/login?again=1".
func WithProofPage(path string) Option {
	return func(o *options) error {
		if !ownPath(path) {
			return fmt.Errorf("WithProofPage(%q) is not a path of this site; begin it with one slash", path)
		}
		o.proofPage = path
		return nil
	}
}

// WithLogger logs what happens to sessions: failures as errors, discarded
// changes as warnings, rejected tokens as information, the rest as debug, and errors
// of handlers ([Middleware.HandlerFunc]). IDs appear as hashes only.
func WithLogger(l *slog.Logger) Option {
	return set(func(o *options) { o.sessions.Logger = l })
}

// WithHooks calls functions as things happen to sessions.
func WithHooks(h sessions.Hooks) Option {
	return set(func(o *options) { o.sessions.Hooks = h })
}
