package runtimetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

func environment(b *bed) {
	out := b.output(func(s *runtime.ContainerSpec) {
		s.Env = append(s.Env, "A=1", "EMPTY=", "A=2", "WITH=equals=sign")
	}, "env")
	lines := strings.Split(out, "\n")
	has := func(want string) bool {
		for _, l := range lines {
			if l == want {
				return true
			}
		}
		return false
	}
	for _, want := range []string{"A=2", "EMPTY=", "WITH=equals=sign", "PATH=/bin"} {
		if !has(want) {
			b.Errorf("no %s in %q", want, lines)
		}
	}
	// Nothing of the agent's own: it may hold secrets.
	if has("A=1") || strings.Contains(out, "GOCACHE=") || strings.Contains(out, "LIBCONTAINER") || strings.Contains(out, "LOGNAME=") {
		b.Errorf("environment has more than was given: %q", lines)
	}
}

func workingDir(b *bed) {
	pwd := func(dir string) string {
		return b.output(func(s *runtime.ContainerSpec) { s.WorkingDir = dir }, "pwd")
	}
	if b.info.Isolation == runtime.IsolationNone {
		if out := pwd("/data"); !strings.HasSuffix(out, "/data") {
			b.Errorf("working directory %q", out)
		}
		return
	}
	for dir, want := range map[string]string{"": "/", "/data": "/data", "/not/there/yet": "/not/there/yet"} {
		if out := pwd(dir); out != want {
			b.Errorf("working directory %q: %q", dir, out)
		}
	}
}

// inside is a path of the image as the container names it.
func (b *bed) inside(p string) string {
	if b.info.Isolation == runtime.IsolationNone {
		// The working directory is the image's root.
		return "." + p
	}
	return p
}

func layers(b *bed) {
	if out := b.output(nil, "ls", b.inside("/data")); out != "kept" {
		b.Errorf("a deleted file shows: %q", out)
	}
	if out := b.output(nil, "ls", b.inside("/hidden")); out != "new" {
		b.Errorf("an opaque directory shows what is below: %q", out)
	}
	if b.info.Isolation != runtime.IsolationNone {
		if out := b.output(func(s *runtime.ContainerSpec) { s.Args[0] = "/bin/link" }, "echo", "linked"); out != "linked" {
			b.Errorf("through a link: %q", out)
		}
		if out := b.output(func(s *runtime.ContainerSpec) { s.Args[0] = "probe" }, "echo", "found"); out != "found" {
			b.Errorf("through PATH: %q", out)
		}
	}
}

