// Package filestore keeps sessions in a folder, one file each. It is an example
// of how to write a store, to be copied and changed.
//
// It keeps the rules of [stores.Server] for one Store in one process, on a local
// disk that answers and has room: a write needs it for the new file beside the
// old one.
package filestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// Store keeps its records in Dir, a folder of its own that exists.
type Store struct {
	Dir string
	mu  sync.Mutex // of writers: makes looking and writing one step
}

// Place tells the manager that this is a store on a server, and none in the cookie.
func (s *Store) Place() stores.Place { return stores.Place{Name: "files", Server: s} }

// Load reads the key's file.
func (s *Store) Load(ctx context.Context, key stores.Key, _ stores.Freshness) (stores.Record, error) {
	if err := ctx.Err(); err != nil {
		return stores.Record{}, err
	}
	return s.read(s.file(key))
}

// Save writes the key's file if that is at rec.Revision, or is not there.
func (s *Store) Save(ctx context.Context, key stores.Key, rec stores.Record) (stores.Revision, error) {
	if err := errors.Join(ctx.Err(), stores.CheckExpires(rec)); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.read(s.file(key))
	if err != nil && !errors.Is(err, stores.ErrNotFound) {
		return "", err
	}
	if old.Revision != rec.Revision {
		return "", stores.ErrConflict
	}
	return s.write(s.file(key), rec)
}

// Put writes the key's file.
func (s *Store) Put(ctx context.Context, key stores.Key, rec stores.Record) error {
	if err := errors.Join(ctx.Err(), stores.CheckExpires(rec)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.write(s.file(key), rec)
	return err
}

// file is in hexadecimal: some disks take a and A for the same name.
func (s *Store) file(key stores.Key) string {
	return filepath.Join(s.Dir, fmt.Sprintf("%x.session", key.Hash()))
}

// read returns the live record in a file: a line with expiry and revision, and
// the data.
func (s *Store) read(file string) (rec stores.Record, err error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		// Where the folder itself is gone, nobody has been logged out.
		if _, err = os.Stat(s.Dir); err == nil {
			return rec, stores.ErrNotFound
		}
	}
	var expires int64
	head, data, _ := bytes.Cut(raw, []byte("\n"))
	if err == nil {
		_, err = fmt.Sscan(string(head), &expires, &rec.Revision)
	}
	if err != nil {
		return stores.Record{}, fmt.Errorf("%w: %w", stores.ErrUnavailable, err)
	}
	if rec.Expires = time.Unix(0, expires); !rec.Expires.After(time.Now()) {
		return stores.Record{}, stores.ErrNotFound
	}
	rec.Data = data
	return rec, nil
}

// write renames a whole new file over the old one, so that neither Load nor a
// crash finds half a record.
func (s *Store) write(file string, rec stores.Record) (stores.Revision, error) {
	rev := rand.Text() // as no other write has
	raw := append(fmt.Appendf(nil, "%d %s\n", rec.Expires.UnixNano(), rev), rec.Data...)
	err := os.WriteFile(filepath.Join(s.Dir, "new"), raw, 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(s.Dir, "new"), file)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", stores.ErrUnavailable, err)
	}
	return stores.Revision(rev), nil
}

// Sweep removes the files of expired records. Call it now and then.
func (s *Store) Sweep() error {
	names, err := fs.Glob(os.DirFS(s.Dir), "*.session")
	for _, name := range names {
		file := filepath.Join(s.Dir, name)
		s.mu.Lock()
		if _, readErr := s.read(file); errors.Is(readErr, stores.ErrNotFound) {
			err = errors.Join(err, os.Remove(file))
		}
		s.mu.Unlock()
	}
	return err
}
