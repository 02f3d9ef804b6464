// Package fake is a container runtime that runs Go functions.
//
// Tests of the agent's engine use it, and whole systems inside one test. It
// behaves: containers have states, output arrives line by line and completely
// before Wait returns, signals reach those that listen and end those that do
// not, a crash leaves containers behind for Sweep. It passes the contract suite
// of the real runtimes as far as that needs no files.
//
//	rt := fake.New()
//	rt.Handle("/bin/app", func(p *fake.Process) int {
//		fmt.Fprintln(p.Stdout, "ready")
//		<-p.Notify(syscall.SIGTERM)
//		return 0
//	})
//
// It never starts a process and never touches the disk or the network; what a
// program does is the test's affair.
package fake

import (
	"context"
	"fmt"
	"io"
	goruntime "runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// Program is what a container runs; its result is the exit code. It should
// return when p.Context ends, as nothing it does afterwards is seen.
type Program func(p *Process) int

// Process is a running Program's view of itself.
type Process struct {
	// Context ends when the process is killed.
	Context context.Context
	// Spec is the container's; an exec shares it.
	Spec runtime.ContainerSpec

	Args             []string
	Env              []string
	User, WorkingDir string
	Stdin            io.Reader
	Stdout, Stderr   io.Writer

	end func(ending)

	mu       sync.Mutex
	handlers map[syscall.Signal]chan syscall.Signal
}

// ending is how a process came to its end.
type ending struct {
	code   int
	signal syscall.Signal
	oom    bool
}

// Getenv returns a variable of the process's environment, or "".
func (p *Process) Getenv(key string) string {
	v, _ := runtime.Getenv(p.Env, key)
	return v
}

// Notify returns a channel that receives the signals, which then no longer end
// the process.
func (p *Process) Notify(signals ...syscall.Signal) <-chan syscall.Signal {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := make(chan syscall.Signal, 16)
	for _, s := range signals {
		p.handlers[s] = c
	}
	return c
}

// Allocate uses so many bytes of memory in all. Beyond the container's limit,
// or its group's, the process is killed there and then.
func (p *Process) Allocate(bytes int64) {
	for _, limit := range []int64{p.Spec.Resources.Memory, p.Spec.Group.Resources.Memory} {
		if limit > 0 && bytes > limit {
			p.end(ending{code: 128 + int(syscall.SIGKILL), signal: syscall.SIGKILL, oom: true})
			goruntime.Goexit()
		}
	}
}

// deliver gives the process a signal; SIGKILL cannot be handled.
func (p *Process) deliver(sig syscall.Signal) {
	p.mu.Lock()
	c := p.handlers[sig]
	p.mu.Unlock()
	if c != nil && sig != syscall.SIGKILL {
		select {
		case c <- sig:
		default: // as with real signals, one pending is enough
		}
		return
	}
	p.end(ending{code: 128 + int(sig), signal: sig})
}

// process starts program and returns its Process and its end.
func process(program Program, p *Process) <-chan ending {
	ctx, cancel := context.WithCancel(context.Background())
	p.Context = ctx
	p.handlers = map[syscall.Signal]chan syscall.Signal{}
	ended := make(chan ending, 1)
	var once sync.Once
	out := &gate{w: p.Stdout}
	err := &gate{w: p.Stderr}
	p.Stdout, p.Stderr = out, err
	p.end = func(e ending) {
		once.Do(func() {
			// Closed first: once the end is known, nothing more is written.
			out.close()
			err.close()
			cancel()
			ended <- e
		})
	}
	go func() {
		p.end(ending{code: program(p)})
	}()
	return ended
}

// gate is a writer that can be shut, like the output of a killed process.
type gate struct {
	mu   sync.Mutex
	w    io.Writer
	shut bool
}

func (g *gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return 0, syscall.EPIPE
	}
	if g.w == nil {
		return len(b), nil
	}
	return g.w.Write(b)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// Runtime implements runtime.Runtime. New makes one.
type Runtime struct {
	mu         sync.Mutex
	info       runtime.Info
	now        func() time.Time
	programs   map[string]Program
	fail       func(op, id string) error
	images     map[string]runtime.Image
	containers map[string]*container
	leftovers  map[string]*container
	closed     bool
}

// New returns a runtime with no programs. It claims everything: limits,
// networks, users.
func New() *Runtime {
	return &Runtime{
		info: runtime.Info{
			Name: "fake", Isolation: runtime.IsolationContainer,
			MemoryLimits: true, CPULimits: true, PidsLimits: true,
			NetNS: true, Users: true, Mounts: true, Seccomp: true, CgroupVersion: 2,
		},
		now:        time.Now,
		programs:   map[string]Program{},
		images:     map[string]runtime.Image{},
		containers: map[string]*container{},
		leftovers:  map[string]*container{},
	}
}

// Handle makes program what runs for the key: a command (Args[0]), an image's
// manifest digest or configuration digest, or "" for whatever nothing else
// matches. The command is looked for first.
func (r *Runtime) Handle(key string, program Program) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.programs[key] = program
}

