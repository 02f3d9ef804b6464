package fake_test

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/fake"
	"github.com/remit-ecs/remit/internal/agent/runtime/runtimetest"
)

// probe does what the suite's program does, where no files are concerned.
func probe(p *fake.Process) int {
	arg := func(i int) string {
		if i < len(p.Args) {
			return p.Args[i]
		}
		return ""
	}
	n, _ := strconv.Atoi(arg(2))
	switch arg(1) {
	case "exit":
		return n
	case "both":
		fmt.Fprintln(p.Stdout, "to stdout")
		fmt.Fprintln(p.Stderr, "to stderr")
	case "long":
		fmt.Fprintf(p.Stdout, "%s\nno newline at end", strings.Repeat("x", n))
	case "flood":
		for i := range n {
			fmt.Fprintf(p.Stdout, "line %d\n", i)
		}
	case "env":
		for _, e := range p.Env {
			k, v, _ := strings.Cut(e, "=")
			if p.Getenv(k) == v {
				fmt.Fprintln(p.Stdout, e)
			}
		}
	case "stdin":
		io.Copy(p.Stdout, p.Stdin)
	case "id":
		fmt.Fprintln(p.Stdout, "1000 1000 [1000]")
	case "sleep":
		<-p.Context.Done()
	case "trap":
		c := p.Notify(syscall.SIGTERM)
		fmt.Fprintln(p.Stdout, "ready")
		select {
		case <-c:
		case <-p.Context.Done():
		}
		fmt.Fprintln(p.Stdout, "terminated")
		return n
	case "stubborn":
		p.Notify(syscall.SIGTERM)
		fmt.Fprintln(p.Stdout, "ready")
		<-p.Context.Done()
	case "memory":
		p.Allocate(int64(n) << 20)
	}
	return 0
}

func open(tb testing.TB, _ string) runtime.Runtime {
	rt := fake.New()
	rt.Handle("/bin/probe", probe)
	return rt
}

func image(tb testing.TB) v1.Image {
	return runtimetest.Image(tb, v1.Config{Entrypoint: []string{"/bin/probe"}})
}

func TestContract(t *testing.T) {
	runtimetest.Run(t, runtimetest.Subject{New: open, Image: image, Virtual: true})
}

func start(t *testing.T, rt *fake.Runtime, spec runtime.ContainerSpec) {
	t.Helper()
	img, err := rt.Unpack(t.Context(), image(t))
	if err != nil {
		t.Fatal(err)
	}
	spec.Image = img
	if _, err := rt.CreateContainer(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context(), spec.ID); err != nil {
		t.Fatal(err)
	}
}

func TestMemory(t *testing.T) {
	rt := fake.New()
	rt.Handle("", probe)
	start(t, rt, runtime.ContainerSpec{ID: "a", Args: []string{"any", "memory", "100"}, Resources: runtime.Resources{Memory: 50 << 20}})
	exit, err := rt.Wait(t.Context(), "a")
	if err != nil || exit.Code != 137 || !exit.OOMKilled {
		t.Errorf("%+v %v", exit, err)
	}
}

func TestUnhandledSignal(t *testing.T) {
	rt := fake.New()
	rt.Handle("", probe)
	start(t, rt, runtime.ContainerSpec{ID: "a", Args: []string{"any", "sleep"}})
	exit, err := runtime.Stop(t.Context(), rt, "a", 0, time.Minute)
	if err != nil || exit.Code != 143 || exit.Signal != syscall.SIGTERM {
		t.Errorf("%+v %v", exit, err)
	}
}

func TestCrash(t *testing.T) {
	rt := fake.New()
	rt.Handle("", probe)
	spec := runtime.ContainerSpec{ID: "a", Args: []string{"any", "stubborn"}}
	start(t, rt, spec)
	next := rt.Crash()
	if err := rt.Start(t.Context(), "a"); err == nil {
		t.Error("the dead runtime still works")
	}
	img, err := next.Unpack(t.Context(), image(t))
	if err != nil {
		t.Fatal(err)
	}
	spec.Image = img
	if _, err := next.CreateContainer(t.Context(), spec); !errors.Is(err, runtime.ErrExists) {
		t.Errorf("create before sweep: %v", err)
	}
	if err := next.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, next, spec)
	if got := next.Containers(); len(got) != 1 || got[0].ID != "a" {
		t.Errorf("containers %v", got)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFail(t *testing.T) {
	rt := fake.New()
	rt.Handle("", probe)
	boom := errors.New("boom")
	rt.Fail(func(op, id string) error {
		if op == "Start" && id == "a" {
			return boom
		}
		return nil
	})
	img, err := rt.Unpack(t.Context(), image(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.CreateContainer(t.Context(), runtime.ContainerSpec{ID: "a", Image: img, Args: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context(), "a"); !errors.Is(err, boom) {
		t.Errorf("start: %v", err)
	}
}
