//go:build linux && cgo

package embedded

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/runtimetest"
)

// TestCgroup2 sets limits in a directory that plays a cgroup of version 2, and
// reads back what a kernel would have been told. Machines of version 2 are not
// where this suite usually runs.
func TestCgroup2(t *testing.T) {
	for _, c := range []struct {
		name string
		r    runtime.Resources
		want map[string]string // "" means: not written
	}{
		{"all", runtime.Resources{Memory: 64 << 20, MemoryReservation: 32 << 20, CPUShares: 1024, CPUQuota: 50_000, PidsLimit: 100},
			map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "memory.low": "33554432", "cpu.weight": "100", "cpu.max": "50000 100000", "pids.max": "100"}},
		{"least shares", runtime.Resources{CPUShares: 1}, map[string]string{"cpu.weight": "1", "memory.max": "", "pids.max": "", "cpu.max": ""}},
		{"quarter", runtime.Resources{CPUShares: 256}, map[string]string{"cpu.weight": "35", "cpu.max": ""}},
		{"nothing", runtime.Resources{}, map[string]string{"memory.max": "", "memory.swap.max": "", "cpu.weight": "", "cpu.max": "", "pids.max": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cgroups.TestMode = true
			defer func() { cgroups.TestMode = false }()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("cpu memory pids\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "memory.current"), []byte("0\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			r := cgroupResources(c.r)
			r.SkipDevices = true
			if c.r.Memory > 0 {
				// On this machine's cgroup version it may not be limitable.
				r.MemorySwap = c.r.Memory
			}
			m, err := fs2.NewManager(&cgroups.Cgroup{Resources: r}, dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Set(r); err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				b, err := os.ReadFile(filepath.Join(dir, name))
				if want == "" {
					if !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%s was written: %q", name, b)
					}
				} else if string(b) != want {
					t.Errorf("%s: %q, want %q (%v)", name, b, want, err)
				}
			}
		})
	}
}

// testDriver is a driver that only words configurations.
func testDriver() *driver {
	return &driver{
		opts: Options{Logger: slog.New(slog.DiscardHandler)}, cgroup: "/remit/abc",
		info: runtime.Info{MemoryLimits: true, CPULimits: true, PidsLimits: true},
	}
}

func TestConfig(t *testing.T) {
	spec := runtime.ContainerSpec{
		ID: "c", Group: runtime.Group{ID: "task"}, NetNS: "/proc/self/fd/7", ReadonlyRootfs: true,
		Mounts: []runtime.Mount{
			{Type: runtime.MountBind, Source: "/host", Target: "/etc/hosts", ReadOnly: true},
			{Type: runtime.MountTmpfs, Target: "/dev/shm/", Size: 1 << 20, Options: []string{"exec", "mode=700"}},
		},
	}
	c, err := testDriver().config(spec, "/rootfs")
	if err != nil {
		t.Fatal(err)
	}
	if c.Cgroups.Path != "/remit/abc/task/c" {
		t.Errorf("cgroup %q", c.Cgroups.Path)
	}
	if p := c.Namespaces.PathOf(configs.NEWNET); strings.HasPrefix(p, "/proc/self") || !strings.HasSuffix(p, "/fd/7") {
		t.Errorf("network namespace %q would be another process's", p)
	}
	for _, ns := range []configs.NamespaceType{configs.NEWNS, configs.NEWPID, configs.NEWIPC, configs.NEWUTS, configs.NEWCGROUP} {
		if !c.Namespaces.IsPrivate(ns) {
			t.Errorf("%s is not private", ns)
		}
	}
	if !c.Readonlyfs || len(c.MaskPaths) == 0 || len(c.ReadonlyPaths) == 0 || len(c.Capabilities.Inheritable) != 0 || len(c.Capabilities.Ambient) != 0 {
		t.Errorf("%+v", c)
	}
	if c.Cgroups.Resources.Devices == nil || c.Cgroups.Resources.SkipDevices {
		t.Error("no device rules: either all devices or none could be used")
	}
	for _, r := range c.Cgroups.Resources.Devices {
		if r.Type == 'b' && strings.ContainsAny(string(r.Permissions), "rw") && r.Allow {
			t.Errorf("block devices may be opened: %+v", r)
		}
	}
	at := func(target string) (found []*configs.Mount) {
		for _, m := range c.Mounts {
			if m.Destination == target {
				found = append(found, m)
			}
		}
		return found
	}
	shm := at("/dev/shm")
	if len(shm) != 1 || shm[0].Data != "size=1048576,mode=700" || shm[0].Flags&unix.MS_NOEXEC != 0 || shm[0].Flags&unix.MS_NOSUID == 0 {
		t.Errorf("/dev/shm: %+v", shm)
	}
	if hosts := at("/etc/hosts"); len(hosts) != 1 || hosts[0].Flags&(unix.MS_BIND|unix.MS_RDONLY) != unix.MS_BIND|unix.MS_RDONLY {
		t.Errorf("/etc/hosts: %+v", hosts)
	}

	// No namespace given is the host's, by leaving it out.
	spec.NetNS = ""
	if c, err = testDriver().config(spec, "/rootfs"); err != nil || c.Namespaces.Contains(configs.NEWNET) {
		t.Errorf("host network: %v %v", c.Namespaces, err)
	}
}

