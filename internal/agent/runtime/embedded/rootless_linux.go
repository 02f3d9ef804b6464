//go:build cgo

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/seccomp"
	"golang.org/x/sys/unix"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/supervisor"
)

// describeRootless says what a user namespace gives.
func describeRootless(reasons []string) runtime.Info {
	info := runtime.Info{
		Name: "embedded", Isolation: runtime.IsolationUserNS, Mounts: true, Seccomp: seccomp.Enabled,
		Warnings: append(slices.Clone(reasons),
			"Memory, CPU and process limits are not enforced: the agent runs containers in a user namespace, without cgroups.",
			"Containers share the host's network: credentials must be served on a loopback port with an authorization token.",
			"All processes of all containers have the agent's own uid on the host: the user that an image or a task definition names is ignored.",
			"Images are copied for each container.",
		),
	}
	if !info.Seccomp {
		info.Warnings = append(info.Warnings, noSeccomp)
	}
	return info
}

// confine changes a configuration for a user namespace that maps its root to
// this process's user and nothing else.
func (d *driver) confine(c *configs.Config) {
	c.RootlessEUID = os.Geteuid() != 0
	c.RootlessCgroups = true
	c.Namespaces.Add(configs.NEWUSER, "")
	c.UIDMappings = []configs.IDMap{{ContainerID: 0, HostID: int64(os.Geteuid()), Size: 1}}
	c.GIDMappings = []configs.IDMap{{ContainerID: 0, HostID: int64(os.Getegid()), Size: 1}}
	// A set-uid program of a mounted volume would gain nothing good here.
	c.NoNewPrivileges = true
	// A cgroup below the agent's own if it may make one, and none if not.
	c.Cgroups = &cgroups.Cgroup{
		Name: filepath.Base(c.Cgroups.Path), Parent: d.cgroup,
		Rootless: true, Resources: &cgroups.Resources{Devices: c.Cgroups.Devices},
	}
	c.Namespaces.Remove(configs.NEWCGROUP)
	// sysfs belongs to the network namespace, which is the host's: it cannot
	// be mounted, and the host's would show its cgroups.
	c.Mounts = slices.DeleteFunc(c.Mounts, func(m *configs.Mount) bool {
		return m.Device == "sysfs" || m.Device == "cgroup"
	})
	for _, m := range c.Mounts {
		if m.Device == "devpts" {
			// Group 5 has no name on the host's side of the map.
			m.Data = "newinstance,ptmxmode=0666,mode=0620"
		}
	}
	c.MaskPaths = slices.DeleteFunc(slices.Clone(c.MaskPaths), func(p string) bool { return strings.HasPrefix(p, "/sys/") })
}

const probeEnv = "_REMIT_USERNS_PROBE"

// When this process is the probe's child, it tries what a container needs.
func init() {
	if os.Getenv(probeEnv) == "" {
		return
	}
	goruntime.LockOSThread()
	try := func(what string, err error) {
		if err != nil {
			fmt.Fprintf(os.Stdout, "%s: %v", what, err)
			os.Exit(1)
		}
	}
	try("make mounts private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	try("mount tmpfs", unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""))
	try("make a directory", os.Mkdir("/tmp/proc", 0o755))
	try("mount proc", unix.Mount("proc", "/tmp/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
	os.Exit(0)
}

// rootlessMissing says why user namespaces cannot be used, or "". It is found
// out by making one, since the ways to forbid it are many: sysctls, a limit of
// zero, AppArmor, seccomp, a chroot, a masked /proc.
var rootlessMissing = sync.OnceValue(func() string {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{probeEnv + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.Output()
	switch {
	case err == nil:
		return ""
	case len(out) > 0:
		return fmt.Sprintf("User namespaces cannot be used: %s.", out)
	}
	return fmt.Sprintf("User namespaces cannot be used: %v.", err)
})

// sweepRootless ends leftover containers by the number and start time of their
// first process, with which all others of the pid namespace end.
func sweepRootless(ctx context.Context, dirs []string) error {
	for _, dir := range dirs {
		if err := endRootless(ctx, dir); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(dir), err)
		}
	}
	return nil
}

func endRootless(ctx context.Context, dir string) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		running := false
		var box *libcontainer.Container
		// libcontainer's own record exists before the command runs, ours
		// only after; both know the start time.
		if loaded, err := libcontainer.Load(filepath.Join(dir, "libcontainer"), filepath.Base(dir)); err == nil {
			box = loaded
			if err := box.Signal(syscall.SIGKILL); err == nil {
				running = true
			} else if !errors.Is(err, libcontainer.ErrNotRunning) {
				return err
			}
		}
		pid, alive, err := supervisor.Leftover(dir)
		if err != nil {
			return err
		}
		if alive {
			running = true
			fd, err := unix.PidfdOpen(pid, 0)
			if err == nil {
				// Asked again with the handle held: is it still the same?
				if _, same, _ := supervisor.Leftover(dir); same {
					err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
				}
				unix.Close(fd)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if !running {
			if box != nil {
				// The cgroup, if there was one. Not worth refusing to start
				// for: it is empty.
				box.Destroy()
			}
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not end", pid)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