func notExecutable(b *bed) {
	spec, _ := b.spec()
	spec.Args = []string{"/bin/text"}
	id, err := b.rt.CreateContainer(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	err = b.rt.Start(b.Context(), id)
	if s, ok := asStartError(err); !ok || s.Code != 126 {
		b.Errorf("start of a file without x: %v", err)
	}
	if err := b.rt.Remove(b.Context(), id); err != nil {
		b.Error(err)
	}
}

func user(b *bed) {
	b.needs(b.info.Users, "the image's users")
	for user, want := range map[string]string{
		"":           "0 0 [0]",
		"app":        "1000 1000 [50 1000]",
		"1000":       "1000 1000 [50 1000]",
		"app:staff":  "1000 50 [50]",
		"1234:4321":  "1234 4321 [4321]",
		"4242":       "4242 0 [0]",
		"root":       "0 0 [0]",
		"app:0":      "1000 0 [0]",
		"1000:staff": "1000 50 [50]",
	} {
		if out := b.output(func(s *runtime.ContainerSpec) { s.User = user }, "id"); out != want && sorted(out) != sorted(want) {
			b.Errorf("user %q: %q, want %q", user, out, want)
		}
	}
	if out := b.output(func(s *runtime.ContainerSpec) { s.User = "app" }, "env"); !strings.Contains(out, "HOME=/home/app") {
		b.Errorf("HOME of app: %q", out)
	}
	spec, _ := b.spec("id")
	spec.User = "nobody-here"
	if _, err := b.rt.CreateContainer(b.Context(), spec); err == nil {
		b.Error("an unknown user is accepted")
	}
}

// sorted makes lists of groups comparable: the kernel sorts, and the primary
// group is sometimes listed.
func sorted(s string) string {
	f := strings.Fields(strings.NewReplacer("[", " ", "]", " ").Replace(s))
	set := map[string]bool{}
	for _, g := range f[2:] {
		set[g] = true
	}
	delete(set, f[1])
	return fmt.Sprint(f[:2], set)
}

func readonlyRootfs(b *bed) {
	b.needs(b.info.Isolation != runtime.IsolationNone, "a read-only root")
	spec, sink := b.spec("write", "/data/new", "x")
	spec.ReadonlyRootfs = true
	if exit := b.run(spec); exit.Code == 0 || !strings.Contains(sink.Text(runtime.Stderr), "read-only file system") {
		b.Errorf("write to a read-only root: %+v %q", exit, sink.Text(runtime.Stderr))
	}
}

func ownWrites(b *bed) {
	// What one container writes no other sees, nor the image afterwards.
	b.output(nil, "write", b.inside("/data/kept"), "overwritten")
	if out := b.output(nil, "cat", b.inside("/data/kept")); out != "kept" {
		b.Errorf("the image has changed: %q", out)
	}
}

func mounts(b *bed) {
	b.needs(b.info.Mounts, "mounts")
	dir := b.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	with := func(m ...runtime.Mount) func(*runtime.ContainerSpec) {
		return func(s *runtime.ContainerSpec) { s.Mounts = m }
	}
	conf := runtime.Mount{Type: runtime.MountBind, Source: file, Target: "/etc/resolv.conf", ReadOnly: true}
	if out := b.output(with(conf), "cat", "/etc/resolv.conf"); !strings.Contains(out, "192.0.2.1") {
		b.Errorf("bound file: %q", out)
	}
	spec, _ := b.spec("write", "/etc/resolv.conf", "x")
	spec.Mounts = []runtime.Mount{conf}
	if exit := b.run(spec); exit.Code == 0 {
		b.Error("a read-only mount was written")
	}
	b.output(with(runtime.Mount{Type: runtime.MountBind, Source: dir, Target: "/volume/deep"}), "write", "/volume/deep/made", "by the container")
	if got, err := os.ReadFile(filepath.Join(dir, "made")); err != nil || string(got) != "by the container" {
		b.Errorf("bound directory: %q %v", got, err)
	}
	b.output(func(s *runtime.ContainerSpec) {
		s.ReadonlyRootfs = true
		s.Mounts = []runtime.Mount{{Type: runtime.MountTmpfs, Target: "/tmp", Size: 1 << 20, Options: []string{"mode=1777"}}}
	}, "write", "/tmp/x", "y")
	spec, _ = b.spec("exit", "0")
	spec.Mounts = []runtime.Mount{{Type: runtime.MountTmpfs, Target: "/tmp", Options: []string{"uid=0,lowerdir=/"}}}
	if _, err := b.rt.CreateContainer(b.Context(), spec); err == nil {
		b.Error("a made-up mount option is accepted")
	}
}

func hostname(b *bed) {
	b.needs(b.info.Isolation != runtime.IsolationNone, "a host name of its own")
	if out := b.output(func(s *runtime.ContainerSpec) { s.Hostname = "ip-10-0-0-7" }, "hostname"); out != "ip-10-0-0-7" {
		b.Errorf("host name %q", out)
	}
}

func orphans(b *bed) {
	// A child that holds the output must not hold the container.
	spec, sink := b.spec("orphan")
	before := time.Now()
	exit := b.run(spec)
	if exit.Code != 0 || time.Since(before) > 30*time.Second {
		b.Errorf("exit %+v after %v", exit, time.Since(before))
	}
	if b.info.Isolation != runtime.IsolationNone {
		return
	}
	var pid int
	if _, err := fmt.Sscanf(sink.Text(runtime.Stdout), "child %d", &pid); err != nil {
		b.Fatal(err)
	}
	// An ended process has no environment, whether collected or not.
	if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil && len(env) > 0 {
		b.Errorf("child %d outlived the container", pid)
	}
}

// allowed reports attempts of the probe's "forbidden" that should have failed.
func allowed(b *bed, out string) bool {
	for _, what := range strings.Split(strings.TrimSpace(out), "\n") {
		if what != "" {
			b.Logf("%s", what)
			return true
		}
	}
	return false
}

func confinement(b *bed) {
	b.needs(b.info.Isolation != runtime.IsolationNone, "processes and files of its own")
	if out := b.output(nil, "pid"); out != "1" {
		b.Errorf("pid %s", out)
	}
	if out := b.output(nil, "ls", "/"); strings.Contains(out, "boot") || !strings.Contains(out, "hidden") {
		b.Errorf("root holds %q", out)
	}
	b.needs(b.info.Isolation == runtime.IsolationContainer, "denial of system calls and devices (a user namespace has no device of its own to open)")
	if out := b.output(nil, "forbidden"); allowed(b, out) {
		b.Errorf("allowed: %q", out)
	}
	out := b.output(nil, "status", "CapBnd", "Seccomp")
	if !strings.Contains(out, "CapBnd:\t00000000a80425fb") {
		b.Errorf("bounding set is not Docker's: %q", out)
	}
	want := "Seccomp:\t0"
	if b.info.Seccomp {
		want = "Seccomp:\t2"
	}
	if !strings.Contains(out, want) {
		b.Errorf("no %q in %q", want, out)
	}
}

func capabilities(b *bed) {
	b.needs(b.info.Isolation == runtime.IsolationContainer, "capabilities")
	for _, c := range []struct {
		add, drop []string
		want      string
	}{
		{nil, nil, "a80425fb"},
		{[]string{"NET_ADMIN"}, nil, "a80435fb"},
		{[]string{"cap_net_admin"}, []string{"MKNOD"}, "a00435fb"},
		{nil, []string{"ALL"}, "0"},
		{[]string{"CHOWN"}, []string{"ALL"}, "1"},
	} {
		out := b.output(func(s *runtime.ContainerSpec) { s.CapAdd, s.CapDrop = c.add, c.drop }, "status", "CapBnd", "CapEff")
		for _, f := range strings.Split(out, "\n") {
			if _, v, _ := strings.Cut(f, "\t"); strings.TrimLeft(v, "0") != strings.TrimLeft(c.want, "0") {
				b.Errorf("add %v drop %v: %q, want %s", c.add, c.drop, f, c.want)
			}
		}
	}
	out := b.output(func(s *runtime.ContainerSpec) { s.User = "app" }, "status", "CapEff", "CapPrm", "CapAmb")
	for _, f := range strings.Split(out, "\n") {
		if _, v, _ := strings.Cut(f, "\t"); strings.Trim(v, "0") != "" {
			b.Errorf("another user than root holds capabilities: %q", f)
		}
	}
	out = b.output(func(s *runtime.ContainerSpec) { s.NoNewPrivileges = true }, "status", "NoNewPrivs")
	if !strings.HasSuffix(out, "\t1") {
		b.Errorf("no new privileges: %q", out)
	}
	spec, _ := b.spec("exit", "0")
	spec.CapAdd = []string{"EVERYTHING"}
	if _, err := b.rt.CreateContainer(b.Context(), spec); err == nil {
		b.Error("an unknown capability is accepted")
	}
}

func ulimits(b *bed) {
	b.needs(b.info.Isolation == runtime.IsolationContainer, "ulimits")
	out := b.output(func(s *runtime.ContainerSpec) {
		s.Ulimits = []runtime.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}}
	}, "nofile")
	if out != "200" {
		b.Errorf("nofile %q", out)
	}
	// Beyond the agent's own: granted with CAP_SYS_RESOURCE, else lowered,
	// never a failure.
	out = b.output(func(s *runtime.ContainerSpec) {
		s.Ulimits = []runtime.Ulimit{{Name: "nofile", Soft: 1 << 20, Hard: 1 << 20}, {Name: "core", Soft: -1, Hard: -1}}
	}, "nofile")
	if n, err := strconv.Atoi(out); err != nil || n < 1024 || n > 1<<20 {
		b.Errorf("nofile %q", out)
	}
}

