// Command probe is the hostile app of the isolation tests. What it finds it
// writes, a line each, "NAME: RESULT".
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const credentialsAddress = "169.254.170.2"

func main() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	switch os.Getenv("PROBE") {
	case "victim":
		victim()
	case "attacker":
		attacker()
	case "secrets":
		secrets()
	}
	report("ready", os.Getenv("PROBE"))
	if os.Getenv("PROBE") == "stubborn" {
		for range term {
		}
	}
	<-term
}

func report(name string, result any) {
	fmt.Printf("%s: %s\n", name, strings.ReplaceAll(fmt.Sprint(result), "\n", " "))
}

// client does not reuse connections: each probe is its own.
var client = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func get(url string) string {
	res, err := client.Get(url)
	if err != nil {
		return "error " + reason(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "error " + reason(err)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, body)
}

// reason is the kernel's word for a failure.
func reason(err error) string {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}

func connect(address string) string {
	c, err := net.DialTimeout("tcp4", address, 2*time.Second)
	if err != nil {
		return "error " + reason(err)
	}
	c.Close()
	return "connected"
}

func ownCredentials() string { return get("http://" + credentialsAddress + uri()) }

func uri() string { return os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") }

// victim serves its own app on port 80 of every address it has, and tells
// which datagrams reach it.
func victim() {
	report("uri", uri())
	report("own", ownCredentials())
	l, err := net.Listen("tcp4", "0.0.0.0:80")
	if err != nil {
		report("port 80", "error "+reason(err))
		return
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the victim's app")
	}))
	report("port 80", get("http://127.0.0.1:80/"))
	report("own, with port 80 taken", ownCredentials())
	u, err := net.ListenPacket("udp4", "0.0.0.0:9999")
	if err != nil {
		report("udp", "error "+reason(err))
		return
	}
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			report("arrived", string(b[:n])+" from "+from.(*net.UDPAddr).IP.String())
		}
	}()
}

func attacker() {
	other := os.Getenv("VICTIM_URI")
	address := netip.MustParseAddr(os.Getenv("VICTIM_ADDRESS"))
	report("own", ownCredentials())
	report("by path", get("http://"+credentialsAddress+other))
	report("by v1 path", get("http://"+credentialsAddress+"/v1/credentials?id="+other[strings.LastIndexByte(other, '/')+1:]))
	report("by address", get("http://"+address.String()+other))
	report("listen on the credentials address", func() string {
		l, err := net.Listen("tcp4", credentialsAddress+":8080")
		if err != nil {
			return "error " + reason(err)
		}
		l.Close()
		return "listening"
	}())
	for _, a := range strings.Fields(os.Getenv("LINK_LOCAL")) {
		report("link-local "+a, connect(a))
	}
	for _, a := range strings.Fields(os.Getenv("HOST_PORTS")) {
		report("host "+a, connect(a))
	}
	report("control plane", get(os.Getenv("AWS_ENDPOINT_URL")+"/_remit/health"))
	network(address)
}

// network tries what needs privileges of the network.
func network(victim netip.Addr) {
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		report("eth0", err)
		return
	}
	dst := &net.IPNet{IP: net.ParseIP(credentialsAddress).To4(), Mask: net.CIDRMask(32, 32)}
	report("raise a route", outcome(netlink.RouteReplace(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: dst, Gw: victim.AsSlice(), Flags: int(netlink.FLAG_ONLINK)})))
	report("take the victim's address", outcome(netlink.AddrAdd(eth0, &netlink.Addr{IPNet: &net.IPNet{IP: victim.AsSlice(), Mask: net.CIDRMask(32, 32)}})))
	report("own, after that", ownCredentials())

	routes, err := netlink.RouteList(eth0, netlink.FAMILY_V4)
	if err != nil {
		report("routes", err)
		return
	}
	var gateway net.IP
	for _, r := range routes {
		if r.Gw != nil {
			gateway = r.Gw
		}
	}
	addrs, err := netlink.AddrList(eth0, netlink.FAMILY_V4)
	if err != nil || len(addrs) == 0 || gateway == nil {
		report("eth0", fmt.Sprint("no address or gateway: ", addrs, gateway, err))
		return
	}
	self, _ := netip.AddrFromSlice(addrs[0].IP.To4())
	forged := victim.Next().Next().Next()

	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(htons(unix.ETH_P_IP)))
	report("packet socket", outcome(err))
	if err != nil {
		return
	}
	defer unix.Close(fd)
	gatewayMAC := neighbour(eth0, gateway)
	victimMAC := net.HardwareAddr(append([]byte{}, gatewayMAC...))
	if m, err := net.ParseMAC(os.Getenv("VICTIM_MAC")); err == nil {
		victimMAC = m
	}
	mac := eth0.Attrs().HardwareAddr
	send := func(name string, to net.HardwareAddr, from net.HardwareAddr, packet []byte) {
		frame := append(append(append([]byte{}, to...), from...), 8, 0)
		frame = append(frame, packet...)
		err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: eth0.Attrs().Index, Halen: 6})
		report("send "+name, outcome(err))
	}
	send("honest", gatewayMAC, mac, udp(self, victim, "honest"))
	send("forged source", gatewayMAC, mac, udp(forged, victim, "forged source"))
	send("forged source and MAC", gatewayMAC, net.HardwareAddr{2, 0, 0, 0, 0, 9}, udp(forged, victim, "forged source and MAC"))
	send("as the gateway", gatewayMAC, mac, udp(netip.AddrFrom4([4]byte(gateway.To4())), victim, "as the gateway"))
	send("straight", victimMAC, mac, udp(self, victim, "straight"))
	// The victim's endpoint, by hand-made segments: no answer may come back.
	credentials := netip.MustParseAddr(credentialsAddress)
	for name, source := range map[string]netip.Addr{"own": self, "the victim's": victim, "the metadata link's": netip.MustParseAddr("169.254.172.2")} {
		send("syn from "+name+" address by the gateway", gatewayMAC, mac, syn(source, credentials))
		send("syn from "+name+" address straight", victimMAC, mac, syn(source, credentials))
	}
	n, seen := answers(fd, eth0.Attrs().Index, credentials)
	report("answers to the syns", fmt.Sprint(n))
	report("seen of the endpoint", strings.Join(seen, "; "))
	send("last", gatewayMAC, mac, udp(self, victim, "last"))
}

