package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/bulla-go/bulla/stores"
)

// batchSize is how many rows one statement is for: few enough that it is over within
// a small part of the time limit, and that every database takes as many arguments.
const batchSize = 500

// padded returns the names of keys, of which there is at least one, the last one
// repeated until there are as many as in one of a few texts: databases and drivers
// keep what they make of a text.
func padded(keys []stores.Key) []string {
	size := batchSize
	for _, n := range []int{5, 50} {
		if len(keys) <= n {
			size = n
			break
		}
	}
	names := make([]string, 0, size)
	for _, key := range keys {
		names = append(names, key.Name())
	}
	for len(names) < size {
		names = append(names, names[len(keys)-1])
	}
	return names
}

// LoadMany implements [stores.Batcher]. It is one statement for every 500 keys. The
// time limit is for each of them.
func (s *Store) LoadMany(ctx context.Context, keys []stores.Key) ([]stores.Record, error) {
	found := make(map[string]stores.Record, len(keys))
	for batch := range slices.Chunk(keys, batchSize) {
		if err := s.read(ctx, func(ctx context.Context, by querier) error { return s.loadBatch(ctx, by, batch, found) }); err != nil {
			return nil, err
		}
	}
	recs := make([]stores.Record, len(keys))
	given := make(map[string]bool, len(keys))
	for i, key := range keys {
		name := key.Name()
		recs[i] = found[name]
		if given[name] { // two slices are not one
			recs[i].Data = slices.Clone(recs[i].Data)
		}
		given[name] = true
	}
	return recs, nil
}

func (s *Store) loadBatch(ctx context.Context, by querier, keys []stores.Key, found map[string]stores.Record) error {
	var args []any
	for _, name := range padded(keys) {
		args = append(args, name)
	}
	text := s.q.read(s.q.sessions, "name, revision, expires, data", "name IN ("+repeat(len(args), "?", ", ")+") AND expires > {now}")
	rows, err := by.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return s.each(ctx, by, rows, func() error {
		var standby bool
		var name string
		var expires int64
		var revision, data []byte
		if err := rows.Scan(&standby, &name, &revision, &expires, &data); err != nil {
			return err
		}
		if standby {
			return errStandby
		}
		found[name] = stores.Record{Data: data, Expires: time.UnixMilli(expires), Revision: stores.Revision(revision)}
		return nil
	})
}

// SaveMany implements [stores.Batcher]. Records of the same data and expiry replace
// others in one statement for every 500, and in two where there are conflicts: those
// that end sessions are few different ones. Each other record takes one. The time
// limit is for each statement. A record that breaks the contract is found before any
// is written.
//
// A record that was written and at once replaced by somebody else may be answered as
// a conflict.
func (s *Store) SaveMany(ctx context.Context, keys []stores.Key, recs []stores.Record) ([]bool, error) {
	type content struct {
		data    string
		expires int64
	}
	together := make(map[content][]int)
	seen := make(map[stores.Key]bool, len(keys))
	var order []content // of the first of each
	var alone []int
	for i, rec := range recs {
		if err := stores.CheckExpires(rec); err != nil {
			return nil, err
		}
		if rec.Revision == "" || seen[keys[i]] {
			alone = append(alone, i)
			continue
		}
		seen[keys[i]] = true
		c := content{string(rec.Data), rec.Expires.UnixMilli()}
		if together[c] == nil {
			order = append(order, c)
		}
		together[c] = append(together[c], i)
	}
	conflicts := make([]bool, len(keys))
	for _, c := range order {
		for batch := range slices.Chunk(together[c], batchSize) {
			if err := s.replaceBatch(ctx, keys, recs, batch, conflicts); err != nil {
				return nil, err
			}
		}
	}
	for _, i := range alone {
		_, err := s.Save(ctx, keys[i], recs[i])
		if conflicts[i] = err == stores.ErrConflict; err != nil && !conflicts[i] {
			return nil, err
		}
	}
	return conflicts, nil
}

// replaceBatch writes one content over the records that batch has the indexes of.
func (s *Store) replaceBatch(ctx context.Context, keys []stores.Key, recs []stores.Record, batch []int, conflicts []bool) error {
	v, err := newValue(recs[batch[0]])
	if err != nil {
		return err
	}
	these := make([]stores.Key, len(batch))
	for n, i := range batch {
		these[n] = keys[i]
	}
	names := padded(these)
	args := []any{v.revision, v.expires, v.data}
	for n, name := range names {
		args = append(args, name, []byte(recs[batch[min(n, len(batch)-1)]].Revision))
	}
	// Each row has the same new revision: another record's is none of this one's.
	n, err := s.change(ctx, s.q.text("UPDATE {sessions} SET revision = ?, expires = ?, data = ? WHERE expires > {now} AND ("+
		repeat(len(names), "name = ? AND revision = ?", " OR ")+")"), args)
	if err != nil || n == int64(len(batch)) {
		return err
	}
	found := make(map[string]stores.Record, len(batch))
	if err := s.read(ctx, func(ctx context.Context, by querier) error { return s.loadBatch(ctx, by, these, found) }); err != nil {
		return err
	}
	for _, i := range batch {
		conflicts[i] = found[keys[i].Name()].Revision != stores.Revision(v.revision)
	}
	return nil
}

// change runs a text that is not prepared and returns how many rows it changed.
func (s *Store) change(ctx context.Context, text string, args []any) (n int64, err error) {
	err = s.write(ctx, func(ctx context.Context, by querier) error {
		if err := s.fits(ctx, by, args); err != nil {
			return err
		}
		res, err := by.ExecContext(ctx, text, args...)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	return n, err
}
