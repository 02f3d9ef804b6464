//go:build linux

package embedded_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/remit-ecs/remit/internal/agent/runtime/embedded"
	"github.com/remit-ecs/remit/internal/agent/runtime/runtimetest"
)

func TestRootless(t *testing.T) {
	runtimetest.Run(t, rootless)
}

func TestRootlessCrash(t *testing.T) {
	runtimetest.Crash(t, rootless, func(root string) []string {
		// The containers' processes are children of this test's init, known
		// by their root directory's arguments: the probe's.
		return processes(t, "stubborn")
	})
}

// processes lists the processes with the argument.
func processes(t *testing.T, argument string) []string {
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range dirs {
		b, err := os.ReadFile(d)
		if err == nil && bytes.HasPrefix(b, []byte("/bin/probe\x00"+argument+"\x00")) {
			found = append(found, filepath.Dir(d))
		}
	}
	return found
}

// TestRootlessAsNobody runs the two tests above as a user with nothing: no
// capabilities, none in its bounding set, no way to gain any.
func TestRootlessAsNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become nobody; TestRootless itself already ran without privileges")
	}
	// Where nobody may read: go test's own directory is closed to others.
	dir, err := os.MkdirTemp("/tmp", "nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"test": self, "probe": runtimetest.Program(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tmp := filepath.Join(dir, "tmp")
	const nobody = 65534
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chown(tmp, nobody, nobody)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "test"), "-test.run=^(TestRootless|TestRootlessCrash|TestProbeAsNobody)$", "-test.v")
	cmd.Env = []string{"TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH"), runtimetest.ProgramEnv + "=" + filepath.Join(dir, "probe"), "REMIT_AS_NOBODY=1"}
	cmd.Dir = tmp
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	type result struct {
		out []byte
		err error
	}
	done := make(chan result)
	go func() {
		// The child inherits from this thread, which is not used again.
		goruntime.LockOSThread()
		for c := 0; c <= unix.CAP_LAST_CAP; c++ {
			unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			done <- result{err: err}
			return
		}
		out, err := cmd.CombinedOutput()
		done <- result{out, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.out)
	}
	if !strings.Contains(string(r.out), "--- PASS: TestRootless ") {
		t.Fatalf("the tests did not run:\n%s", r.out)
	}
	for line := range strings.Lines(string(r.out)) {
		if strings.Contains(line, "SKIP") || strings.Contains(line, "does not offer") || strings.Contains(line, "took") {
			t.Log(strings.TrimRight(line, "\n"))
		}
	}
}

func TestProbeAsNobody(t *testing.T) {
	if os.Getenv("REMIT_AS_NOBODY") == "" {
		t.Skip("part of TestRootlessAsNobody")
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapBnd:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("this process is not without privileges: no %q", want)
		}
	}
	v := embedded.Probe()
	if v.Isolation != "userns" || len(v.Reasons) == 0 {
		t.Errorf("%+v", v)
	}
}
