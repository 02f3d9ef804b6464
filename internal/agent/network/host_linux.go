package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lockState takes the lock file of a state directory, for as long as this
// process lives.
func lockState(dir string) (*os.File, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("network: state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "network.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("network: state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("network: locking %s: %w", f.Name(), err)
	}
	return f, nil
}

// chooseSubnet returns the configured subnet, else the one that an existing
// bridge already has, else a free one.
func chooseSubnet(h *netlink.Handle, bridge string, configured netip.Prefix) (netip.Prefix, error) {
	if configured.IsValid() {
		return configured.Masked(), nil
	}
	if l, err := h.LinkByName(bridge); err == nil {
		addrs, err := h.AddrList(l, netlink.FAMILY_V4)
		if err == nil && len(addrs) == 1 {
			if p, ok := prefixOf(addrs[0].IPNet); ok && p.Bits() >= 16 && p.Bits() <= 29 {
				return p, nil
			}
		}
	}
	var taken []netip.Prefix
	// All tables: policy routing may hide routes from the main one.
	routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("network: reading the host's routes: %w", err)
	}
	for _, r := range routes {
		if p, ok := prefixOf(r.Dst); ok {
			taken = append(taken, p)
		}
	}
	addrs, err := h.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("network: reading the host's addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok {
			taken = append(taken, p)
		}
	}
	return freeSubnet(taken)
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits != 32 {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a.Unmap(), ones).Masked(), true
}

// uplinkMTU is the MTU of the link that the default route uses: tasks must not
// send what the way out cannot carry. 1500 when there is no way out.
func uplinkMTU(h *netlink.Handle) int {
	routes, err := h.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return 1500
	}
	for _, r := range routes {
		if p, ok := prefixOf(r.Dst); (r.Dst == nil || ok && p.Bits() == 0) && r.LinkIndex > 0 {
			if l, err := h.LinkByIndex(r.LinkIndex); err == nil && l.Attrs().MTU >= 1280 {
				return min(l.Attrs().MTU, 1500)
			}
		}
	}
	return 1500
}

// ensureBridge creates the bridge, or adopts the one of an earlier process,
// with the gateway address as its only IPv4 address.
func ensureBridge(h *netlink.Handle, name string, gateway netip.Prefix, mtu int) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		// A fixed hardware address: otherwise the bridge takes one of its
		// ports', and changes it as tasks come and go.
		attrs := linkAttrs(name, hardwareAddr(gateway.Addr()))
		attrs.MTU = mtu
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return nil, fmt.Errorf("network: creating bridge %s: %w", name, err)
		}
		if l, err = h.LinkByName(name); err != nil {
			return nil, fmt.Errorf("network: bridge %s: %w", name, err)
		}
	case err != nil:
		return nil, fmt.Errorf("network: bridge %s: %w", name, err)
	case l.Type() != "bridge":
		return nil, fmt.Errorf("network: interface %s exists and is a %s, not a bridge; name another bridge", name, l.Type())
	}

	addrs, err := h.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("network: addresses of bridge %s: %w", name, err)
	}
	present := false
	for _, a := range addrs {
		if have, ok := netip.AddrFromSlice(a.IP); ok && have.Unmap() == gateway.Addr() {
			if ones, _ := a.Mask.Size(); ones == gateway.Bits() {
				present = true
				continue
			}
		}
		if err := h.AddrDel(l, &a); err != nil {
			return nil, fmt.Errorf("network: old address %v of bridge %s: %w", a.IPNet, name, err)
		}
	}
	err = sysctls([]setting{
		{"ipv4/conf/" + name + "/rp_filter", "1"},
		{"ipv4/conf/" + name + "/route_localnet", "0"},
		{"ipv4/conf/" + name + "/accept_redirects", "0"},
		{"ipv4/conf/" + name + "/send_redirects", "0"},
		{"ipv4/conf/" + name + "/accept_source_route", "0"},
		{"ipv4/conf/" + name + "/proxy_arp", "0"},
		// Without this, tasks would reach every port of the host by the
		// bridge's fe80:: address.
		{"ipv6/conf/" + name + "/disable_ipv6", "1"},
	})
	if err != nil {
		return nil, fmt.Errorf("network: bridge %s: %w", name, err)
	}
	if !present {
		if err := h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(gateway)}); err != nil {
			return nil, fmt.Errorf("network: address of bridge %s: %w", name, err)
		}
	}
	if err := h.LinkSetUp(l); err != nil {
		return nil, fmt.Errorf("network: bridge %s up: %w", name, err)
	}
	return l, nil
}

// addPort creates the task's eth0 in its namespace and the host's end of it as
// a port of the bridge. Ports are isolated: tasks meet in the host's IP stack
// or not at all. Nothing about a port is learned from what its task sends.
func addPort(h *netlink.Handle, bridge netlink.Link, port string, ns *os.File, mac net.HardwareAddr, address netip.Addr, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = port, mtu
	err := h.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: taskLink, PeerHardwareAddr: mac,
		PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(ns.Fd()),
	})
	if err != nil {
		return fmt.Errorf("link %s: %w", port, err)
	}
	l, err := h.LinkByName(port)
	if err != nil {
		return fmt.Errorf("link %s: %w", port, err)
	}
	if err := sysctls([]setting{{"ipv6/conf/" + port + "/disable_ipv6", "1"}}); err != nil {
		return err
	}
	if err := h.LinkSetMaster(l, bridge); err != nil {
		return fmt.Errorf("link %s to bridge: %w", port, err)
	}
	if err := h.LinkSetIsolated(l, true); err != nil {
		return fmt.Errorf("isolating bridge port %s: %w", port, err)
	}
	if err := h.LinkSetLearning(l, false); err != nil {
		return fmt.Errorf("bridge port %s: learning off: %w", port, err)
	}
	if err := h.LinkSetFlood(l, false); err != nil {
		return fmt.Errorf("bridge port %s: flooding off: %w", port, err)
	}
	for _, n := range []*netlink.Neigh{
		{LinkIndex: l.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP, Flags: netlink.NTF_MASTER, HardwareAddr: mac},
		{LinkIndex: bridge.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: address.AsSlice(), HardwareAddr: mac},
	} {
		if err := h.NeighSet(n); err != nil {
			return fmt.Errorf("bridge port %s: fixed neighbour: %w", port, err)
		}
	}
	return nil
}

// removeNeighbour forgets the hardware address of a task that has gone.
func removeNeighbour(h *netlink.Handle, bridge netlink.Link, address netip.Addr, mac net.HardwareAddr) error {
	err := h.NeighDel(&netlink.Neigh{
		LinkIndex: bridge.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: address.AsSlice(), HardwareAddr: mac,
	})
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("neighbour %v: %w", address, err)
	}
	return nil
}

// linkLocalRule is the routing policy rule that stands in for the firewall
// where there is none: whatever a task sends, the host routes none of it into
// the link-local range.
func linkLocalRule(bridge string) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.IifName = netlink.FAMILY_V4, 1, bridge
	r.Dst, r.Type = ipNet(linkLocal), unix.RTN_PROHIBIT
	return r
}

// validBridge refuses names that the kernel or a path in /proc/sys would take
// for something else.
func validBridge(name string) error {
	if name == "" || len(name) >= unix.IFNAMSIZ || name == "." || name == ".." ||
		name == "all" || name == "default" || strings.ContainsAny(name, "/: \t\n\x00") {
		return fmt.Errorf("network: %q is no interface name", name)
	}
	return nil
}
