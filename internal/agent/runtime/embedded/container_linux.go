//go:build cgo

package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	// Its C constructor is the first stage of every container.
	_ "github.com/opencontainers/runc/libcontainer/nsenter"
	"github.com/opencontainers/runc/libcontainer/seccomp"
	"github.com/sirupsen/logrus"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/image"
	"github.com/remit-ecs/remit/internal/agent/runtime/supervisor"
)

// When this process is the second stage of a container, it becomes the
// container here and never reaches main.
func init() {
	if os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		libcontainer.Init()
	}
}

// driver makes containers with libcontainer.
type driver struct {
	opts      Options
	rootless  bool   // in a user namespace, without cgroups and overlayfs
	cgroup    string // parent of everything this state root makes
	ownParent bool   // the parent of cgroup was named for this runtime alone
	store     *image.Store
	overlay   bool
	info      runtime.Info

	mu     sync.Mutex
	groups map[string]*group
}

// group is one task's cgroup and how many containers hold it.
type group struct {
	holders int
	manager cgroups.Manager
}

func newContainers(o Options, v Verdict) (runtime.Runtime, error) {
	unlock, err := supervisor.Lock(o.Root)
	if err != nil {
		return nil, err
	}
	// libcontainer logs to the global logger; what it has to say about a
	// failure is in its errors too.
	logrus.SetOutput(io.Discard)
	d := &driver{opts: o, groups: map[string]*group{}, rootless: v.Isolation == runtime.IsolationUserNS}
	if d.rootless {
		d.info = describeRootless(v.Reasons)
	} else {
		var why string
		d.overlay, why = probeOverlay(o.Root)
		d.info = describe(why)
	}
	d.store, err = image.Open(filepath.Join(o.Root, "images"), image.Options{Overlay: d.overlay, Owners: !d.rootless})
	if err != nil {
		unlock()
		return nil, err
	}
	key, err := rootKey(o.Root)
	if err != nil {
		unlock()
		return nil, err
	}
	d.cgroup = path.Join("/", o.CgroupParent, key)
	d.ownParent = o.CgroupParent != sharedParent
	if d.rootless {
		// Relative, which is to the agent's own.
		d.cgroup, d.ownParent = "remit-"+key, false
	}
	return supervisor.New(o.Root, d.store, d, unlock), nil
}

// rootKey names the state root among all of this host. Cgroup names are global,
// and two agents must not meet in one: not with different roots, and not with
// roots of the same name in different mount namespaces.
func rootKey(root string) (string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return "", fmt.Errorf("state root: %w", err)
	}
	st := info.Sys().(*syscall.Stat_t)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", st.Dev, st.Ino, root))
	return hex.EncodeToString(sum[:6]), nil
}

const noSeccomp = "System calls are not filtered: build with -tags seccomp (needs libseccomp-dev) for Docker's seccomp profile."

// describe says what is enforced here.
func describe(noOverlay string) runtime.Info {
	info := runtime.Info{
		Name: "embedded", Isolation: runtime.IsolationContainer,
		NetNS: true, Users: true, Mounts: true,
		Seccomp: seccomp.Enabled,
	}
	info.CgroupVersion = 1
	if cgroups.IsCgroup2UnifiedMode() {
		info.CgroupVersion = 2
	}
	info.MemoryLimits, info.CPULimits, info.PidsLimits = controllers()
	warn := func(format string, args ...any) {
		info.Warnings = append(info.Warnings, fmt.Sprintf(format, args...))
	}
	if !info.Seccomp {
		warn(noSeccomp)
	}
	for _, c := range []struct {
		name string
		ok   bool
	}{{"memory", info.MemoryLimits}, {"cpu", info.CPULimits}, {"pids", info.PidsLimits}} {
		if !c.ok {
			warn("The %s cgroup controller is not available: containers with such a limit are refused.", c.name)
		}
	}
	if noOverlay != "" {
		warn("Images are copied for each container: overlayfs cannot be used in the state root (%s).", noOverlay)
	}
	if !hasCapability(capSysResource) {
		warn("The agent lacks CAP_SYS_RESOURCE: ulimits above its own hard limits are lowered to them.")
	}
	return info
}

// Info implements supervisor.Driver.
func (d *driver) Info() runtime.Info { return d.info }

// Close implements supervisor.Driver.
func (d *driver) Close() error {
	// Nothing but empty parents by now, and without root perhaps not that.
	_ = removeCgroup(d.cgroup)
	if d.ownParent {
		_ = removeCgroup(path.Dir(d.cgroup))
	}
	return nil
}

// Prepare implements supervisor.Driver.
func (d *driver) Prepare(ctx context.Context, dir string, spec runtime.ContainerSpec) (_ supervisor.Container, err error) {
	c := &containerBox{driver: d, dir: dir, spec: spec, rootfs: filepath.Join(dir, "rootfs")}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Destroy())
		}
	}()
	if err := d.mountRootfs(ctx, dir, spec.Image); err != nil {
		return nil, err
	}
	if c.user, err = d.user(c.rootfs, spec.User); err != nil {
		return nil, err
	}
	if c.config, err = d.config(spec, c.rootfs); err != nil {
		return nil, err
	}
	if !d.rootless {
		if err := d.hold(spec.Group); err != nil {
			return nil, err
		}
		c.held = true
	}
	if c.box, err = libcontainer.Create(filepath.Join(dir, "libcontainer"), spec.ID, c.config); err != nil {
		return nil, err
	}
	return c, nil
}

