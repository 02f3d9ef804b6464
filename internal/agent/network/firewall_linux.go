package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firewall is the nftables side of one bridge: a table of family inet for what
// crosses the host, and one of family netdev with a chain per bridge port.
//
//	table inet remit {
//	  chain forward {                        # type filter hook forward
//	    iifname BRIDGE meta nfproto ipv6 drop
//	    iifname BRIDGE ip daddr 169.254.0.0/16 drop
//	    iifname BRIDGE ip saddr != SUBNET drop
//	    oifname BRIDGE iifname BRIDGE accept
//	    oifname BRIDGE ct state established,related accept
//	    oifname BRIDGE drop                  # nobody outside opens connections to tasks
//	  }
//	  chain input {                          # type filter hook input
//	    iifname BRIDGE ct state established,related accept
//	    iifname BRIDGE ip daddr GATEWAY tcp dport { HostPorts } accept
//	    iifname BRIDGE ip daddr GATEWAY icmp type echo-request accept
//	    iifname BRIDGE drop
//	  }
//	  chain postrouting {                    # type nat hook postrouting
//	    ip saddr SUBNET oifname != BRIDGE masquerade
//	  }
//	}
//	table netdev remit {
//	  chain PORT {                           # hook ingress device PORT, policy drop
//	    ether saddr MAC arp saddr ip ADDRESS accept
//	    ether saddr MAC ip saddr ADDRESS ip daddr != 169.254.0.0/16 accept
//	  }
//	}
type firewall struct {
	mu     sync.Mutex
	bridge string
	inet   *nftables.Table
	netdev *nftables.Table // nil when the kernel has no netdev family
}

// tableName is remit for the default bridge, and never shared by two bridges.
func tableName(bridge string) string {
	if bridge == DefaultBridge {
		return "remit"
	}
	return "remit_" + strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '_'
	}, bridge)
}

// newFirewall replaces the tables of this bridge. It returns warnings about
// what the kernel or the host's other rules take away.
func newFirewall(bridge string, subnet netip.Prefix, gateway netip.Addr, ports []uint16) (*firewall, []string, error) {
	f := &firewall{bridge: bridge, inet: &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName(bridge)}}
	conn, err := nftables.New()
	if err != nil {
		return nil, nil, err
	}
	// Adding before deleting makes the deletion succeed whether or not an
	// earlier process left the table; all of it is one transaction.
	conn.AddTable(f.inet)
	conn.DelTable(f.inet)
	conn.AddTable(f.inet)
	accept, drop := &expr.Verdict{Kind: expr.VerdictAccept}, &expr.Verdict{Kind: expr.VerdictDrop}

	forward := f.chain(conn, "forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	f.rule(conn, forward, inBridge(bridge), family(unix.NFPROTO_IPV6), drop)
	f.rule(conn, forward, inBridge(bridge), family(unix.NFPROTO_IPV4), destination(linkLocal, expr.CmpOpEq), drop)
	f.rule(conn, forward, inBridge(bridge), family(unix.NFPROTO_IPV4), source(subnet, expr.CmpOpNeq), drop)
	f.rule(conn, forward, inBridge(bridge), outBridge(bridge, expr.CmpOpEq), accept)
	f.rule(conn, forward, outBridge(bridge, expr.CmpOpEq), established(), accept)
	f.rule(conn, forward, outBridge(bridge, expr.CmpOpEq), drop)

	input := f.chain(conn, "input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	toGateway := destination(netip.PrefixFrom(gateway, 32), expr.CmpOpEq)
	f.rule(conn, input, inBridge(bridge), established(), accept)
	for _, port := range ports {
		f.rule(conn, input, inBridge(bridge), family(unix.NFPROTO_IPV4), toGateway, transport(unix.IPPROTO_TCP), transportBytes(2, binary.BigEndian.AppendUint16(nil, port)), accept)
	}
	const echoRequest = 8
	f.rule(conn, input, inBridge(bridge), family(unix.NFPROTO_IPV4), toGateway, transport(unix.IPPROTO_ICMP), transportBytes(0, []byte{echoRequest}), accept)
	f.rule(conn, input, inBridge(bridge), drop)

	postrouting := f.chain(conn, "postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	f.rule(conn, postrouting, family(unix.NFPROTO_IPV4), source(subnet, expr.CmpOpEq), outBridge(bridge, expr.CmpOpNeq), &expr.Masq{})
	if err := conn.Flush(); err != nil {
		return nil, nil, err
	}

	var warnings []string
	netdev := &nftables.Table{Family: nftables.TableFamilyNetdev, Name: f.inet.Name}
	conn.AddTable(netdev)
	conn.DelTable(netdev)
	conn.AddTable(netdev)
	if err := conn.Flush(); err != nil {
		warnings = append(warnings, fmt.Sprintf("no source address check between tasks: nf_tables has no netdev family (%v); a task with NET_RAW can send, but not receive, as another task", err))
	} else {
		f.netdev = netdev
	}
	return f, append(warnings, f.foreignDrops(conn)...), nil
}

// foreignDrops names the host's own forward chains that drop by default: an
// accept in our table does not overrule them.
func (f *firewall) foreignDrops(conn *nftables.Conn) []string {
	chains, err := conn.ListChains()
	if err != nil {
		return []string{fmt.Sprintf("the host's other forward rules could not be read (%v); if they drop, tasks have no outbound network", err)}
	}
	var warnings []string
	for _, c := range chains {
		if c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop &&
			(c.Table.Family == nftables.TableFamilyIPv4 || c.Table.Family == nftables.TableFamilyINet) {
			warnings = append(warnings, fmt.Sprintf("chain %s of table %s drops forwarded packets by default: unless it accepts interface %s, tasks have no outbound network", c.Name, c.Table.Name, f.bridge))
		}
	}
	return warnings
}

func (f *firewall) chain(conn *nftables.Conn, name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	policy := nftables.ChainPolicyAccept
	return conn.AddChain(&nftables.Chain{Table: f.inet, Name: name, Type: kind, Hooknum: hook, Priority: priority, Policy: &policy})
}

// rule adds a rule from matches ([]expr.Any) and statements (expr.Any).
func (f *firewall) rule(conn *nftables.Conn, c *nftables.Chain, parts ...any) {
	conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: join(parts)})
}

