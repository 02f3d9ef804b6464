//go:build linux

package embedded_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/embedded"
	"github.com/remit-ecs/remit/internal/agent/runtime/runtimetest"
)

var subject = runtimetest.Subject{New: func(tb testing.TB, root string) runtime.Runtime {
	v := embedded.Probe()
	if v.Isolation != runtime.IsolationContainer {
		tb.Skipf("containers cannot be made here, best is %s: %s", v.Isolation, strings.Join(v.Reasons, " "))
	}
	tb.Cleanup(func() {
		for _, dir := range cgroupParents(root) {
			os.Remove(dir)
		}
	})
	rt, err := embedded.New(embedded.Options{Root: root, CgroupParent: cgroupParent(root)})
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}}

// cgroupParent is a cgroup for the test whose temporary directory root is, so
// that test processes running at the same time do not see each other's.
func cgroupParent(root string) string {
	return "/remit-test/" + filepath.Base(filepath.Dir(root))
}

// cgroupParents are its directories in all hierarchies.
func cgroupParents(root string) []string {
	v1, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroupParent(root))
	return append(v1, "/sys/fs/cgroup"+cgroupParent(root))
}

func TestContract(t *testing.T) {
	runtimetest.Run(t, subject)
}

func TestInfo(t *testing.T) {
	rt := subject.New(t, t.TempDir())
	defer rt.Close()
	info := rt.Info()
	t.Logf("%+v", info)
	for _, w := range info.Warnings {
		if !strings.HasSuffix(w, ".") {
			t.Errorf("not a sentence: %q", w)
		}
	}
}

func TestCrash(t *testing.T) {
	if v := embedded.Probe(); v.Isolation != runtime.IsolationContainer {
		t.Skipf("containers cannot be made here, best is %s: %s", v.Isolation, strings.Join(v.Reasons, " "))
	}
	runtimetest.Crash(t, subject, leftovers)
}

// leftovers lists mounts below root and cgroups below its parent.
func leftovers(root string) []string {
	var left []string
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], root+"/") {
			left = append(left, "mount "+f[4])
		}
	}
	for _, h := range cgroupParents(root) {
		filepath.WalkDir(h, func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if p != h && d.IsDir() {
				left = append(left, "cgroup "+p)
			}
			return nil
		})
	}
	return left
}

func TestOneOwner(t *testing.T) {
	root := t.TempDir()
	first := subject.New(t, root)
	if _, err := embedded.New(embedded.Options{Root: root}); err == nil {
		t.Error("a second runtime took a state root in use")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := subject.New(t, root)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkStart(b *testing.B) {
	rt := subject.New(b, b.TempDir())
	defer rt.Close()
	img, err := rt.Unpack(b.Context(), runtimetest.ProbeImage(b))
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		full bool
	}{{"ToRunning", false}, {"ToRemoved", true}} {
		b.Run(c.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				id, err := rt.CreateContainer(b.Context(), runtime.ContainerSpec{
					ID: fmt.Sprintf("b%d", i), Image: img, Args: []string{"/bin/probe", "exit", "0"},
					Resources: runtime.Resources{Memory: 64 << 20, PidsLimit: 100, CPUShares: 256},
				})
				if err != nil {
					b.Fatal(err)
				}
				if err := rt.Start(b.Context(), id); err != nil {
					b.Fatal(err)
				}
				if !c.full {
					b.StopTimer()
				}
				if _, err := rt.Wait(b.Context(), id); err != nil {
					b.Fatal(err)
				}
				if err := rt.Remove(b.Context(), id); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

var rootless = runtimetest.Subject{New: func(tb testing.TB, root string) runtime.Runtime {
	v := embedded.Probe()
	if v.Isolation == runtime.IsolationNone {
		tb.Skipf("user namespaces cannot be used here: %s", strings.Join(v.Reasons, " "))
	}
	rt, err := embedded.New(embedded.Options{Root: root, Rootless: true})
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}}

func BenchmarkExec(b *testing.B) {
	rt := subject.New(b, b.TempDir())
	defer rt.Close()
	img, err := rt.Unpack(b.Context(), runtimetest.ProbeImage(b))
	if err != nil {
		b.Fatal(err)
	}
	id, err := rt.CreateContainer(b.Context(), runtime.ContainerSpec{ID: "b", Image: img, Args: []string{"/bin/probe", "stubborn"}})
	if err != nil {
		b.Fatal(err)
	}
	if err := rt.Start(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if code, err := rt.Exec(b.Context(), id, runtime.ExecSpec{Args: []string{"/bin/probe", "exit", "0"}}); code != 0 || err != nil {
			b.Fatal(code, err)
		}
	}
}
