//go:build !linux

package network

import (
	"context"
	"net/netip"
)

// Networker is not available on this operating system.
type Networker struct{}

// New always fails with ErrUnsupported.
func New(Options) (*Networker, error) { return nil, ErrUnsupported }

// Info says why there is no network.
func (n *Networker) Info() Info { return Info{Warnings: []string{ErrUnsupported.Error()}} }

// Gateway returns the zero address.
func (n *Networker) Gateway() netip.Addr { return netip.Addr{} }

// Attach always fails with ErrUnsupported.
func (n *Networker) Attach(context.Context, string, TaskOptions) (*TaskNet, error) {
	return nil, ErrUnsupported
}

// Detach does nothing: nothing was attached.
func (n *Networker) Detach(context.Context, string) error { return nil }

// Sweep does nothing: nothing can be left over.
func (n *Networker) Sweep(context.Context) error { return nil }

// Close does nothing.
func (n *Networker) Close() error { return nil }

// SweepAbandoned does nothing: nothing can be left over.
func SweepAbandoned(context.Context, string, func(string) bool) error { return nil }
