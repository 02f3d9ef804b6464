package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/agent/metadata"
	"github.com/vishvananda/netlink"
)

func TestTaskGetsItsOwnCredentials(t *testing.T) {
	n := newNetworker(t, Options{})
	if w := n.Info().Warnings; len(w) > 0 {
		t.Logf("this host: %q", w)
	}
	a, b := attach(t, n, "a", TaskOptions{}), attach(t, n, "b", TaskOptions{})
	if a.Address == b.Address {
		t.Fatalf("both tasks have %v", a.Address)
	}
	wantAnswer(t, a, CredentialsAddress, 80, "credentials of a")
	wantAnswer(t, b, CredentialsAddress, 80, "credentials of b")
	if _, err := get(CredentialsAddress, 80, netip.Addr{}); err == nil {
		t.Error("the host reaches a task's credentials")
	}
	if a.IMDS != nil {
		t.Error("instance metadata without being asked for")
	}
}

// The whole way: the AWS SDK in a process of the task, the namespace, the side
// namespace, the metadata endpoint.
func TestApplicationFindsItsRole(t *testing.T) {
	n := newNetworker(t, Options{})
	run := func(task *TaskNet, credentialsID string) (said string) {
		home := t.TempDir()
		err := inside(t, task, func() (err error) {
			// A process starts in the namespace of the thread that starts it.
			_, said, err = launch(t, "application", "HOME="+home, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=",
				"AWS_EC2_METADATA_DISABLED=true", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/"+credentialsID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	tasks := map[string]*TaskNet{}
	for _, id := range []string{"a", "b"} {
		task, err := n.Attach(t.Context(), id, TaskOptions{})
		if err != nil {
			t.Fatal(err)
		}
		endpoint := metadata.NewTask("arn:aws:ecs:us-east-1:111122223333:task/demo/" + id)
		err = endpoint.SetCredentials(metadata.TaskApplication, metadata.Credentials{
			ID: "id-of-" + id, RoleARN: "arn:aws:iam::111122223333:role/" + id, AccessKeyID: "ASIA" + id,
			SecretAccessKey: "secret", SessionToken: "token", Expiration: time.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		server := endpoint.Server()
		go server.Serve(task.Credentials)
		t.Cleanup(func() { server.Close() })
		tasks[id] = task
	}
	for id, task := range tasks {
		if got := run(task, "id-of-"+id); got != "key ASIA"+id {
			t.Errorf("task %s: %s", id, got)
		}
	}
	if got := run(tasks["a"], "id-of-b"); !strings.Contains(got, "InvalidIdInRequest") {
		t.Errorf("task a with the credentials id of b: %s", got)
	}
}

func TestApplicationMayUsePort80(t *testing.T) {
	n := newNetworker(t, Options{})
	a, b := attach(t, n, "a", TaskOptions{}), attach(t, n, "b", TaskOptions{})
	for _, address := range []string{"0.0.0.0:80", "[::]:8080"} {
		var l net.Listener
		err := inside(t, a, func() (err error) {
			l, err = net.Listen("tcp", address)
			return err
		})
		if err != nil {
			t.Fatalf("an application cannot listen on %s: %v", address, err)
		}
		serve(t, l, "application of a")
	}
	wantAnswer(t, a, CredentialsAddress, 80, "credentials of a")
	wantAnswer(t, a, netip.MustParseAddr("127.0.0.1"), 80, "application of a")
	wantAnswer(t, b, a.Address, 80, "application of a") // tasks talk to each other, by the host
	wantAnswer(t, b, a.Address, 8080, "application of a")
	if got, err := get(a.Address, 80, netip.Addr{}); err != nil || got != "application of a" {
		t.Errorf("from the host: %q, %v", got, err)
	}
}

func TestInstanceMetadataOfATask(t *testing.T) {
	n := newNetworker(t, Options{})
	a := attach(t, n, "a", TaskOptions{IMDS: true})
	b := attach(t, n, "b", TaskOptions{})
	wantAnswer(t, a, IMDSAddress, 80, "metadata of a")
	wantAnswer(t, a, CredentialsAddress, 80, "credentials of a")
	wantNone(t, b, IMDSAddress, 80)
}

func TestBlockIMDS(t *testing.T) {
	n := newNetworker(t, Options{BlockIMDS: true})
	if _, err := n.Attach(t.Context(), "a", TaskOptions{IMDS: true}); err == nil {
		t.Error("attached with instance metadata")
	}
	wantAnswer(t, attach(t, n, "a", TaskOptions{}), CredentialsAddress, 80, "credentials of a")
}

func TestHostIsClosedExceptHostPorts(t *testing.T) {
	n := newNetworker(t, Options{HostPorts: []uint16{4566, 4567}})
	for _, port := range []int{4566, 4567, 4568} {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			t.Fatal(err)
		}
		serve(t, l, fmt.Sprint("port ", port))
	}
	task := attach(t, n, "a", TaskOptions{})
	wantAnswer(t, task, n.Gateway(), 4566, "port 4566")
	wantAnswer(t, task, n.Gateway(), 4567, "port 4567")
	wantNone(t, task, n.Gateway(), 4568)
	wantNone(t, task, hostUplink, 4566)
}

func TestOutsideCannotOpenConnectionsToTasks(t *testing.T) {
	n := newNetworker(t, Options{})
	task := attach(t, n, "a", TaskOptions{})
	var l net.Listener
	err := inside(t, task, func() (err error) {
		l, err = net.Listen("tcp4", "0.0.0.0:80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, "application")
	err = onThread(func() error {
		if err := enter(outsideNS); err != nil {
			return err
		}
		if err := netlink.RouteReplace(&netlink.Route{Dst: ipNet(n.subnet), Gw: hostUplink.AsSlice()}); err != nil {
			return err
		}
		if got, err := get(task.Address, 80, netip.Addr{}); err == nil {
			t.Errorf("the outside got %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestJoinedNamespace(t *testing.T) {
	n := newNetworker(t, Options{})
	var ns *os.File
	err := onThread(func() (err error) {
		ns, err = newNamespace()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd())
	wantAnswer(t, attach(t, n, "a", TaskOptions{NetNS: path}), CredentialsAddress, 80, "credentials of a")
	if err := n.Detach(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	// The namespace lives on, as a pause container's may, without our links.
	wantAnswer(t, attach(t, n, "b", TaskOptions{NetNS: path}), CredentialsAddress, 80, "credentials of b")

	for name, path := range map[string]string{
		"the host's": "/proc/self/ns/net", "a missing file": filepath.Join(t.TempDir(), "none"),
		"an ordinary file": "/etc/passwd", "another kind of namespace": "/proc/self/ns/uts",
	} {
		if _, err := n.Attach(t.Context(), "c", TaskOptions{NetNS: path}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestAttachTwiceAndDetachUnknown(t *testing.T) {
	n := newNetworker(t, Options{})
	attach(t, n, "a", TaskOptions{})
	if _, err := n.Attach(t.Context(), "a", TaskOptions{}); !errors.Is(err, ErrAttached) {
		t.Errorf("second attach: %v", err)
	}
	if err := n.Detach(t.Context(), "never seen"); err != nil {
		t.Errorf("detach of an unknown task: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Attach(ctx, "b", TaskOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("attach after cancel: %v", err)
	}
}

func TestFullSubnet(t *testing.T) {
	n := newNetworker(t, Options{Subnet: netip.MustParsePrefix("10.99.0.0/29")})
	for i := range 5 {
		attach(t, n, fmt.Sprint(i), TaskOptions{})
	}
	if _, err := n.Attach(t.Context(), "one more", TaskOptions{}); !errors.Is(err, ErrNoAddress) {
		t.Fatalf("full subnet: %v", err)
	}
	if err := n.Detach(t.Context(), "3"); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, attach(t, n, "one more", TaskOptions{}), CredentialsAddress, 80, "credentials of one more")
}

func TestAttachAtTheSameTime(t *testing.T) {
	n := newNetworker(t, Options{})
	const tasks = 8
	var wg sync.WaitGroup
	var mu sync.Mutex
	addresses := map[netip.Addr]string{}
	for i := range tasks {
		wg.Go(func() {
			id := fmt.Sprint("task-", i)
			task, err := n.Attach(t.Context(), id, TaskOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			serve(t, task.Credentials, "credentials of "+id)
			wantAnswer(t, task, CredentialsAddress, 80, "credentials of "+id)
			mu.Lock()
			defer mu.Unlock()
			if other, taken := addresses[task.Address]; taken {
				t.Errorf("%s and %s both have %v", id, other, task.Address)
			}
			addresses[task.Address] = id
		})
	}
	wg.Go(func() {
		if err := n.Sweep(t.Context()); err != nil { // takes none of them for a leftover
			t.Error(err)
		}
	})
	wg.Wait()
	if len(n.tasks) != tasks {
		t.Errorf("%d tasks attached, want %d", len(n.tasks), tasks)
	}
}

func TestStateDirectoryHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	newNetworker(t, Options{StateDir: dir})
	if _, err := New(Options{StateDir: dir}); !errors.Is(err, ErrInUse) {
		t.Fatalf("second owner: %v", err)
	}
}

func TestTwoBridges(t *testing.T) {
	one := newNetworker(t, Options{})
	two := newNetworker(t, Options{Bridge: "remit1"})
	if one.subnet.Overlaps(two.subnet) {
		t.Fatalf("both use %v and %v", one.subnet, two.subnet)
	}
	a, b := attach(t, one, "same", TaskOptions{}), attach(t, two, "same", TaskOptions{})
	if err := one.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, a, CredentialsAddress, 80, "credentials of same")
	wantAnswer(t, b, CredentialsAddress, 80, "credentials of same")
	wantAnswer(t, b, outside, 80, "outside saw "+hostUplink.String())
}

func TestBridgeNames(t *testing.T) {
	needHost(t)
	for _, name := range []string{"..", "a/b", "all", "a name", "sixteen-bytes-xx"} {
		if n, err := New(Options{Bridge: name}); err == nil {
			n.Close()
			t.Errorf("bridge %q accepted", name)
		}
	}
	if _, err := New(Options{Bridge: "uplink"}); err == nil || !strings.Contains(err.Error(), "not a bridge") {
		t.Errorf("a foreign interface as bridge: %v", err)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	n := newNetworker(t, Options{})
	cycle := func(i int) {
		id := fmt.Sprint("task-", i)
		task, err := n.Attach(t.Context(), id, TaskOptions{IMDS: i%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{}
		go s.Serve(task.Credentials)
		s.Close()
		if err := n.Detach(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	cycle(-1) // opens what stays open, such as the poller
	links, fds, namespaces := countLinks(t, n), countFDs(t), threadNamespaces(t)
	started := time.Now()
	for i := range 50 {
		cycle(i)
	}
	t.Logf("one attach and detach: %v", time.Since(started)/50)
	if got := countLinks(t, n); got != links {
		t.Errorf("%d links, before %d", got, links)
	}
	eventually(t, func() error {
		if got := countFDs(t); got > fds {
			return fmt.Errorf("%d file descriptors, before %d", got, fds)
		}
		if got := threadNamespaces(t); got != namespaces {
			return fmt.Errorf("threads in %d network namespaces, before %d", got, namespaces)
		}
		return nil
	})
	if neighbours, err := n.host.NeighList(n.bridge.Attrs().Index, netlink.FAMILY_V4); err != nil || len(neighbours) > 0 {
		t.Errorf("neighbours left: %v, %v", neighbours, err)
	}
	if len(n.pool.used) > 0 {
		t.Errorf("addresses left: %v", n.pool.used)
	}
	// A failed attach leaves nothing either.
	if _, err := n.Attach(t.Context(), "bad", TaskOptions{NetNS: "/proc/self/ns/uts"}); err == nil {
		t.Fatal("attached to a UTS namespace")
	}
	if got := countLinks(t, n); got != links || len(n.pool.used) > 0 || len(n.tasks) > 0 {
		t.Errorf("after a failed attach: %d links, addresses %v, tasks %v", got, n.pool.used, n.tasks)
	}
}

func countLinks(t *testing.T, n *Networker) int {
	links, err := n.host.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	return len(links)
}

func countFDs(t *testing.T) int {
	runtime.GC()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// threadNamespaces counts the network namespaces that threads of this process
// are in: one, unless a thread was put back into use in the wrong one.
func threadNamespaces(t *testing.T) int {
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, path := range threads {
		if target, err := os.Readlink(path); err == nil { // a thread may just have ended
			seen[target] = true
		}
	}
	return len(seen)
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for range 50 {
		if err = check(); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error(err)
}

func TestSweepAfterADeadAgent(t *testing.T) {
	needHost(t)
	dir := t.TempDir()
	agent, path := start(t, "agent", "STATE="+dir)
	if _, said := start(t, "hold", "NS="+path); said != "held" {
		t.Fatal(said)
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()

	n := newNetworker(t, Options{StateDir: dir})
	orphan := portName(DefaultBridge, "orphan")
	if _, err := n.host.LinkByName(orphan); err != nil {
		t.Fatalf("the container that survived does not hold its link: %v", err)
	}
	mine := attach(t, n, "mine", TaskOptions{})
	if err := n.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.host.LinkByName(orphan); err == nil {
		t.Error("the dead agent's link is still there")
	}
	wantAnswer(t, mine, CredentialsAddress, 80, "credentials of mine")
	wantAnswer(t, attach(t, n, "orphan", TaskOptions{}), CredentialsAddress, 80, "credentials of orphan")
	if neighbours, err := n.host.NeighList(n.bridge.Attrs().Index, netlink.FAMILY_V4); err != nil {
		t.Fatal(err)
	} else {
		for _, e := range neighbours {
			if e.State == netlink.NUD_PERMANENT && !n.pool.subnet.Contains(netip.MustParseAddr(e.IP.String())) {
				t.Errorf("neighbour left: %v", e)
			}
		}
	}
}

func TestCloseRemovesEverything(t *testing.T) {
	needHost(t)
	n, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	task, err := n.Attach(t.Context(), "a", TaskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := netlink.LinkByName(DefaultBridge); err == nil {
		t.Error("the bridge is still there")
	}
	if _, err := task.Credentials.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener after Close: %v", err)
	}
	if _, err := n.Attach(t.Context(), "b", TaskOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("attach after Close: %v", err)
	}
	if err := n.Sweep(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("sweep after Close: %v", err)
	}
	if err := n.Detach(t.Context(), "a"); err != nil {
		t.Errorf("detach after Close: %v", err)
	}
}
