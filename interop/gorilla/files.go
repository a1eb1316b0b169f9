package gorilla

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/bulla-go/bulla/interop/internal/gobs"
	"github.com/bulla-go/bulla/interop/migrate"
	"github.com/bulla-go/bulla/sessions"
)

// Files returns a reader of sessions that a FilesystemStore keeps in a folder. name and
// keyPairs are as for [Cookie]. The caller closes root when the migration is over, and
// removes the folder.
//
// A file has no end of its own that could be shortened. Retire puts an empty file
// "retired_" and the ID beside it, and a minute after that Read finds nobody.
func Files(root *os.Root, name string, keyPairs [][]byte, opts ...Option) (*Reader, error) {
	o, err := newOptions(opts)
	switch {
	case err != nil:
		return nil, err
	case root == nil:
		return nil, fmt.Errorf("gorilla: %w: the folder is nil; check the error of os.OpenRoot", sessions.ErrConfig)
	case o.prefix != nil:
		return nil, unfit("WithPrefix", "is for Redis")
	case o.json:
		return nil, unfit("WithJSON", "is not for files: their ID is a gob, whatever the values are")
	}
	ids, err := newOpener(name, keyPairs, *o.maxAge, o.notAfter, maxCookie)
	if err != nil {
		return nil, fmt.Errorf("gorilla: %w: %w", sessions.ErrConfig, err)
	}
	// What is in the files is signed, too, and may be longer.
	values, err := newOpener(name, keyPairs, *o.maxAge, time.Time{}, 0)
	if err != nil {
		return nil, fmt.Errorf("gorilla: %w: %w", sessions.ErrConfig, err)
	}
	return &Reader{opener: ids, store: files{root, values}, isID: base32Text(32), decode: o.decoder()}, nil
}

type files struct {
	root   *os.Root
	opener *opener
}

// nameless returns err without the file's name, which has the ID.
func nameless(err error) error {
	if at := new(fs.PathError); errors.As(err, &at) {
		return fmt.Errorf("gorilla: the file of the session: %s: %w", at.Op, at.Err)
	}
	return err
}

func (f files) read(_ context.Context, id string) ([]byte, error) {
	data, err := f.load(id)
	return data, nameless(err)
}

func (f files) load(id string) ([]byte, error) {
	at, err := f.root.Stat("retired_" + id)
	switch {
	case err == nil && time.Since(at.ModTime()) >= migrate.Grace:
		return nil, fmt.Errorf("%w: it was retired", migrate.ErrNone)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	file, err := f.root.Open("session_" + id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no file", migrate.ErrNone)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 2*gobs.MaxSize+1))
	if err != nil {
		return nil, err
	}
	data, _, err := f.opener.open(string(text))
	return data, err
}

func (f files) retire(_ context.Context, id string) error {
	if _, err := f.root.Stat("session_" + id); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file, err := f.root.OpenFile("retired_"+id, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // the first time counts
	}
	if err == nil {
		err = file.Close()
	}
	return nameless(err)
}
