package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/remit-ecs/remit/internal/agent/network"
	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/embedded"
	"github.com/remit-ecs/remit/internal/agent/runtime/process"
)

// machine is what this machine has to run tasks with.
type machine struct {
	runtime   runtime.Runtime    // nil: nothing runs tasks
	networker *network.Networker // nil: tasks share the host's network
	warnings  []string
	err       error
	open      func() (runtime.Runtime, error)
}

// start opens the runtime, and sweeps the containers of a predecessor: a killed
// server's, or this one's before a reset.
func (m *machine) start(ctx context.Context) error {
	if m.runtime != nil {
		if err := m.runtime.Close(); err != nil {
			return err
		}
	}
	rt, err := m.open()
	if err != nil {
		return err
	}
	if err := rt.Sweep(ctx); err != nil {
		return fmt.Errorf("sweep containers of a predecessor: %w", err)
	}
	m.runtime = rt
	return nil
}

func (m *machine) close() {
	if m == nil {
		return
	}
	if m.runtime != nil {
		_ = m.runtime.Close() // again, where a container had to be ended by it
	}
	if m.networker != nil {
		_ = m.networker.Close()
	}
}

// prepareMachine finds out what can run tasks here, takes it, and sweeps what a
// killed predecessor left behind.
func (cp *ControlPlane) prepareMachine() *machine {
	m := &machine{}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch cp.Runtime {
	case RuntimeNone:
		return m
	case RuntimeProcess:
		m.err = cp.useProcess(ctx, m)
		return m
	}
	verdict := embedded.Probe()
	if verdict.Isolation == runtime.IsolationNone {
		why := "containers cannot be had here"
		for _, r := range verdict.Reasons {
			why += "; " + r
		}
		switch {
		case cp.Runtime == RuntimeEmbedded:
			m.err = errors.New(why)
		case cp.FallBack:
			m.warnings = append(m.warnings, why+": falling back to plain processes")
			m.err = cp.useProcess(ctx, m)
		default:
			m.warnings = append(m.warnings, why+": no task can run (--runtime process runs them without any isolation)")
		}
		return m
	}
	m.err = cp.useEmbedded(ctx, m, verdict.Isolation)
	return m
}

func (cp *ControlPlane) useEmbedded(ctx context.Context, m *machine, isolation runtime.Isolation) error {
	cp.sweepAbandoned(ctx, isolation)
	m.open = func() (runtime.Runtime, error) { return openEmbedded(cp, cp.data) }
	if err := m.start(ctx); err != nil {
		return err
	}
	m.warnings = append(m.warnings, m.runtime.Info().Warnings...)
	if isolation != runtime.IsolationContainer {
		return nil
	}
	port, err := cp.port()
	if err != nil {
		return err
	}
	n, err := network.New(network.Options{Bridge: bridgeName(cp.data), HostPorts: []uint16{port}, BlockIMDS: true, StateDir: filepath.Join(cp.data, "host"), Log: cp.Log})
	if err != nil {
		return fmt.Errorf("task network: %w", err)
	}
	m.networker = n
	m.warnings = append(m.warnings, n.Info().Warnings...)
	if err := n.Sweep(ctx); err != nil {
		return fmt.Errorf("sweep task networks of a killed predecessor: %w", err)
	}
	return nil
}

func openEmbedded(cp *ControlPlane, data string) (runtime.Runtime, error) {
	return embedded.New(embedded.Options{Root: filepath.Join(data, "host", "runtime"), CgroupParent: "/" + bridgeName(data), Logger: cp.Log})
}

func (cp *ControlPlane) useProcess(ctx context.Context, m *machine) error {
	m.open = func() (runtime.Runtime, error) {
		return process.New(process.Options{Root: filepath.Join(cp.data, "host", "runtime"), Logger: cp.Log})
	}
	if err := m.start(ctx); err != nil {
		return err
	}
	m.warnings = append(m.warnings, m.runtime.Info().Warnings...)
	m.warnings = append(m.warnings, "NOTHING IS ISOLATED: tasks are plain child processes of this user and can read each other's credentials")
	return nil
}

// sweepAbandoned ends what servers without --data left behind when they were
// killed: their temporary directories are there, this user's own, and nobody
// holds the lock.
func (cp *ControlPlane) sweepAbandoned(ctx context.Context, isolation runtime.Isolation) {
	if isolation == runtime.IsolationContainer {
		gone := func(stateDir string) bool { _, err := os.Stat(stateDir); return errors.Is(err, fs.ErrNotExist) }
		if err := network.SweepAbandoned(ctx, bridgePrefix, gone); err != nil {
			cp.Log.Warn("abandoned task networks could not be swept", "error", err)
		}
	}
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		if dir == cp.data || !abandoned(dir) {
			continue
		}
		lock, err := lockData(dir)
		if err != nil {
			continue // in use, or not ours
		}
		if err := cp.sweepDir(ctx, dir, isolation); err != nil {
			cp.Log.Warn("what a killed remit left behind could not be swept", "directory", dir, "error", err)
		} else {
			_ = os.RemoveAll(dir)
		}
		lock.release()
	}
}

func (cp *ControlPlane) sweepDir(ctx context.Context, dir string, isolation runtime.Isolation) error {
	if _, err := os.Stat(filepath.Join(dir, "host", "runtime")); err != nil {
		return nil // it never ran a task
	}
	rt, err := openEmbedded(cp, dir)
	if err != nil {
		return err
	}
	if err := rt.Sweep(ctx); err != nil || isolation != runtime.IsolationContainer {
		return err
	}
	n, err := network.New(network.Options{Bridge: bridgeName(dir), StateDir: filepath.Join(dir, "host"), Log: cp.Log})
	if err != nil {
		return err
	}
	if err := n.Sweep(ctx); err != nil {
		return err
	}
	return n.Close()
}

// bridgePrefix begins the names of our bridges.
const bridgePrefix = "remit"

// bridgeName names the bridge, the firewall table and the cgroup of a data
// directory: the same after a restart, another for every other server.
func bridgeName(data string) string {
	sum := sha256.Sum256([]byte(data))
	return bridgePrefix + hex.EncodeToString(sum[:4])
}

func (cp *ControlPlane) port() (uint16, error) {
	u, err := url.Parse(cp.endpoint)
	if err != nil {
		return 0, err
	}
	_, p, err := net.SplitHostPort(u.Host)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	return uint16(n), err
}