func join(parts []any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		switch p := p.(type) {
		case []expr.Any:
			all = append(all, p...)
		case expr.Any:
			all = append(all, p)
		}
	}
	return all
}

// guard ties a bridge port to the addresses of its task.
func (f *firewall) guard(port string, mac net.HardwareAddr, address netip.Addr) error {
	if f.netdev == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	policy := nftables.ChainPolicyDrop
	c := conn.AddChain(&nftables.Chain{
		Table: f.netdev, Name: port, Type: nftables.ChainTypeFilter, Device: port,
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter, Policy: &policy,
	})
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	const arpSender = 14 // offset of the sender's IPv4 address in an ARP packet
	f.rule(conn, c, etherSource(mac), etherType(unix.ETH_P_ARP), payload(expr.PayloadBaseNetworkHeader, arpSender, expr.CmpOpEq, address.AsSlice()), accept)
	f.rule(conn, c, etherSource(mac), etherType(unix.ETH_P_IP), source(netip.PrefixFrom(address, 32), expr.CmpOpEq), destination(linkLocal, expr.CmpOpNeq), accept)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables chain of bridge port %s: %w", port, err)
	}
	return nil
}

// unguard removes the chain of a port that is about to go.
func (f *firewall) unguard(port string) error {
	if f.netdev == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	c := &nftables.Chain{Table: f.netdev, Name: port}
	conn.FlushChain(c)
	conn.DelChain(c)
	// The kernel drops the chain with its device, so it may be gone.
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("nftables chain of bridge port %s: %w", port, err)
	}
	return nil
}

func (f *firewall) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	conn.DelTable(f.inet)
	if f.netdev != nil {
		conn.DelTable(f.netdev)
	}
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("deleting nftables tables: %w", err)
	}
	return nil
}

func meta(key expr.MetaKey, op expr.CmpOp, data []byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data}}
}

// interfaceName pads to the width the kernel compares.
func interfaceName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func inBridge(name string) []expr.Any {
	return meta(expr.MetaKeyIIFNAME, expr.CmpOpEq, interfaceName(name))
}

func outBridge(name string, op expr.CmpOp) []expr.Any {
	return meta(expr.MetaKeyOIFNAME, op, interfaceName(name))
}

func family(f byte) []expr.Any { return meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{f}) }

func transport(protocol byte) []expr.Any {
	return meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{protocol})
}

func transportBytes(offset uint32, data []byte) []expr.Any {
	return payload(expr.PayloadBaseTransportHeader, offset, expr.CmpOpEq, data)
}

func etherType(t uint16) []expr.Any {
	return meta(expr.MetaKeyPROTOCOL, expr.CmpOpEq, binary.BigEndian.AppendUint16(nil, t))
}

func etherSource(mac net.HardwareAddr) []expr.Any {
	return payload(expr.PayloadBaseLLHeader, 6, expr.CmpOpEq, mac)
}

func payload(base expr.PayloadBase, offset uint32, op expr.CmpOp, data []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(data))},
		&expr.Cmp{Op: op, Register: 1, Data: data},
	}
}

func source(p netip.Prefix, op expr.CmpOp) []expr.Any      { return ipv4(12, p, op) }
func destination(p netip.Prefix, op expr.CmpOp) []expr.Any { return ipv4(16, p, op) }

// ipv4 compares the address at an offset of the IPv4 header with a prefix.
func ipv4(offset uint32, p netip.Prefix, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: net.CIDRMask(p.Bits(), 32), Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

func established() []expr.Any {
	mask := binary.NativeEndian.AppendUint32(nil, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}