func TestLimitsNeedControllers(t *testing.T) {
	d := testDriver()
	d.info = runtime.Info{}
	for _, r := range []runtime.Resources{{Memory: 1}, {MemoryReservation: 1}, {CPUShares: 2}, {CPUQuota: 1}, {PidsLimit: 1}} {
		if _, err := d.config(runtime.ContainerSpec{ID: "c", Resources: r}, "/rootfs"); !errors.Is(err, runtime.ErrUnsupported) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestCapabilitySet(t *testing.T) {
	all := uint64(1)<<len(capabilityNames) - 1
	noResource := all &^ (1 << capSysResource)
	for _, c := range []struct {
		name      string
		own       uint64
		add, drop []string
		want      int
		has, not  string
	}{
		{"default", all, nil, nil, 14, "CAP_CHOWN", "CAP_SYS_ADMIN"},
		{"add", all, []string{"SYS_PTRACE"}, nil, 15, "CAP_SYS_PTRACE", ""},
		{"drop", all, nil, []string{"NET_RAW"}, 13, "", "CAP_NET_RAW"},
		{"drop wins", all, []string{"SYS_TIME"}, []string{"SYS_TIME"}, 14, "", "CAP_SYS_TIME"},
		{"drop all, add one", all, []string{"NET_BIND_SERVICE"}, []string{"all"}, 1, "CAP_NET_BIND_SERVICE", ""},
		{"add all", all, []string{"ALL"}, nil, len(capabilityNames), "CAP_SYS_RESOURCE", ""},
		{"add all one owns", noResource, []string{"ALL"}, nil, len(capabilityNames) - 1, "", "CAP_SYS_RESOURCE"},
		{"add all but one", all, []string{"ALL"}, []string{"SYS_ADMIN"}, len(capabilityNames) - 1, "", "CAP_SYS_ADMIN"},
	} {
		got, err := capabilitySet(c.own, c.add, c.drop)
		if err != nil || len(got) != c.want || c.has != "" && !slices.Contains(got, c.has) || slices.Contains(got, c.not) {
			t.Errorf("%s: %v %v", c.name, got, err)
		}
	}
	for name, add := range map[string]string{"unknown": "FLY", "not owned": "SYS_RESOURCE"} {
		if got, err := capabilitySet(noResource, []string{add}, nil); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := capabilityNames[unix.CAP_CHECKPOINT_RESTORE]; got != "CHECKPOINT_RESTORE" {
		t.Errorf("the names are out of step: %s", got)
	}
}

func TestRlimits(t *testing.T) {
	if os.Geteuid() == 0 && hasCapability(capSysResource) {
		t.Log("this process has CAP_SYS_RESOURCE: lowering is not tested")
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	got := testDriver().rlimits(runtime.ContainerSpec{Ulimits: []runtime.Ulimit{{Name: "nofile", Soft: -1, Hard: -1}}})
	if len(got) != 1 || !hasCapability(capSysResource) && (got[0].Hard != own.Max || got[0].Soft != own.Max) {
		t.Errorf("%+v, own %+v", got, own)
	}
	if got := testDriver().rlimits(runtime.ContainerSpec{}); len(got) != 1 || got[0].Soft > defaultNofile {
		t.Errorf("default %+v", got)
	}
	for _, name := range []string{"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"} {
		if _, ok := rlimitTypes[name]; !ok || !runtime.KnownUlimit(name) {
			t.Errorf("ulimit %s has no number", name)
		}
	}
}

// TestLookupUserHostile reads user files that are not what they should be.
func TestLookupUserHostile(t *testing.T) {
	for name, prepare := range map[string]func(etc string) error{
		"fifo":      func(etc string) error { return unix.Mkfifo(filepath.Join(etc, "passwd"), 0o600) },
		"directory": func(etc string) error { return os.Mkdir(filepath.Join(etc, "passwd"), 0o700) },
		"link out":  func(etc string) error { return os.Symlink("/etc/passwd", filepath.Join(etc, "passwd")) },
		"link up": func(etc string) error {
			return os.Symlink("../../../../../../etc/passwd", filepath.Join(etc, "passwd"))
		},
		"endless device": func(etc string) error { return os.Symlink("/dev/zero", filepath.Join(etc, "passwd")) },
		"absent":         func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			etc := filepath.Join(root, "etc")
			if err := os.Mkdir(etc, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := prepare(etc); err != nil {
				t.Fatal(err)
			}
			// daemon exists on the host, not in the image.
			if u, err := lookupUser(root, "daemon"); err == nil {
				t.Errorf("daemon is %+v", u)
			}
			if u, err := lookupUser(root, "12:34"); err != nil || u.uid != 12 || u.gid != 34 {
				t.Errorf("12:34 is %+v %v", u, err)
			}
		})
	}
}

// TestManyLayers mounts more layers than their names fit into mount(2).
func TestManyLayers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting overlayfs needs root")
	}
	dir := t.TempDir()
	if ok, why := probeOverlay(dir); !ok {
		t.Skipf("overlayfs cannot be used in %s: %s", dir, why)
	}
	var layers []string
	for i := range 120 {
		l := filepath.Join(dir, strings.Repeat("l", 60), strings.Repeat("n", i+1))
		if err := os.MkdirAll(l, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(l, "top"), []byte{byte(i)}, 0o644); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, l)
	}
	for _, d := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	if err := mountOverlay(layers, filepath.Join(dir, "upper"), filepath.Join(dir, "work"), merged); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(merged, "top"))
	if err != nil || len(b) != 1 || b[0] != 119 {
		t.Errorf("the last layer is not on top: %v %v", b, err)
	}
	if err := unmountAll(dir); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(merged); len(left) != 0 {
		t.Errorf("still mounted: %v", left)
	}
}

