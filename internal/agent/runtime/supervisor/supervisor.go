// Package supervisor is what the real runtimes have in common: the table of
// containers, their states, their output and their directories on disk. The
// embedded, userns and process runtimes each give it a [Driver] and are
// complete.
//
//	          Create            Start              the command ends
//	(nothing) ------> created ---------> running ------------------> ended
//	                     |      \ StartError |                          |
//	                     |       `--------> failed                      |
//	                     +-------------------+---- Remove --------------+--> (nothing)
//
// On disk, below the state root:
//
//	lock                     held (flock) by the process that owns the root
//	images/                  the image store
//	containers/ID/           one directory for each container
//	containers/ID/state.json what Sweep needs to end it after a crash
//
// It never knows how a container is isolated: that is the driver's.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/image"
)

// Driver makes containers of one kind.
type Driver interface {
	Info() runtime.Info
	// Prepare makes everything that can be made before the start, below
	// dir, which exists and belongs to the container. When it fails it
	// leaves nothing but files in dir.
	Prepare(ctx context.Context, dir string, spec runtime.ContainerSpec) (Container, error)
	// Sweep ends what a dead process left: dirs are the container
	// directories found. It removes everything but the directories.
	Sweep(ctx context.Context, dirs []string) error
	Close() error
}

// Container is one prepared container. Its methods are called by the
// supervisor in the order of the drawing; Signal, Exec and Stats only between
// Start and the return of Wait.
type Container interface {
	// Start executes the command with these outputs. The files are
	// the caller's to close.
	Start(ctx context.Context, stdout, stderr *os.File) error
	// Pid is the first process as the host sees it.
	Pid() int
	// Wait returns when the first process has ended. Called once.
	Wait() (*os.ProcessState, error)
	// Finish is called once after Wait, before Destroy, to fill in what is
	// only known while the container's resources exist, and to end
	// whatever the first process left running.
	Finish(*runtime.Exit)
	Signal(syscall.Signal) error
	Exec(context.Context, runtime.ExecSpec) (int, error)
	Stats() (runtime.Stats, error)
	// Destroy releases everything; the process has ended or never started.
	Destroy() error
}

// drainTime bounds how long output is read after the end, should some process
// outside the container hold the pipe.
const drainTime = 5 * time.Second

type state int

const (
	created state = iota
	starting
	running
	ended
	failed
)

func (s state) String() string {
	return [...]string{"created", "starting", "running", "ended", "failed"}[s]
}

// Supervisor implements runtime.Runtime over a Driver.
type Supervisor struct {
	root   string
	store  *image.Store
	driver Driver
	unlock func() error

	mu         sync.Mutex
	containers map[string]*container
	closed     bool
}

type container struct {
	spec   runtime.ContainerSpec
	dir    string
	driver Container

	mu    sync.Mutex
	state state
	exit  runtime.Exit
	err   error         // of Wait
	done  chan struct{} // closed at ended and failed
	gone  bool          // Remove is under way
}

// Lock takes the state root for this process: two agents on one root would
// sweep each other's containers.
func Lock(root string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Join(root, "containers"), 0o700); err != nil {
		return nil, fmt.Errorf("state root: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state root: %w", err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("state root %s is in use by another process: %w", root, err)
	}
	return f.Close, nil
}

// New returns a runtime over driver. The root has been locked by Lock, whose
// unlock Close calls.
func New(root string, store *image.Store, driver Driver, unlock func() error) *Supervisor {
	return &Supervisor{
		root: root, store: store, driver: driver, unlock: unlock,
		containers: map[string]*container{},
	}
}

// Info implements runtime.Runtime.
func (s *Supervisor) Info() runtime.Info { return s.driver.Info() }

// Unpack implements runtime.Runtime.
func (s *Supervisor) Unpack(ctx context.Context, img v1.Image) (runtime.Image, error) {
	return s.store.Unpack(ctx, img)
}

// Image implements runtime.Runtime.
func (s *Supervisor) Image(_ context.Context, digest string) (runtime.Image, error) {
	return s.store.Image(digest)
}

