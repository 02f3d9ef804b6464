package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/remit-ecs/remit/internal/store"
)

// server is the PostgreSQL of this test run: that of REMIT_TEST_POSTGRES, or one
// started on a socket in a temporary directory with the programs that Debian
// installs.
var server struct {
	once    sync.Once
	url     string
	err     error
	process *exec.Cmd
	dir     string
	n       atomic.Int64
}

func TestMain(m *testing.M) {
	if role := os.Getenv("REMIT_STORE_CHILD"); role != "" {
		child(role)
		return
	}
	code := m.Run()
	if server.process != nil {
		server.process.Process.Signal(syscall.SIGINT)
		server.process.Wait()
	}
	if server.dir != "" {
		os.RemoveAll(server.dir)
	}
	os.Exit(code)
}

// postgresDatabase returns the URL of a fresh database, or skips with the reason.
func postgresDatabase(t testing.TB) string {
	t.Helper()
	server.once.Do(func() {
		if server.url = os.Getenv("REMIT_TEST_POSTGRES"); server.url == "" {
			server.url, server.err = startPostgres()
		}
	})
	if server.err != nil {
		t.Skipf("PostgreSQL could not run, so nothing is known about it here: %v (set REMIT_TEST_POSTGRES to a URL)", server.err)
	}
	name := fmt.Sprintf("remit_test_%d_%d", os.Getpid(), server.n.Add(1))
	admin(t, server.url, `CREATE DATABASE `+name)
	t.Cleanup(func() { admin(t, server.url, `DROP DATABASE `+name+` WITH (FORCE)`) })
	u, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func admin(t testing.TB, url, statement string) {
	t.Helper()
	ctx := context.Background() // also used when the test's own has ended
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}

func startPostgres() (string, error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(bins) == 0 {
		return "", errors.New("no /usr/lib/postgresql/*/bin/postgres")
	}
	bin := filepath.Dir(bins[len(bins)-1])
	dir, err := os.MkdirTemp("", "remit-pg-")
	if err != nil {
		return "", err
	}
	server.dir = dir
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if os.Getuid() == 0 {
		// PostgreSQL refuses to run as root.
		var who *user.User
		for _, name := range []string{"postgres", "nobody"} {
			if who, err = user.Lookup(name); err == nil {
				break
			}
		}
		if err != nil {
			return "", err
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", err
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "remit", "-A", "trust", "-E", "UTF8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, attr
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %v: %s", err, out)
	}
	postgres := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-h", "")
	postgres.Dir, postgres.SysProcAttr = dir, attr
	if err := postgres.Start(); err != nil {
		return "", err
	}
	server.process = postgres
	u := "postgres://remit@/postgres?host=" + url.QueryEscape(dir)
	for range 200 {
		var c *pgx.Conn
		if c, err = pgx.Connect(context.Background(), u); err == nil {
			c.Close(context.Background())
			return u, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", fmt.Errorf("the server does not answer: %w", err)
}

// TestReplicas runs two stores on one database.
func TestReplicas(t *testing.T) {
	url := postgresDatabase(t)
	a, b := mustOpen(t, url, store.Options{}), mustOpen(t, url, store.Options{})
	ctx := t.Context()

	woken, stop := b.Wake(notes.Name())
	defer stop()
	for i := range 50 {
		s, other := a, b
		if i%2 == 1 {
			s, other = b, a
		}
		text := fmt.Sprint(i)
		if err := s.Update(ctx, "a", func(tx *store.Tx) error { notes.Put(tx, "n", &note{text}); return nil }); err != nil {
			t.Fatal(err)
		}
		if n, ok := notes.Get(other.View(ctx), "a", "n"); !ok || n.Text != text {
			t.Fatalf("the other replica sees %v after %s", n, text)
		}
	}
	select {
	case <-woken:
	case <-time.After(5 * time.Second):
		t.Error("not woken by the other replica")
	}

	// A write on one replica spoils what the other has read, also in another shard.
	tx := a.Begin(ctx, "home")
	notes.Get(tx, "a", "n")
	notes.Put(tx, "x", &note{"must not be"})
	if err := b.Update(ctx, "a", func(tx *store.Tx) error { notes.Put(tx, "n", &note{"changed"}); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); !errors.Is(err, store.ErrConflict) {
		t.Errorf("stale read in another shard: %v", err)
	}
	tx = a.Begin(ctx, "home")
	notes.Get(tx, "never written", "n")
	notes.Put(tx, "x", &note{"must not be"})
	if err := b.Update(ctx, "never written", func(tx *store.Tx) error { notes.Put(tx, "n", &note{"appeared"}); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a shard appeared: %v", err)
	}

	// Counters from both at once.
	var wg sync.WaitGroup
	for _, s := range []*store.Store{a, b, a, b} {
		wg.Go(func() {
			for range 15 {
				if err := s.Update(ctx, "a", func(tx *store.Tx) error {
					notes.Put(tx, "last", &note{fmt.Sprint(s.Seq(tx, "n"))})
					tx.Append("audit", []byte("r"))
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, s := range []*store.Store{a, b} {
		if n, _ := notes.Get(s.View(ctx), "a", "last"); n == nil || n.Text != "60" {
			t.Errorf("last = %v", n)
		}
		recs, err := s.ReadStream(ctx, "audit", 0, 1000)
		if err != nil || len(recs) != 60 || recs[59].Seq != 60 {
			t.Errorf("%d records, %v", len(recs), err)
		}
	}

	// One may hold a lease; what the earlier holder still tries is refused.
	la, err := a.Lease(ctx, "loop", "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lease(ctx, "loop", "b", time.Hour); !errors.Is(err, store.ErrHeld) {
		t.Errorf("held by a: %v", err)
	}
	if err := la.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lease(ctx, "loop", "b", time.Hour); err != nil {
		t.Errorf("released: %v", err)
	}
	tx = a.Begin(ctx, "a")
	tx.Fence(la)
	notes.Put(tx, "fenced", &note{})
	if err := tx.Commit(ctx); !errors.Is(err, store.ErrFenced) {
		t.Errorf("old lease: %v", err)
	}

	// A reset by one empties the other.
	if err := a.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if got := keys(notes.Prefix(b.View(ctx), "a", "")); len(got) != 0 {
		t.Errorf("after the reset: %q", got)
	}
}

// TestReplicaResnapshots trims the journal under a replica that lags behind.
func TestReplicaResnapshots(t *testing.T) {
	url := postgresDatabase(t)
	a := mustOpen(t, url, store.Options{JournalRows: 1})
	b := mustOpen(t, url, store.Options{})
	put(t, a, "a", role{Name: "gone"})
	b.View(t.Context())
	// b sees at most the next commit; meanwhile everything moves on.
	release := store.HoldState(b)
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for i := range 20 {
		put(t, a, "a", role{Name: fmt.Sprint(i)})
	}
	if err := a.Update(t.Context(), "a", func(tx *store.Tx) error { roles.Delete(tx, "gone"); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := a.TrimJournal(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := c.QueryRow(t.Context(), `SELECT count(*) FROM journal`).Scan(&n); err != nil || n > 1 {
		t.Errorf("%d journal rows left, %v", n, err)
	}
	release()
	late := mustOpen(t, url, store.Options{})
	for name, s := range map[string]*store.Store{"a": a, "b": b, "late": late} {
		if got := keys(roles.Prefix(s.View(t.Context()), "a", "")); len(got) != 20 {
			t.Errorf("%s sees %q", name, got)
		}
	}
	if _, err := b.Tail(t.Context(), "a", 1, 0); !errors.Is(err, store.ErrTrimmed) {
		t.Errorf("Tail: %v", err)
	}
}

// TestFailsClosed cuts a replica off: it must answer nothing, and recover.
func TestFailsClosed(t *testing.T) {
	dbURL := postgresDatabase(t)
	u, _ := url.Parse(dbURL)
	name := u.Path[1:]
	s := mustOpen(t, dbURL, store.Options{})
	put(t, s, "a", role{Name: "r"})
	admin(t, server.url, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`)
	admin(t, server.url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+name+`'`)
	v := s.View(t.Context())
	if !errors.Is(v.Err(), store.ErrStale) {
		t.Errorf("cut off: %v", v.Err())
	}
	if _, ok := roles.Get(v, "a", "r"); ok {
		t.Error("a replica out of touch still answers")
	}
	if err := s.Update(t.Context(), "a", func(*store.Tx) error { t.Error("ran"); return nil }); !errors.Is(err, store.ErrStale) {
		t.Errorf("Update: %v", err)
	}
	if err := s.Append(t.Context(), "audit", []byte("r")); err == nil {
		t.Error("Append succeeded")
	}
	admin(t, server.url, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS true`)
	put(t, s, "a", role{Name: "q"})
	if got := keys(roles.Prefix(s.View(t.Context()), "a", "")); len(got) != 2 {
		t.Errorf("recovered to %q", got)
	}
}

// TestConnectionsKilled ends connections at random during commits: every answer
// must be true.
func TestConnectionsKilled(t *testing.T) {
	dbURL := postgresDatabase(t)
	u, _ := url.Parse(dbURL)
	s := mustOpen(t, dbURL, store.Options{})
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(15 * time.Millisecond):
				admin(t, server.url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+u.Path[1:]+`' AND random() < 0.5`)
			}
		}
	})
	acked, refused := make(map[string]bool), make(map[string]bool)
	for i := range 150 {
		key := fmt.Sprint(i)
		tx := s.Begin(t.Context(), "a")
		roles.Put(tx, key, &role{Name: key})
		if err := tx.Commit(t.Context()); err == nil {
			acked[key] = true
		} else {
			refused[key] = true
		}
	}
	close(done)
	wg.Wait()
	fresh := mustOpen(t, dbURL, store.Options{})
	for _, st := range []*store.Store{s, fresh} {
		v := st.View(t.Context())
		for key := range acked {
			if _, ok := roles.Get(v, "a", key); !ok {
				t.Errorf("%s was acknowledged and is lost", key)
			}
		}
		for key := range refused {
			if _, ok := roles.Get(v, "a", key); ok {
				t.Errorf("%s was refused and is there", key)
			}
		}
	}
	t.Logf("%d acknowledged, %d refused", len(acked), len(refused))
}
