package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// A Record is one entry of a stream. Seq counts from 1, in commit order, without
// gaps.
type Record struct {
	Seq  int64
	Data []byte
}

// Append adds records to a stream and returns when they are durable. They share
// the sync of whatever else is being committed. The records must not be modified
// before it returns.
func (s *Store) Append(ctx context.Context, stream string, records ...[]byte) error {
	if err := checkKey(stream); err != nil {
		return fmt.Errorf("store: stream: %w", err)
	}
	if len(records) == 0 {
		return nil
	}
	return s.submit(ctx, &request{stream: stream, records: records})
}

// AppendUnsynced adds records to a stream and returns when they are committed,
// but not yet synced to disk: they survive the death of this process, at any
// moment and by any signal, and a failure of the machine may lose them, the
// newest first. (With PostgreSQL, a crash of its server may too.) What is
// committed by Append or a Tx later survives only together with them. It costs a
// fraction of Append, except in a batch with commits that are synced: then they
// are too. The records must not be modified before it returns.
func (s *Store) AppendUnsynced(ctx context.Context, stream string, records ...[]byte) error {
	if err := checkKey(stream); err != nil {
		return fmt.Errorf("store: stream: %w", err)
	}
	if len(records) == 0 {
		return nil
	}
	return s.submit(ctx, &request{stream: stream, records: records, unsynced: true})
}

// ReadStream returns up to limit records with Seq greater than after, in order. A
// stream never written has none.
func (s *Store) ReadStream(ctx context.Context, stream string, after int64, limit int) ([]Record, error) {
	return s.readStream(ctx, streamQuery{stream: stream, after: after, limit: limit})
}

// ReadStreamBackward returns up to limit records with Seq less than before (the
// newest ones, if before is 0), newest first.
func (s *Store) ReadStreamBackward(ctx context.Context, stream string, before int64, limit int) ([]Record, error) {
	return s.readStream(ctx, streamQuery{stream: stream, before: before, limit: limit, backward: true})
}

func (s *Store) readStream(ctx context.Context, q streamQuery) ([]Record, error) {
	if q.limit <= 0 {
		return nil, nil
	}
	segments, err := s.engine.readStream(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("store: read stream %s: %w", q.stream, err)
	}
	var out []Record
	for _, sg := range segments {
		recs, err := splitRecords(sg.body)
		if err != nil || len(recs) != sg.n {
			return nil, fmt.Errorf("store: stream %s: the segment at record %d is damaged", q.stream, sg.first)
		}
		for i := range recs {
			at := i
			if q.backward {
				at = len(recs) - 1 - i
			}
			seq := sg.first + int64(at)
			if seq <= q.after || q.before > 0 && seq >= q.before {
				continue
			}
			if out = append(out, Record{seq, recs[at]}); len(out) == q.limit {
				return out, nil
			}
		}
	}
	return out, nil
}

// Streams returns, in order, the names of the streams that begin with prefix and
// were ever written.
func (s *Store) Streams(ctx context.Context, prefix string) ([]string, error) {
	return s.engine.streams(ctx, prefix)
}

// TrimStream removes records with Seq less than before, in whole segments: a few
// older ones may remain. Numbering goes on.
func (s *Store) TrimStream(ctx context.Context, stream string, before int64) error {
	if err := s.engine.trimStream(ctx, stream, before); err != nil {
		return fmt.Errorf("store: trim stream %s: %w", stream, err)
	}
	return nil
}

// TrimStreamBefore removes records appended before a time, for retention.
// Numbering goes on.
func (s *Store) TrimStreamBefore(ctx context.Context, stream string, t time.Time) error {
	if err := s.engine.trimStreamAge(ctx, stream, t.UnixMilli()); err != nil {
		return fmt.Errorf("store: trim stream %s: %w", stream, err)
	}
	return nil
}

// DeleteStream removes a stream with its records and its numbering: what is
// appended later counts from 1 again.
func (s *Store) DeleteStream(ctx context.Context, stream string) error {
	if err := s.engine.deleteStream(ctx, stream); err != nil {
		return fmt.Errorf("store: delete stream %s: %w", stream, err)
	}
	return nil
}

// appendRecords encodes records behind one another, each after its length.
func appendRecords(body []byte, records [][]byte) []byte {
	n := 0
	for _, r := range records {
		n += len(r) + binary.MaxVarintLen32
	}
	if cap(body)-len(body) < n { // doubled at least: a batch brings many such
		body = slices.Grow(body, n+len(body))
	}
	for _, r := range records {
		body = binary.AppendUvarint(body, uint64(len(r)))
		body = append(body, r...)
	}
	return body
}

// splitRecords undoes appendRecords. The records are parts of body.
func splitRecords(body []byte) ([][]byte, error) {
	var out [][]byte
	for len(body) > 0 {
		n, w := binary.Uvarint(body)
		if w <= 0 || n > uint64(len(body)-w) {
			return nil, fmt.Errorf("store: malformed segment")
		}
		end := w + int(n)
		out = append(out, body[w:end:end])
		body = body[end:]
	}
	return out, nil
}
