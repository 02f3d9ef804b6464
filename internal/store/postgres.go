package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// postgres is the engine for several replicas. The order of a shard's commits is
// the order in which its seq row is locked, so whoever has seen revision n will
// never be shown a smaller one later.
type postgres struct {
	config *pgx.ConnConfig
	slots  chan struct{} // bounds the connections
	mu     sync.Mutex
	idle   []*pgx.Conn
	known  map[string]struct{} // shards that have a seq row
}

// maxConns is enough for the committer, the follower and a few readers of streams.
const maxConns = 6

// minVersion is the first that can tell what became of a transaction whose
// connection was lost (pg_xact_status of a pg_current_xact_id).
const minVersion = 130000

// schemaLock keeps replicas that start together from creating the tables at once.
const schemaLock = 0x72656d6974 // "remit"

const postgresSchema = `
CREATE TABLE IF NOT EXISTS doc (
	shard text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,
	rev bigint NOT NULL, version integer NOT NULL, body text NOT NULL,
	PRIMARY KEY (shard, kind, key));
CREATE TABLE IF NOT EXISTS journal (
	shard text COLLATE "C" NOT NULL, rev bigint NOT NULL, idx integer NOT NULL,
	kind text NOT NULL, key text NOT NULL, deleted boolean NOT NULL,
	version integer NOT NULL, t bigint NOT NULL, body text NOT NULL,
	PRIMARY KEY (shard, rev, idx));
CREATE TABLE IF NOT EXISTS seq (
	shard text COLLATE "C" NOT NULL PRIMARY KEY, rev bigint NOT NULL, floor bigint NOT NULL)
	WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS stream (
	stream text COLLATE "C" NOT NULL PRIMARY KEY, next bigint NOT NULL)
	WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS segment (
	stream text COLLATE "C" NOT NULL, first bigint NOT NULL, n integer NOT NULL,
	t bigint NOT NULL, body bytea NOT NULL,
	PRIMARY KEY (stream, first));
`

func openPostgres(ctx context.Context, url string, log *slog.Logger) (engine, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// The error repeats the URL, password and all.
		return nil, errors.New("store: malformed postgres:// URL")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	// A replica cut off in the middle of a commit must not hold its locks for long.
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "10000"
	config.RuntimeParams["application_name"] = "remit"
	e := &postgres{config: config, slots: make(chan struct{}, maxConns), known: make(map[string]struct{})}
	err = e.with(ctx, func(c *pgx.Conn) error {
		var sync string
		var version int
		if err := c.QueryRow(ctx, `SELECT current_setting('synchronous_commit'), current_setting('server_version_num')::int`).Scan(&sync, &version); err != nil {
			return err
		}
		if version < minVersion {
			return fmt.Errorf("PostgreSQL %d is too old; want 13 or newer", version/10000)
		}
		if sync == "off" {
			log.Warn("the server defaults to synchronous_commit=off; using on")
			config.RuntimeParams["synchronous_commit"] = "on"
		}
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(schemaLock)); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, postgresSchema)
			return err
		})
	})
	if err != nil {
		e.close()
		return nil, fmt.Errorf("store: open PostgreSQL at %s:%d: %w", config.Host, config.Port, err)
	}
	e.discard() // what was opened before the settings were complete
	return e, nil
}

func (e *postgres) shared() bool { return true }

// acquire returns a connection, which release gives back.
func (e *postgres) acquire(ctx context.Context) (*pgx.Conn, error) {
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	e.mu.Lock()
	for len(e.idle) > 0 {
		c := e.idle[len(e.idle)-1]
		e.idle = e.idle[:len(e.idle)-1]
		if !c.IsClosed() {
			e.mu.Unlock()
			return c, nil
		}
	}
	e.mu.Unlock()
	c, err := pgx.ConnectConfig(ctx, e.config.Copy())
	if err != nil {
		<-e.slots
		return nil, err
	}
	return c, nil
}

