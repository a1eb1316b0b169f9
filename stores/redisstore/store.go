package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bulla-go/bulla/stores"
)

// Store is a [stores.Store] in Redis. It is safe for concurrent use. The zero
// Store is not usable; see [New].
type Store struct {
	client  redis.UniversalClient
	name    func(stores.Key) string
	timeout time.Duration
	writer  writer
	turns   turns // of saves

	refusals refusals

	// How calls are made; see doc.go, Time.
	direct  bool                 // the client ends its calls with their contexts
	async   *redis.AutoPipeliner // the client, if its calls can be waited for
	workers *workers             // for all other calls
}

var (
	_ stores.Toucher   = (*Store)(nil)
	_ stores.Describer = (*Store)(nil)
)

// New returns a store that uses client: a [redis.Client], also one of Sentinel,
// a [redis.ClusterClient], or a [redis.AutoPipeliner] of either. The caller owns
// the client and closes it after the store's last call. A [redis.Ring] is refused:
// it makes an outage look like a logout. New does no I/O; it adds a hook to the
// client that sees its dials.
func New(client redis.UniversalClient, opts ...Option) (*Store, error) {
	// A nil *redis.Client in the interface would panic in the first request.
	if v := reflect.ValueOf(client); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("redisstore: the client is nil; make one with redis.NewUniversalClient")
	}
	if _, ring := client.(*redis.Ring); ring {
		return nil, errors.New("redisstore: a redis.Ring looks for the sessions of a failed server on the others, so that an outage looks like a logout; use a redis.ClusterClient")
	}
	o := options{timeout: DefaultTimeout}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	name, err := o.name()
	if err != nil {
		return nil, err
	}
	s := &Store{client: client, name: name, timeout: o.timeout, workers: newWorkers()}
	rand.Read(s.writer.id[:]) // never fails: crypto/rand aborts the program instead
	s.refusals.watch(client)
	switch c := client.(type) {
	case *redis.Client:
		s.direct = c.Options().ContextTimeoutEnabled
	case *redis.AutoPipeliner:
		if !c.IsBlocking() {
			s.async = c
		}
	}
	return s, nil
}

// Describe implements [stores.Describer].
func (s *Store) Describe() stores.Info { return stores.Info{Name: "redis"} }

// Load implements [stores.Store].
func (s *Store) Load(ctx context.Context, tok stores.Token) (stores.Record, error) {
	name := s.name(tok.ID.Key())
	cmd, err := s.eval(ctx, loadScript, name)
	if errors.Is(err, redis.Nil) {
		return stores.Record{}, stores.ErrNotFound
	}
	if err != nil {
		return stores.Record{}, err
	}
	reply, err := cmd.Slice()
	if err != nil || len(reply) != 2 {
		return stores.Record{}, unexpected(cmd.Val())
	}
	value, isString := reply[0].(string)
	ends, isInt := reply[1].(int64)
	switch {
	case !isString || !isInt:
		return stores.Record{}, unexpected(reply)
	case strings.HasPrefix(value, zeroMark):
		return stores.Record{}, stores.ErrNotFound
	case len(value) < headSize:
		return stores.Record{}, verdict(answerForeign, name)
	case ends < 0:
		return stores.Record{}, verdict(answerForever, name)
	}
	return stores.Record{
		Data:     []byte(value[headSize:]),
		Revision: stores.Revision(value[:markSize]),
		Expires:  time.UnixMilli(ends),
	}, nil
}

// Save implements [stores.Store].
func (s *Store) Save(ctx context.Context, tok stores.Token, rec stores.Record) (stores.Token, stores.Revision, error) {
	if err := stores.CheckExpires(rec); err != nil {
		return stores.Token{}, "", err
	}
	name, mark := s.name(tok.ID.Key()), s.writer.mark()
	// A copy, because the client may send it again after this call has ended.
	data := string(rec.Data)
	err := s.run(ctx, saveScript, name, string(rec.Revision), mark, data, rec.Expires.UnixMilli())
	if err != nil && !(errors.Is(err, errPast) && !time.Now().Before(rec.Expires)) {
		return stores.Token{}, "", err
	}
	tok.Payload = "" // the client holds only the ID
	return tok, stores.Revision(mark), nil
}

// Touch implements [stores.Toucher]. The revision stays the same.
func (s *Store) Touch(ctx context.Context, tok stores.Token, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	if err := s.run(ctx, touchScript, s.name(tok.ID.Key()), string(rev), expires.UnixMilli()); err != nil {
		return "", err
	}
	return rev, nil
}

// Delete implements [stores.Store].
func (s *Store) Delete(ctx context.Context, tok stores.Token, rev stores.Revision) error {
	name := s.name(tok.ID.Key())
	if rev != "" {
		// No attempt of this call begins later than s.timeout from now.
		remember := max(2*s.timeout.Milliseconds(), 1)
		return s.run(ctx, deleteScript, name, string(rev), s.writer.mark(), remember)
	}
	_, err := call(ctx, s, func(ctx context.Context) (int64, error) {
		return s.client.Del(ctx, name).Result()
	})
	return err
}

// run runs a script that writes.
func (s *Store) run(ctx context.Context, script *redis.Script, name string, args ...any) error {
	cmd, err := s.eval(ctx, script, name, args...)
	if err != nil {
		return err
	}
	answer, err := cmd.Text()
	if err != nil {
		return unexpected(cmd.Val())
	}
	return verdict(answer, name)
}

// errPast: the record had ended, by the server's clock, when it was saved.
var errPast = errors.New("the clock of the redis server is ahead by more than the session's life; set the clocks")

// verdict returns the error that stands for a script's answer. Redis keys may be
// shown: they hold a hash.
func verdict(answer, name string) error {
	switch answer {
	case answerOK:
		return nil
	case answerGone:
		return stores.ErrNotFound
	case answerExists:
		return stores.ErrExists
	case answerChanged:
		return stores.ErrConflict
	case answerPast:
		return fmt.Errorf("%w: %w", stores.ErrUnavailable, errPast)
	case answerForeign:
		return fmt.Errorf("%w: the value of the redis key %q is not a session; keep other data under other prefixes", stores.ErrUnavailable, name)
	case answerForever:
		return fmt.Errorf("%w: the redis key %q has no expiry; something took it away (PERSIST, or a restore without TTL)", stores.ErrUnavailable, name)
	}
	return unexpected(answer)
}

// unexpected does not show the reply, which may hold a record.
func unexpected(reply any) error {
	return fmt.Errorf("%w: redis gave an unexpected reply of type %T", stores.ErrUnavailable, reply)
}
