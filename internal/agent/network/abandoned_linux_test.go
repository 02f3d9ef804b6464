package network

import (
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// TestSweepAbandoned removes the bridge and the tables of an agent whose state
// directory is gone, a table without its bridge, and nothing of a living one.
func TestSweepAbandoned(t *testing.T) {
	alive := newNetworker(t, Options{Bridge: "remitalive", StateDir: t.TempDir()})
	dead := newNetworker(t, Options{Bridge: "remitdead", StateDir: t.TempDir()})
	attach(t, dead, "orphan", TaskOptions{})
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "remit_remitlost"})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	deadDir := bridgeAlias(t, "remitdead")
	if err := SweepAbandoned(t.Context(), "remit", func(dir string) bool { return dir == deadDir }); err != nil {
		t.Fatal(err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	if !slices.Contains(names, "remitalive") || slices.Contains(names, "remitdead") {
		t.Errorf("links: %v", names)
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	living := 0
	for _, table := range tables {
		switch table.Name {
		case tableName("remitalive"):
			living++
		case tableName("remitdead"), "remit_remitlost":
			t.Errorf("table %s is still there", table.Name)
		}
	}
	if living == 0 {
		t.Error("the tables of the living bridge are gone")
	}
	wantAnswer(t, attach(t, alive, "a", TaskOptions{}), CredentialsAddress, 80, "credentials of a")
}

func bridgeAlias(t *testing.T, name string) string {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if l.Attrs().Alias == "" {
		t.Fatalf("bridge %s does not say whose it is", name)
	}
	return l.Attrs().Alias
}