func (s *Supervisor) dir(id string) string { return filepath.Join(s.root, "containers", id) }

// CreateContainer implements runtime.Runtime.
func (s *Supervisor) CreateContainer(ctx context.Context, spec runtime.ContainerSpec) (string, error) {
	if err := runtime.CheckSpec(spec, s.driver.Info()); err != nil {
		return "", err
	}
	c := &container{spec: spec, dir: s.dir(spec.ID), done: make(chan struct{})}
	s.mu.Lock()
	switch _, taken := s.containers[spec.ID]; {
	case s.closed:
		s.mu.Unlock()
		return "", fmt.Errorf("container %s: runtime is closed: %w", spec.ID, runtime.ErrState)
	case taken:
		s.mu.Unlock()
		return "", fmt.Errorf("container %s: %w", spec.ID, runtime.ErrExists)
	}
	// The name is taken from here on; until Prepare is done the container
	// cannot be used, because c.mu is held.
	c.mu.Lock()
	defer c.mu.Unlock()
	s.containers[spec.ID] = c
	s.mu.Unlock()

	err := s.prepare(ctx, c)
	if err != nil {
		c.gone = true
		s.forget(spec.ID)
		return "", fmt.Errorf("create container %s: %w", spec.ID, err)
	}
	return spec.ID, nil
}

func (s *Supervisor) prepare(ctx context.Context, c *container) error {
	err := os.Mkdir(c.dir, 0o711)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s was left by an earlier process, Sweep first: %w", c.dir, runtime.ErrExists)
	}
	if err != nil {
		return err
	}
	// Written before anything is made, so that Sweep knows of it.
	if err := writeRecord(c.dir, record{ID: c.spec.ID, Name: c.spec.Name}); err != nil {
		os.RemoveAll(c.dir)
		return err
	}
	if c.driver, err = s.driver.Prepare(ctx, c.dir, c.spec); err != nil {
		return errors.Join(err, RemoveTree(c.dir))
	}
	return nil
}

func (s *Supervisor) forget(id string) {
	s.mu.Lock()
	delete(s.containers, id)
	s.mu.Unlock()
}

func (s *Supervisor) get(id string) (*container, error) {
	s.mu.Lock()
	c := s.containers[id]
	s.mu.Unlock()
	if c == nil {
		return nil, fmt.Errorf("container %s: %w", id, runtime.ErrNotFound)
	}
	return c, nil
}

// inState locks the container if it is in one of the states.
func (s *Supervisor) inState(id string, want ...state) (*container, error) {
	c, err := s.get(id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return nil, fmt.Errorf("container %s: %w", id, runtime.ErrNotFound)
	}
	for _, w := range want {
		if c.state == w {
			return c, nil
		}
	}
	defer c.mu.Unlock()
	return nil, fmt.Errorf("container %s is %s: %w", id, c.state, runtime.ErrState)
}

