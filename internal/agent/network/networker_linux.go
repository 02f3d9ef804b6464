package network

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Networker owns a bridge and the networks of the tasks on it. Its methods may
// be called from any goroutine.
type Networker struct {
	bridgeName string
	bridge     netlink.Link
	subnet     netip.Prefix
	gateway    netip.Addr
	mtu        int
	blockIMDS  bool
	log        *slog.Logger
	host       *netlink.Handle
	firewall   *firewall // nil when nf_tables is not usable
	rule       *netlink.Rule
	lock       *os.File
	warnings   []string

	// closing is held for writing by Close, for reading by everything that
	// uses the host handle.
	closing sync.RWMutex

	mu     sync.Mutex
	closed bool
	pool   *pool
	tasks  map[string]*attachment
}

// attachment is one task's network. The mutex is held while it is built or
// taken down, so that the two never overlap.
type attachment struct {
	mu      sync.Mutex
	port    string // name of the host's end of eth0
	address netip.Addr
	mac     net.HardwareAddr
	build   taskBuild
}

// New prepares the host: the bridge, forwarding and the firewall. The network
// namespace of this process becomes the host of the tasks. It needs root.
//
// Turning forwarding on lets the kernel route between all interfaces of the
// machine, as container engines do. Where the kernel or the host lacks
// something, New succeeds with less, and Info names it; what keeps credentials
// apart is never given up.
func New(o Options) (_ *Networker, err error) {
	if o.Bridge == "" {
		o.Bridge = DefaultBridge
	}
	if err := validBridge(o.Bridge); err != nil {
		return nil, err
	}
	n := &Networker{bridgeName: o.Bridge, blockIMDS: o.BlockIMDS, log: o.Log, tasks: map[string]*attachment{}}
	if n.log == nil {
		n.log = slog.Default()
	}
	if n.lock, err = lockState(o.StateDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.release()
		}
	}()
	if n.host, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("network: netlink: %w", err)
	}
	if n.subnet, err = chooseSubnet(n.host, o.Bridge, o.Subnet); err != nil {
		return nil, err
	}
	if n.pool, err = newPool(n.subnet); err != nil {
		return nil, err
	}
	n.gateway = n.pool.gateway()
	n.mtu = uplinkMTU(n.host)
	n.bridge, err = ensureBridge(n.host, o.Bridge, netip.PrefixFrom(n.gateway, n.subnet.Bits()), n.mtu)
	if err != nil {
		return nil, err
	}

	if o.StateDir != "" {
		// Whoever finds the bridge later can tell whether it is abandoned.
		if err := n.host.LinkSetAlias(n.bridge, o.StateDir); err != nil {
			n.log.Debug("network: the bridge does not say whose it is", "error", err)
		}
	}

	// The firewall before forwarding: no packet passes unfiltered.
	firewall, warnings, failure := newFirewall(o.Bridge, n.subnet, n.gateway, o.HostPorts)
	if failure != nil {
		if err := n.withoutFirewall(failure); err != nil {
			return nil, err
		}
		return n, nil
	}
	n.firewall, n.warnings = firewall, warnings
	for _, w := range warnings {
		n.log.Warn("network: " + w)
	}
	if err := sysctl("ipv4/ip_forward", "1"); err != nil {
		n.warn("no outbound network: net.ipv4.ip_forward cannot be turned on (%v); tasks reach the gateway only", err)
	}
	return n, nil
}

// withoutFirewall makes do where nf_tables is missing. Forwarding is left as
// it is found; if it is on, a routing rule keeps the machine's own link-local
// services out of reach, and without that rule there is no Networker.
func (n *Networker) withoutFirewall(cause error) error {
	rule := linkLocalRule(n.bridgeName)
	if err := n.host.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("network: neither nf_tables (%w) nor a routing rule (%w) can keep tasks from the machine's link-local services", cause, err)
	}
	n.rule = rule
	n.warn("no outbound NAT: nf_tables is not usable (%v); tasks reach the gateway only, unless the host forwards and the network around it routes %v back", cause, n.subnet)
	n.warn("every port of the host is open to tasks: nf_tables is not usable")
	return nil
}

func (n *Networker) warn(format string, args ...any) {
	w := fmt.Sprintf(format, args...)
	n.warnings = append(n.warnings, w)
	n.log.Warn("network: " + w)
}

