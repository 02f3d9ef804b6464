package agent_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/agent"
	"github.com/remit-ecs/remit/internal/agent/network"
	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/embedded"
	"github.com/remit-ecs/remit/internal/agent/runtime/process"
)

// buildApp compiles the program of the test images, static.
func buildApp(t *testing.T) []byte {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "app")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// Without namespaces of any kind a task still gets its own role, by a loopback
// address and a token.
func TestRealProcess(t *testing.T) {
	rt, err := process.New(process.Options{Root: t.TempDir(), Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	c := newControlPlane(t)
	c.image(shopImage, map[string]any{"Entrypoint": []string{"/app"}}, file{"app", 0o755, buildApp(t)})
	startHost(t, c, func(o *agent.Options) { o.Runtime, o.StopTimeout = rt, 5*time.Second })
	conn := c.accept()
	conn.payload(shopTask(c, "process", func(task, app map[string]any) { delete(app, "command") }))
	c.await(taskARN("process"), "RUNNING")
	var got []string
	for began := time.Now(); !slices.Contains(got, "ready"); time.Sleep(20 * time.Millisecond) {
		c.set(func() { got = slices.Clone(c.logs["/shop web/app/process"]) })
		if time.Since(began) > 10*time.Second {
			t.Fatalf("the process is not ready: %q", got)
		}
	}
	if got[0] != "role: arn:aws:iam::123456789012:role/shopTask" || got[1] != "task: "+taskARN("process") || got[2] != "control plane: 401" {
		t.Errorf("output %q", got)
	}
	conn.payload(map[string]any{"arn": taskARN("process"), "desiredStatus": "STOPPED"})
	if e := c.await(taskARN("process"), "STOPPED").Containers[0]; e.ExitCode == nil || *e.ExitCode != 3 {
		t.Errorf("container %+v", e)
	}
	// awsvpc promises an address of one's own, which this host cannot give.
	conn.payload(shopTask(c, "vpc", func(task, app map[string]any) { task["networkMode"] = "awsvpc" }))
	if got := c.await(taskARN("vpc"), "STOPPED"); !strings.Contains(got.Reason, "awsvpc needs task network namespaces") {
		t.Errorf("reason %q", got.Reason)
	}
}

// The whole host with nothing replaced but the control plane: an image pulled
// with the execution role's token, a container in its own namespaces, its own
// network, its role at 169.254.170.2, its output in Logs.
func TestRealContainer(t *testing.T) {
	if v := embedded.Probe(); v.Isolation != runtime.IsolationContainer {
		t.Skipf("containers cannot be made here, best is %s: %s", v.Isolation, strings.Join(v.Reasons, " "))
	}
	if os.Geteuid() != 0 {
		t.Skip("task networks need root")
	}
	program := buildApp(t)

	// Tasks reach the control plane at their gateway, so it listens there too.
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	c := newControlPlane(t)
	open := httptest.NewUnstartedServer(c.server.Config.Handler)
	open.Listener.Close()
	open.Listener = listener
	open.Start()
	t.Cleanup(open.Close)
	digest := c.image(shopImage, map[string]any{"Entrypoint": []string{"/app"}, "StopSignal": "SIGTERM"}, file{"app", 0o755, program})

	root := t.TempDir()
	rt, err := embedded.New(embedded.Options{Root: filepath.Join(root, "rt"), CgroupParent: "/remit-agent-test", Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	n, err := network.New(network.Options{Bridge: "remit-agtest", StateDir: root, HostPorts: []uint16{uint16(port)}, Log: quiet(t)})
	if err != nil {
		t.Skipf("task networks cannot be made here: %v", err)
	}
	defer n.Close()

	h := startHost(t, c, func(o *agent.Options) {
		o.Runtime, o.Network = rt, n
		_, p, _ := net.SplitHostPort(listener.Addr().String())
		o.Endpoint = "http://127.0.0.1:" + p
		o.StopTimeout = 5 * time.Second
	})
	conn := c.accept()
	const id = "7ea10000000000000000000000000000"
	conn.payload(shopTask(c, id, func(task, app map[string]any) {
		task["networkMode"] = "awsvpc"
		delete(app, "command")
	}))
	running := c.await(taskARN(id), "RUNNING")
	if running.Containers[0].ImageDigest != digest {
		t.Errorf("digest %s, want %s", running.Containers[0].ImageDigest, digest)
	}
	lines := func() (out []string) {
		c.set(func() { out = slices.Clone(c.logs["/shop web/app/"+id]) })
		return out
	}
	for began := time.Now(); !slices.Contains(lines(), "ready"); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("the container is not ready: %q", lines())
		}
	}
	conn.payload(map[string]any{"arn": taskARN(id), "desiredStatus": "STOPPED"})
	stopped := c.await(taskARN(id), "STOPPED")
	if e := stopped.Containers[0]; e.ExitCode == nil || *e.ExitCode != 3 {
		t.Errorf("container %+v", e)
	}
	got := lines()
	if len(got) != 6 || got[0] != "role: arn:aws:iam::123456789012:role/shopTask" || got[1] != "task: "+taskARN(id) ||
		got[2] != "control plane: 401" || !strings.HasPrefix(got[3], "hostname: ip-") || !strings.HasSuffix(got[3], " true") || got[5] != "bye" {
		t.Errorf("output %q", got)
	}

	// In network mode bridge a container's port is reached at the host's.
	conn.payload(shopTask(c, "bridged", func(task, app map[string]any) {
		task["networkMode"] = "bridge"
		app["environment"] = map[string]string{"LISTEN": ":8080"}
		app["portMappings"] = []any{map[string]any{"containerPort": 8080, "hostPort": 0, "protocol": "tcp"}}
		delete(app, "command")
	}))
	bindings := c.await(taskARN("bridged"), "RUNNING").Containers[0].NetworkBindings
	if len(bindings) != 1 || bindings[0].ContainerPort != 8080 || bindings[0].HostPort == 0 {
		t.Fatalf("bindings %+v", bindings)
	}
	address := fmt.Sprintf("http://127.0.0.1:%d/", bindings[0].HostPort)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(address); err == nil {
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(b) != "hello from the task" {
				t.Errorf("answer %q", b)
			}
			break
		} else if time.Since(began) > 10*time.Second {
			t.Fatal(err)
		}
	}
	conn.payload(map[string]any{"arn": taskARN("bridged"), "desiredStatus": "STOPPED"})
	c.await(taskARN("bridged"), "STOPPED")
	if _, err := http.Get(address); err == nil {
		t.Error("the host port outlived the task")
	}

	// A host that goes takes its tasks with it, networks included.
	conn.payload(shopTask(c, "last", func(task, app map[string]any) { delete(app, "command") }, func(task, app map[string]any) { task["networkMode"] = "awsvpc" }))
	c.await(taskARN("last"), "RUNNING")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	c.await(taskARN("last"), "STOPPED")
}