// TestRootOnOverlay opens a state root that itself lies on overlayfs, as it
// does when the agent runs in a container: images are copied instead.
func TestRootOnOverlay(t *testing.T) {
	if reason := containerMissing(); reason != "" {
		t.Skip(reason)
	}
	dir := t.TempDir()
	if ok, why := probeOverlay(dir); !ok {
		t.Skipf("overlayfs cannot be used in %s: %s", dir, why)
	}
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	if err := mountOverlay([]string{filepath.Join(dir, "lower")}, filepath.Join(dir, "upper"), filepath.Join(dir, "work"), merged); err != nil {
		t.Fatal(err)
	}
	defer unmountAll(dir)
	rt, err := New(Options{Root: filepath.Join(merged, "root"), CgroupParent: "/remit-test"})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if w := strings.Join(rt.Info().Warnings, " "); !strings.Contains(w, "Images are copied") {
		t.Skipf("this kernel mounts overlayfs on overlayfs: %q", w)
	}
	img, err := rt.Unpack(t.Context(), runtimetest.ProbeImage(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{{"ls /data", "kept"}, {"ls /hidden", "new"}, {"write /data/kept other", ""}, {"cat /data/kept", "kept"}} {
		sink := runtimetest.NewSink()
		id, err := rt.CreateContainer(t.Context(), runtime.ContainerSpec{
			ID: "c", Image: img, Args: append([]string{"/bin/probe"}, strings.Fields(c.args)...), Log: sink,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Start(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if exit, err := rt.Wait(t.Context(), id); err != nil || exit.Code != 0 || sink.Text(runtime.Stdout) != c.want {
			t.Errorf("%s: %+v %v %q %q", c.args, exit, err, sink.Text(runtime.Stdout), sink.Text(runtime.Stderr))
		}
		if err := rt.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}