// groupPath is the cgroup of a task. Containers of none share a parent of
// their own, so that no task can be named like it: ids have no leading dot.
func (d *driver) groupPath(id string) string {
	if id == "" {
		return path.Join(d.cgroup, ".single")
	}
	return path.Join(d.cgroup, id)
}

// hold makes the task's cgroup, with its limits, for one more container.
func (d *driver) hold(g runtime.Group) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := d.groups[g.ID]
	if held == nil {
		if err := d.checkLimits(g.Resources); err != nil {
			return err
		}
		r := cgroupResources(g.Resources)
		// Device rules are each container's own.
		r.SkipDevices = true
		m, err := manager.New(&cgroups.Cgroup{Path: d.groupPath(g.ID), Resources: r})
		if err != nil {
			return fmt.Errorf("task cgroup: %w", err)
		}
		if err := m.Apply(-1); err != nil {
			return fmt.Errorf("task cgroup: %w", err)
		}
		// Set with an explicit value: nil would quietly set nothing.
		if err := m.Set(r); err != nil {
			return errors.Join(fmt.Errorf("task cgroup: %w", err), m.Destroy())
		}
		held = &group{manager: m}
		d.groups[g.ID] = held
	}
	held.holders++
	return nil
}

func (d *driver) release(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.groups[id]
	if g.holders--; g.holders > 0 {
		return nil
	}
	delete(d.groups, id)
	if err := g.manager.Destroy(); err != nil {
		return fmt.Errorf("task cgroup: %w", err)
	}
	return nil
}

// checkLimits refuses limits that this kernel would not enforce.
func (d *driver) checkLimits(r runtime.Resources) error {
	switch {
	case (r.Memory > 0 || r.MemoryReservation > 0) && !d.info.MemoryLimits:
		return fmt.Errorf("memory limit: no memory cgroup controller: %w", runtime.ErrUnsupported)
	case (r.CPUQuota > 0 || r.CPUShares > 0) && !d.info.CPULimits:
		return fmt.Errorf("cpu limit: no cpu cgroup controller: %w", runtime.ErrUnsupported)
	case r.PidsLimit > 0 && !d.info.PidsLimits:
		return fmt.Errorf("pids limit: no pids cgroup controller: %w", runtime.ErrUnsupported)
	}
	return nil
}

// containerBox is one container.
type containerBox struct {
	driver  *driver
	dir     string
	rootfs  string
	spec    runtime.ContainerSpec
	user    execUser
	config  *configs.Config
	box     *libcontainer.Container
	process *libcontainer.Process
	pid     int
	held    bool
}

// Start implements supervisor.Container.
func (c *containerBox) Start(_ context.Context, stdout, stderr *os.File) error {
	p := &libcontainer.Process{
		Args:             c.spec.Args,
		Env:              withPath(c.spec.Env, c.spec.Hostname),
		UID:              c.user.uid,
		GID:              c.user.gid,
		AdditionalGroups: c.user.groups,
		Cwd:              workingDir(c.spec.WorkingDir),
		Stdout:           stdout,
		Stderr:           stderr,
		Init:             true,
	}
	if err := c.box.Run(p); err != nil {
		return startError(err)
	}
	pid, err := p.Pid()
	if err != nil {
		return err
	}
	c.process, c.pid = p, pid
	return nil
}

// startError tells a command that cannot be run from a host that cannot run
// it. libcontainer's second stage sends its error as text, so text it is.
func startError(err error) error {
	inner := err.Error()
	// An exec has the first part only.
	for _, stage := range []string{"unable to start container process: ", "error during container init: "} {
		if _, after, ok := strings.Cut(inner, stage); ok {
			inner = after
		}
	}
	if strings.HasPrefix(inner, "exec: ") || strings.HasPrefix(inner, "chdir to cwd") || strings.Contains(inner, "mkdir ") {
		return runtime.NewStartError(errors.New(inner))
	}
	return err
}

// Pid implements supervisor.Container.
func (c *containerBox) Pid() int { return c.pid }

// Wait implements supervisor.Container.
func (c *containerBox) Wait() (*os.ProcessState, error) { return c.process.Wait() }

// Finish implements supervisor.Container. The end of a pid namespace's first
// process has ended all others already.
func (c *containerBox) Finish(exit *runtime.Exit) {
	if c.driver.rootless {
		return
	}
	m, err := manager.New(c.config.Cgroups)
	if err != nil {
		return
	}
	if n, err := m.OOMKillCount(); err == nil && n > 0 {
		exit.OOMKilled = true
	}
}