// Start implements runtime.Runtime.
func (s *Supervisor) Start(ctx context.Context, id string) error {
	c, err := s.inState(id, created)
	if err != nil {
		return err
	}
	c.state = starting
	// Held throughout: Signal and Remove wait for the outcome of the start.
	defer c.mu.Unlock()
	fail := func(err error) error {
		c.state = failed
		c.err = fmt.Errorf("container %s did not start: %w", id, err)
		close(c.done)
		return fmt.Errorf("start container %s: %w", id, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	out, err := newOutput(c.spec.Log)
	if err != nil {
		return fail(err)
	}
	started := time.Now()
	err = c.driver.Start(ctx, out.stdout, out.stderr)
	out.started()
	if err != nil {
		out.drain(drainTime)
		return fail(err)
	}
	c.state = running
	c.exit.StartedAt = started
	go c.wait(out)
	pid := c.driver.Pid()
	if err := writeRecord(c.dir, record{ID: id, Name: c.spec.Name, Pid: pid, StartTime: startTime(pid), Boot: bootID()}); err != nil {
		c.driver.Signal(syscall.SIGKILL)
		return fmt.Errorf("start container %s: %w", id, err)
	}
	return nil
}

// wait follows a running container to its end.
func (c *container) wait(out *output) {
	ps, err := c.driver.Wait()
	finished := time.Now()
	exit := runtime.Exit{FinishedAt: finished}
	if ps != nil {
		exit.Code, exit.Signal = exitStatus(ps)
		err = nil
	}
	c.driver.Finish(&exit)
	out.drain(drainTime)

	c.mu.Lock()
	defer c.mu.Unlock()
	exit.StartedAt = c.exit.StartedAt
	c.exit, c.err = exit, err
	c.state = ended
	close(c.done)
}

// Wait implements runtime.Runtime.
func (s *Supervisor) Wait(ctx context.Context, id string) (runtime.Exit, error) {
	c, err := s.inState(id, starting, running, ended, failed)
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
func (s *Supervisor) Signal(_ context.Context, id string, sig syscall.Signal) error {
	c, err := s.inState(id, running)
	if err != nil {
		return err
	}
	defer c.mu.Unlock()
	if err := c.driver.Signal(sig); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("container %s has ended: %w", id, runtime.ErrState)
		}
		return fmt.Errorf("signal container %s: %w", id, err)
	}
	return nil
}

// Exec implements runtime.Runtime.
func (s *Supervisor) Exec(ctx context.Context, id string, spec runtime.ExecSpec) (int, error) {
	if len(spec.Args) == 0 {
		return 0, errors.New("exec: no command")
	}
	c, err := s.inState(id, running)
	if err != nil {
		return 0, err
	}
	// Not held meanwhile: the container may end under the command, which
	// ends the command too.
	c.mu.Unlock()
	code, err := c.driver.Exec(ctx, spec)
	if err != nil {
		return code, fmt.Errorf("exec in container %s: %w", id, err)
	}
	return code, nil
}

// Stats implements runtime.Runtime.
func (s *Supervisor) Stats(_ context.Context, id string) (runtime.Stats, error) {
	c, err := s.inState(id, running)
	if err != nil {
		return runtime.Stats{}, err
	}
	defer c.mu.Unlock()
	st, err := c.driver.Stats()
	if err != nil {
		return st, fmt.Errorf("stats of container %s: %w", id, err)
	}
	return st, nil
}

// Remove implements runtime.Runtime.
func (s *Supervisor) Remove(ctx context.Context, id string) error {
	c, err := s.inState(id, created, running, ended, failed)
	if err != nil {
		return err
	}
	if c.state == running {
		err := c.driver.Signal(syscall.SIGKILL)
		c.mu.Unlock()
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("remove container %s: %w", id, err)
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		c.mu.Lock()
		if c.gone {
			c.mu.Unlock()
			return fmt.Errorf("container %s: %w", id, runtime.ErrNotFound)
		}
	}
	c.gone = true
	defer c.mu.Unlock()
	err = c.driver.Destroy()
	if err == nil {
		err = RemoveTree(c.dir)
	}
	if err != nil {
		// It stays, so that Remove can be called again.
		c.gone = false
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	s.forget(id)
	return nil
}

// Sweep implements runtime.Runtime.
func (s *Supervisor) Sweep(ctx context.Context) error {
	s.mu.Lock()
	n := len(s.containers)
	s.mu.Unlock()
	if n > 0 {
		return fmt.Errorf("sweep: %d containers of this process exist: %w", n, runtime.ErrState)
	}
	entries, err := os.ReadDir(filepath.Join(s.root, "containers"))
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		dirs = append(dirs, s.dir(e.Name()))
	}
	if err := s.driver.Sweep(ctx, dirs); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	for _, d := range dirs {
		if err := RemoveTree(d); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	return nil
}

// Close implements runtime.Runtime.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var ids []string
	for id := range s.containers {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, id := range ids {
		if err := s.Remove(ctx, id); err != nil && !errors.Is(err, runtime.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, s.driver.Close(), s.unlock())...)
}
