package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	taskLink     = "eth0"   // in the task namespace, to the bridge
	metadataLink = "ecs-md" // in the task namespace, to the side namespace
	sideLink     = "md0"    // in the side namespace, to the task
)

// metadataSource is the task's address on the link to its side namespace: what
// its requests come from. It is the same in every task, because the link leads
// nowhere else.
var metadataSource = netip.AddrFrom4([4]byte{169, 254, 172, 2})

var (
	metadataLinkMAC = net.HardwareAddr{0x0a, 0x58, 169, 254, 172, 2}
	sideLinkMAC     = net.HardwareAddr{0x0a, 0x58, 169, 254, 170, 2}
)

// taskSettings make a task a plain host on its links: it forwards nothing (or
// its eth0 would be a way to its side namespace for others), believes no
// redirects, answers ARP only for the link it is asked on. They stand before
// the links exist, so that the links are born with them.
var taskSettings = []setting{
	{"ipv4/ip_forward", "0"},
	{"ipv4/conf/all/rp_filter", "1"},
	{"ipv4/conf/default/rp_filter", "1"},
	{"ipv4/conf/all/accept_redirects", "0"},
	{"ipv4/conf/default/accept_redirects", "0"},
	{"ipv4/conf/all/send_redirects", "0"},
	{"ipv4/conf/default/send_redirects", "0"},
	{"ipv4/conf/all/accept_source_route", "0"},
	{"ipv4/conf/default/accept_source_route", "0"},
	{"ipv4/conf/all/accept_local", "0"},
	{"ipv4/conf/default/accept_local", "0"},
	{"ipv4/conf/all/arp_ignore", "1"},
	{"ipv4/conf/all/arp_announce", "2"},
	// lo exists already and keeps ::1: applications may bind [::]:80.
	{"ipv6/conf/default/disable_ipv6", "1"},
}

// applicationSettings are Docker's defaults for container networks: ports
// below 1024 and ICMP echo without privileges.
var applicationSettings = []setting{
	{"ipv4/ip_unprivileged_port_start", "0"},
	{"ipv4/ping_group_range", "0 2147483647"},
}

// taskBuild carries one Attach through its steps.
type taskBuild struct {
	ns          *os.File
	credentials net.Listener
	imds        net.Listener

	// Needed during Attach only. A handle speaks to the namespace that it was
	// opened in, on whatever thread.
	side                   *os.File
	taskHandle, sideHandle *netlink.Handle
}

// finish closes what only the building needed.
func (b *taskBuild) finish() {
	if b.side != nil {
		b.side.Close()
		b.side = nil
	}
	for _, h := range []**netlink.Handle{&b.taskHandle, &b.sideHandle} {
		if *h != nil {
			(*h).Close()
			*h = nil
		}
	}
}

func (b *taskBuild) close() {
	for _, l := range []net.Listener{b.credentials, b.imds} {
		if l != nil {
			l.Close()
		}
	}
	if b.ns != nil {
		b.ns.Close()
	}
}

// openTaskNamespace creates or opens the task's namespace and leaves the
// calling thread in it, with every setting made.
func (b *taskBuild) openTaskNamespace(existing string) error {
	var err error
	if existing == "" {
		b.ns, err = newNamespace()
	} else if b.ns, err = openNamespace(existing); err == nil {
		var same bool
		if same, err = sameNamespace(b.ns); err == nil && same {
			// Network mode host: there is nothing to isolate, and blocking
			// 169.254/16 here would cut the machine off.
			err = errors.New("the namespace is the host's own")
		}
		if err == nil {
			err = enter(b.ns)
		}
	}
	if err != nil {
		return err
	}
	if err := sysctls(taskSettings); err != nil {
		return err
	}
	return sysctls(applicationSettings)
}

