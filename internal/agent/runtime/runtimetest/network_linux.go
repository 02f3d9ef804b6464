package runtimetest

import (
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/vishvananda/netlink"
)

// newNetNS makes a network namespace with its loopback up and returns a path
// to it, good for the life of the test.
func newNetNS(tb testing.TB) string {
	tb.Helper()
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread is in another namespace and ends with
		// the goroutine.
		goruntime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- result{err: err}
			return
		}
		if lo, err := netlink.LinkByName("lo"); err != nil {
			done <- result{err: err}
			return
		} else if err := netlink.LinkSetUp(lo); err != nil {
			done <- result{err: err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		done <- result{f, err}
	}()
	r := <-done
	if r.err != nil {
		tb.Fatalf("make a network namespace: %v", r.err)
	}
	tb.Cleanup(func() { r.f.Close() })
	return "/proc/self/fd/" + strconv.Itoa(int(r.f.Fd()))
}

func sharedNetwork(b *bed) {
	if !b.info.NetNS {
		// Then it must refuse, not run on the host's network.
		spec, _ := b.spec("exit", "0")
		spec.NetNS = "/proc/self/ns/net"
		if _, err := b.rt.CreateContainer(b.Context(), spec); err == nil {
			b.Error("a network namespace was accepted and ignored")
		}
		b.needs(false, "network namespaces")
	}
	ns := newNetNS(b)
	server, out := b.spec("listen", "127.0.0.1:8080")
	server.NetNS = ns
	b.start(server)
	out.Await(b, "listening")
	if got := b.output(func(s *runtime.ContainerSpec) { s.NetNS = ns }, "dial", "127.0.0.1:8080"); !strings.Contains(got, "hello") {
		b.Errorf("in the same namespace: %q", got)
	}
	other, _ := b.spec("dial", "127.0.0.1:8080")
	other.NetNS = newNetNS(b)
	if exit := b.run(other); exit.Code == 0 {
		b.Error("another namespace reaches it")
	}
	// Still separate: each is process 1.
	if got := b.output(func(s *runtime.ContainerSpec) { s.NetNS = ns }, "pid"); got != "1" {
		b.Errorf("pid %s", got)
	}
	bad, _ := b.spec("exit", "0")
	bad.NetNS = "/does/not/exist"
	if id, err := b.rt.CreateContainer(b.Context(), bad); err == nil {
		if err := b.rt.Start(b.Context(), id); err == nil {
			b.Error("an absent namespace was ignored")
		}
	}
}
