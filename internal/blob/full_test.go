package blob_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/remit-ecs/remit/internal/blob"
)

// TestFileSizeLimit has a child run into the limit on file sizes, which the kernel
// reports as it does a full disk: by a write that fails midway.
func TestFileSizeLimit(t *testing.T) {
	if dir := os.Getenv("REMIT_BLOB_FULL"); dir != "" {
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		w, err := s.Create()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 2<<20)); !errors.Is(err, blob.ErrNoSpace) {
			t.Errorf("Write: %v", err)
		}
		if _, err := w.Commit(""); !errors.Is(err, blob.ErrNoSpace) {
			t.Errorf("Commit: %v", err)
		}
		u, err := s.StartUpload("big")
		if err != nil {
			t.Fatal(err)
		}
		n, err := u.Append(0, strings.NewReader(strings.Repeat("x", 3<<20)))
		if !errors.Is(err, blob.ErrNoSpace) || n > 1<<20 {
			t.Errorf("Append: %d, %v", n, err)
		}
		if d, size, err := u.Commit(""); err != nil || size != n {
			t.Errorf("what had arrived: %s, %d, %v", d, size, err)
		}
		if n := files(t, dir); n != 1 {
			t.Errorf("%d files", n)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFileSizeLimit$", "-test.v")
	cmd.Env = append(os.Environ(), "REMIT_BLOB_FULL="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
