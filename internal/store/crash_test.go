package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/store"
)

// child is this test program started as the process to be killed. It prints what
// was acknowledged.
func child(role string) {
	log.SetFlags(0)
	s, err := store.Open(context.Background(), os.Getenv("REMIT_STORE_PATH"), store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	switch role {
	case "writer":
		writeForever(s)
	case "full":
		fillDisk(s)
	case "locked":
		log.Fatal("opened a file that is in use")
	}
}

// startChild runs this test program in a role.
func startChild(t *testing.T, role, path string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "REMIT_STORE_CHILD="+role, "REMIT_STORE_PATH="+path)
	return cmd
}

// writeForever commits from several goroutines: a document, its counter and a
// record, which belong together.
func writeForever(s *store.Store) {
	var out sync.Mutex
	run := time.Now().UnixNano()
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d-%d", run, w, i)
				if w > 0 {
					// Alone in its batch, or beside commits that are synced.
					if err := s.AppendUnsynced(context.Background(), "unsynced", []byte(key)); err != nil {
						log.Fatal(err)
					}
					out.Lock()
					fmt.Println("unsynced", key)
					out.Unlock()
				}
				if w > 1 && i%8 != 0 {
					continue
				}
				err := s.Update(context.Background(), fmt.Sprint("shard", w), func(tx *store.Tx) error {
					notes.Put(tx, key, &note{key})
					s.Seq(tx, "n")
					tx.Append("stream", []byte(key))
					return nil
				})
				if err != nil {
					log.Fatal(err)
				}
				out.Lock()
				fmt.Println(w, key)
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestKillLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remit.db")
	acked := make(map[string]string) // key -> shard
	var appended []string
	for range 6 {
		cmd := startChild(t, "writer", path)
		cmd.Stderr = os.Stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(150*time.Millisecond+rand.N(150*time.Millisecond), func() { cmd.Process.Kill() })
		lines := bufio.NewReader(pipe)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // a partial line was not acknowledged
			}
			shard, key, _ := strings.Cut(strings.TrimSpace(line), " ")
			if shard == "unsynced" {
				appended = append(appended, key)
				continue
			}
			acked[key] = "shard" + shard
		}
		io.Copy(io.Discard, pipe)
		cmd.Wait()

		s := mustOpen(t, path, store.Options{})
		v := s.View(t.Context())
		for key, shard := range acked {
			if n, ok := notes.Get(v, shard, key); !ok || n.Text != key {
				t.Fatalf("%s was acknowledged and is lost", key)
			}
		}
		// Each commit is there with all its parts, or not at all.
		docs := 0
		for w := range 4 {
			shard := fmt.Sprint("shard", w)
			n := len(keys(notes.Prefix(v, shard, "")))
			docs += n
			if err := s.Update(t.Context(), shard, func(tx *store.Tx) error {
				if c := s.Seq(tx, "n"); int(c) != n+1 {
					return fmt.Errorf("counter %d, documents %d", c-1, n)
				}
				return errStop
			}); !errors.Is(err, errStop) {
				t.Error(err)
			}
		}
		recs, err := s.ReadStream(t.Context(), "stream", 0, 1<<30)
		if err != nil || len(recs) != docs {
			t.Errorf("%d records, %d documents, %v", len(recs), docs, err)
		}
		recs, err = s.ReadStream(t.Context(), "unsynced", 0, 1<<30)
		if err != nil {
			t.Error(err)
		}
		stored := make(map[string]bool)
		for i, r := range recs {
			stored[string(r.Data)] = true
			if r.Seq != int64(i+1) {
				t.Fatalf("record %d is numbered %d", i+1, r.Seq)
			}
		}
		for _, key := range appended {
			if !stored[key] {
				t.Fatalf("record %s was acknowledged and is lost", key)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d commits and %d unsynced records acknowledged", len(acked), len(appended))
	if len(acked) == 0 || len(appended) == 0 {
		t.Error("nothing was committed before the kills")
	}
}

var errStop = errors.New("only looking")

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remit.db")
	s := mustOpen(t, path, store.Options{})
	out, err := startChild(t, "locked", path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another process") {
		t.Errorf("second process: %v: %s", err, out)
	}
	if _, err := store.Open(t.Context(), "sqlite://"+path, store.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("second Open: %v", err)
	}
	s.Close()
	mustOpen(t, "sqlite://"+path, store.Options{})
}

// fillDisk writes under a limit on file sizes, which the kernel reports as it does
// a full disk.
func fillDisk(s *store.Store) {
	signal.Ignore(syscall.SIGXFSZ)
	ctx := context.Background()
	write := func(key string, size int) error {
		return s.Update(ctx, "a", func(tx *store.Tx) error {
			notes.Put(tx, key, &note{strings.Repeat("x", size)})
			notes.Put(tx, key+"-2", &note{key})
			tx.Append("stream", []byte(key))
			return nil
		})
	}
	if err := write("first", 1000); err != nil {
		log.Fatal(err)
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		log.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4 << 20, Max: was.Max}); err != nil {
		log.Fatal(err)
	}
	if err := write("big", 8<<20); err == nil {
		log.Fatal("a commit larger than the disk succeeded")
	} else {
		log.Print("refused: ", err)
	}
	if head := s.Head("a"); head != 1 {
		log.Fatalf("head %d after the failure", head)
	}
	if _, ok := notes.Get(s.View(ctx), "a", "big-2"); ok {
		log.Fatal("half of a failed commit shows")
	}
	if err := write("small", 1000); err != nil {
		log.Fatal("while nearly full: ", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		log.Fatal(err)
	}
	if err := write("last", 8<<20); err != nil {
		log.Fatal("with room again: ", err)
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
}

func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remit.db")
	if out, err := startChild(t, "full", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := mustOpen(t, path, store.Options{})
	got := keys(notes.Prefix(s.View(t.Context()), "a", ""))
	if want := "first first-2 last last-2 small small-2"; strings.Join(got, " ") != want {
		t.Errorf("on disk: %q, want %s", got, want)
	}
	recs, err := s.ReadStream(t.Context(), "stream", 0, 10)
	if err != nil || len(recs) != 3 {
		t.Errorf("%d records, %v", len(recs), err)
	}
}
