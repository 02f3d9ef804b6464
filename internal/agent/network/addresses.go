package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// pool hands out the addresses of a subnet. The network address, the gateway
// (the first host address) and the broadcast address are never handed out. It
// walks forward, so that an address just released rests as long as possible:
// peers that still remember the old task do not meet a new one. It is not safe
// for concurrent use.
type pool struct {
	subnet netip.Prefix
	used   map[uint32]bool // offset into the subnet
	next   uint32
}

func newPool(subnet netip.Prefix) (*pool, error) {
	if !subnet.IsValid() || !subnet.Addr().Is4() || subnet.Bits() < 16 || subnet.Bits() > 29 {
		return nil, fmt.Errorf("network: subnet %v is not an IPv4 prefix between /16 and /29", subnet)
	}
	if subnet.Overlaps(linkLocal) {
		return nil, fmt.Errorf("network: subnet %v overlaps the link-local range %v", subnet, linkLocal)
	}
	return &pool{subnet: subnet.Masked(), used: map[uint32]bool{}, next: 2}, nil
}

// linkLocal is what no task may reach except its own side namespace.
var linkLocal = netip.MustParsePrefix("169.254.0.0/16")

func (p *pool) size() uint32 { return 1 << (32 - p.subnet.Bits()) }

func (p *pool) gateway() netip.Addr { return p.at(1) }

func (p *pool) at(offset uint32) netip.Addr {
	base := p.subnet.Addr().As4()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(base[:])+offset)
	return netip.AddrFrom4(b)
}

func (p *pool) take() (netip.Addr, error) {
	first, last := uint32(2), p.size()-2
	for range last - first + 1 {
		if p.next < first || p.next > last {
			p.next = first
		}
		offset := p.next
		p.next++
		if !p.used[offset] {
			p.used[offset] = true
			return p.at(offset), nil
		}
	}
	return netip.Addr{}, ErrNoAddress
}

// claim takes a certain address.
func (p *pool) claim(a netip.Addr) error {
	if !a.Is4() || !p.subnet.Contains(a) {
		return fmt.Errorf("%w: %v is not in", ErrNoAddress, a)
	}
	base, addr := p.subnet.Addr().As4(), a.As4()
	offset := binary.BigEndian.Uint32(addr[:]) - binary.BigEndian.Uint32(base[:])
	if offset < 2 || offset > p.size()-2 || p.used[offset] {
		return fmt.Errorf("%w: %v is taken in", ErrNoAddress, a)
	}
	p.used[offset] = true
	return nil
}

func (p *pool) release(a netip.Addr) {
	if !p.subnet.Contains(a) {
		return
	}
	base, addr := p.subnet.Addr().As4(), a.As4()
	delete(p.used, binary.BigEndian.Uint32(addr[:])-binary.BigEndian.Uint32(base[:]))
}

// freeSubnet returns the first of the default subnets that overlaps none of
// the taken ones.
func freeSubnet(taken []netip.Prefix) (netip.Prefix, error) {
	for _, top := range []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("10.0.0.0/8")} {
		base := top.Addr().As4()
		for i := 1<<(20-top.Bits()) - 1; i >= 0; i-- {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(base[:])+uint32(i)<<12)
			candidate := netip.PrefixFrom(netip.AddrFrom4(b), 20)
			free := true
			for _, t := range taken {
				// A default route covers everything and reserves nothing.
				if t.Bits() > 0 && t.Overlaps(candidate) {
					free = false
					break
				}
			}
			if free {
				return candidate, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("network: every private /20 overlaps a route of this host; name a subnet")
}

// hardwareAddr derives a locally administered address from an IPv4 address:
// unique where the address is, and the same after a restart.
func hardwareAddr(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x0a, 0x58, b[0], b[1], b[2], b[3]}
}

// ipNet converts to the type that netlink speaks.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// host32 is the /32 of one address.
func host32(a netip.Addr) *net.IPNet { return ipNet(netip.PrefixFrom(a, a.BitLen())) }
