// Package conformance judges Remit from outside: the real binary, real clients,
// real containers.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// remit is the binary under test, and app the example's image as a tarball, so
// that tests need no compiler once they run.
var remit, app string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "remit-conformance-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		// Unprivileged users run the binary too.
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		remit = filepath.Join(dir, "remit")
		args := []string{"build", "-o", remit}
		if _, err := os.Stat("/usr/include/seccomp.h"); err == nil {
			args = append(args, "-tags", "seccomp")
		}
		build := exec.Command("go", append(args, "../cmd/remit")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build remit: %v\n%s", err, out)
			return 1
		}
		app = filepath.Join(dir, "orders.tar")
		if err := writeApp(app); err != nil {
			fmt.Fprintln(os.Stderr, "build the example app:", err)
			return 1
		}
		return m.Run()
	}())
}

// result is what a command printed and how it ended.
type result struct {
	stdout, stderr string
	code           int
}

// as changes who runs a command.
type as func(*exec.Cmd)

// nobody runs a command as an ordinary user without any capability.
func nobody(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	c.Env = append(c.Environ(), "HOME=/nonexistent", "XDG_CACHE_HOME="+os.TempDir())
}

func run(t *testing.T, who as, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, remit, args...)
	if who != nil {
		who(c)
	}
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if c.ProcessState == nil {
		t.Fatalf("remit %v: %v", args, err)
	}
	r := result{out.String(), errs.String(), c.ProcessState.ExitCode()}
	t.Logf("remit %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	return r
}

// scenarioDir makes a copy of an example whose image is the prepared tarball.
func scenarioDir(t *testing.T, example string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join("..", "examples", example))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "remit-scenario-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, d := range []string{"orders", filepath.Join("orders-broken", filepath.Base(abs))} {
		src := filepath.Join("..", "examples", d)
		if _, err := os.Stat(src); err != nil {
			continue
		}
		dst := filepath.Join(dir, d)
		if err := os.MkdirAll(dst, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"roles.json", "task-definition.json", "scenario.json"} {
			text, err := os.ReadFile(filepath.Join(src, f))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if d == "orders" && f == "scenario.json" {
				text = withTarball(t, text)
			}
			if err := os.WriteFile(filepath.Join(dst, f), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, example)
}

func withTarball(t *testing.T, text []byte) []byte {
	t.Helper()
	var s map[string]json.RawMessage
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	rel, err := json.Marshal(map[string]map[string]string{"orders:1": {"tarball": mustRel(t)}})
	if err != nil {
		t.Fatal(err)
	}
	s["images"] = rel
	out, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mustRel is the tarball's path: scenario paths are relative to their file.
func mustRel(t *testing.T) string {
	t.Helper()
	// Scenario directories lie two levels below the temporary directory.
	return filepath.Join("..", "..", filepath.Base(filepath.Dir(app)), filepath.Base(app))
}