// Info describes what the host allows.
func (n *Networker) Info() Info {
	return Info{Bridge: n.bridgeName, Subnet: n.subnet, Gateway: n.gateway, Warnings: append([]string(nil), n.warnings...)}
}

// Gateway is the host's address on the bridge. Tasks may connect to it on
// Options.HostPorts.
func (n *Networker) Gateway() netip.Addr { return n.gateway }

// portPrefix begins the names of all bridge ports of one bridge, and of no
// other one's.
func portPrefix(bridge string) string { return "v" + digest(bridge)[:4] }

func portName(bridge, taskID string) string { return portPrefix(bridge) + digest(taskID)[:10] }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))
}

// Attach builds the network of a task: its namespace, its link to the bridge,
// its side namespace with the credentials listener. When it returns, no
// packet of the task can reach another task's credentials or the machine's
// metadata service. On error nothing is left behind.
//
// taskID is any string that is unique among the tasks of this host. Fails with
// ErrAttached if the task has a network already, ErrNoAddress if the subnet is
// full, ErrClosed after Close.
func (n *Networker) Attach(ctx context.Context, taskID string, o TaskOptions) (*TaskNet, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.IMDS && n.blockIMDS {
		return nil, errors.New("network: instance metadata is blocked for tasks on this host")
	}
	n.closing.RLock()
	defer n.closing.RUnlock()
	a, err := n.reserve(taskID, o)
	if err != nil {
		return nil, err
	}
	defer a.mu.Unlock() // locked by reserve
	err = onThread(func() error { return n.attach(ctx, a, o) })
	if err != nil {
		err = fmt.Errorf("network: task %s: %w", taskID, err)
		return nil, errors.Join(err, n.remove(taskID, a))
	}
	t := &TaskNet{
		// By process id, not "self": runtimes open it in a child of ours.
		NSPath:      fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), a.build.ns.Fd()),
		Address:     a.address,
		MAC:         a.mac,
		Gateway:     n.gateway,
		Subnet:      n.subnet,
		Credentials: a.build.credentials,
		IMDS:        a.build.imds,
	}
	return t, nil
}

// reserve books the task and its address, and returns the attachment locked.
func (n *Networker) reserve(taskID string, o TaskOptions) (*attachment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if n.tasks[taskID] != nil {
		return nil, fmt.Errorf("%w: %s", ErrAttached, taskID)
	}
	if o.MAC != nil && (len(o.MAC) != 6 || o.MAC[0]&1 != 0) {
		return nil, fmt.Errorf("network: %v is not the hardware address of one interface", o.MAC)
	}
	address := o.Address
	var err error
	if address.IsValid() {
		err = n.pool.claim(address)
	} else {
		address, err = n.pool.take()
	}
	if err != nil {
		return nil, fmt.Errorf("%w %v", err, n.subnet)
	}
	a := &attachment{port: portName(n.bridgeName, taskID), address: address, mac: o.MAC}
	if a.mac == nil {
		a.mac = hardwareAddr(address)
	}
	a.mu.Lock()
	n.tasks[taskID] = a
	return a, nil
}

// attach runs on a thread of its own and moves between three namespaces.
func (n *Networker) attach(ctx context.Context, a *attachment, o TaskOptions) error {
	b := &a.build
	defer b.finish()
	if err := b.openTaskNamespace(o.NetNS); err != nil {
		return err
	}
	err := elsewhere(func() error {
		if err := addPort(n.host, n.bridge, a.port, b.ns, a.mac, a.address, n.mtu); err != nil {
			return err
		}
		if n.firewall != nil {
			if err := n.firewall.guard(a.port, a.mac, a.address); err != nil {
				return err
			}
		}
		return linkUp(n.host, a.port)
	})
	if err != nil {
		return err
	}
	if err := b.configureTask(a.address, n.gateway, n.subnet); err != nil {
		return err
	}
	if err := b.configureSide(ctx, o.IMDS); err != nil {
		return err
	}
	for _, l := range []struct {
		handle *netlink.Handle
		name   string
	}{{n.host, a.port}, {n.host, n.bridgeName}, {b.taskHandle, taskLink}, {b.taskHandle, metadataLink}, {b.sideHandle, sideLink}} {
		if err := awaitUp(ctx, l.handle, l.name); err != nil {
			return err
		}
	}
	return nil
}

