package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Targets of figures that depend on the machine: printed, not held.
const (
	readyTarget  = 50 * time.Millisecond
	taskTarget   = 200 * time.Millisecond
	memoryTarget = 50 // MB
)

// binary builds remit with the flags of the other tests, so that it is in the build cache.
func binary(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "remit")
	args := []string{"build", "-o", to}
	if _, err := os.Stat("/usr/include/seccomp.h"); err == nil {
		args = append(args, "-tags", "seccomp")
	}
	if out, err := exec.Command("go", append(args, "../../cmd/remit")...).CombinedOutput(); err != nil {
		t.Fatalf("build remit: %v\n%s", err, out)
	}
	return to
}

// process is a running remit serve.
type process struct {
	cmd   *exec.Cmd
	ready time.Duration // from start to "Ready."
}

func startProcess(t *testing.T, bin, dir string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(bin, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)}
	p.cmd.Env = append(os.Environ(), "TMPDIR="+dir, "XDG_CACHE_HOME="+dir)
	var errs bytes.Buffer
	p.cmd.Stderr = &errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if sc.Text() == "Ready." {
			p.ready = time.Since(began)
			return p
		}
	}
	_ = p.cmd.Wait()
	t.Fatalf("remit serve %v ended: %s", args, errs.String())
	return nil
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("remit serve: %v", err)
	}
}

// resident is the process's resident memory in MB.
func (p *process) resident(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("resident memory is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return float64(kb) * 1024 / 1e6
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestRatioStart prints how long a user waits for the server, with the first
// start's new state and with the state of an earlier one, and what memory it
// then keeps.
func TestRatioStart(t *testing.T) {
	bin, dir := binary(t), t.TempDir()
	data := filepath.Join(dir, "data")
	const times = 5
	var fresh, again []time.Duration
	var memory []float64
	for i := range times {
		p := startProcess(t, bin, dir)
		fresh = append(fresh, p.ready)
		if i < 3 {
			time.Sleep(2 * time.Second) // idle: the start's garbage is gone
			memory = append(memory, p.resident(t))
		}
		p.stop(t)
		p = startProcess(t, bin, dir, "--data", data)
		again = append(again, p.ready)
		p.stop(t)
	}
	what := "with the built-in host and its task network"
	if os.Getuid() != 0 {
		what = "without root"
	}
	t.Logf("process start to Ready., %s: %v with new state, %v with state (target %v, median of %d, best %v)", what,
		median(fresh).Round(time.Millisecond), median(again).Round(time.Millisecond), readyTarget, times, min(least(fresh), least(again)).Round(time.Millisecond))
	t.Logf("idle memory: %.0f MB resident (target %d MB)", median(memory), memoryTarget)
}

func least(all []time.Duration) time.Duration {
	m := all[0]
	for _, d := range all {
		m = min(m, d)
	}
	return m
}
