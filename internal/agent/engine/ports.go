package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/internal/agent/acs"
)

// published is the host ports of one container in network mode bridge. Each is
// a listener on the host whose connections are carried to the task's address,
// as Docker's userland proxy does; no rule of the host's firewall is needed.
type published struct {
	bindings  []types.NetworkBinding
	listeners []net.Listener
	end       context.CancelFunc
}

// publish opens the host ports of a container. A mapping without a host port
// gets one that is free.
func (e *Engine) publish(task netip.Addr, mappings []acs.PortMapping) (*published, error) {
	ctx, end := context.WithCancel(e.ctx)
	p := &published{end: end}
	for _, m := range mappings {
		l, err := net.Listen("tcp4", ":"+strconv.Itoa(m.HostPort))
		if err != nil {
			p.close()
			//lint:ignore ST1005 Docker's words
			return nil, fmt.Errorf("Bind for 0.0.0.0:%d failed: %w", m.HostPort, err)
		}
		p.listeners = append(p.listeners, l)
		p.bindings = append(p.bindings, types.NetworkBinding{
			BindIP: aws.String("0.0.0.0"), Protocol: types.TransportProtocolTcp,
			ContainerPort: aws.Int32(int32(m.ContainerPort)), HostPort: aws.Int32(int32(l.Addr().(*net.TCPAddr).Port)),
		})
		to := netip.AddrPortFrom(task, uint16(m.ContainerPort)).String()
		e.goroutine(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return // closed
				}
				e.goroutine(func() { carry(ctx, conn, to) })
			}
		})
	}
	// The agent's own end closes the ports, too.
	context.AfterFunc(ctx, p.close)
	return p, nil
}

// close ends the listeners and every connection. It may be called again, and
// on nil.
func (p *published) close() {
	if p == nil {
		return
	}
	p.end()
	for _, l := range p.listeners {
		_ = l.Close()
	}
}

// carry joins a connection to an address until both sides have ended or ctx
// has. Each side's end of input is passed on by itself, since protocols such
// as HTTP/1.0 depend on it.
func carry(ctx context.Context, from net.Conn, address string) {
	defer from.Close()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	to, err := dialer.DialContext(ctx, "tcp4", address)
	if err != nil {
		return
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() {
		_ = from.Close()
		_ = to.Close()
	})()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe(to, from)
	}()
	pipe(from, to)
	<-done
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
