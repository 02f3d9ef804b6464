package network

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A task with every capability in its own namespace tries to be served as
// another.
func TestCredentialsOfAnotherTaskAreOutOfReach(t *testing.T) {
	n := newNetworker(t, Options{})
	for _, c := range []struct {
		name string
		// attack prepares the attacker; victim may have been misconfigured.
		attack func(t *testing.T, attacker, victim *TaskNet)
		source func(attacker, victim *TaskNet) netip.Addr
	}{
		{name: "by the victim's address", attack: func(t *testing.T, attacker, victim *TaskNet) {
			wantNone(t, attacker, victim.Address, 80)
			dropOwnMetadata(t, attacker)
		}},
		{name: "by a route to the victim's address", attack: func(t *testing.T, attacker, victim *TaskNet) {
			dropOwnMetadata(t, attacker)
			routeVia(t, attacker, victim.Address)
		}},
		{name: "by a route to the victim's address, with its hardware address", attack: func(t *testing.T, attacker, victim *TaskNet) {
			dropOwnMetadata(t, attacker)
			routeVia(t, attacker, victim.Address)
			know(t, attacker, victim.Address, victim.MAC)
		}},
		{name: "by a route to the gateway", attack: func(t *testing.T, attacker, victim *TaskNet) {
			dropOwnMetadata(t, attacker)
			routeVia(t, attacker, victim.Gateway)
		}},
		{name: "through a victim that forwards", attack: func(t *testing.T, attacker, victim *TaskNet) {
			err := inside(t, victim, func() error { return sysctl("ipv4/ip_forward", "1") })
			if err != nil {
				t.Fatal(err)
			}
			dropOwnMetadata(t, attacker)
			routeVia(t, attacker, victim.Address)
			know(t, attacker, victim.Address, victim.MAC)
		}},
		{name: "with the victim's address as source", attack: func(t *testing.T, attacker, victim *TaskNet) {
			dropOwnMetadata(t, attacker)
			takeAddress(t, attacker, victim.Address)
			routeVia(t, attacker, attacker.Gateway)
		}, source: func(_, victim *TaskNet) netip.Addr { return victim.Address }},
		{name: "with the metadata link's address as source", attack: func(t *testing.T, attacker, victim *TaskNet) {
			err := inside(t, victim, func() error { return sysctl("ipv4/ip_forward", "1") })
			if err != nil {
				t.Fatal(err)
			}
			dropOwnMetadata(t, attacker)
			takeAddress(t, attacker, metadataSource)
			routeVia(t, attacker, victim.Address)
			know(t, attacker, victim.Address, victim.MAC)
		}, source: func(_, _ *TaskNet) netip.Addr { return metadataSource }},
	} {
		t.Run(c.name, func(t *testing.T) {
			attacker, victim := attach(t, n, "attacker", TaskOptions{}), attach(t, n, "victim", TaskOptions{})
			defer n.Detach(t.Context(), "attacker")
			defer n.Detach(t.Context(), "victim")
			wantAnswer(t, attacker, CredentialsAddress, 80, "credentials of attacker")
			c.attack(t, attacker, victim)
			var source netip.Addr
			if c.source != nil {
				source = c.source(attacker, victim)
			}
			err := inside(t, attacker, func() error {
				got, err := get(CredentialsAddress, 80, source)
				if err == nil {
					t.Errorf("got %q", got)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			wantAnswer(t, victim, CredentialsAddress, 80, "credentials of victim")
		})
	}
}

// dropOwnMetadata removes a task's own way to 169.254.170.2 and the block of
// the link-local range.
func dropOwnMetadata(t *testing.T, task *TaskNet) {
	t.Helper()
	change(t, task, func(h *netlink.Handle, _ netlink.Link) error {
		return errors.Join(deleteLink(h, metadataLink),
			h.RouteDel(&netlink.Route{Dst: ipNet(linkLocal), Type: unix.RTN_PROHIBIT}))
	})
}

func routeVia(t *testing.T, task *TaskNet, via netip.Addr) {
	t.Helper()
	change(t, task, func(h *netlink.Handle, eth0 netlink.Link) error {
		return h.RouteReplace(&netlink.Route{
			LinkIndex: eth0.Attrs().Index, Dst: host32(CredentialsAddress), Gw: via.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		})
	})
}

func know(t *testing.T, task *TaskNet, a netip.Addr, mac net.HardwareAddr) {
	t.Helper()
	change(t, task, func(h *netlink.Handle, eth0 netlink.Link) error {
		return h.NeighSet(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac})
	})
}

func takeAddress(t *testing.T, task *TaskNet, a netip.Addr) {
	t.Helper()
	change(t, task, func(h *netlink.Handle, eth0 netlink.Link) error {
		return h.AddrAdd(eth0, &netlink.Addr{IPNet: host32(a), Flags: unix.IFA_F_NOPREFIXROUTE})
	})
}

// Frames that a task writes itself, past its own IP stack, must not arrive at
// another task.
func TestForgedFramesDoNotArrive(t *testing.T) {
	n := newNetworker(t, Options{})
	attacker, victim := attach(t, n, "attacker", TaskOptions{}), attach(t, n, "victim", TaskOptions{})
	gatewayMAC := hardwareAddr(n.Gateway())

	var received net.PacketConn
	err := inside(t, victim, func() (err error) {
		received, err = net.ListenPacket("udp4", "0.0.0.0:9")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer received.Close()
	arrives := func() bool {
		received.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, _, err := received.ReadFrom(make([]byte, 64))
		return err == nil
	}
	other := victim.Address.Next().Next()
	otherMAC := hardwareAddr(other)
	for _, c := range []struct {
		name           string
		from, to       net.HardwareAddr
		source, target netip.Addr
		want           bool
	}{
		{"honest, by the gateway", attacker.MAC, gatewayMAC, attacker.Address, victim.Address, true},
		{"straight to the victim's port", attacker.MAC, victim.MAC, attacker.Address, victim.Address, false},
		{"broadcast", attacker.MAC, net.HardwareAddr{255, 255, 255, 255, 255, 255}, attacker.Address, victim.Address, false},
		{"from another task's address", attacker.MAC, gatewayMAC, other, victim.Address, false},
		{"from another task's addresses", otherMAC, gatewayMAC, other, victim.Address, false},
		{"from the gateway's address", attacker.MAC, gatewayMAC, n.Gateway(), victim.Address, false},
		{"from the metadata address", attacker.MAC, gatewayMAC, CredentialsAddress, victim.Address, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := inside(t, attacker, func() error { return sendUDP(c.from, c.to, c.source, c.target, 9) })
			if err != nil {
				t.Fatal(err)
			}
			if got := arrives(); got != c.want {
				t.Errorf("arrived: %v, want %v", got, c.want)
			}
		})
	}
}

// sendUDP writes one frame with an empty datagram to eth0 of the calling
// thread's namespace.
func sendUDP(from, to net.HardwareAddr, source, target netip.Addr, port uint16) error {
	eth0, err := netlink.LinkByName(taskLink)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ip := append([]byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}, source.AsSlice()...)
	ip = append(ip, target.AsSlice()...)
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(ip[i])<<8 | uint32(ip[i+1])
	}
	sum = sum>>16 + sum&0xffff
	sum = ^(sum + sum>>16)
	ip[10], ip[11] = byte(sum>>8), byte(sum)
	frame := append(append(append([]byte{}, to...), from...), 8, 0)
	frame = append(append(frame, ip...), 0x30, 0x39, byte(port>>8), byte(port), 0, 8, 0, 0)
	frame = append(frame, make([]byte, 60-len(frame))...)
	return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: eth0.Attrs().Index, Halen: 6})
}

