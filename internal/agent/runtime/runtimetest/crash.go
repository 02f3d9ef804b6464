package runtimetest

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

func asStartError(err error) (*runtime.StartError, bool) {
	var s *runtime.StartError
	return s, errors.As(err, &s)
}

const crashEnv = "REMIT_RUNTIMETEST_ROOT"

// victim opens the runtime, starts containers and waits to be killed.
func victim(t *testing.T, s Subject, root string) {
	rt := s.New(t, root)
	img, err := rt.Unpack(t.Context(), ProbeImage(t))
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{TB: t, rt: rt, img: img, info: rt.Info()}
	for _, group := range []string{"", "task1"} {
		spec, sink := b.spec("stubborn")
		spec.Group.ID = group
		b.start(spec)
		sink.Await(t, "ready")
	}
	spec, _ := b.spec("exit", "0")
	if _, err := rt.CreateContainer(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("victim ready\n")
	select {}
}

// Crash starts a second process that starts containers in the state root,
// kills it with SIGKILL, and checks that Sweep leaves nothing: leftovers
// returns what of the root's containers still exists on the host. The second
// process is this test binary again, running the same test.
func Crash(t *testing.T, s Subject, leftovers func(root string) []string) {
	if root := os.Getenv(crashEnv); root != "" {
		victim(t, s, root)
	}
	root := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), crashEnv+"="+root)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := false
	var said []string
	for sc := bufio.NewScanner(out); !ready && sc.Scan(); {
		said = append(said, sc.Text())
		ready = strings.HasSuffix(sc.Text(), "victim ready")
	}
	if !ready {
		cmd.Wait()
		t.Fatalf("the victim did not get ready: %q", said)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if left := leftovers(root); len(left) == 0 {
		t.Error("nothing outlived the crash: this test proves nothing")
	} else {
		t.Logf("left by the crash: %d things", len(left))
	}
	rt := s.New(t, root)
	defer rt.Close()
	b := &bed{TB: t, rt: rt, info: rt.Info()}
	if b.img, err = rt.Unpack(t.Context(), ProbeImage(t)); err != nil {
		t.Fatal(err)
	}
	// Before the sweep a name that is in use is refused, not taken over.
	spec, _ := b.spec("exit", "0")
	if _, err := rt.CreateContainer(t.Context(), spec); !errors.Is(err, runtime.ErrExists) {
		t.Errorf("create before sweep: %v", err)
	}
	if err := rt.Sweep(t.Context()); err != nil {
		t.Fatalf("sweep: %v", err)
	}
	if left := leftovers(root); len(left) != 0 {
		t.Errorf("left after the sweep: %q", left)
	}
	if exit := b.run(spec); exit.Code != 0 {
		t.Errorf("after the sweep: %+v", exit)
	}
	if err := rt.Sweep(t.Context()); err != nil {
		t.Errorf("second sweep: %v", err)
	}
}