func memoryLimit(b *bed) {
	b.needs(b.info.MemoryLimits, "memory limits")
	spec, _ := b.spec("memory", "200")
	spec.Resources.Memory = 32 << 20
	exit := b.run(spec)
	if exit.Code != 137 || exit.Signal != syscall.SIGKILL || !exit.OOMKilled {
		b.Errorf("over the limit: %+v", exit)
	}
	if out := b.output(func(s *runtime.ContainerSpec) { s.Resources.Memory = 256 << 20 }, "memory", "50"); out != "allocated 50" {
		b.Errorf("below the limit: %q", out)
	}
}

func groupLimit(b *bed) {
	b.needs(b.info.MemoryLimits, "memory limits")
	group := runtime.Group{ID: "task1", Resources: runtime.Resources{Memory: 48 << 20}}
	first, firstOut := b.spec("trap", "0")
	first.Group = group
	id := b.start(first)
	firstOut.Await(b, "ready")
	// No limit of its own: the task's holds.
	second, _ := b.spec("memory", "200")
	second.Group = group
	if exit := b.run(second); exit.Code != 137 || !exit.OOMKilled {
		b.Errorf("over the task's limit: %+v", exit)
	}
	if exit, err := runtime.Stop(b.Context(), b.rt, id, 0, 10*time.Second); err != nil || exit.Code != 0 || exit.OOMKilled {
		b.Errorf("the other container: %+v %v", exit, err)
	}
	if err := b.rt.Remove(b.Context(), id); err != nil {
		b.Error(err)
	}
	// The group has gone with its last container and may come back with
	// other limits.
	third, _ := b.spec("memory", "60")
	third.Group = runtime.Group{ID: "task1", Resources: runtime.Resources{Memory: 256 << 20}}
	if exit := b.run(third); exit.Code != 0 {
		b.Errorf("a new task of the same name: %+v", exit)
	}
}