// Detach removes the network of a task: it closes the listeners, deletes the
// links and releases the address. The task's processes should have ended; any
// left lose all connectivity. An unknown task is no error. After an error
// Detach may be called again.
func (n *Networker) Detach(_ context.Context, taskID string) error {
	n.closing.RLock()
	defer n.closing.RUnlock()
	return n.detach(taskID)
}

func (n *Networker) detach(taskID string) error {
	n.mu.Lock()
	a := n.tasks[taskID]
	n.mu.Unlock()
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return n.remove(taskID, a)
}

// remove undoes attach, also a half-done one. a.mu is held. The address stays
// reserved as long as a link that uses it may exist.
func (n *Networker) remove(taskID string, a *attachment) error {
	n.mu.Lock()
	gone := n.tasks[taskID] != a
	n.mu.Unlock()
	if gone { // another Detach was faster
		return nil
	}
	for _, l := range []net.Listener{a.build.credentials, a.build.imds} {
		if l != nil {
			l.Close() // closing twice is harmless: the engine may have done it
		}
	}
	var errs []error
	if n.firewall != nil {
		errs = append(errs, n.firewall.unguard(a.port))
	}
	errs = append(errs, deleteLink(n.host, a.port), removeNeighbour(n.host, n.bridge, a.address, a.mac))
	if a.build.ns != nil {
		errs = append(errs, removeMetadataLink(a.build.ns))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("network: removing task %s: %w", taskID, err)
	}
	a.build.close()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.tasks, taskID)
	n.pool.release(a.address)
	return nil
}

// Sweep removes what a dead process left: links to the bridge that belong to no
// task of this Networker, and with them the namespaces that nothing else
// keeps, and the fixed neighbours of their addresses. Containers that
// survived the dead process lose their network.
func (n *Networker) Sweep(ctx context.Context) error {
	n.closing.RLock()
	defer n.closing.RUnlock()
	if n.host == nil {
		return ErrClosed
	}
	links, err := n.host.LinkList()
	if err != nil {
		return fmt.Errorf("network: sweep: %w", err)
	}
	neighbours, err := n.host.NeighList(n.bridge.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("network: sweep: %w", err)
	}
	// What is ours is read last: a task is booked before its links exist, so
	// one that is being attached meanwhile is not taken for a leftover.
	mine, addresses := map[string]bool{}, map[netip.Addr]bool{}
	n.mu.Lock()
	for _, a := range n.tasks {
		mine[a.port], addresses[a.address] = true, true
	}
	n.mu.Unlock()
	var errs []error
	for _, l := range links {
		attrs := l.Attrs()
		if mine[attrs.Name] || l.Type() != "veth" || !strings.HasPrefix(attrs.Name, portPrefix(n.bridgeName)) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		n.log.Info("network: removing a link of an earlier process", "link", attrs.Name)
		errs = append(errs, deleteLink(n.host, attrs.Name))
	}
	for _, e := range neighbours {
		if a, ok := netip.AddrFromSlice(e.IP); ok && e.State == netlink.NUD_PERMANENT && !addresses[a.Unmap()] {
			errs = append(errs, removeNeighbour(n.host, n.bridge, a.Unmap(), e.HardwareAddr))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("network: sweep: %w", err)
	}
	return nil
}

// Close detaches every task and removes the bridge and the firewall. The
// host's forwarding stays on: others may have come to need it. A Networker
// that failed to close may be closed again.
func (n *Networker) Close() error {
	n.closing.Lock()
	defer n.closing.Unlock()
	if n.host == nil {
		return nil
	}
	n.mu.Lock()
	n.closed = true
	tasks := make([]string, 0, len(n.tasks))
	for id := range n.tasks {
		tasks = append(tasks, id)
	}
	n.mu.Unlock()
	var errs []error
	for _, id := range tasks {
		errs = append(errs, n.detach(id))
	}
	errs = append(errs, deleteLink(n.host, n.bridgeName))
	if n.firewall != nil {
		errs = append(errs, n.firewall.close())
	}
	if n.rule != nil {
		if err := n.host.RuleDel(n.rule); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("network: routing rule: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	n.release()
	return nil
}

// release gives back what this process holds, not what is in the kernel.
func (n *Networker) release() {
	if n.host != nil {
		n.host.Close()
		n.host = nil
	}
	if n.lock != nil {
		n.lock.Close()
		n.lock = nil
	}
}
