package network

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SweepAbandoned removes what agents left behind that nobody will start again:
// bridges whose names begin with prefix and whose state directory, by the word
// of gone, does not exist any more, with their tasks' links; and firewall
// tables of such names without a bridge. A left-over table is worse than
// untidy: its rules would rewrite the packets of a later bridge on the same
// subnet.
func SweepAbandoned(ctx context.Context, prefix string, gone func(stateDir string) bool) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("network: netlink: %w", err)
	}
	defer h.Close()
	// Tables before links: a bridge is made before its table, so a table whose
	// bridge is not in the later list has none.
	conn, tables := firewallTables(tableName(prefix))
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("network: sweep: %w", err)
	}
	var errs []error
	kept := map[string]bool{}
	for _, l := range links {
		name := l.Attrs().Name
		if l.Type() != "bridge" || !strings.HasPrefix(name, prefix) {
			continue
		}
		if dir := l.Attrs().Alias; dir == "" || !gone(dir) || ctx.Err() != nil {
			kept[tableName(name)] = true
			continue
		}
		for _, port := range links {
			if port.Type() == "veth" && strings.HasPrefix(port.Attrs().Name, portPrefix(name)) {
				errs = append(errs, deleteLink(h, port.Attrs().Name))
			}
		}
		errs = append(errs, deleteLink(h, name))
	}
	for _, t := range tables {
		if !kept[t.Name] {
			conn.DelTable(t)
		}
	}
	if len(tables) > 0 {
		errs = append(errs, conn.Flush())
	}
	return errors.Join(errs...)
}

// firewallTables lists the tables whose names begin with prefix; none where
// there is no nf_tables.
func firewallTables(prefix string) (*nftables.Conn, []*nftables.Table) {
	conn, err := nftables.New()
	if err != nil {
		return nil, nil
	}
	all, err := conn.ListTables()
	if err != nil {
		return conn, nil
	}
	var out []*nftables.Table
	for _, t := range all {
		if strings.HasPrefix(t.Name, prefix) {
			out = append(out, t)
		}
	}
	return conn, out
}