func outcome(err error) string {
	if err == nil {
		return "done"
	}
	return "error " + reason(err)
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// neighbour resolves the hardware address of the next hop.
func neighbour(link netlink.Link, ip net.IP) net.HardwareAddr {
	for range 50 {
		if c, err := net.DialTimeout("udp4", net.JoinHostPort(ip.String(), "9"), time.Second); err == nil {
			_, _ = c.Write([]byte("x"))
			c.Close()
		}
		list, _ := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_V4)
		for _, n := range list {
			if n.IP.Equal(ip) && len(n.HardwareAddr) == 6 {
				return n.HardwareAddr
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}

func ipv4(protocol byte, source, target netip.Addr, payload []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	b = append(append(b, source.AsSlice()...), target.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, payload...)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func udp(source, target netip.Addr, text string) []byte {
	h := []byte{0x30, 0x39, 0x27, 0x0f, 0, 0, 0, 0} // to port 9999, no checksum
	binary.BigEndian.PutUint16(h[4:], uint16(8+len(text)))
	return ipv4(unix.IPPROTO_UDP, source, target, append(h, text...))
}

// synPort is where a syn of ours comes from: below the ports that Linux gives
// to connections of its own.
const synPort = 20000

func syn(source, target netip.Addr) []byte {
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h[0:], synPort)
	binary.BigEndian.PutUint16(h[2:], 80)
	binary.BigEndian.PutUint32(h[4:], 1)
	h[12], h[13], h[14] = 5<<4, 2, 0xff
	pseudo := append(append(append([]byte{}, source.AsSlice()...), target.AsSlice()...), 0, unix.IPPROTO_TCP, 0, 20)
	binary.BigEndian.PutUint16(h[16:], checksum(append(pseudo, h...)))
	return ipv4(unix.IPPROTO_TCP, source, target, h)
}

// answers watches a second for TCP frames from an address: how many could
// answer a syn of ours, because they came by the link that it left by or go
// to its port, and what all of them were. The task's own endpoint speaks on
// another link, to ports of the connections of this very program, and may.
func answers(fd, link int, from netip.Addr) (n int, seen []string) {
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	b := make([]byte, 2048)
	for until := time.Now().Add(time.Second); time.Now().Before(until); {
		size, at, err := unix.Recvfrom(fd, b, 0)
		l, ok := at.(*unix.SockaddrLinklayer)
		if err != nil || !ok || size < 14+20+20 || !bytes.Equal(b[26:30], from.AsSlice()) {
			continue
		}
		to := binary.BigEndian.Uint16(b[36:])
		if l.Ifindex == link || to == synPort {
			n++
		}
		name := fmt.Sprint("link ", l.Ifindex)
		if i, err := net.InterfaceByIndex(l.Ifindex); err == nil {
			name = i.Name
		}
		seen = append(seen, fmt.Sprintf("%s: port %d to %d, flags %#02x, %d bytes", name, binary.BigEndian.Uint16(b[34:]), to, b[47], size))
	}
	return n, seen
}

// secrets writes everything that a container can read about itself, so that
// the test can look for what must not be there.
func secrets() {
	report("own", ownCredentials())
	for _, v := range os.Environ() {
		report("env", v)
	}
	var document struct{ TaskARN string }
	metadata := os.Getenv("ECS_CONTAINER_METADATA_URI_V4")
	for _, path := range []string{"", "/task", "/taskWithTags"} {
		got := get(metadata + path)
		report("metadata"+path, got)
		_ = json.Unmarshal([]byte(strings.TrimPrefix(got, "200 ")), &document)
	}
	_, task, _ := strings.Cut(document.TaskARN, ":task/")
	task = task[strings.LastIndexByte(task, '/')+1:]
	for _, path := range []string{"/v2/credentials", "/v2/credentials/", "/v2/credentials/" + task, "/v2/credentials/execution", "/v1/credentials?id=", "/v2/credentials/../" + task} {
		report("guess "+path, get("http://"+credentialsAddress+path))
	}
	// The test learns the id of the execution role's credentials on the host,
	// and has it asked for from in here.
	go http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, get("http://"+credentialsAddress+r.URL.RequestURI()))
	}))
	processes, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range processes {
		b, err := os.ReadFile(p)
		if err != nil {
			report(p, "error "+reason(err))
			continue
		}
		report(p, strings.ReplaceAll(string(b), "\x00", " "))
	}
	_ = filepath.WalkDir("/", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if p == "/proc" || p == "/sys" || p == "/dev" || p == "/app" {
			return fs.SkipDir
		}
		if e.Type().IsRegular() {
			if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte("ASIA")) {
				report("file "+p, hex.EncodeToString(b[:min(len(b), 64)]))
			}
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := (&net.Dialer{}).DialContext(ctx, "unix", "/var/run/docker.sock")
	report("docker socket", outcome(err))
}