// Fail has f asked before each operation ("Unpack", "CreateContainer",
// "Start", "Signal", "Remove", "Exec", "Stats", "Sweep"); its error is the
// operation's. The id is the container's, or the image's digest.
func (r *Runtime) Fail(f func(op, id string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

// Clock makes now the source of all times.
func (r *Runtime) Clock(now func() time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
}

// SetInfo changes what the runtime claims, to play a poorer one.
func (r *Runtime) SetInfo(info runtime.Info) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.info = info
}

// Containers are the specs of all containers that exist, by id.
func (r *Runtime) Containers() []runtime.ContainerSpec {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []runtime.ContainerSpec
	for _, c := range r.containers {
		out = append(out, c.spec)
	}
	slices.SortFunc(out, func(a, b runtime.ContainerSpec) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// Crash returns the runtime that the next agent on the same host opens after
// this one's was killed: the programs and images are there, the containers run
// on, their output is lost, and only Sweep ends them. The receiver is closed.
func (r *Runtime) Crash() *Runtime {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := New()
	next.info, next.now, next.programs, next.images = r.info, r.now, r.programs, r.images
	next.leftovers = r.containers
	r.containers, r.closed = map[string]*container{}, true
	for _, c := range next.leftovers {
		c.stdout.close()
		c.stderr.close()
	}
	return next
}

// Info implements runtime.Runtime.
func (r *Runtime) Info() runtime.Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info
}

// begin is the start of every operation.
func (r *Runtime) begin(ctx context.Context, op, id string) error {
	r.mu.Lock()
	fail, closed := r.fail, r.closed
	r.mu.Unlock()
	if closed {
		return fmt.Errorf("%s %s: runtime is closed: %w", op, id, runtime.ErrState)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if fail != nil {
		return fail(op, id)
	}
	return nil
}

// Unpack implements runtime.Runtime.
func (r *Runtime) Unpack(ctx context.Context, img v1.Image) (runtime.Image, error) {
	digest, err := img.Digest()
	if err != nil {
		return runtime.Image{}, err
	}
	if err := r.begin(ctx, "Unpack", digest.String()); err != nil {
		return runtime.Image{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return runtime.Image{}, err
	}
	id, err := img.ConfigName()
	if err != nil {
		return runtime.Image{}, err
	}
	out := runtime.Image{ID: id.String(), Digest: digest.String(), Config: config.Config}
	for _, l := range config.RootFS.DiffIDs {
		out.Layers = append(out.Layers, l.String())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[out.Digest] = out
	return out, nil
}

// Image implements runtime.Runtime.
func (r *Runtime) Image(_ context.Context, digest string) (runtime.Image, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	img, ok := r.images[digest]
	if !ok {
		return img, fmt.Errorf("image %q: %w", digest, runtime.ErrNotFound)
	}
	return img, nil
}

func (r *Runtime) program(args []string, img runtime.Image) (Program, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range []string{args[0], img.Digest, img.ID, ""} {
		if p := r.programs[key]; p != nil && (key != "" || args[0] != "") {
			return p, nil
		}
	}
	return nil, &runtime.StartError{Code: 127, Err: fmt.Errorf("exec: %q: no such file or directory", args[0])}
}