func (e *postgres) release(c *pgx.Conn) {
	if c.IsClosed() || c.PgConn().TxStatus() != 'I' {
		// The server may have gone: the idle ones are as suspect.
		closeConn(c)
		e.discard()
	} else {
		e.mu.Lock()
		e.idle = append(e.idle, c)
		e.mu.Unlock()
	}
	<-e.slots
}

// discard closes the idle connections.
func (e *postgres) discard() {
	e.mu.Lock()
	idle := e.idle
	e.idle = nil
	e.mu.Unlock()
	for _, c := range idle {
		closeConn(c)
	}
}

func closeConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.Close(ctx)
}

// with runs fn on a connection, and again on a fresh one if the first turned out
// to be dead. fn must be harmless to repeat.
func (e *postgres) with(ctx context.Context, fn func(*pgx.Conn) error) error {
	for attempt := 1; ; attempt++ {
		c, err := e.acquire(ctx)
		if err != nil {
			return err
		}
		err = fn(c)
		dead := c.IsClosed()
		e.release(c)
		if !dead || attempt == 2 || ctx.Err() != nil {
			return err
		}
	}
}

func (e *postgres) close() error {
	e.discard()
	return nil
}

func (e *postgres) heads(ctx context.Context) (map[string]int64, error) {
	heads := make(map[string]int64)
	err := e.with(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT shard, rev FROM seq`)
		if err != nil {
			return err
		}
		var shard string
		var rev int64
		_, err = pgx.ForEachRow(rows, []any{&shard, &rev}, func() error { heads[shard] = rev; return nil })
		return err
	})
	return heads, err
}

func (e *postgres) snapshot(ctx context.Context, shard string, head func(string, int64), row func(Change) error) error {
	// Not through with: the callbacks must not run twice.
	c, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer e.release(c)
	return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT shard, rev FROM seq WHERE $1 = '' OR shard = $1`, shard)
		if err != nil {
			return err
		}
		var name string
		var rev int64
		if _, err := pgx.ForEachRow(rows, []any{&name, &rev}, func() error { head(name, rev); return nil }); err != nil {
			return err
		}
		return pgDocuments(ctx, tx, shard, row)
	})
}

// pgQuerier is a connection or a transaction.
type pgQuerier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func pgDocuments(ctx context.Context, q pgQuerier, shard string, row func(Change) error) error {
	rows, err := q.Query(ctx, `SELECT shard, kind, key, rev, version, body FROM doc WHERE $1 = '' OR shard = $1`, shard)
	if err != nil {
		return err
	}
	var c Change
	var body string
	_, err = pgx.ForEachRow(rows, []any{&c.Shard, &c.Kind, &c.Key, &c.Rev, &c.Version, &body}, func() error {
		c.Body = []byte(body)
		return row(c)
	})
	return err
}

func (e *postgres) tail(ctx context.Context, shard string, after, upto int64, limit int) (out []Change, err error) {
	err = e.with(ctx, func(c *pgx.Conn) error {
		out, err = pgTail(ctx, c, shard, after, upto, limit)
		return err
	})
	return out, err
}

func pgTail(ctx context.Context, q pgQuerier, shard string, after, upto int64, limit int) ([]Change, error) {
	rows, err := q.Query(ctx, `SELECT rev, kind, key, deleted, version, body FROM journal
		WHERE shard = $1 AND rev > $2 AND rev <= $3
		  AND rev <= coalesce((SELECT rev FROM journal WHERE shard = $1 AND rev > $2 ORDER BY rev, idx LIMIT 1 OFFSET $4), $3)
		ORDER BY rev, idx`, shard, after, upto, limit-1)
	if err != nil {
		return nil, fmt.Errorf("store: tail: %w", err)
	}
	var out []Change
	c := Change{Shard: shard}
	var body string
	if _, err := pgx.ForEachRow(rows, []any{&c.Rev, &c.Kind, &c.Key, &c.Deleted, &c.Version, &body}, func() error {
		c.Body = nil
		if !c.Deleted {
			c.Body = []byte(body)
		}
		out = append(out, c)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("store: tail: %w", err)
	}
	// Asked last: whatever was trimmed while the rows were read shows here.
	var floor int64
	err = q.QueryRow(ctx, `SELECT floor FROM seq WHERE shard = $1`, shard).Scan(&floor)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("store: tail: %w", err)
	}
	if after < floor {
		return nil, ErrTrimmed
	}
	return out, nil
}

