//go:build cgo

package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	profile "github.com/moby/profiles/seccomp"
	"github.com/moby/sys/user"
	"github.com/opencontainers/cgroups"
	// Without it device rules cannot be set, and containers not started.
	_ "github.com/opencontainers/cgroups/devices"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/seccomp"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// What Docker hides from a container that is not privileged.
var (
	maskedPaths = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
		"/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
	}
)

// defaultNofile is the limit of open files where the task definition gives
// none. Inheriting the agent's would hand on the million that Go's runtime
// raises it to, which some programs walk through at every fork.
const defaultNofile = 65535

// config words the spec for libcontainer.
func (d *driver) config(spec runtime.ContainerSpec, rootfs string) (*configs.Config, error) {
	if !d.rootless {
		if err := d.checkLimits(spec.Resources); err != nil {
			return nil, err
		}
	}
	own := ownCapabilities()
	if d.rootless {
		// The user namespace's first process has all, over that namespace.
		own = 1<<len(capabilityNames) - 1
	}
	caps, err := capabilitySet(own, spec.CapAdd, spec.CapDrop)
	if err != nil {
		return nil, err
	}
	mounts, err := mounts(spec)
	if err != nil {
		return nil, err
	}
	filter, err := seccompFilter(caps)
	if err != nil {
		return nil, err
	}
	resources := cgroupResources(spec.Resources)
	for _, dev := range specconv.AllowedDevices {
		resources.Devices = append(resources.Devices, &dev.Rule)
	}
	hostname := spec.Hostname
	if hostname == "" {
		// With the host's network goes the host's name.
		if hostname, err = os.Hostname(); err != nil {
			return nil, err
		}
	}
	c := &configs.Config{
		Rootfs:     rootfs,
		Readonlyfs: spec.ReadonlyRootfs,
		Hostname:   hostname,
		Namespaces: configs.Namespaces{
			{Type: configs.NEWNS}, {Type: configs.NEWPID}, {Type: configs.NEWIPC},
			{Type: configs.NEWUTS}, {Type: configs.NEWCGROUP},
		},
		// Nothing mounted on the host later appears inside, nothing mounted
		// inside appears on the host.
		RootPropagation: unix.MS_PRIVATE | unix.MS_REC,
		Mounts:          mounts,
		MaskPaths:       maskedPaths,
		ReadonlyPaths:   readonlyPaths,
		Capabilities: &configs.Capabilities{
			// No inheritable ones: they would come back through a file's
			// capabilities (CVE-2022-24769).
			Bounding: caps, Effective: caps, Permitted: caps,
		},
		NoNewPrivileges: spec.NoNewPrivileges,
		Seccomp:         filter,
		Sysctl:          spec.Sysctls,
		Rlimits:         d.rlimits(spec),
		Cgroups: &cgroups.Cgroup{
			Path:      path.Join(d.groupPath(spec.Group.ID), spec.ID),
			Resources: resources,
		},
	}
	for _, dev := range specconv.AllowedDevices {
		if dev.Path != "" {
			c.Devices = append(c.Devices, dev)
		}
	}
	if d.rootless {
		d.confine(c)
	}
	if spec.NetNS != "" {
		c.Namespaces.Add(configs.NEWNET, hostPath(spec.NetNS))
	}
	return c, nil
}

// hostPath makes a path below /proc/self mean this process also where
// libcontainer's child opens it.
func hostPath(p string) string {
	for _, self := range []string{"/proc/self/", "/proc/thread-self/"} {
		if rest, ok := strings.CutPrefix(p, self); ok {
			return "/proc/" + strconv.Itoa(os.Getpid()) + "/" + rest
		}
	}
	return p
}

// cgroupResources words limits for both cgroup versions.
func cgroupResources(r runtime.Resources) *cgroups.Resources {
	if r.CPUShares > 0 {
		// The kernel's range; ECS writes 1 or 2 for "as little as can be".
		r.CPUShares = min(max(r.CPUShares, 2), 262144)
	}
	out := &cgroups.Resources{
		Memory:            r.Memory,
		MemoryReservation: r.MemoryReservation,
		CpuShares:         r.CPUShares,
		CpuWeight:         cgroups.ConvertCPUSharesToCgroupV2Value(r.CPUShares),
	}
	if r.Memory > 0 && swapLimited() {
		// No swap: a container over its limit is killed, not slowed.
		out.MemorySwap = r.Memory
	}
	if r.CPUQuota > 0 {
		out.CpuQuota = r.CPUQuota
		out.CpuPeriod = runtime.CPUPeriod
	}
	if r.PidsLimit > 0 {
		out.PidsLimit = &r.PidsLimit
	}
	return out
}

