package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Store is a [stores.Server] in a database. It is safe for concurrent use. The zero
// Store is not usable; see [New].
type Store struct {
	db      *sql.DB
	q       *statements
	timeout time.Duration
	writing chan struct{} // has room for one writer; none where many can write

	load, create, over, replace, put, touch, count, add, entries statement
}

var (
	_ stores.Store      = (*Store)(nil)
	_ stores.Server     = (*Store)(nil)
	_ stores.Toucher    = (*Store)(nil)
	_ stores.Batcher    = (*Store)(nil)
	_ stores.OwnerIndex = (*Store)(nil)
)

// New returns a store in the database that db is connected to, in tables that
// [Schema] describes and [Store.Migrate] makes. The caller owns db and closes it after
// the store's last call. New does no I/O.
func New(db *sql.DB, dialect Dialect, opts ...Option) (*Store, error) {
	s, o, err := newStore(db, dialect, opts)
	if err != nil {
		return nil, err
	}
	if o.maxRevocations != 0 {
		return nil, errors.New("sqlstore: New keeps no list of what has ended; give WithMaxRevocations to NewRevocations")
	}
	q := s.q
	s.load.text, s.create.text, s.over.text, s.replace.text, s.put.text = q.load, q.create, q.over, q.replace, q.put
	s.touch.text, s.count.text, s.add.text, s.entries.text = q.touch, q.count, q.add, q.entries
	if o.sweep != nil {
		go o.sweep.run(s.Sweep)
	}
	return s, nil
}

// newStore returns what a store and a list have in common: how to call the database.
func newStore(db *sql.DB, dialect Dialect, opts []Option) (*Store, options, error) {
	if db == nil {
		return nil, options{}, errors.New("sqlstore: the database is nil; open one with sql.Open")
	}
	d, err := dialect.get()
	if err != nil {
		return nil, options{}, err
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, o, err
	}
	s := &Store{db: db, q: newStatements(d, o.table), timeout: o.timeout}
	if d.oneWriter {
		s.writing = make(chan struct{}, 1)
	}
	return s, o, nil
}

// Place implements [stores.Store].
func (s *Store) Place() stores.Place { return stores.Place{Name: "sql", Server: s} }

// errStandby: rule 6 of [stores.Server].
var errStandby = errors.New("a read-only replica answers, which may not know yet that a session has ended; connect to the primary (target_session_attrs=read-write)")

// nothing is called where a reading found nothing, and tells whether a replica did not.
func (s *Store) nothing(ctx context.Context, by querier) error {
	if s.q.dialect.standby == "" {
		return nil
	}
	var standby bool
	err := by.QueryRowContext(ctx, "SELECT "+s.q.dialect.standby).Scan(&standby)
	if err == nil && standby {
		err = errStandby
	}
	return err
}

// Load implements [stores.Server]. It is one statement; in PostgreSQL, where there is
// nothing, two.
func (s *Store) Load(ctx context.Context, key stores.Key, _ stores.Freshness) (rec stores.Record, err error) {
	err = s.read(ctx, func(ctx context.Context, by querier) error {
		var standby bool
		var revision, data []byte
		var expires int64
		err := s.one(ctx, by, &s.load, []any{key.Name()}, &standby, &revision, &expires, &data)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if err := s.nothing(ctx, by); err != nil {
				return err
			}
			return stores.ErrNotFound
		case err != nil:
			return err
		case standby:
			return errStandby
		}
		rec = stores.Record{Data: data, Expires: time.UnixMilli(expires), Revision: stores.Revision(revision)}
		return nil
	})
	return rec, err
}

// value is what a write writes.
type value struct {
	revision []byte
	expires  int64 // Unix milliseconds
	data     []byte
}

const revisionSize = 16

// newValue returns what to write of a record, with a revision that no other has.
func newValue(rec stores.Record) (value, error) {
	if err := stores.CheckExpires(rec); err != nil {
		return value{}, err
	}
	v := value{make([]byte, revisionSize), rec.Expires.UnixMilli(), rec.Data}
	rand.Read(v.revision) // never fails: crypto/rand aborts the program instead
	if v.data == nil {
		v.data = []byte{} // nil is NULL
	}
	return v, nil
}

// Save implements [stores.Server]. It is one statement; to create a record in MySQL
// where one has expired and was not swept yet, two.
func (s *Store) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	v, err := newValue(rec)
	if err != nil {
		return "", err
	}
	err = s.write(ctx, func(ctx context.Context, by querier) error {
		n, err := s.save(ctx, by, key.Name(), rec.Revision, v)
		if err == nil && n == 0 {
			return stores.ErrConflict
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return stores.Revision(v.revision), nil
}

// save returns how many rows it wrote: one or none.
func (s *Store) save(ctx context.Context, by querier, name string, at stores.Revision, v value) (int64, error) {
	if at != "" {
		return s.changed(ctx, by, &s.replace, v.revision, v.expires, v.data, name, []byte(at))
	}
	n, err := s.changed(ctx, by, &s.create, name, v.revision, v.expires, v.data)
	if err == nil && n == 0 && s.over.text != "" {
		return s.changed(ctx, by, &s.over, v.revision, v.expires, v.data, name)
	}
	return n, err
}

// Put implements [stores.Server]. It is one statement.
func (s *Store) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	v, err := newValue(rec)
	if err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, by querier) error {
		_, err := s.exec(ctx, by, &s.put, key.Name(), v.revision, v.expires, v.data)
		return err
	})
}

// Touch implements [stores.Toucher]. It is one statement, and two where it moves
// nothing. The revision stays the same.
func (s *Store) Touch(ctx context.Context, key stores.Key, rev stores.Revision, expires time.Time) (stores.Revision, error) {
	if err := stores.CheckExpires(stores.Record{Expires: expires}); err != nil {
		return "", err
	}
	at := expires.UnixMilli()
	var n int64
	err := s.write(ctx, func(ctx context.Context, by querier) (err error) {
		n, err = s.changed(ctx, by, &s.touch, at, key.Name(), []byte(rev), at)
		return err
	})
	if err == nil && n == 0 { // it may live for as long already
		var rec stores.Record
		rec, err = s.Load(ctx, key, stores.Fresh)
		if errors.Is(err, stores.ErrNotFound) || err == nil && rec.Revision != rev {
			err = stores.ErrConflict
		}
	}
	if err != nil {
		return "", err
	}
	return rev, nil
}