// Signal implements supervisor.Container.
func (c *containerBox) Signal(sig syscall.Signal) error {
	err := c.box.Signal(sig)
	if errors.Is(err, libcontainer.ErrNotRunning) {
		return os.ErrProcessDone
	}
	return err
}

// Exec implements supervisor.Container.
func (c *containerBox) Exec(ctx context.Context, spec runtime.ExecSpec) (int, error) {
	user := c.user
	if spec.User != "" {
		var err error
		if user, err = c.driver.user(c.rootfs, spec.User); err != nil {
			return 0, err
		}
	}
	dir := spec.WorkingDir
	if dir == "" {
		dir = c.spec.WorkingDir
	}
	p := &libcontainer.Process{
		Args:             spec.Args,
		Env:              append(withPath(c.spec.Env, c.spec.Hostname), spec.Env...),
		UID:              user.uid,
		GID:              user.gid,
		AdditionalGroups: user.groups,
		Cwd:              workingDir(dir),
	}
	if spec.Terminal != nil {
		return c.execTerminal(ctx, p, spec)
	}
	stdio, err := supervisor.NewStdio(spec)
	if err != nil {
		return 0, err
	}
	p.Stdin, p.Stdout, p.Stderr = stdio.Stdin, stdio.Stdout, stdio.Stderr
	err = c.box.Run(p)
	stdio.Started()
	if err != nil {
		stdio.Finish()
		return execFailure(err)
	}
	return finishExec(ctx, p, stdio.Finish)
}

// execFailure gives the code and error of a command that did not start.
func execFailure(err error) (int, error) {
	err = startError(err)
	var s *runtime.StartError
	if errors.As(err, &s) {
		return s.Code, err
	}
	return 0, err
}

// finishExec waits for a started command and then for its output.
func finishExec(ctx context.Context, p *libcontainer.Process, drain func()) (int, error) {
	stop := context.AfterFunc(ctx, func() { p.Signal(syscall.SIGKILL) })
	ps, err := p.Wait()
	stop()
	drain()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if ps == nil {
		return 0, err
	}
	return supervisor.ExitCode(ps), nil
}

// Stats implements supervisor.Container.
func (c *containerBox) Stats() (runtime.Stats, error) {
	if c.driver.rootless {
		return runtime.Stats{}, fmt.Errorf("no cgroup: %w", runtime.ErrUnsupported)
	}
	st, err := c.box.Stats()
	if err != nil {
		return runtime.Stats{}, err
	}
	cg := st.CgroupStats
	mem := cg.MemoryStats
	out := runtime.Stats{
		Read:        time.Now(),
		CPUUsage:    time.Duration(cg.CpuStats.CpuUsage.TotalUsage),
		MemoryUsage: mem.Usage.Usage,
		MemoryMax:   mem.Usage.MaxUsage,
		MemoryLimit: uint64(c.spec.Resources.Memory),
		Pids:        cg.PidsStats.Current,
	}
	inactive, ok := mem.Stats["total_inactive_file"] // v1
	if !ok {
		inactive = mem.Stats["inactive_file"] // v2
	}
	out.MemoryUsage -= min(inactive, out.MemoryUsage)
	for _, e := range cg.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(e.Op) {
		case "read":
			out.BlockRead += e.Value
		case "write":
			out.BlockWrite += e.Value
		}
	}
	return out, nil
}

// Destroy implements supervisor.Container. It can be called again after an
// error, and on a container only half prepared.
func (c *containerBox) Destroy() error {
	if c.box != nil {
		if err := c.box.Destroy(); err != nil {
			return err
		}
		c.box = nil
	}
	if c.held {
		if err := c.driver.release(c.spec.Group.ID); err != nil {
			c.driver.opts.Logger.Warn("task cgroup stays until the next sweep", slog.String("container", c.spec.ID), slog.Any("error", err))
		}
		c.held = false
	}
	if c.driver.rootless {
		return nil // mounts were only ever in the container's own namespace
	}
	return unmountAll(c.dir)
}

// withPath adds what Docker adds to every environment.
func withPath(env []string, hostname string) []string {
	out := make([]string, 0, len(env)+2)
	if _, ok := runtime.Getenv(env, "PATH"); !ok {
		out = append(out, "PATH="+runtime.DefaultPath)
	}
	if _, ok := runtime.Getenv(env, "HOSTNAME"); !ok && hostname != "" {
		out = append(out, "HOSTNAME="+hostname)
	}
	return append(out, env...)
}

func workingDir(dir string) string {
	if dir == "" {
		return "/"
	}
	return path.Clean(dir)
}

// controllers says which limits the kernel enforces.
func controllers() (memory, cpu, pids bool) {
	if cgroups.IsCgroup2UnifiedMode() {
		b, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		for _, f := range bytes.Fields(b) {
			switch string(f) {
			case "memory":
				memory = true
			case "cpu":
				cpu = true
			case "pids":
				pids = true
			}
		}
		return memory, cpu, pids
	}
	have := func(name string) bool {
		_, err := cgroups.FindCgroupMountpoint("", name)
		return err == nil
	}
	return have("memory"), have("cpu"), have("pids")
}
