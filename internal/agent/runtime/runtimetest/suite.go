// Package runtimetest judges runtimes: one contract suite that every
// implementation of runtime.Runtime runs in its own tests.
//
// What a runtime says in its Info that it does not do is not asked of it; each
// such gap is printed as a skipped test with what is missing. What it claims,
// it must do.
package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// Subject is a runtime under test.
type Subject struct {
	// New opens a runtime on the state root; the suite closes it.
	New func(tb testing.TB, root string) runtime.Runtime
	// Image is what containers are made from; nil is ProbeImage. Its
	// programs must behave as testdata/probe does.
	Image func(tb testing.TB) v1.Image
	// Virtual is set by runtimes without files, such as the fake: tests
	// about the image's files are not asked of them.
	Virtual bool
}

// bed is one runtime with the probe image unpacked.
type bed struct {
	testing.TB
	rt   runtime.Runtime
	img  runtime.Image
	info runtime.Info
	n    int
}

func (s Subject) open(tb testing.TB) *bed {
	tb.Helper()
	rt := s.New(tb, tb.TempDir())
	tb.Cleanup(func() {
		if err := rt.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	make := ProbeImage
	if s.Image != nil {
		make = s.Image
	}
	img, err := rt.Unpack(tb.Context(), make(tb))
	if err != nil {
		tb.Fatalf("unpack: %v", err)
	}
	return &bed{TB: tb, rt: rt, img: img, info: rt.Info()}
}

// Sink collects lines; it is the LogSink of all tests.
type Sink struct {
	mu    sync.Mutex
	lines map[runtime.Stream][]string
	grown chan struct{}
}

// NewSink returns an empty Sink.
func NewSink() *Sink {
	return &Sink{lines: map[runtime.Stream][]string{}, grown: make(chan struct{}, 1)}
}

// Line implements runtime.LogSink.
func (s *Sink) Line(stream runtime.Stream, _ time.Time, line []byte) {
	s.mu.Lock()
	s.lines[stream] = append(s.lines[stream], string(line))
	s.mu.Unlock()
	select {
	case s.grown <- struct{}{}:
	default:
	}
}

// Text is what has been written to the stream, joined by newlines.
func (s *Sink) Text(stream runtime.Stream) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[stream], "\n")
}

// Lines are the lines of the stream.
func (s *Sink) Lines(stream runtime.Stream) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines[stream]...)
}

// Await waits for a line on stdout.
func (s *Sink) Await(tb testing.TB, want string) {
	tb.Helper()
	deadline := time.After(20 * time.Second)
	for {
		for _, l := range s.Lines(runtime.Stdout) {
			if l == want {
				return
			}
		}
		select {
		case <-s.grown:
		case <-deadline:
			tb.Fatalf("no line %q; stdout %q, stderr %q", want, s.Text(runtime.Stdout), s.Text(runtime.Stderr))
		}
	}
}

// spec is a container of the probe image running the verb.
func (b *bed) spec(args ...string) (runtime.ContainerSpec, *Sink) {
	b.n++
	sink := NewSink()
	return runtime.ContainerSpec{
		ID:    fmt.Sprintf("c%d", b.n),
		Name:  "test",
		Image: b.img,
		Args:  append([]string{"/bin/probe"}, args...),
		Env:   []string{"PATH=/bin"},
		Log:   sink,
	}, sink
}

func (b *bed) start(spec runtime.ContainerSpec) string {
	b.Helper()
	id, err := b.rt.CreateContainer(b.Context(), spec)
	if err != nil {
		b.Fatalf("create: %v", err)
	}
	if err := b.rt.Start(b.Context(), id); err != nil {
		b.Fatalf("start: %v", err)
	}
	return id
}

func (b *bed) wait(id string) runtime.Exit {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 60*time.Second)
	defer cancel()
	exit, err := b.rt.Wait(ctx, id)
	if err != nil {
		b.Fatalf("wait: %v", err)
	}
	return exit
}

// run is create, start, wait and remove.
func (b *bed) run(spec runtime.ContainerSpec) runtime.Exit {
	b.Helper()
	id := b.start(spec)
	exit := b.wait(id)
	if err := b.rt.Remove(b.Context(), id); err != nil {
		b.Errorf("remove: %v", err)
	}
	return exit
}