func TestMachineMetadataIsOutOfReach(t *testing.T) {
	n := newNetworker(t, Options{})
	if got, err := get(IMDSAddress, 80, netip.Addr{}); err != nil || !strings.HasPrefix(got, "outside") {
		t.Fatalf("the host's own metadata service does not answer: %q, %v", got, err)
	}
	task := attach(t, n, "a", TaskOptions{})
	err := inside(t, task, func() error {
		_, err := get(IMDSAddress, 80, netip.Addr{})
		return err
	})
	if !errors.Is(err, unix.EACCES) {
		t.Errorf("blocked with %v, want an immediate %v", err, unix.EACCES)
	}
	wantAnswer(t, task, outside, 80, "outside saw "+hostUplink.String()) // masqueraded

	// A task with NET_ADMIN removes its own block: the host still refuses.
	dropOwnMetadata(t, task)
	wantNone(t, task, IMDSAddress, 80)

	// The same, were the service on the host itself.
	lo, err := n.host.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	address := &netlink.Addr{IPNet: host32(IMDSAddress)}
	if err := n.host.AddrAdd(lo, address); err != nil {
		t.Fatal(err)
	}
	defer n.host.AddrDel(lo, address)
	l, err := net.Listen("tcp4", "169.254.169.254:80")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, "the machine's role")
	if got, err := get(IMDSAddress, 80, netip.Addr{}); err != nil || got != "the machine's role" {
		t.Fatalf("%q, %v", got, err)
	}
	wantNone(t, task, IMDSAddress, 80)
}

func TestWithoutFirewallTheMachineMetadataStaysOutOfReach(t *testing.T) {
	n := newNetworker(t, Options{})
	if n.firewall == nil {
		t.Skip("this kernel has no nf_tables: every other test shows this one's case")
	}
	if err := n.firewall.close(); err != nil {
		t.Fatal(err)
	}
	n.firewall = nil
	if err := n.withoutFirewall(errors.New("for a test")); err != nil {
		t.Fatal(err)
	}
	if w := strings.Join(n.Info().Warnings, "\n"); !strings.Contains(w, "no outbound NAT: ") {
		t.Errorf("warnings: %q", w)
	}
	a, b := attach(t, n, "a", TaskOptions{}), attach(t, n, "b", TaskOptions{})
	// The way back exists: only the rule stands between.
	err := onThread(func() error {
		if err := enter(outsideNS); err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{Dst: ipNet(n.subnet), Gw: hostUplink.AsSlice()})
	})
	if err != nil {
		t.Fatal(err)
	}
	dropOwnMetadata(t, a)
	wantAnswer(t, a, outside, 80, "outside saw "+a.Address.String())
	wantNone(t, a, IMDSAddress, 80)
	routeVia(t, a, b.Address)
	wantNone(t, a, CredentialsAddress, 80)
	wantAnswer(t, b, CredentialsAddress, 80, "credentials of b")
}
