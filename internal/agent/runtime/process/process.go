// Package process is the runtime of last resort: the image is unpacked and its
// command run as an ordinary child process, with the container's environment
// and with the image's tree as its working directory.
//
// It is for machines where neither containers nor user namespaces can be had,
// and isolates nothing. The command sees the host's files and processes; all
// commands run as the agent's user, so that one task can read another's
// credentials; a dynamically linked program gets the host's libraries. Info
// says all this, and the agent must be told explicitly to use it.
//
// What it does keep to: states, output, signals, exec and exit codes as in the
// contract, a process group for each container, and nothing left running when
// a container is removed or after a crash, on Linux even what has left the
// group.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"

	securejoin "github.com/cyphar/filepath-securejoin"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/image"
	"github.com/remit-ecs/remit/internal/agent/runtime/supervisor"
)

// Options configure the runtime.
type Options struct {
	// Root is the state directory; see package supervisor for what is in it.
	Root string
	// Logger receives what was ignored for one container; nil is
	// slog.Default.
	Logger *slog.Logger
}

// marker is the environment variable by which a container's processes are
// known: its value is the container's directory, which no two share.
const marker = "REMIT_CONTAINER_DIR"

type driver struct {
	store *image.Store
	log   *slog.Logger
}

// New opens the runtime.
func New(o Options) (runtime.Runtime, error) {
	if o.Root == "" {
		return nil, errors.New("process runtime: no state root given")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, fmt.Errorf("process runtime: %w", err)
	}
	unlock, err := supervisor.Lock(root)
	if err != nil {
		return nil, err
	}
	store, err := image.Open(filepath.Join(root, "images"), image.Options{})
	if err != nil {
		unlock()
		return nil, err
	}
	return supervisor.New(root, store, &driver{store: store, log: o.Logger}, unlock), nil
}

// Info implements supervisor.Driver.
func (d *driver) Info() runtime.Info {
	info := runtime.Info{
		Name: "process", Isolation: runtime.IsolationNone,
		Warnings: []string{
			"Tasks are not isolated: they run as ordinary processes of the agent's user and can read each other's credentials.",
			"Memory, CPU and process limits, users, mounts, capabilities and read-only roots are ignored or refused.",
			"Images need statically linked programs: others find the host's libraries, or none.",
		},
	}
	if goruntime.GOOS != "linux" {
		info.Warnings = append(info.Warnings, "Images must hold programs for "+goruntime.GOOS+", and processes left by a crash are not ended.")
	}
	return info
}

// Close implements supervisor.Driver.
func (d *driver) Close() error { return nil }

// Prepare implements supervisor.Driver.
func (d *driver) Prepare(ctx context.Context, dir string, spec runtime.ContainerSpec) (supervisor.Container, error) {
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		return nil, err
	}
	if err := d.store.Copy(ctx, spec.Image, rootfs); err != nil {
		return nil, err
	}
	if spec.User != "" || spec.ReadonlyRootfs || len(spec.CapAdd)+len(spec.CapDrop)+len(spec.Ulimits) > 0 {
		d.log.Warn("user, read-only root, capabilities and ulimits are ignored by the process runtime", "container", spec.ID)
	}
	return &child{dir: dir, rootfs: rootfs, spec: spec}, nil
}

// Sweep implements supervisor.Driver.
func (d *driver) Sweep(ctx context.Context, dirs []string) error {
	for _, dir := range dirs {
		pid, alive, err := supervisor.Leftover(dir)
		if err != nil {
			return err
		}
		if !alive {
			pid = 0
		}
		if err := endAll(ctx, dir, pid); err != nil {
			return err
		}
	}
	return nil
}

// child is one container.
type child struct {
	dir, rootfs string
	spec        runtime.ContainerSpec
	cmd         *exec.Cmd

	mu     sync.Mutex
	reaped bool // its number may since be another's
}

// command words a command for the host.
func (c *child) command(args, env []string, dir string) (*exec.Cmd, error) {
	if _, ok := runtime.Getenv(env, "PATH"); !ok {
		env = append([]string{"PATH=" + runtime.DefaultPath}, env...)
	}
	if _, ok := runtime.Getenv(env, "HOME"); !ok {
		env = append([]string{"HOME=" + c.rootfs}, env...)
	}
	program, err := c.lookPath(args[0], env)
	if err != nil {
		return nil, runtime.NewStartError(err)
	}
	where, err := securejoin.SecureJoin(c.rootfs, dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(where, 0o755); err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: program, Args: args, Env: dedupe(append(env, marker+"="+c.dir)), Dir: where}
	group(cmd)
	return cmd, nil
}