// swapLimited says whether swap can be limited. Cgroup v1 may lack the file
// (kernel option swapaccount=0), and writing it would then fail the start.
func swapLimited() bool {
	if cgroups.IsCgroup2UnifiedMode() {
		return true
	}
	dir, err := cgroups.FindCgroupMountpoint("", "memory")
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, "memory.memsw.limit_in_bytes"))
	return err == nil
}

// mounts are Docker's standard ones and the spec's; the latter win.
func mounts(spec runtime.ContainerSpec) ([]*configs.Mount, error) {
	const noDev, noExec = unix.MS_NOSUID | unix.MS_NODEV, unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	shm := spec.ShmSize
	if shm == 0 {
		shm = 64 << 20
	}
	all := []*configs.Mount{
		{Source: "proc", Destination: "/proc", Device: "proc", Flags: noExec},
		{Source: "tmpfs", Destination: "/dev", Device: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_STRICTATIME, Data: "mode=755,size=65536k"},
		{Source: "devpts", Destination: "/dev/pts", Device: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{Source: "sysfs", Destination: "/sys", Device: "sysfs", Flags: noExec | unix.MS_RDONLY},
		{Source: "cgroup", Destination: "/sys/fs/cgroup", Device: "cgroup", Flags: noExec | unix.MS_RDONLY},
		{Source: "mqueue", Destination: "/dev/mqueue", Device: "mqueue", Flags: noExec},
		{Source: "shm", Destination: "/dev/shm", Device: "tmpfs", Flags: noExec, Data: "mode=1777,size=" + strconv.FormatInt(shm, 10)},
	}
	for _, m := range spec.Mounts {
		target := path.Clean(m.Target)
		all = slices.DeleteFunc(all, func(o *configs.Mount) bool { return o.Destination == target })
		out := &configs.Mount{Source: m.Source, Destination: target}
		switch m.Type {
		case runtime.MountBind:
			out.Device = "bind"
			out.Flags = unix.MS_BIND | unix.MS_REC
			out.PropagationFlags = []int{unix.MS_PRIVATE | unix.MS_REC}
		case runtime.MountTmpfs:
			out.Source, out.Device = "tmpfs", "tmpfs"
			out.Flags = noDev | unix.MS_NOEXEC
		}
		var data []string
		if m.Size > 0 {
			data = append(data, "size="+strconv.FormatInt(m.Size, 10))
		}
		options := m.Options
		if m.ReadOnly {
			options = append(slices.Clone(options), "ro")
		}
		for _, o := range options {
			f, known := mountFlags[o]
			switch {
			case known:
				out.Flags = out.Flags&^f.clear | f.set
			case m.Type == runtime.MountTmpfs && tmpfsOption(o):
				data = append(data, o)
			default:
				return nil, fmt.Errorf("mount %s: option %q is not supported", m.Target, o)
			}
		}
		out.Data = strings.Join(data, ",")
		all = append(all, out)
	}
	return all, nil
}

var mountFlags = map[string]struct{ set, clear int }{
	"defaults": {},
	"ro":       {set: unix.MS_RDONLY}, "rw": {clear: unix.MS_RDONLY},
	"nosuid": {set: unix.MS_NOSUID}, "suid": {clear: unix.MS_NOSUID},
	"nodev": {set: unix.MS_NODEV}, "dev": {clear: unix.MS_NODEV},
	"noexec": {set: unix.MS_NOEXEC}, "exec": {clear: unix.MS_NOEXEC},
	"sync": {set: unix.MS_SYNCHRONOUS}, "async": {clear: unix.MS_SYNCHRONOUS},
	"noatime": {set: unix.MS_NOATIME}, "atime": {clear: unix.MS_NOATIME},
	"nodiratime": {set: unix.MS_NODIRATIME}, "diratime": {clear: unix.MS_NODIRATIME},
	"relatime": {set: unix.MS_RELATIME}, "strictatime": {set: unix.MS_STRICTATIME},
	"bind": {}, "rbind": {}, "private": {}, "rprivate": {},
}

func tmpfsOption(o string) bool {
	key, value, ok := strings.Cut(o, "=")
	return ok && value != "" && !strings.Contains(value, ",") &&
		slices.Contains([]string{"mode", "uid", "gid", "nr_inodes", "nr_blocks", "size"}, key)
}

// seccompFilter is Docker's profile as it reads with these capabilities, or
// nil when the binary has no seccomp.
func seccompFilter(caps []string) (*configs.Seccomp, error) {
	if !seccomp.Enabled {
		return nil, nil
	}
	p, err := profile.GetDefaultProfile(&specs.Spec{Process: &specs.Process{
		Capabilities: &specs.LinuxCapabilities{Bounding: caps},
	}})
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	if len(p.Architectures) > 1 {
		// The native one alone, which comes first: a filter for the 32-bit
		// ones too takes twice as long to load, at each start. A 32-bit
		// program is killed by its first system call.
		p.Architectures = p.Architectures[:1]
	}
	return specconv.SetupSeccomp(p)
}

// rlimits words the ulimits, lowered to what this process may grant.
func (d *driver) rlimits(spec runtime.ContainerSpec) []configs.Rlimit {
	wanted, asked := spec.Ulimits, len(spec.Ulimits)
	if !slices.ContainsFunc(wanted, func(u runtime.Ulimit) bool { return u.Name == "nofile" }) {
		wanted = append(slices.Clone(wanted), runtime.Ulimit{Name: "nofile", Soft: defaultNofile, Hard: defaultNofile})
	}
	var out []configs.Rlimit
	for i, u := range wanted {
		l := configs.Rlimit{Type: rlimitTypes[u.Name], Soft: unlimited(u.Soft), Hard: unlimited(u.Hard)}
		var own unix.Rlimit
		if err := unix.Getrlimit(l.Type, &own); err == nil && l.Hard > own.Max && !hasCapability(capSysResource) {
			l.Hard, l.Soft = own.Max, min(l.Soft, own.Max)
			if i < asked {
				d.opts.Logger.Warn("ulimit lowered to the agent's own hard limit", "container", spec.ID, "ulimit", u.Name, "hard", own.Max)
			}
		}
		out = append(out, l)
	}
	return out
}

func unlimited(n int64) uint64 {
	if n == -1 {
		return unix.RLIM_INFINITY
	}
	return uint64(n)
}

var rlimitTypes = map[string]int{
	"core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

// execUser is a user in the container's numbers.
type execUser struct {
	uid, gid int
	groups   []int
}

// user resolves a USER against the image's own files. In a user namespace there
// is one uid, whatever the image says; Info warns of it.
func (d *driver) user(rootfs, spec string) (execUser, error) {
	if d.rootless {
		return execUser{}, nil
	}
	return lookupUser(rootfs, spec)
}

// lookupUser resolves a USER against the image's own files.
func lookupUser(rootfs, spec string) (execUser, error) {
	passwd, err := openInside(rootfs, "/etc/passwd")
	if err != nil {
		return execUser{}, err
	}
	defer passwd.Close()
	group, err := openInside(rootfs, "/etc/group")
	if err != nil {
		return execUser{}, err
	}
	defer group.Close()
	u, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return execUser{}, fmt.Errorf("user %q: %w", spec, err)
	}
	return execUser{uid: u.Uid, gid: u.Gid, groups: u.Sgids}, nil
}

// openInside opens a regular file of a container's tree, as the container
// would see it; an absent one reads as empty. The container may run meanwhile
// and exchange links, so the kernel resolves the path. Never a fifo, on which
// the agent would wait for ever, and never more than an honest file holds.
func openInside(rootfs, name string) (io.ReadCloser, error) {
	empty := io.NopCloser(strings.NewReader(""))
	handle, err := pathrs.OpenInRoot(rootfs, name)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return empty, nil
	}
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	if info, err := handle.Stat(); err != nil || !info.Mode().IsRegular() {
		return empty, nil
	}
	f, err := pathrs.Reopen(handle, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, 4<<20), f}, nil
}