// output runs the verb with changes to the spec and returns stdout.
func (b *bed) output(change func(*runtime.ContainerSpec), args ...string) string {
	b.Helper()
	spec, sink := b.spec(args...)
	if change != nil {
		change(&spec)
	}
	if exit := b.run(spec); exit.Code != 0 {
		b.Fatalf("%v: exit %d, stderr %q", args, exit.Code, sink.Text(runtime.Stderr))
	}
	return sink.Text(runtime.Stdout)
}

func (b *bed) needs(ok bool, what string) {
	b.Helper()
	if !ok {
		b.Skipf("the %s runtime (isolation %s) does not offer: %s", b.info.Name, b.info.Isolation, what)
	}
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	test := func(name string, f func(*bed)) {
		t.Run(name, func(t *testing.T) { f(s.open(t)) })
	}
	files := func(name string, f func(*bed)) {
		t.Run(name, func(t *testing.T) {
			if s.Virtual {
				t.Skip("this runtime has no files")
			}
			f(s.open(t))
		})
	}
	test("ExitCode", exitCode)
	test("MissingCommand", missingCommand)
	test("States", states)
	test("BadSpecs", badSpecs)
	test("Output", output)
	test("Terminate", terminate)
	test("Stop", stop)
	test("RemoveRunning", removeRunning)
	test("Exec", execs)
	test("WaitMany", waitMany)
	test("ImagePresent", imagePresent)
	test("Environment", environment)
	files("WorkingDir", workingDir)
	files("Layers", layers)
	files("NotExecutable", notExecutable)
	files("Terminal", terminal)
	files("User", user)
	files("ReadonlyRootfs", readonlyRootfs)
	files("OwnWrites", ownWrites)
	files("Mounts", mounts)
	files("Hostname", hostname)
	files("Orphans", orphans)
	files("Confinement", confinement)
	files("Capabilities", capabilities)
	files("Ulimits", ulimits)
	files("MemoryLimit", memoryLimit)
	files("GroupLimit", groupLimit)
	files("CPUQuota", cpuQuota)
	files("PidsLimit", pidsLimit)
	files("Stats", stats)
	files("SharedNetwork", sharedNetwork)
}

func exitCode(b *bed) {
	for _, code := range []int{0, 3, 9, 42} {
		spec, _ := b.spec("exit", fmt.Sprint(code))
		before := time.Now()
		exit := b.run(spec)
		if exit.Code != code || exit.Signal != 0 || exit.OOMKilled {
			b.Errorf("exit %d: got %+v", code, exit)
		}
		if exit.StartedAt.Before(before) || exit.FinishedAt.Before(exit.StartedAt) {
			b.Errorf("times are out of order: %v %v %v", before, exit.StartedAt, exit.FinishedAt)
		}
	}
}

