package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/supervisor"
)

type container struct {
	spec           runtime.ContainerSpec
	stdout, stderr *gate // between the program and the sink

	mu      sync.Mutex
	state   string // created, running, ended, failed
	process *Process
	execs   map[*Process]bool
	exit    runtime.Exit
	err     error
	done    chan struct{}
}

// CreateContainer implements runtime.Runtime.
func (r *Runtime) CreateContainer(ctx context.Context, spec runtime.ContainerSpec) (string, error) {
	if err := r.begin(ctx, "CreateContainer", spec.ID); err != nil {
		return "", err
	}
	if err := runtime.CheckSpec(spec, r.Info()); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.containers[spec.ID] != nil || r.leftovers[spec.ID] != nil {
		return "", fmt.Errorf("container %s: %w", spec.ID, runtime.ErrExists)
	}
	if _, ok := r.images[spec.Image.Digest]; !ok {
		return "", fmt.Errorf("container %s: image %q: %w", spec.ID, spec.Image.Digest, runtime.ErrNotFound)
	}
	r.containers[spec.ID] = &container{
		spec: spec, state: "created", done: make(chan struct{}), execs: map[*Process]bool{},
		stdout: &gate{}, stderr: &gate{},
	}
	return spec.ID, nil
}

// get returns the container, locked, if it is in one of the states.
func (r *Runtime) get(id string, states ...string) (*container, error) {
	r.mu.Lock()
	c := r.containers[id]
	r.mu.Unlock()
	if c == nil {
		return nil, fmt.Errorf("container %s: %w", id, runtime.ErrNotFound)
	}
	c.mu.Lock()
	for _, s := range states {
		if c.state == s {
			return c, nil
		}
	}
	defer c.mu.Unlock()
	return nil, fmt.Errorf("container %s is %s: %w", id, c.state, runtime.ErrState)
}

// Start implements runtime.Runtime.
func (r *Runtime) Start(ctx context.Context, id string) error {
	c, err := r.get(id, "created")
	if err != nil {
		return err
	}
	defer c.mu.Unlock()
	err = r.begin(ctx, "Start", id)
	var program Program
	if err == nil {
		program, err = r.program(c.spec.Args, c.spec.Image)
	}
	if err != nil {
		c.state = "failed"
		c.err = fmt.Errorf("container %s did not start: %w", id, err)
		close(c.done)
		return fmt.Errorf("start container %s: %w", id, err)
	}
	var drained sync.WaitGroup
	var pipes []io.Closer
	for stream, g := range map[runtime.Stream]*gate{runtime.Stdout: c.stdout, runtime.Stderr: c.stderr} {
		if c.spec.Log == nil {
			continue
		}
		pr, pw := io.Pipe()
		g.w = pw
		pipes = append(pipes, pw)
		drained.Go(func() {
			supervisor.Lines(pr, func(line []byte) { c.spec.Log.Line(stream, r.time(), line) })
		})
	}
	c.state = "running"
	c.exit.StartedAt = r.time()
	c.process = &Process{
		Spec: c.spec, Args: c.spec.Args, Env: c.spec.Env, User: c.spec.User, WorkingDir: c.spec.WorkingDir,
		Stdin: eof{}, Stdout: c.stdout, Stderr: c.stderr,
	}
	ended := process(program, c.process)
	go func() {
		e := <-ended
		c.mu.Lock()
		// With the first process all others of the container end.
		for p := range c.execs {
			p.deliver(syscall.SIGKILL)
		}
		c.exit.Code, c.exit.Signal, c.exit.OOMKilled = e.code, e.signal, e.oom
		c.exit.FinishedAt = r.time()
		c.mu.Unlock()
		for _, p := range pipes {
			p.Close()
		}
		drained.Wait()
		c.mu.Lock()
		c.state = "ended"
		c.mu.Unlock()
		close(c.done)
	}()
	return nil
}

func (r *Runtime) time() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now()
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// Wait implements runtime.Runtime.
func (r *Runtime) Wait(ctx context.Context, id string) (runtime.Exit, error) {
	c, err := r.get(id, "running", "ended", "failed")
	if err != nil {
		return runtime.Exit{}, err
	}
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exit, c.err
}

