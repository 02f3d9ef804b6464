package runtime

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// CheckSpec refuses a spec that no runtime could honour, or that this one,
// described by info, must not pretend to. Every runtime calls it first.
func CheckSpec(s ContainerSpec, info Info) error {
	if err := CheckID(s.ID); err != nil {
		return err
	}
	if s.Group.ID != "" {
		if err := CheckID(s.Group.ID); err != nil {
			return fmt.Errorf("container %s: group: %w", s.ID, err)
		}
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("container "+s.ID+": "+format, args...)
	}
	if len(s.Args) == 0 || s.Args[0] == "" {
		return bad("no command: neither the container definition nor the image names one")
	}
	for _, a := range s.Args {
		if strings.ContainsRune(a, 0) {
			return bad("command contains a NUL")
		}
	}
	for _, e := range s.Env {
		if k, _, ok := strings.Cut(e, "="); !ok || k == "" || strings.ContainsRune(e, 0) {
			// The value is not shown: it may be a secret.
			return bad("environment variable %q is not of the form NAME=value", strings.ReplaceAll(k, "\x00", "?"))
		}
	}
	if s.WorkingDir != "" && !path.IsAbs(s.WorkingDir) {
		return bad("working directory %q is not absolute", s.WorkingDir)
	}
	for _, m := range s.Mounts {
		if !path.IsAbs(m.Target) || path.Clean(m.Target) == "/" {
			return bad("mount target %q must be an absolute path below /", m.Target)
		}
		if m.Type == MountBind && !path.IsAbs(m.Source) {
			return bad("mount source %q is not absolute", m.Source)
		}
		if m.Type != MountBind && m.Type != MountTmpfs {
			return bad("mount type %q is unknown", m.Type)
		}
	}
	for _, u := range s.Ulimits {
		if !KnownUlimit(u.Name) {
			return bad("ulimit %q is unknown", u.Name)
		}
		if u.Hard != -1 && (u.Soft == -1 || u.Soft > u.Hard) {
			return bad("ulimit %s: soft limit %d is above the hard limit %d", u.Name, u.Soft, u.Hard)
		}
	}
	for _, r := range []Resources{s.Resources, s.Group.Resources} {
		if r.Memory < 0 || r.MemoryReservation < 0 || r.CPUQuota < 0 || r.PidsLimit < 0 {
			return bad("negative resource limit")
		}
	}
	// A container that asked for its own network and got the host's would
	// reach what it must not, so this is never degraded.
	if s.NetNS != "" && !info.NetNS {
		return bad("a network namespace needs privileges that the %s runtime does not have: %w", info.Name, ErrUnsupported)
	}
	if len(s.Mounts) > 0 && !info.Mounts {
		return bad("the %s runtime has no mounts: %w", info.Name, ErrUnsupported)
	}
	return nil
}

var ulimits = []string{
	"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
	"nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
}

// KnownUlimit says whether ECS has a ulimit of this name.
func KnownUlimit(name string) bool {
	for _, u := range ulimits {
		if u == name {
			return true
		}
	}
	return false
}

// DefaultPath is the PATH of a container whose environment has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Getenv returns the value of the last entry for key in an environment.
func Getenv(env []string, key string) (value string, ok bool) {
	for _, e := range env {
		if k, v, found := strings.Cut(e, "="); found && k == key {
			value, ok = v, true
		}
	}
	return value, ok
}

// NewStartError explains why the command could not be executed, as the exit
// code that shells and Docker give.
func NewStartError(err error) error {
	code := 127
	if text := err.Error(); strings.Contains(text, "permission denied") || strings.Contains(text, "exec format error") || strings.Contains(text, "is a directory") {
		code = 126
	}
	var already *StartError
	if errors.As(err, &already) {
		return err
	}
	return &StartError{Code: code, Err: err}
}