func missingCommand(b *bed) {
	spec, _ := b.spec()
	spec.Args = []string{"/bin/absent"}
	id, err := b.rt.CreateContainer(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	err = b.rt.Start(b.Context(), id)
	var start *runtime.StartError
	if !errors.As(err, &start) || start.Code != 127 || !strings.Contains(err.Error(), "/bin/absent") {
		b.Errorf("start of an absent command: %#v %v", start, err)
	}
	if err := b.rt.Start(b.Context(), id); !errors.Is(err, runtime.ErrState) {
		b.Errorf("second start: %v", err)
	}
	if _, err := b.rt.Wait(b.Context(), id); err == nil {
		b.Error("wait for a container that did not start gives no error")
	}
	if err := b.rt.Remove(b.Context(), id); err != nil {
		b.Error(err)
	}
}

func states(b *bed) {
	ctx := b.Context()
	want := func(what string, got, want error) {
		b.Helper()
		if !errors.Is(got, want) {
			b.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	code := func(_ any, err error) error { return err }
	want("start unknown", b.rt.Start(ctx, "nobody"), runtime.ErrNotFound)
	want("signal unknown", b.rt.Signal(ctx, "nobody", syscall.SIGTERM), runtime.ErrNotFound)
	want("remove unknown", b.rt.Remove(ctx, "nobody"), runtime.ErrNotFound)
	want("wait unknown", code(b.rt.Wait(ctx, "nobody")), runtime.ErrNotFound)

	spec, sink := b.spec("trap", "42")
	id, err := b.rt.CreateContainer(ctx, spec)
	if err != nil || id != spec.ID {
		b.Fatalf("create: %q %v", id, err)
	}
	want("create again", code(b.rt.CreateContainer(ctx, spec)), runtime.ErrExists)
	want("wait created", code(b.rt.Wait(ctx, id)), runtime.ErrState)
	want("signal created", b.rt.Signal(ctx, id, syscall.SIGTERM), runtime.ErrState)
	want("exec created", code(b.rt.Exec(ctx, id, runtime.ExecSpec{Args: []string{"/bin/probe", "pid"}})), runtime.ErrState)
	want("sweep with containers", b.rt.Sweep(ctx), runtime.ErrState)
	want("start", b.rt.Start(ctx, id), nil)
	want("start again", b.rt.Start(ctx, id), runtime.ErrState)
	sink.Await(b, "ready")
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	want("wait too short", code(b.rt.Wait(short, id)), context.DeadlineExceeded)
	cancel()
	want("signal", b.rt.Signal(ctx, id, syscall.SIGTERM), nil)
	if exit := b.wait(id); exit.Code != 42 {
		b.Errorf("exit %+v", exit)
	}
	want("signal ended", b.rt.Signal(ctx, id, syscall.SIGTERM), runtime.ErrState)
	want("exec ended", code(b.rt.Exec(ctx, id, runtime.ExecSpec{Args: []string{"/bin/probe", "pid"}})), runtime.ErrState)
	want("remove", b.rt.Remove(ctx, id), nil)
	want("remove again", b.rt.Remove(ctx, id), runtime.ErrNotFound)

	// A name is free again, also of a container that never ran.
	id, err = b.rt.CreateContainer(ctx, spec)
	want("create after remove", err, nil)
	want("remove created", b.rt.Remove(ctx, id), nil)
}

func badSpecs(b *bed) {
	for name, change := range map[string]func(*runtime.ContainerSpec){
		"id with slash":       func(s *runtime.ContainerSpec) { s.ID = "../x" },
		"id dot":              func(s *runtime.ContainerSpec) { s.ID = ".." },
		"group with slash":    func(s *runtime.ContainerSpec) { s.Group.ID = "a/b" },
		"no command":          func(s *runtime.ContainerSpec) { s.Args = nil },
		"environment":         func(s *runtime.ContainerSpec) { s.Env = []string{"NOVALUE"} },
		"relative directory":  func(s *runtime.ContainerSpec) { s.WorkingDir = "x" },
		"unknown ulimit":      func(s *runtime.ContainerSpec) { s.Ulimits = []runtime.Ulimit{{Name: "x"}} },
		"soft above hard":     func(s *runtime.ContainerSpec) { s.Ulimits = []runtime.Ulimit{{Name: "nofile", Soft: 2, Hard: 1}} },
		"mount over the root": func(s *runtime.ContainerSpec) { s.Mounts = []runtime.Mount{{Type: "tmpfs", Target: "/x/.."}} },
	} {
		spec, _ := b.spec("exit", "0")
		change(&spec)
		if _, err := b.rt.CreateContainer(b.Context(), spec); err == nil {
			b.Errorf("%s: accepted", name)
		}
	}
}

func output(b *bed) {
	spec, sink := b.spec("both")
	b.run(spec)
	if out, err := sink.Text(runtime.Stdout), sink.Text(runtime.Stderr); out != "to stdout" || err != "to stderr" {
		b.Errorf("stdout %q, stderr %q", out, err)
	}
	for _, n := range []int{0, 4095, 4096, 16<<10 - 1, 16 << 10, 100_000, runtime.MaxLine, runtime.MaxLine + 1, 3 * runtime.MaxLine} {
		spec, sink := b.spec("long", fmt.Sprint(n))
		b.run(spec)
		lines := sink.Lines(runtime.Stdout)
		if last := lines[len(lines)-1]; last != "no newline at end" {
			b.Errorf("%d: last line is %.40q", n, last)
		}
		joined := strings.Join(lines[:len(lines)-1], "")
		if joined != strings.Repeat("x", n) {
			b.Errorf("a line of %d bytes arrived as %d", n, len(joined))
		}
		if want := max(1, (n+runtime.MaxLine-1)/runtime.MaxLine); len(lines)-1 != want {
			b.Errorf("a line of %d bytes arrived in %d pieces, want %d", n, len(lines)-1, want)
		}
	}
	// All of it has arrived when Wait returns.
	spec, sink = b.spec("flood", "20000")
	b.run(spec)
	lines := sink.Lines(runtime.Stdout)
	if len(lines) != 20000 || lines[19999] != "line 19999" {
		b.Errorf("%d of 20000 lines", len(lines))
	}
}

func terminate(b *bed) {
	spec, sink := b.spec("trap", "42")
	id := b.start(spec)
	sink.Await(b, "ready")
	exit, err := runtime.Stop(b.Context(), b.rt, id, 0, 20*time.Second)
	if err != nil || exit.Code != 42 || exit.Signal != 0 {
		b.Errorf("stop: %+v %v", exit, err)
	}
	if !strings.Contains(sink.Text(runtime.Stdout), "terminated") {
		b.Error("the last line is missing")
	}
	// Stopping what has ended gives its exit.
	if again, err := runtime.Stop(b.Context(), b.rt, id, 0, time.Second); err != nil || again != exit {
		b.Errorf("stop again: %+v %v", again, err)
	}
}

func stop(b *bed) {
	spec, sink := b.spec("stubborn")
	id := b.start(spec)
	sink.Await(b, "ready")
	before := time.Now()
	exit, err := runtime.Stop(b.Context(), b.rt, id, syscall.SIGTERM, 200*time.Millisecond)
	if err != nil || exit.Code != 137 || exit.Signal != syscall.SIGKILL || exit.OOMKilled {
		b.Errorf("stop: %+v %v", exit, err)
	}
	if took := time.Since(before); took < 200*time.Millisecond {
		b.Errorf("killed after %v, before the grace was over", took)
	}
}

func removeRunning(b *bed) {
	spec, sink := b.spec("stubborn")
	id := b.start(spec)
	sink.Await(b, "ready")
	if err := b.rt.Remove(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	if _, err := b.rt.Wait(b.Context(), id); !errors.Is(err, runtime.ErrNotFound) {
		b.Errorf("wait after remove: %v", err)
	}
}

func execs(b *bed) {
	spec, sink := b.spec("trap", "0")
	spec.Env = append(spec.Env, "OF_CONTAINER=1")
	id := b.start(spec)
	sink.Await(b, "ready")
	run := func(e runtime.ExecSpec) (int, string, error) {
		var out bytes.Buffer
		e.Stdout = &out
		code, err := b.rt.Exec(b.Context(), id, e)
		return code, out.String(), err
	}
	if code, _, err := run(runtime.ExecSpec{Args: []string{"/bin/probe", "exit", "9"}}); code != 9 || err != nil {
		b.Errorf("exit code: %d %v", code, err)
	}
	if code, out, err := run(runtime.ExecSpec{Args: []string{"/bin/probe", "stdin"}, Stdin: strings.NewReader("through")}); code != 0 || out != "through" || err != nil {
		b.Errorf("stdin: %d %q %v", code, out, err)
	}
	if _, out, err := run(runtime.ExecSpec{Args: []string{"/bin/probe", "env"}, Env: []string{"OF_EXEC=2"}}); err != nil || !strings.Contains(out, "OF_CONTAINER=1\n") || !strings.Contains(out, "OF_EXEC=2\n") {
		b.Errorf("environment: %q %v", out, err)
	}
	code, _, err := run(runtime.ExecSpec{Args: []string{"/bin/absent"}})
	var start *runtime.StartError
	if !errors.As(err, &start) || code != 127 {
		b.Errorf("absent command: %d %v", code, err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 200*time.Millisecond)
	defer cancel()
	before := time.Now()
	_, err = b.rt.Exec(ctx, id, runtime.ExecSpec{Args: []string{"/bin/probe", "sleep", "1h"}})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(before) > 10*time.Second {
		b.Errorf("cancelled: %v after %v", err, time.Since(before))
	}
	// The container is none the worse.
	if code, _, err := run(runtime.ExecSpec{Args: []string{"/bin/probe", "exit", "0"}}); code != 0 || err != nil {
		b.Errorf("after all: %d %v", code, err)
	}
	if b.info.Users {
		if _, out, err := run(runtime.ExecSpec{Args: []string{"/bin/probe", "id"}, User: "app"}); err != nil || !strings.HasPrefix(out, "1000 1000 ") {
			b.Errorf("user: %q %v", out, err)
		}
	}
	if b.info.Isolation == runtime.IsolationContainer {
		if _, out, err := run(runtime.ExecSpec{Args: []string{"/bin/probe", "forbidden"}}); err != nil || allowed(b, out) {
			b.Errorf("exec may: %q %v", out, err)
		}
	}
}

func terminal(b *bed) {
	spec, sink := b.spec("trap", "0")
	id := b.start(spec)
	sink.Await(b, "ready")
	resize := make(chan runtime.TerminalSize, 1)
	in, typed := io.Pipe()
	defer typed.Close()
	var out bytes.Buffer
	done := make(chan error, 1)
	shown := make(chan string, 100)
	go func() {
		code, err := b.rt.Exec(b.Context(), id, runtime.ExecSpec{
			Args: []string{"/bin/probe", "terminal"}, Stdin: in, Stdout: io.MultiWriter(&out, lineWriter{shown}),
			Terminal: &runtime.Terminal{Size: runtime.TerminalSize{Rows: 24, Columns: 80}, Resize: resize},
		})
		if err == nil && code != 5 {
			err = fmt.Errorf("exit %d", code)
		}
		done <- err
	}()
	await := func(want string) {
		b.Helper()
		deadline := time.After(20 * time.Second)
		var seen string
		for !strings.Contains(seen, want) {
			select {
			case s := <-shown:
				seen += s
			case err := <-done:
				done <- err
				b.Fatalf("ended (%v) before %q: %q", err, want, seen)
			case <-deadline:
				b.Fatalf("no %q in %q", want, seen)
			}
		}
	}
	if b.info.Isolation == runtime.IsolationNone {
		if err := <-done; !errors.Is(err, runtime.ErrUnsupported) {
			b.Errorf("a terminal without terminals: %v", err)
		}
		return
	}
	await("size 24x80")
	resize <- runtime.TerminalSize{Rows: 50, Columns: 132}
	await("size 50x132")
	// The terminal's line discipline is at work: what is typed is echoed.
	io.WriteString(typed, "hello\n")
	await("got hello")
	if err := <-done; err != nil {
		b.Errorf("exec: %v, shown %q", err, out.String())
	}
}

// lineWriter passes on what is written.
type lineWriter struct{ c chan<- string }

func (w lineWriter) Write(b []byte) (int, error) {
	w.c <- string(b)
	return len(b), nil
}

func waitMany(b *bed) {
	spec, sink := b.spec("trap", "7")
	id := b.start(spec)
	sink.Await(b, "ready")
	var wg sync.WaitGroup
	exits := make([]runtime.Exit, 5)
	for i := range exits {
		wg.Go(func() { exits[i], _ = b.rt.Wait(b.Context(), id) })
	}
	if err := b.rt.Signal(b.Context(), id, syscall.SIGTERM); err != nil {
		b.Error(err)
	}
	wg.Wait()
	for _, e := range exits {
		if e != exits[0] || e.Code != 7 {
			b.Errorf("exits differ: %+v", exits)
		}
	}
}

func imagePresent(b *bed) {
	got, err := b.rt.Image(b.Context(), b.img.Digest)
	if err != nil || got.ID != b.img.ID || len(got.Layers) != len(b.img.Layers) || len(got.Config.Entrypoint) != 1 {
		b.Errorf("image: %+v %v", got, err)
	}
	for _, d := range []string{"sha256:" + strings.Repeat("0", 64), "latest", ""} {
		if _, err := b.rt.Image(b.Context(), d); !errors.Is(err, runtime.ErrNotFound) {
			b.Errorf("image %q: %v", d, err)
		}
	}
}
