//go:build cgo

package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"golang.org/x/sys/unix"
)

// Docker's default capabilities.
var defaultCapabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
	"CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
	"CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// capabilityNames by number, as in linux/capability.h.
var capabilityNames = strings.Fields(`
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK
	IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
	SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
	AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND
	AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

const (
	capSysAdmin    = unix.CAP_SYS_ADMIN
	capSysResource = unix.CAP_SYS_RESOURCE
)

// ownCapabilities are the permitted ones of this process.
var ownCapabilities = sync.OnceValue(func() uint64 {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
})

func hasCapability(n int) bool { return ownCapabilities()&(1<<n) != 0 }

// capabilitySet applies additions and removals to the default set, of what the
// giver owns. A name that does not exist, or that is not owned, is an error: the
// kernel would refuse the container with less to say.
func capabilitySet(own uint64, add, drop []string) ([]string, error) {
	number := func(name string) (int, error) {
		n := slices.Index(capabilityNames, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
		if n < 0 {
			return 0, fmt.Errorf("capability %q is unknown", name)
		}
		return n, nil
	}
	all := func(names []string) bool {
		return slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, "ALL") })
	}
	var set uint64
	switch {
	case all(drop):
	case all(add):
		set = own & (1<<len(capabilityNames) - 1)
	default:
		for _, c := range defaultCapabilities {
			n, err := number(c)
			if err != nil {
				return nil, err
			}
			set |= 1 << n & own
		}
	}
	for _, c := range add {
		if strings.EqualFold(c, "ALL") {
			continue
		}
		n, err := number(c)
		if err != nil {
			return nil, err
		}
		if own&(1<<n) == 0 {
			return nil, fmt.Errorf("capability %q: the agent does not have it itself", c)
		}
		set |= 1 << n
	}
	for _, c := range drop {
		if strings.EqualFold(c, "ALL") {
			continue
		}
		n, err := number(c)
		if err != nil {
			return nil, err
		}
		set &^= 1 << n
	}
	var out []string
	for n, name := range capabilityNames {
		if set&(1<<n) != 0 {
			out = append(out, "CAP_"+name)
		}
	}
	return out, nil
}

// containerMissing says why containers cannot be made here, or "".
func containerMissing() string {
	if os.Geteuid() != 0 {
		return "Containers with limits and their own network need root."
	}
	if !hasCapability(capSysAdmin) {
		return "Containers need CAP_SYS_ADMIN, which the agent does not have."
	}
	// Tried rather than guessed: cgroup file systems are read-only in many
	// containers.
	probe := fmt.Sprintf("/remit-probe-%d", os.Getpid())
	m, err := manager.New(&cgroups.Cgroup{Path: probe, Resources: &cgroups.Resources{SkipDevices: true}})
	if err != nil {
		return fmt.Sprintf("Containers need cgroups: %v.", err)
	}
	defer m.Destroy()
	if err := m.Apply(-1); err != nil {
		return fmt.Sprintf("Containers need to write cgroups: %v.", err)
	}
	if !cgroups.IsCgroup2UnifiedMode() && m.Path("devices") == "" {
		return "Containers need the devices cgroup controller: without it they could open the host's disks."
	}
	return ""
}

// removeCgroup removes a cgroup and those below it, in all hierarchies.
func removeCgroup(path string) error {
	m, err := manager.New(&cgroups.Cgroup{Path: path, Resources: &cgroups.Resources{SkipDevices: true}})
	if err != nil {
		return err
	}
	return m.Destroy()
}

// probeOverlay says whether overlayfs can be mounted in the state root, and
// otherwise why not. It cannot where the root itself is on overlayfs, as it
// is inside most containers.
func probeOverlay(root string) (ok bool, why string) {
	dir, err := os.MkdirTemp(root, "overlay-probe-")
	if err != nil {
		return false, err.Error()
	}
	defer os.RemoveAll(dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			return false, err.Error()
		}
	}
	if err := mountOverlay([]string{at("lower")}, at("upper"), at("work"), at("merged")); err != nil {
		return false, err.Error()
	}
	defer unix.Unmount(at("merged"), unix.MNT_DETACH)
	// Some file systems mount and then refuse to write.
	if err := os.WriteFile(filepath.Join(at("merged"), "x"), nil, 0o600); err != nil {
		return false, err.Error()
	}
	if err := unix.Mknod(filepath.Join(at("lower"), "whiteout"), unix.S_IFCHR, 0); err != nil {
		return false, "whiteouts: " + err.Error()
	}
	if err := unix.Lsetxattr(at("lower"), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return false, "opaque directories: " + err.Error()
	}
	return true, ""
}
