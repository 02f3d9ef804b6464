package network

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestClaim(t *testing.T) {
	p, err := newPool(netip.MustParsePrefix("10.9.0.0/29"))
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("10.9.0.3")
	if err := p.claim(a); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"10.9.0.3", "10.9.0.0", "10.9.0.1", "10.9.0.7", "10.9.1.2", "::1"} {
		if err := p.claim(netip.MustParseAddr(bad)); !errors.Is(err, ErrNoAddress) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for range 4 {
		if got, err := p.take(); err != nil || got == a {
			t.Fatalf("took %v, %v", got, err)
		}
	}
	p.release(a)
	if err := p.claim(a); err != nil {
		t.Errorf("after its release: %v", err)
	}
}

// TestWantedAddress attaches a task at the address and hardware address that
// the control plane chose.
func TestWantedAddress(t *testing.T) {
	n := newNetworker(t, Options{})
	want := n.Gateway().Next().Next()
	mac := net.HardwareAddr{0x02, 1, 2, 3, 4, 5}
	task := attach(t, n, "a", TaskOptions{Address: want, MAC: mac})
	if task.Address != want || task.MAC.String() != mac.String() {
		t.Errorf("attached at %v %v, want %v %v", task.Address, task.MAC, want, mac)
	}
	wantAnswer(t, task, CredentialsAddress, 80, "credentials of a")
	if _, err := n.Attach(t.Context(), "b", TaskOptions{Address: want}); !errors.Is(err, ErrNoAddress) {
		t.Errorf("the same address twice: %v", err)
	}
}