// Signal implements runtime.Runtime.
func (r *Runtime) Signal(ctx context.Context, id string, sig syscall.Signal) error {
	if err := r.begin(ctx, "Signal", id); err != nil {
		return err
	}
	c, err := r.get(id, "running")
	if err != nil {
		return err
	}
	p := c.process
	c.mu.Unlock()
	p.deliver(sig)
	return nil
}

// Remove implements runtime.Runtime.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if err := r.begin(ctx, "Remove", id); err != nil {
		return err
	}
	c, err := r.get(id, "created", "running", "ended", "failed")
	if err != nil {
		return err
	}
	p, running := c.process, c.state == "running"
	c.mu.Unlock()
	if running {
		p.deliver(syscall.SIGKILL)
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.containers[id] != c {
		return fmt.Errorf("container %s: %w", id, runtime.ErrNotFound)
	}
	delete(r.containers, id)
	return nil
}

// Exec implements runtime.Runtime.
func (r *Runtime) Exec(ctx context.Context, id string, spec runtime.ExecSpec) (int, error) {
	if err := r.begin(ctx, "Exec", id); err != nil {
		return 0, err
	}
	if len(spec.Args) == 0 {
		return 0, errors.New("exec: no command")
	}
	c, err := r.get(id, "running")
	if err != nil {
		return 0, err
	}
	program, err := r.program(spec.Args, c.spec.Image)
	if err != nil {
		c.mu.Unlock()
		var s *runtime.StartError
		if errors.As(err, &s) {
			return s.Code, fmt.Errorf("exec in container %s: %w", id, err)
		}
		return 0, err
	}
	p := &Process{
		Spec: c.spec, Args: spec.Args, Env: append(append([]string(nil), c.spec.Env...), spec.Env...),
		User: spec.User, WorkingDir: spec.WorkingDir, Stdin: spec.Stdin, Stdout: spec.Stdout, Stderr: spec.Stderr,
	}
	if p.User == "" {
		p.User = c.spec.User
	}
	if p.WorkingDir == "" {
		p.WorkingDir = c.spec.WorkingDir
	}
	if p.Stdin == nil {
		p.Stdin = eof{}
	}
	ended := process(program, p)
	c.execs[p] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.execs, p)
		c.mu.Unlock()
	}()
	select {
	case e := <-ended:
		return e.code, nil
	case <-ctx.Done():
		p.deliver(syscall.SIGKILL)
		return 0, ctx.Err()
	}
}

// Stats implements runtime.Runtime. The numbers are plausible and constant,
// but for the CPU time, which is the time since the start.
func (r *Runtime) Stats(ctx context.Context, id string) (runtime.Stats, error) {
	if err := r.begin(ctx, "Stats", id); err != nil {
		return runtime.Stats{}, err
	}
	c, err := r.get(id, "running")
	if err != nil {
		return runtime.Stats{}, err
	}
	defer c.mu.Unlock()
	now := r.time()
	return runtime.Stats{
		Read: now, CPUUsage: now.Sub(c.exit.StartedAt),
		MemoryUsage: 8 << 20, MemoryMax: 8 << 20, MemoryLimit: uint64(c.spec.Resources.Memory), Pids: uint64(1 + len(c.execs)),
	}, nil
}

// Sweep implements runtime.Runtime.
func (r *Runtime) Sweep(ctx context.Context) error {
	if err := r.begin(ctx, "Sweep", ""); err != nil {
		return err
	}
	r.mu.Lock()
	if len(r.containers) > 0 {
		defer r.mu.Unlock()
		return fmt.Errorf("sweep: %d containers of this process exist: %w", len(r.containers), runtime.ErrState)
	}
	left := r.leftovers
	r.leftovers = map[string]*container{}
	r.mu.Unlock()
	return end(left)
}

// Close implements runtime.Runtime.
func (r *Runtime) Close() error {
	r.mu.Lock()
	all := r.containers
	r.containers, r.closed = map[string]*container{}, true
	r.mu.Unlock()
	return end(all)
}

// end kills containers and waits for them.
func end(all map[string]*container) error {
	for _, c := range all {
		c.mu.Lock()
		p, running := c.process, c.state == "running"
		c.mu.Unlock()
		if running {
			p.deliver(syscall.SIGKILL)
			<-c.done
		}
	}
	return nil
}
