package network

import (
	"errors"
	"net/netip"
	"testing"
)

func TestPoolHandsOutEachAddressOnce(t *testing.T) {
	p, err := newPool(netip.MustParsePrefix("10.1.2.8/29"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.gateway(); got != netip.MustParseAddr("10.1.2.9") {
		t.Errorf("gateway = %v", got)
	}
	seen := map[netip.Addr]bool{}
	for range 5 {
		a, err := p.take()
		if err != nil {
			t.Fatal(err)
		}
		if seen[a] || !p.subnet.Contains(a) || a == p.gateway() || a == netip.MustParseAddr("10.1.2.8") || a == netip.MustParseAddr("10.1.2.15") {
			t.Fatalf("took %v after %v", a, seen)
		}
		seen[a] = true
	}
	if _, err := p.take(); !errors.Is(err, ErrNoAddress) {
		t.Fatalf("full pool: %v", err)
	}
	freed := netip.MustParseAddr("10.1.2.12")
	p.release(freed)
	p.release(netip.MustParseAddr("192.0.2.1")) // not ours: ignored
	if a, err := p.take(); err != nil || a != freed {
		t.Fatalf("after release: %v, %v", a, err)
	}
}

func TestPoolLetsReleasedAddressesRest(t *testing.T) {
	p, err := newPool(netip.MustParsePrefix("10.1.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := p.take()
	p.release(first)
	if second, _ := p.take(); second == first {
		t.Errorf("%v handed out again at once", first)
	}
}

func TestPoolRefusesUnusableSubnets(t *testing.T) {
	for _, s := range []string{"10.0.0.0/8", "10.0.0.0/30", "fd00::/64", "169.254.0.0/16", "169.254.170.0/24"} {
		if _, err := newPool(netip.MustParsePrefix(s)); err == nil {
			t.Errorf("%s accepted", s)
		}
	}
	if _, err := newPool(netip.Prefix{}); err == nil {
		t.Error("zero prefix accepted")
	}
}

func TestFreeSubnet(t *testing.T) {
	for _, c := range []struct {
		name  string
		taken []string
		want  string
	}{
		{"nothing taken", nil, "172.31.240.0/20"},
		{"a default route reserves nothing", []string{"0.0.0.0/0"}, "172.31.240.0/20"},
		{"an AWS default VPC", []string{"172.31.0.0/16"}, "172.30.240.0/20"},
		{"one address inside", []string{"172.31.240.7/32"}, "172.31.224.0/20"},
		{"all of 172.16/12", []string{"172.16.0.0/12"}, "10.255.240.0/20"},
		{"everything", []string{"172.16.0.0/12", "10.0.0.0/8"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var taken []netip.Prefix
			for _, s := range c.taken {
				taken = append(taken, netip.MustParsePrefix(s))
			}
			got, err := freeSubnet(taken)
			if c.want == "" {
				if err == nil {
					t.Fatalf("got %v, want an error", got)
				}
				return
			}
			if err != nil || got != netip.MustParsePrefix(c.want) {
				t.Fatalf("got %v, %v; want %s", got, err, c.want)
			}
		})
	}
}