// lookPath finds the program in the image, as the image's own links lead.
func (c *child) lookPath(name string, env []string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		dirs, ok := runtime.Getenv(env, "PATH")
		if !ok {
			dirs = runtime.DefaultPath
		}
		for _, dir := range strings.Split(dirs, ":") {
			candidates = append(candidates, path.Join("/", dir, name))
		}
	}
	err := fmt.Errorf("exec: %q: executable file not found in $PATH", name)
	for _, p := range candidates {
		full, joinErr := securejoin.SecureJoin(c.rootfs, p)
		if joinErr != nil {
			return "", joinErr
		}
		info, statErr := os.Stat(full)
		switch {
		case statErr != nil:
			if strings.Contains(name, "/") {
				err = fmt.Errorf("exec: %q: no such file or directory", name)
			}
		case info.IsDir():
			err = fmt.Errorf("exec: %q: is a directory", name)
		case goruntime.GOOS != "windows" && info.Mode()&0o111 == 0:
			err = fmt.Errorf("exec: %q: permission denied", name)
		default:
			return full, nil
		}
	}
	return "", err
}

// dedupe keeps the last value of each variable.
func dedupe(env []string) []string {
	last := map[string]int{}
	for i, e := range env {
		k, _, _ := strings.Cut(e, "=")
		last[k] = i
	}
	var out []string
	for i, e := range env {
		if k, _, _ := strings.Cut(e, "="); last[k] == i {
			out = append(out, e)
		}
	}
	return out
}

// start runs cmd; what the kernel refuses to execute is the command's fault.
func start(cmd *exec.Cmd) error {
	err := cmd.Start()
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return runtime.NewStartError(err)
	}
	return err
}

// Start implements supervisor.Container.
func (c *child) Start(_ context.Context, stdout, stderr *os.File) error {
	cmd, err := c.command(c.spec.Args, c.spec.Env, c.spec.WorkingDir)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := start(cmd); err != nil {
		return err
	}
	c.cmd = cmd
	return nil
}

// Pid implements supervisor.Container.
func (c *child) Pid() int { return c.cmd.Process.Pid }

// Wait implements supervisor.Container.
func (c *child) Wait() (*os.ProcessState, error) {
	// The group is ended while its leader's number is still taken.
	awaitExit(c.cmd.Process.Pid)
	c.mu.Lock()
	defer c.mu.Unlock()
	killGroup(c.cmd.Process)
	err := c.cmd.Wait()
	c.reaped = true
	return c.cmd.ProcessState, err
}

// Finish implements supervisor.Container: what the command left running ends
// with it, as in a container.
func (c *child) Finish(*runtime.Exit) {
	endAll(context.Background(), c.dir, 0)
}

// Signal implements supervisor.Container.
func (c *child) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return os.ErrProcessDone
	}
	if sig == syscall.SIGKILL {
		return killGroup(c.cmd.Process)
	}
	return c.cmd.Process.Signal(sig)
}

// Exec implements supervisor.Container.
func (c *child) Exec(ctx context.Context, spec runtime.ExecSpec) (int, error) {
	if spec.Terminal != nil {
		return 0, fmt.Errorf("a terminal: %w", runtime.ErrUnsupported)
	}
	dir := spec.WorkingDir
	if dir == "" {
		dir = c.spec.WorkingDir
	}
	env := append(append([]string(nil), c.spec.Env...), spec.Env...)
	cmd, err := c.command(spec.Args, env, dir)
	if err != nil {
		return startCode(err), err
	}
	stdio, err := supervisor.NewStdio(spec)
	if err != nil {
		return 0, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdio.Stdin, stdio.Stdout, stdio.Stderr
	err = start(cmd)
	stdio.Started()
	if err != nil {
		stdio.Finish()
		return startCode(err), err
	}
	stop := context.AfterFunc(ctx, func() { killGroup(cmd.Process) })
	err = cmd.Wait()
	stop()
	stdio.Finish()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if cmd.ProcessState == nil {
		return 0, err
	}
	return supervisor.ExitCode(cmd.ProcessState), nil
}

func startCode(err error) int {
	var s *runtime.StartError
	if errors.As(err, &s) {
		return s.Code
	}
	return 0
}

// Stats implements supervisor.Container.
func (c *child) Stats() (runtime.Stats, error) {
	return runtime.Stats{}, fmt.Errorf("no cgroup: %w", runtime.ErrUnsupported)
}

// Destroy implements supervisor.Container.
func (c *child) Destroy() error { return nil }
