// Package network gives every task its own network namespace and, inside it,
// a private way to the task's credentials.
//
// The agent's engine calls it: New once at start, Sweep, then Attach before a
// task's first container and Detach after its last. Runtimes only see the path
// of the namespace. The listeners that Attach returns are served by the
// metadata package.
//
//	host namespace              task namespace              side namespace
//	+-------------------+       +---------------------+     +------------------+
//	| bridge            | veth  | eth0     task addr  |     | 169.254.170.2    |
//	|   gateway address +-------+ default via gateway |veth | 169.254.169.254  |
//	|   nftables remit  |       | ecs-md   .172.2 ----+-----+ (EC2 launch type)|
//	|                   |       | prohibit 169.254/16 |     | no default route |
//	+-------------------+       +---------------------+     +------------------+
//
// The credentials address does not exist in the task namespace, so an
// application may bind port 80 there, and a packet that another task routes to
// this task's eth0 finds no such local address and is not forwarded. The side
// namespace has exactly one link, to its task, and one route, back to it. The
// listener is opened inside the side namespace and accepted from this process:
// who connected is known from the listener, not from an address.
//
// Tasks reach each other, the gateway and the outside only through the host:
// bridge ports are isolated, so the host's forward and input chains see every
// packet. The link-local range 169.254.0.0/16 is refused in the task (routes)
// and again on the host (nftables), because the machine's own instance
// metadata service would hand out the machine's role.
//
// Tasks may open connections to the gateway address on Options.HostPorts only;
// all other addresses and ports of the host are closed to them. IPv6 is off on
// every link this package creates.
//
// What a task may be is the runtime's part. A container in the initial user
// namespace with NET_ADMIN can, by the target-namespace feature of rtnetlink,
// delete or move links of the host, at the other end of its veth: no
// arrangement of namespaces here prevents that. NET_ADMIN and privileged
// containers are as trusted as the host. NET_RAW, which containers have by
// default, is covered.
//
// The package never speaks HTTP, never sees a credential, never runs an
// external program, and puts no link-local address or route on the host.
package network

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
)

// The link-local addresses of a task. Inside a task they always mean the
// agent, never the machine's own services.
var (
	// CredentialsAddress answers credentials and task metadata on port 80.
	CredentialsAddress = netip.AddrFrom4([4]byte{169, 254, 170, 2})
	// IMDSAddress is the instance metadata service, on port 80.
	IMDSAddress = netip.AddrFrom4([4]byte{169, 254, 169, 254})
)

// DefaultBridge is the bridge name used when Options.Bridge is empty.
const DefaultBridge = "remit0"

var (
	// ErrUnsupported says that this operating system has no network
	// namespaces. Host network tasks remain possible.
	ErrUnsupported = errors.New("network: task network namespaces need Linux")
	// ErrAttached says that the task already has a network.
	ErrAttached = errors.New("network: task is already attached")
	// ErrNoAddress says that every address of the subnet is taken.
	ErrNoAddress = errors.New("network: no free address in the task subnet")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("network: closed")
	// ErrInUse says that another live process uses the same state directory.
	ErrInUse = errors.New("network: state directory is in use by another process")
)

// Options configures a Networker. The zero value works on a host where only
// one agent runs.
type Options struct {
	// Bridge is the name of the host bridge, at most 15 bytes. Two agents on
	// one host need two names. Default DefaultBridge.
	Bridge string
	// Subnet is the IPv4 range of task addresses, between /16 and /29. Its
	// first address becomes the gateway. Default: the first /20 from
	// 172.31.240.0/20 downwards, then in 10.0.0.0/8, that overlaps no route
	// of the host.
	Subnet netip.Prefix
	// HostPorts are the TCP ports on the gateway address that tasks may
	// connect to, such as the control plane's. Empty closes the host to tasks.
	HostPorts []uint16
	// BlockIMDS refuses TaskOptions.IMDS: no task gets an instance metadata
	// listener (ECS_AWSVPC_BLOCK_IMDS). The machine's own metadata service is
	// out of reach whatever this says.
	BlockIMDS bool
	// StateDir, when set, holds a lock file, so that two processes cannot run
	// the same bridge: the second New fails with ErrInUse.
	StateDir string
	// Log receives what was degraded and what was swept. Default slog.Default().
	Log *slog.Logger
}

// TaskOptions says what one task needs.
type TaskOptions struct {
	// Address is the task's address, of Options.Subnet and not in use. The
	// zero value takes a free one.
	Address netip.Addr
	// MAC is the hardware address of eth0. nil derives one from the address.
	MAC net.HardwareAddr
	// NetNS joins an existing namespace (the pause container of a Docker
	// task, /proc/PID/ns/net) instead of creating one.
	NetNS string
	// IMDS opens a listener on 169.254.169.254:80 as well. Fails when
	// Options.BlockIMDS is set.
	IMDS bool
}

// TaskNet is the network of one attached task.
type TaskNet struct {
	// NSPath opens the task namespace. It is valid for any process in this
	// PID namespace, until Detach or the end of this process.
	NSPath string
	// Address is the task's address on eth0.
	Address netip.Addr
	// MAC is the hardware address of eth0.
	MAC net.HardwareAddr
	// Gateway is the next hop of the default route, the host on the bridge.
	Gateway netip.Addr
	// Subnet is the task subnet, the IPv4SubnetCIDRBlock of task metadata.
	Subnet netip.Prefix
	// Credentials listens on 169.254.170.2:80 of this task and no other.
	// Detach closes it; the server on it should be closed first.
	Credentials net.Listener
	// IMDS listens on 169.254.169.254:80, nil unless asked for.
	IMDS net.Listener
}

// Info describes what the host allows.
type Info struct {
	Bridge  string
	Subnet  netip.Prefix
	Gateway netip.Addr
	// Warnings name what does not work here and what follows from it, one
	// sentence each; empty when all is well.
	Warnings []string
}