func (e *postgres) readStream(ctx context.Context, q streamQuery) (out []segment, err error) {
	before := q.before
	if before <= 0 {
		before = 1<<63 - 1
	}
	order := "ASC"
	if q.backward {
		order = "DESC"
	}
	err = e.with(ctx, func(c *pgx.Conn) error {
		out = nil
		// Every segment holds a record, so limit segments and one begun earlier are
		// enough.
		rows, err := c.Query(ctx, `SELECT first, n, body FROM segment
			WHERE stream = $1 AND first < $3
			  AND first >= coalesce((SELECT max(first) FROM segment WHERE stream = $1 AND first <= $2::bigint + 1), 0)
			ORDER BY first `+order+` LIMIT $4`, q.stream, q.after, before, q.limit+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		for have := 0; have < q.limit && rows.Next(); {
			sg := segment{stream: q.stream}
			if err := rows.Scan(&sg.first, &sg.n, &sg.body); err != nil {
				return err
			}
			out = append(out, sg)
			have += sg.within(q)
		}
		rows.Close()
		return rows.Err()
	})
	return out, err
}

func (e *postgres) streams(ctx context.Context, prefix string) (out []string, err error) {
	err = e.with(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT stream FROM stream WHERE starts_with(stream, $1) ORDER BY stream`, prefix)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return out, err
}

func (e *postgres) trimStream(ctx context.Context, stream string, before int64) error {
	return e.with(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, `DELETE FROM segment WHERE stream = $1 AND first + n <= $2`, stream, before)
		return err
	})
}

func (e *postgres) trimStreamAge(ctx context.Context, stream string, before int64) error {
	return e.with(ctx, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, `DELETE FROM segment WHERE stream = $1 AND t < $2`, stream, before)
		return err
	})
}

func (e *postgres) deleteStream(ctx context.Context, stream string) error {
	return e.with(ctx, func(c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			// The counter first: it is the lock that appending takes.
			if _, err := tx.Exec(ctx, `DELETE FROM stream WHERE stream = $1`, stream); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `DELETE FROM segment WHERE stream = $1`, stream)
			return err
		})
	})
}

// trimJournal goes shard by shard, so that it holds one lock at a time.
func (e *postgres) trimJournal(ctx context.Context, keepRows int, olderThan int64) error {
	heads, err := e.heads(ctx)
	if err != nil {
		return err
	}
	for shard := range heads {
		err := e.with(ctx, func(c *pgx.Conn) error {
			var floor int64
			err := c.QueryRow(ctx, `SELECT greatest(
				coalesce((SELECT max(rev) FROM journal WHERE shard = $1 AND t < $2), 0),
				coalesce((SELECT rev FROM journal WHERE shard = $1 ORDER BY rev DESC, idx DESC LIMIT 1 OFFSET $3), 0))`,
				shard, olderThan, keepRows).Scan(&floor)
			if err != nil || floor == 0 {
				return err
			}
			return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `UPDATE seq SET floor = greatest(floor, $2) WHERE shard = $1`, shard, floor); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, `DELETE FROM journal WHERE shard = $1 AND rev <= $2`, shard, floor)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *postgres) begin(ctx context.Context, shards map[string]bool) (batch, map[string]int64, error) {
	var b *postgresBatch
	heads := make(map[string]int64)
	// Nothing is written yet, so that a dead connection may be replaced.
	for attempt := 1; ; attempt++ {
		c, err := e.acquire(ctx)
		if err != nil {
			return nil, nil, err
		}
		b = &postgresBatch{e: e, conn: c}
		if err = b.lock(ctx, shards, heads); err == nil {
			return b, heads, nil
		}
		dead := c.IsClosed()
		b.rollback()
		if !dead || attempt == 2 || ctx.Err() != nil {
			return nil, nil, restartable(err)
		}
	}
}

// postgresBatch is a transaction on a connection of its own.
type postgresBatch struct {
	e    *postgres
	conn *pgx.Conn
	xid  string
	done bool
}

// lock begins the transaction and locks the sequence rows, in the order of their
// names, which keeps replicas from waiting for one another in a circle.
func (b *postgresBatch) lock(ctx context.Context, shards map[string]bool, heads map[string]int64) error {
	var names, fresh []string
	b.e.mu.Lock()
	for shard := range shards {
		names = append(names, shard)
		if _, ok := b.e.known[shard]; !ok {
			fresh = append(fresh, shard)
		}
	}
	b.e.mu.Unlock()
	slices.Sort(names)
	slices.Sort(fresh)
	if len(fresh) > 0 {
		// Rows before locks, and committed at once: a shard that is only read needs
		// one too, or another replica could make it appear unnoticed.
		if _, err := b.conn.Exec(ctx, `INSERT INTO seq (shard, rev, floor) SELECT unnest($1::text[]), 0, 0 ON CONFLICT DO NOTHING`, fresh); err != nil {
			return err
		}
		b.e.mu.Lock()
		for _, shard := range fresh {
			b.e.known[shard] = struct{}{}
		}
		b.e.mu.Unlock()
	}
	q := &pgx.Batch{}
	q.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	q.Queue(`SELECT pg_current_xact_id()::text`).QueryRow(func(r pgx.Row) error { return r.Scan(&b.xid) })
	for _, shard := range names {
		mode := "FOR SHARE"
		if shards[shard] {
			mode = "FOR UPDATE"
		}
		q.Queue(`SELECT rev FROM seq WHERE shard = $1 `+mode, shard).QueryRow(func(r pgx.Row) error {
			var rev int64
			err := r.Scan(&rev)
			heads[shard] = rev
			return err
		})
	}
	return b.conn.SendBatch(ctx, q).Close()
}

func (b *postgresBatch) tail(ctx context.Context, shard string, after, upto int64) ([]Change, error) {
	return pgTail(ctx, b.conn, shard, after, upto, 1<<30)
}

func (b *postgresBatch) reload(ctx context.Context, shard string, row func(Change) error) error {
	return pgDocuments(ctx, b.conn, shard, row)
}

// columns gathers changes for unnest: one statement, however many rows.
type columns struct {
	shard, kind, key, body []string
	rev                    []int64
	version, idx           []int32
	deleted                []bool
}

func (c *columns) add(i int, ch *Change) {
	c.shard = append(c.shard, ch.Shard)
	c.kind = append(c.kind, ch.Kind)
	c.key = append(c.key, ch.Key)
	c.body = append(c.body, string(ch.Body))
	c.rev = append(c.rev, ch.Rev)
	c.version = append(c.version, int32(ch.Version))
	c.idx = append(c.idx, int32(i))
	c.deleted = append(c.deleted, ch.Deleted)
}

func (b *postgresBatch) write(ctx context.Context, ws *writeSet) error {
	q := &pgx.Batch{}
	if ws.unsynced {
		q.Queue(`SET LOCAL synchronous_commit = off`)
	}
	if ws.wiped {
		q.Queue(`DELETE FROM doc WHERE shard = ANY($1)`, ws.wipe)
		q.Queue(`DELETE FROM journal WHERE shard = ANY($1)`, ws.wipe)
		q.Queue(`DELETE FROM segment`)
		q.Queue(`DELETE FROM stream`)
	}
	var heads columns
	for shard, rev := range ws.heads {
		heads.shard = append(heads.shard, shard)
		heads.rev = append(heads.rev, rev)
	}
	if len(heads.shard) > 0 {
		q.Queue(`UPDATE seq SET rev = n.rev FROM unnest($1::text[], $2::bigint[]) AS n(shard, rev) WHERE seq.shard = n.shard`, heads.shard, heads.rev)
	}
	if len(ws.wipe) > 0 {
		q.Queue(`UPDATE seq SET floor = rev WHERE shard = ANY($1)`, ws.wipe)
	}
	var puts, deletes, journal columns
	for i := range ws.docs {
		if ws.docs[i].Deleted {
			deletes.add(i, &ws.docs[i])
		} else {
			puts.add(i, &ws.docs[i])
		}
	}
	for i := range ws.journal {
		journal.add(i, &ws.journal[i])
	}
	if len(puts.key) > 0 {
		q.Queue(`INSERT INTO doc (shard, kind, key, rev, version, body)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::text[])
			ON CONFLICT (shard, kind, key) DO UPDATE SET rev = excluded.rev, version = excluded.version, body = excluded.body`,
			puts.shard, puts.kind, puts.key, puts.rev, puts.version, puts.body)
	}
	if len(deletes.key) > 0 {
		q.Queue(`DELETE FROM doc USING unnest($1::text[], $2::text[], $3::text[]) AS n(shard, kind, key)
			WHERE doc.shard = n.shard AND doc.kind = n.kind AND doc.key = n.key`,
			deletes.shard, deletes.kind, deletes.key)
	}
	if len(journal.key) > 0 {
		q.Queue(`INSERT INTO journal (shard, rev, idx, kind, key, deleted, version, t, body)
			SELECT shard, rev, idx, kind, key, deleted, version, $8, body
			FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::boolean[], $7::integer[], $9::text[])
			  AS n(shard, rev, idx, kind, key, deleted, version, body)`,
			journal.shard, journal.rev, journal.idx, journal.kind, journal.key, journal.deleted, journal.version, ws.now, journal.body)
	}
	// Stream counters are locks too, taken after those of shards and in order.
	slices.SortFunc(ws.segments, func(x, y segment) int { return strings.Compare(x.stream, y.stream) })
	for i := range ws.segments {
		sg := &ws.segments[i]
		q.Queue(`WITH s AS (INSERT INTO stream AS t (stream, next) VALUES ($1, 1 + $2::bigint)
				ON CONFLICT (stream) DO UPDATE SET next = t.next + $2::bigint RETURNING next)
			INSERT INTO segment (stream, first, n, t, body) SELECT $1, next - $2::bigint, $2::bigint, $3, $4 FROM s`,
			sg.stream, int64(sg.n), ws.now, sg.body)
	}
	err := b.conn.SendBatch(ctx, q).Close()
	if err != nil && b.conn.IsClosed() && ctx.Err() == nil {
		// COMMIT was not sent, so the server has rolled back.
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	return restartable(err)
}

// commit finds out what became of the transaction if the connection is lost in the
// middle of it.
func (b *postgresBatch) commit(ctx context.Context) error {
	_, err := b.conn.Exec(ctx, `COMMIT`)
	if err == nil {
		b.done = true
		return nil
	}
	if !b.conn.IsClosed() {
		return restartable(err)
	}
	for {
		var status string
		asked := b.e.with(ctx, func(c *pgx.Conn) error {
			return c.QueryRow(ctx, `SELECT coalesce(pg_xact_status($1::xid8), 'unknown')`, b.xid).Scan(&status)
		})
		switch {
		case asked == nil && status == "committed":
			return nil
		case asked == nil && status == "aborted":
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the connection was lost and the outcome is unknown: %w", err)
		}
	}
}

func (b *postgresBatch) rollback() {
	if !b.done && !b.conn.IsClosed() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		b.conn.Exec(ctx, `ROLLBACK`)
	}
	b.e.release(b.conn)
}

// restartable marks the errors by which PostgreSQL says: nothing was done, try
// again.
func restartable(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	return err
}
