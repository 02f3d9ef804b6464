// Package runtime is the contract between the host agent and whatever starts
// its containers.
//
// The agent's engine is the only caller. It pulls an image, hands it to
// [Runtime.Unpack], and drives each container through four calls:
//
//	CreateContainer -> Start -> Wait -> Remove
//	                     |
//	                     +-- Signal, Exec, Stats while it runs
//
// Three runtimes implement the contract and a fourth behaves as if it did:
//
//	embedded   linux: namespaces, cgroups, capabilities, seccomp (libcontainer);
//	           without root: a user namespace, with no limits
//	process    anywhere: a plain child process, no isolation, last resort
//	fake       in memory: "programs" are Go functions, for the engine's tests
//
// runtimetest holds the one suite that judges all of them.
//
// A runtime never pulls, never makes a network namespace (it joins one by
// path), never restarts a container and never decides what should run. What it
// cannot enforce it says in [Info] and never silently pretends.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Runtime starts containers on this host. All methods may be called from any
// goroutine. An unknown container id gives an error matching [ErrNotFound].
type Runtime interface {
	// Info says what this runtime enforces here, on this machine. It is
	// constant for the life of the runtime.
	Info() Info

	// Unpack puts the image's layers into the local store, verifying each
	// against its DiffID, and returns what is needed to create containers
	// from it. Layers already present are not read again. Concurrent calls
	// for the same image share the work.
	Unpack(ctx context.Context, img v1.Image) (Image, error)

	// Image returns an image unpacked earlier, by manifest digest
	// ("sha256:..."), so that a present image starts with no pull. It gives
	// ErrNotFound when the image or any layer of it is absent.
	Image(ctx context.Context, digest string) (Image, error)

	// CreateContainer prepares a container and returns its id, which is
	// spec.ID. Nothing runs yet. A spec that this runtime cannot honour
	// (see Info) is refused with ErrUnsupported where ignoring it would be
	// unsafe, and otherwise accepted with a warning in Info.
	CreateContainer(ctx context.Context, spec ContainerSpec) (string, error)

	// Start runs the container's command. When it returns nil the command
	// has been executed; a command that does not exist or cannot be
	// executed gives a *StartError, after which only Remove is useful.
	// The context bounds the start, not the life of the container.
	Start(ctx context.Context, id string) error

	// Wait blocks until the started container has ended and all its output
	// has reached the LogSink, or ctx is done. It may be called many times,
	// before and after the end, and always gives the same Exit. A container
	// that was never started gives ErrState.
	Wait(ctx context.Context, id string) (Exit, error)

	// Signal sends sig to the container's first process; SIGKILL ends
	// everything in the container. It gives ErrState when not running.
	Signal(ctx context.Context, id string, sig syscall.Signal) error

	// Remove deletes the container and what it wrote, killing it first if
	// it runs. Removing an unknown id is ErrNotFound; callers that only
	// want it gone ignore that.
	Remove(ctx context.Context, id string) error

	// Exec runs one more command inside a running container and waits for
	// it. The code is the command's exit status (128+n when signal n ended
	// it); err is set when it could not be run at all. When ctx ends first
	// the command is killed and ctx's error returned.
	Exec(ctx context.Context, id string, spec ExecSpec) (code int, err error)

	// Stats reads the container's current use of resources. Where the
	// runtime has no accounting it gives ErrUnsupported.
	Stats(ctx context.Context, id string) (Stats, error)

	// Sweep ends and removes whatever a dead process with the same state
	// root left behind: processes, cgroups, mounts, directories. The agent
	// calls it once, before the first CreateContainer. Unpacked images stay.
	Sweep(ctx context.Context) error

	// Close kills and removes all containers of this runtime and releases
	// the state root.
	Close() error
}

// Errors that callers tell apart with errors.Is.
var (
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("already exists")
	ErrState       = errors.New("not in the right state")
	ErrUnsupported = errors.New("not supported by this runtime")
)