// configureTask runs in the task namespace once eth0 is there, and leaves the
// calling thread in the side namespace.
func (b *taskBuild) configureTask(address, gateway netip.Addr, subnet netip.Prefix) error {
	var err error
	if b.side, err = newNamespace(); err != nil {
		return err
	}
	if err := enter(b.ns); err != nil {
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink in the task namespace: %w", err)
	}
	b.taskHandle = h

	// The block comes first: at no moment does link-local traffic follow the
	// default route.
	if err := h.RouteReplace(&netlink.Route{Dst: ipNet(linkLocal), Type: unix.RTN_PROHIBIT}); err != nil {
		return fmt.Errorf("blocking %v: %w", linkLocal, err)
	}
	if err := linkUp(h, "lo"); err != nil {
		return err
	}
	eth0, err := h.LinkByName(taskLink)
	if err != nil {
		return fmt.Errorf("%s: %w", taskLink, err)
	}
	// No on-link subnet: everything, neighbours too, goes by the gateway,
	// where the host's rules see it.
	err = h.AddrAdd(eth0, &netlink.Addr{
		IPNet: ipNet(netip.PrefixFrom(address, subnet.Bits())), Flags: unix.IFA_F_NOPREFIXROUTE,
	})
	if err != nil {
		return fmt.Errorf("%s address: %w", taskLink, err)
	}
	if err := h.LinkSetUp(eth0); err != nil {
		return fmt.Errorf("%s up: %w", taskLink, err)
	}
	index := eth0.Attrs().Index
	for _, r := range []*netlink.Route{
		{LinkIndex: index, Dst: host32(gateway), Scope: netlink.SCOPE_LINK, Src: address.AsSlice()},
		{LinkIndex: index, Gw: gateway.AsSlice(), Src: address.AsSlice()},
	} {
		if err := h.RouteAdd(r); err != nil {
			return fmt.Errorf("%s route: %w", taskLink, err)
		}
	}

	err = h.LinkAdd(&netlink.Veth{
		LinkAttrs:        linkAttrs(metadataLink, metadataLinkMAC),
		PeerName:         sideLink,
		PeerHardwareAddr: sideLinkMAC,
		PeerNamespace:    netlink.NsFd(b.side.Fd()),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", metadataLink, err)
	}
	if err := pointToPoint(h, metadataLink, metadataSource, sideLinkMAC, CredentialsAddress); err != nil {
		return err
	}
	return enter(b.side)
}

// sideSettings make the side namespace answer its one task and nothing else.
var sideSettings = append([]setting{
	{"ipv6/conf/all/disable_ipv6", "1"},
	{"ipv4/conf/default/arp_ignore", "1"},
}, taskSettings...)

// configureSide runs in the side namespace. The sockets it opens keep the
// namespace alive.
func (b *taskBuild) configureSide(ctx context.Context, withIMDS bool) error {
	if err := sysctls(sideSettings); err != nil {
		return err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink in the side namespace: %w", err)
	}
	b.sideHandle = h
	if err := linkUp(h, "lo"); err != nil {
		return err
	}
	// One route, back to the task: whatever source a request claims, answers
	// go to the task or nowhere.
	if err := pointToPoint(h, sideLink, CredentialsAddress, metadataLinkMAC, metadataSource); err != nil {
		return err
	}
	if b.credentials, err = listen(ctx, CredentialsAddress); err != nil {
		return err
	}
	if !withIMDS {
		return nil
	}
	md, err := h.LinkByName(sideLink)
	if err != nil {
		return fmt.Errorf("%s: %w", sideLink, err)
	}
	if err := h.AddrAdd(md, &netlink.Addr{IPNet: host32(IMDSAddress)}); err != nil {
		return fmt.Errorf("%s address: %w", sideLink, err)
	}
	if b.imds, err = listen(ctx, IMDSAddress); err != nil {
		return err
	}
	l, err := b.taskHandle.LinkByName(metadataLink)
	if err != nil {
		return fmt.Errorf("%s: %w", metadataLink, err)
	}
	return linkRoute(b.taskHandle, l, metadataSource, sideLinkMAC, IMDSAddress)
}

// awaitUp waits until a link carries packets. The kernel starts the queue of a
// veth end some time after its peer came up, and until then drops what is sent:
// a task's first request for credentials would hang for the second that TCP
// takes to try again.
func awaitUp(ctx context.Context, h *netlink.Handle, name string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		l, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if l.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: link is still %v after 10 s", name, l.Attrs().OperState)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// pointToPoint configures one end of the link between a task and its side.
func pointToPoint(h *netlink.Handle, name string, local netip.Addr, peerMAC net.HardwareAddr, peer netip.Addr) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: host32(local)}); err != nil {
		return fmt.Errorf("%s address: %w", name, err)
	}
	if err := h.LinkSetUp(l); err != nil {
		return fmt.Errorf("%s up: %w", name, err)
	}
	return linkRoute(h, l, local, peerMAC, peer)
}

// linkRoute makes peer reachable over l, with a fixed hardware address: the
// two ends of the link depend on no ARP answer.
func linkRoute(h *netlink.Handle, l netlink.Link, local netip.Addr, peerMAC net.HardwareAddr, peer netip.Addr) error {
	name, index := l.Attrs().Name, l.Attrs().Index
	err := h.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: peer.AsSlice(), HardwareAddr: peerMAC,
	})
	if err != nil {
		return fmt.Errorf("%s neighbour: %w", name, err)
	}
	err = h.RouteAdd(&netlink.Route{
		LinkIndex: index, Dst: host32(peer), Scope: netlink.SCOPE_LINK, Src: local.AsSlice(),
	})
	if err != nil {
		return fmt.Errorf("%s route: %w", name, err)
	}
	return nil
}

// listen opens port 80 of an address of the calling thread's namespace.
func listen(ctx context.Context, a netip.Addr) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false) // one link, one path: fewer protocols to trust
	l, err := c.Listen(ctx, "tcp4", netip.AddrPortFrom(a, 80).String())
	if err != nil {
		return nil, fmt.Errorf("listener of the side namespace: %w", err)
	}
	return l, nil
}

func linkUp(h *netlink.Handle, name string) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := h.LinkSetUp(l); err != nil {
		return fmt.Errorf("%s up: %w", name, err)
	}
	return nil
}

func linkAttrs(name string, mac net.HardwareAddr) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.HardwareAddr = name, mac
	return a
}

// removeMetadataLink ends the task's way to its side namespace. The namespace
// may be one that we only joined and that lives on.
func removeMetadataLink(ns *os.File) error {
	return onThread(func() error {
		if err := enter(ns); err != nil {
			return err
		}
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		return deleteLink(h, metadataLink)
	})
}

// deleteLink deletes a link by name; that it is gone already is fine.
func deleteLink(h *netlink.Handle, name string) error {
	l, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkDel(l)
	}
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting link %s: %w", name, err)
	}
	return nil
}
