// Package embedded is the container runtime inside the agent's own binary: no
// daemon, no second program.
//
// As root on Linux it builds containers with libcontainer: mount, pid, ipc,
// uts and cgroup namespaces, the task's network namespace by path, overlayfs
// on unpacked layers, Docker's default capabilities, devices, masked paths and
// seccomp profile, and limits by cgroup v1 or v2. Without root it builds them in
// a user namespace of the agent's own user: own files, processes and host name,
// but one uid, the host's network and no limits. [Probe] says which, and why.
//
//	agent process                        container process
//	-------------                        -----------------
//	mount overlay at containers/ID/rootfs
//	re-exec self (sealed copy) --------> init(): joins, unshares, pivots
//	put it in its cgroup, limits set     waits until told
//	open the fifo ---------------------> drops capabilities, execs the command
//	read both pipes until EOF <--------- output
//	read the OOM counter, remove cgroup, unmount
//
// The re-exec runs this package's init function in every binary that links
// it, recognised by an environment variable that libcontainer sets; main
// functions need not cooperate, but package initialisation that runs earlier
// is part of each container's start time.
//
// The agent's engine calls it through runtime.Runtime. It never makes network
// namespaces, never pulls and keeps no daemon: when the agent dies, its
// containers run on until the next agent's Sweep ends them.
package embedded

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// sharedParent is the cgroup below which containers live where no other is named.
const sharedParent = "/remit"

// Options configure the runtime.
type Options struct {
	// Root is the state directory; see package supervisor for what is in it.
	// It must be on a local file system.
	Root string
	// CgroupParent is the cgroup, from the root of each hierarchy, below
	// which all containers live; "" is "/remit".
	CgroupParent string
	// Rootless chooses user namespaces even where better can be had.
	Rootless bool
	// Logger receives what was degraded for one container, such as a
	// clamped ulimit; nil is slog.Default.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Root == "" {
		return o, fmt.Errorf("embedded runtime: no state root given")
	}
	if err := os.MkdirAll(o.Root, 0o711); err != nil {
		return o, fmt.Errorf("embedded runtime: %w", err)
	}
	// Resolved once: libcontainer refuses a root file system behind a link.
	abs, err := filepath.Abs(o.Root)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return o, fmt.Errorf("embedded runtime: %w", err)
	}
	o.Root = abs
	if o.CgroupParent == "" {
		o.CgroupParent = sharedParent
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

// Verdict is what can be had on this machine.
type Verdict struct {
	// Isolation is the best available: container, userns or none.
	Isolation runtime.Isolation
	// Reasons say, in sentences, why it is not better.
	Reasons []string
}

// Probe finds out by trying, in a few milliseconds, what New would give.
func Probe() Verdict {
	reason := containerMissing()
	if reason == "" {
		return Verdict{Isolation: runtime.IsolationContainer}
	}
	v := Verdict{Isolation: runtime.IsolationUserNS, Reasons: []string{reason}}
	if reason := rootlessMissing(); reason != "" {
		v.Isolation = runtime.IsolationNone
		if !slices.Contains(v.Reasons, reason) {
			v.Reasons = append(v.Reasons, reason)
		}
	}
	return v
}

// New opens the best runtime that Probe finds. When that is none it returns
// an error matching runtime.ErrUnsupported; the process runtime remains.
func New(o Options) (runtime.Runtime, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	v := Probe()
	if v.Isolation == runtime.IsolationNone {
		return nil, fmt.Errorf("embedded runtime: %s %w", strings.Join(v.Reasons, " "), runtime.ErrUnsupported)
	}
	if o.Rootless && v.Isolation == runtime.IsolationContainer {
		v = Verdict{runtime.IsolationUserNS, []string{"Containers with limits were declined by configuration."}}
	}
	return newContainers(o, v)
}