// StartError reports that the container's own command could not be run, in
// distinction to a failure of the host. The engine words it as
// CannotStartContainerError.
type StartError struct {
	// Code is the exit code that Docker would report: 127 for a command
	// that does not exist, 126 for one that cannot be executed.
	Code int
	Err  error
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// Isolation is how far a container is kept from the host and from others.
type Isolation string

const (
	// IsolationContainer is namespaces, capabilities and cgroups as root.
	IsolationContainer Isolation = "container"
	// IsolationUserNS is a user namespace of the agent's own unprivileged
	// user: own files and process list, but the host's network, one uid,
	// no limits.
	IsolationUserNS Isolation = "userns"
	// IsolationNone is a plain child process. Tasks can read each other.
	IsolationNone Isolation = "none"
)

// Info says what a runtime enforces on this machine.
type Info struct {
	Name      string // "embedded", "process", "fake"
	Isolation Isolation

	// MemoryLimits, CPULimits and PidsLimits are true where the kernel
	// enforces the values of a ContainerSpec.
	MemoryLimits, CPULimits, PidsLimits bool

	// NetNS is true when ContainerSpec.NetNS is joined. Where false,
	// containers share the host's network: the engine must give credentials
	// by AWS_CONTAINER_CREDENTIALS_FULL_URI and refuse awsvpc.
	NetNS bool

	// Users is true when ContainerSpec.User is honoured.
	Users bool

	// Mounts is true when ContainerSpec.Mounts are honoured.
	Mounts bool

	// Seccomp is true when Docker's default profile is applied.
	Seccomp bool

	// CgroupVersion is 1 or 2, or 0 when no cgroups are used.
	CgroupVersion int

	// Warnings are whole sentences for the operator, each naming one thing
	// that is missing and what would provide it.
	Warnings []string
}

// Image is an unpacked image.
type Image struct {
	// ID is the digest of the image's configuration, Docker's image id.
	ID string
	// Digest is the digest of the manifest, what a repository reference
	// "name@sha256:..." names and ECS reports as imageDigest.
	Digest string
	// Config carries Entrypoint, Cmd, Env, WorkingDir, User, StopSignal.
	Config v1.Config
	// Layers are the DiffIDs, lowest first.
	Layers []string
}

// ContainerSpec is everything about one container. The caller has resolved
// the image's defaults (command, environment, user, directory) already: the
// runtime does not look at Image.Config.
type ContainerSpec struct {
	// ID is chosen by the caller, unique on this host: letters, digits,
	// '-', '_' and '.', at most 128.
	ID string
	// Name is for people and logs.
	Name  string
	Image Image

	// NetNS is the path of the task's network namespace (/run/netns/x,
	// /proc/self/fd/n); "" shares the host's network.
	NetNS    string
	Hostname string

	// Args is entrypoint and command; Args[0] without a slash is looked up
	// in the PATH of Env.
	Args []string
	// Env is KEY=value. HOME is set from the image's /etc/passwd and PATH
	// to Docker's default where absent.
	Env []string
	// User is "", "name", "uid", "name:group" or "uid:gid"; names are those
	// of the image's /etc/passwd and /etc/group.
	User string
	// WorkingDir is made when absent; "" is "/".
	WorkingDir string

	ReadonlyRootfs bool
	Mounts         []Mount
	// Sysctls are namespaced kernel parameters (systemControls).
	Sysctls map[string]string
	// ShmSize is the size of /dev/shm in bytes; 0 is 64 MiB.
	ShmSize int64

	Resources Resources
	// Group is the task this container belongs to; its limits hold for all
	// containers of the group together.
	Group   Group
	Ulimits []Ulimit

	// CapAdd and CapDrop change Docker's default capability set: names as
	// ECS writes them ("NET_ADMIN", "ALL"). Drop is applied after Add,
	// except that with Drop ALL the added ones remain.
	CapAdd, CapDrop []string

	// NoNewPrivileges stops setuid programs from gaining privileges
	// (dockerSecurityOptions "no-new-privileges").
	NoNewPrivileges bool

	// Log receives the output; nil discards it.
	Log    LogSink
	Labels map[string]string
}

// Resources are limits. Zero means no limit.
type Resources struct {
	// Memory is the hard limit in bytes; beyond it the kernel kills.
	Memory int64
	// MemoryReservation is the soft limit in bytes.
	MemoryReservation int64
	// CPUShares is the relative weight; 1024 is one ECS vCPU. ECS's cpu
	// units are these.
	CPUShares uint64
	// CPUQuota is the hard ceiling in microseconds of CPU time per period
	// of 100 ms: 50000 is half a core.
	CPUQuota int64
	// PidsLimit is the most processes and threads at once.
	PidsLimit int64
}

// CPUPeriod is the period, in microseconds, that Resources.CPUQuota refers to.
const CPUPeriod = 100_000

// Group is a task's parent cgroup. It exists from the first container created
// with its ID to the removal of the last. The limits of the first count.
type Group struct {
	// ID follows the rules of ContainerSpec.ID; "" means no group.
	ID        string
	Resources Resources
}

// Ulimit is one resource limit, named as in an ECS task definition (nofile,
// nproc, core, memlock, ...). -1 is unlimited.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// MountType tells the kinds of Mount apart.
type MountType string

const (
	// MountBind makes a host file or directory appear in the container.
	MountBind MountType = "bind"
	// MountTmpfs is memory.
	MountTmpfs MountType = "tmpfs"
)

// Mount is one file system placed in a container. Targets are resolved inside
// the container's root: a symbolic link in the image cannot lead out of it.
type Mount struct {
	Type     MountType
	Source   string // host path, absolute; MountBind only
	Target   string // absolute in the container
	ReadOnly bool
	Size     int64    // bytes; MountTmpfs only, 0 is the kernel's default
	Options  []string // "noexec", "nosuid", "nodev", "mode=1777", ...
}

// Stream names an output of a container.
type Stream string

// The two streams, spelled as in log drivers.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// LogSink receives the lines a container writes. Lines of one stream arrive in
// order, those of different streams from different goroutines. The line has no
// newline and is only valid during the call. A sink that blocks slows the
// container, as Docker's blocking mode does; dropping is the sink's choice.
type LogSink interface {
	Line(stream Stream, at time.Time, line []byte)
}

// MaxLine is the longest line, in bytes, handed to a LogSink; longer ones
// arrive in pieces. It is CloudWatch Logs' event limit of 256 KiB less its 26
// bytes per event.
const MaxLine = 256<<10 - 26

// ExecSpec is one more command in a running container.
type ExecSpec struct {
	Args []string
	// Env is added to the container's own; later entries win.
	Env []string
	// User and WorkingDir default to the container's.
	User, WorkingDir string
	Stdin            io.Reader
	Stdout, Stderr   io.Writer
	// Terminal, unless nil, runs the command on a pseudo terminal, as
	// ECS Exec does: Stdin and Stdout are its two directions, Stderr gets
	// nothing. A runtime without terminals gives ErrUnsupported.
	Terminal *Terminal
}

// Terminal is a pseudo terminal for an Exec.
type Terminal struct {
	Size TerminalSize
	// Resize, unless nil, brings new sizes while the command runs.
	Resize <-chan TerminalSize
}

// TerminalSize is in characters.
type TerminalSize struct{ Rows, Columns uint16 }

// Exit is how a container ended.
type Exit struct {
	// Code is the exit status, or 128 plus the signal's number.
	Code int
	// Signal ended the first process; 0 if it exited by itself.
	Signal syscall.Signal
	// OOMKilled is true when the kernel killed a process of the container
	// for memory, whichever process, as Docker reports it.
	OOMKilled bool

	StartedAt, FinishedAt time.Time
}

// Stats is what a container uses now.
type Stats struct {
	Read time.Time
	// CPUUsage is CPU time since start.
	CPUUsage time.Duration
	// MemoryUsage is bytes in use without inactive page cache, as docker
	// stats shows; MemoryLimit the limit in force, 0 for none.
	MemoryUsage, MemoryMax, MemoryLimit uint64
	Pids                                uint64
	BlockRead, BlockWrite               uint64
}

// Stop asks a container to end and insists after grace: sig (SIGTERM when
// zero), then SIGKILL. A container already ended is not an error.
func Stop(ctx context.Context, r Runtime, id string, sig syscall.Signal, grace time.Duration) (Exit, error) {
	if sig == 0 {
		sig = syscall.SIGTERM
	}
	if err := r.Signal(ctx, id, sig); err != nil && !errors.Is(err, ErrState) {
		return Exit{}, err
	}
	gentle, cancel := context.WithTimeout(ctx, grace)
	exit, err := r.Wait(gentle, id)
	cancel()
	if err == nil || gentle.Err() == nil || ctx.Err() != nil {
		return exit, err
	}
	if err := r.Signal(ctx, id, syscall.SIGKILL); err != nil && !errors.Is(err, ErrState) {
		return Exit{}, err
	}
	return r.Wait(ctx, id)
}

// CheckID refuses ids that could not safely become a file name.
func CheckID(id string) error {
	if id == "" || len(id) > 128 || id[0] == '.' || id[0] == '-' {
		return fmt.Errorf("container id %q: must be 1 to 128 characters and start with a letter, digit or '_'", id)
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("container id %q: character %q is not allowed", id, c)
		}
	}
	return nil
}
