package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// roleEnv tells a copy of the test binary what it is.
const roleEnv = "REMIT_NETWORK_TEST_ROLE"

// TestMain runs the tests in a network namespace of their own, which plays the
// host: the machine itself is not touched.
func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		if os.Getuid() != 0 {
			fmt.Println("network tests need root: they build real network namespaces; only the portable ones run")
			os.Exit(m.Run())
		}
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), roleEnv+"=tests")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "network tests: a network namespace to play the host:", err)
			os.Exit(1)
		}
	case "tests":
		if err := buildHost(); err != nil {
			fmt.Fprintln(os.Stderr, "network tests: building the host:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	case "agent":
		agentProcess()
	case "hold":
		holdProcess()
	case "application":
		applicationProcess()
	}
}

func needHost(t *testing.T) {
	t.Helper()
	if os.Getenv(roleEnv) != "tests" {
		t.Skip("needs root: builds real network namespaces")
	}
}

// The outside world: a namespace one hop from the host, with a machine
// metadata service in it, as a cloud has. The host has one too.
var (
	hostUplink = netip.MustParseAddr("198.51.100.1")
	outside    = netip.MustParseAddr("198.51.100.2")
	outsideNS  *os.File
)

// buildHost gives the host an uplink to the outside, where an HTTP server
// answers with the caller's address, and a real 169.254.169.254 beyond it.
func buildHost() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	if err := linkUp(h, "lo"); err != nil {
		return err
	}
	err = onThread(func() error {
		var err error
		outsideNS, err = newNamespace()
		return err
	})
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "uplink"
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "outside", PeerNamespace: netlink.NsFd(outsideNS.Fd())}); err != nil {
		return err
	}
	if err := configureLink(h, "uplink", hostUplink); err != nil {
		return err
	}
	if err := h.RouteAdd(&netlink.Route{Gw: outside.AsSlice()}); err != nil {
		return err
	}
	l, err := h.LinkByName("uplink")
	if err != nil {
		return err
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: host32(IMDSAddress), Gw: outside.AsSlice()}); err != nil {
		return err
	}
	return onThread(func() error {
		if err := enter(outsideNS); err != nil {
			return err
		}
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		if err := linkUp(h, "lo"); err != nil {
			return err
		}
		if err := configureLink(h, "outside", outside); err != nil {
			return err
		}
		l, err := h.LinkByName("outside")
		if err != nil {
			return err
		}
		if err := h.AddrAdd(l, &netlink.Addr{IPNet: host32(IMDSAddress)}); err != nil {
			return err
		}
		listener, err := net.Listen("tcp4", ":80")
		if err != nil {
			return err
		}
		go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprint(w, "outside saw "+host)
		}))
		return nil
	})
}

func configureLink(h *netlink.Handle, name string, a netip.Addr) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, 24))}); err != nil {
		return err
	}
	return h.LinkSetUp(l)
}

// agentProcess attaches a task, says where, and waits to be killed.
func agentProcess() {
	n, err := New(Options{StateDir: os.Getenv("STATE")})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	task, err := n.Attach(context.Background(), "orphan", TaskOptions{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(task.NSPath)
	select {}
}

// holdProcess is a container that outlives its agent: it keeps the namespace.
func holdProcess() {
	ns, err := openNamespace(os.Getenv("NS"))
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	ns.Close()
}

// applicationProcess is what runs in a container: a program that uses the AWS
// SDK and was told nothing but its environment.
func applicationProcess() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err == nil {
		var c aws.Credentials
		if c, err = cfg.Credentials.Retrieve(context.Background()); err == nil {
			fmt.Println("key", c.AccessKeyID)
			return
		}
	}
	fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " "))
}

// start runs a copy of the test binary in a role, on the same host, and returns
// its first line of output.
func start(t *testing.T, role string, env ...string) (*exec.Cmd, string) {
	t.Helper()
	cmd, line, err := launch(t, role, env...)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, line
}

// launch is start for goroutines that may not end the test.
func launch(t *testing.T, role string, env ...string) (*exec.Cmd, string, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), roleEnv+"="+role), env...)
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, "", fmt.Errorf("%s said nothing: %w", role, err)
	}
	return cmd, strings.TrimSuffix(line, "\n"), nil
}

func newNetworker(t *testing.T, o Options) *Networker {
	t.Helper()
	needHost(t)
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// attach attaches a task whose credentials endpoint answers "credentials of ID".
func attach(t *testing.T, n *Networker, id string, o TaskOptions) *TaskNet {
	t.Helper()
	task, err := n.Attach(t.Context(), id, o)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, task.Credentials, "credentials of "+id)
	if task.IMDS != nil {
		serve(t, task.IMDS, "metadata of "+id)
	}
	return task
}

func serve(t *testing.T, l net.Listener, answer string) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// inside runs fn in the namespace of a task, as a container with every
// capability would.
func inside(t *testing.T, task *TaskNet, fn func() error) error {
	t.Helper()
	ns, err := openNamespace(task.NSPath)
	if err != nil {
		return err
	}
	defer ns.Close()
	return onThread(func() error {
		if err := enter(ns); err != nil {
			return err
		}
		return fn()
	})
}

// change reconfigures the network of a task from inside.
func change(t *testing.T, task *TaskNet, fn func(h *netlink.Handle, eth0 netlink.Link) error) {
	t.Helper()
	err := inside(t, task, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		l, err := h.LinkByName(taskLink)
		if err != nil {
			return err
		}
		return fn(h, l)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// get asks an address from the calling thread's namespace, optionally from a
// given source address.
func get(a netip.Addr, port uint16, source netip.Addr) (string, error) {
	d := net.Dialer{Timeout: 700 * time.Millisecond}
	if source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	// No http.Client: its connections are dialled on other threads.
	conn, err := d.Dial("tcp4", netip.AddrPortFrom(a, port).String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// fetch is get from inside a task.
func fetch(t *testing.T, task *TaskNet, a netip.Addr, port uint16) (string, error) {
	t.Helper()
	var body string
	err := inside(t, task, func() error {
		var err error
		body, err = get(a, port, netip.Addr{})
		return err
	})
	return body, err
}

// wantAnswer and wantNone state what a task gets from an address.
func wantAnswer(t *testing.T, task *TaskNet, a netip.Addr, port uint16, want string) {
	t.Helper()
	if got, err := fetch(t, task, a, port); err != nil || got != want {
		t.Errorf("%v:%d from %v: %q, %v; want %q", a, port, task.Address, got, err, want)
	}
}

func wantNone(t *testing.T, task *TaskNet, a netip.Addr, port uint16) {
	t.Helper()
	if got, err := fetch(t, task, a, port); err == nil {
		t.Errorf("%v:%d from %v answered %q; want no answer", a, port, task.Address, got)
	}
}