func cpuQuota(b *bed) {
	b.needs(b.info.CPULimits, "CPU limits")
	out := b.output(func(s *runtime.ContainerSpec) {
		s.Resources.CPUQuota = runtime.CPUPeriod / 5
		s.Resources.CPUShares = 256
	}, "burn", "1s")
	if ms, err := strconv.Atoi(out); err != nil || ms < 20 || ms > 450 {
		b.Errorf("a fifth of a core used %s ms of CPU in a second", out)
	}
}

func pidsLimit(b *bed) {
	b.needs(b.info.PidsLimits, "process limits")
	// Go's run-time needs a handful of threads itself.
	out := b.output(func(s *runtime.ContainerSpec) { s.Resources.PidsLimit = 30 }, "spawn", "30")
	if !strings.Contains(out, "cannot fork") {
		b.Errorf("spawned beyond the limit: %q", out)
	}
}

func stats(b *bed) {
	spec, sink := b.spec("trap", "0")
	spec.Resources.Memory = 64 << 20
	if !b.info.MemoryLimits {
		spec.Resources.Memory = 0
	}
	id := b.start(spec)
	sink.Await(b, "ready")
	st, err := b.rt.Stats(b.Context(), id)
	if !b.info.MemoryLimits {
		if err == nil {
			b.Errorf("stats without accounting: %+v", st)
		}
		return
	}
	if err != nil {
		b.Fatal(err)
	}
	if st.MemoryUsage == 0 || st.MemoryUsage > 64<<20 || st.MemoryLimit != 64<<20 || st.Pids == 0 || st.CPUUsage <= 0 || st.Read.IsZero() {
		b.Errorf("stats %+v", st)
	}
}
