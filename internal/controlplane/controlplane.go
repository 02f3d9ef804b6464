// Package controlplane builds the concrete things: it opens the store, wires
// the services to the gateway, listens, and starts the built-in host. It is
// what cmd/remit and tests of the whole system start.
//
// Nothing else makes these choices, and nothing here decides anything about a
// request.
package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/organization"
	"github.com/remit-ecs/remit/internal/seal"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

// Defaults of the command line.
const (
	DefaultPort    = "4566"
	DefaultListen  = "127.0.0.1:" + DefaultPort
	DefaultAccount = "000000000000"
	DefaultRegion  = "us-east-1"

	// ReservedAccount is where the built-in host has its role. No user's
	// account may have this number.
	ReservedAccount = "999999999999"
)

// What runs tasks.
const (
	RuntimeAuto     = "auto"     // embedded where it can be had, else none
	RuntimeEmbedded = "embedded" // or fail
	RuntimeProcess  = "process"  // plain child processes: nothing is isolated
	RuntimeNone     = "none"     // no built-in host
)

// Options is what a ControlPlane is started with.
type Options struct {
	Listen  string // host:port; port 0 takes a free one
	Data    string // directory for all state; "" is a temporary one, removed by Close
	Store   string // store URL; "" is SQLite in Data
	Account string // the default account; "" is the first choice of Accounts, or DefaultAccount
	Region  string // where the built-in host registers
	Mode    gateway.Mode
	Runtime string

	Advertise    string // AWS_ENDPOINT_URL for containers
	AllowReset   bool
	InsecureHTTP bool
	TLSCert      string
	TLSKey       string

	RootKeyID, RootSecret string // the root's access key; "" is made and kept in Data

	// Accounts are the accounts that are served, and their organization. Nil is
	// Account alone.
	Accounts *organization.Directory
	alone    bool // Accounts was nil

	StopTasks bool // Close stops and removes every task of the built-in host
	FallBack  bool // RuntimeAuto ends at RuntimeProcess rather than at none

	Version string
	Log     *slog.Logger
	Clock   clock.Clock
	// Validate checks every answer against the service models. For tests.
	Validate bool
}

// ControlPlane is a running server.
type ControlPlane struct {
	Options
	data        string
	lock        *dataLock
	temp        bool
	store       *store.Store
	blobs       *blob.Store
	gateway     *gateway.Gateway
	services    services
	certificate *tls.Certificate // nil serves plain http
	hostMu      sync.Mutex       // guards host
	host        *host
	machine     *machine
	subnet      netip.Prefix       // of the tasks; not valid where they have no network of their own
	roots       map[string]rootKey // by account
	endpoint    string
	servers     []*http.Server
	failed      chan error
	warnings    []string
	isolation   string // for the banner
	stop        context.CancelFunc
	loopCtx     context.Context // of the background work
	loops       sync.WaitGroup
}

// Start brings a control plane up; when it returns, requests are answered.
func Start(ctx context.Context, o Options) (_ *ControlPlane, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		// Requests leave garbage and the state is small: collect later, up to a bound.
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(1 << 30)
	}
	cp := &ControlPlane{Options: o, failed: make(chan error, 4)}
	defer func() {
		if err != nil {
			closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = cp.Close(closeCtx)
		}
	}()
	if o.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		cp.certificate = &pair
	}
	if err := cp.openData(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = listener.Close()
		}
	}()
	scheme := "http"
	if o.TLSCert != "" {
		scheme = "https"
	}
	cp.endpoint = scheme + "://" + reachable(listener.Addr())

	// Opening the state and finding out what can run tasks have nothing to do
	// with each other and take most of the start.
	machine := make(chan *machine, 1)
	go func() { machine <- cp.prepareMachine() }()
	if err := cp.openState(ctx); err != nil {
		(<-machine).close()
		return nil, err
	}
	m := <-machine
	if m.err != nil {
		m.close()
		return nil, m.err
	}
	cp.warnings = append(cp.warnings, m.warnings...)

	loopCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	cp.stop = stop
	handler := cp.handler()
	if m.networker != nil {
		cp.subnet = m.networker.Info().Subnet
	}
	cp.serve(listener, handler)
	if m.networker != nil && !everywhere(listener.Addr()) {
		// Tasks reach the control plane at their gateway, on the same port.
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		bridge, err := net.Listen("tcp", net.JoinHostPort(m.networker.Gateway().String(), port))
		if err != nil {
			m.close()
			return nil, fmt.Errorf("listen on the task bridge: %w", err)
		}
		cp.serve(tasksOnly{bridge, cp.subnet}, handler)
	}
	cp.startLoops(loopCtx)
	if m.runtime != nil {
		cp.isolation = isolationLine(m.runtime.Info())
		cp.machine, cp.loopCtx = m, loopCtx
		if cp.host, err = cp.startHost(loopCtx, m); err != nil {
			m.close()
			return nil, err
		}
	}
	return cp, nil
}

// tasksOnly takes connections from the tasks' subnet alone. The kernel accepts
// packets to any of its addresses on any interface, so without it a neighbour
// of this machine could reach the bridge's listener through it.
type tasksOnly struct {
	net.Listener
	subnet netip.Prefix
}

// Accept implements net.Listener.
func (l tasksOnly) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if within(l.subnet, c.RemoteAddr().String()) {
			return c, nil
		}
		_ = c.Close()
	}
}

// within reports whether an address with a port is in a subnet.
func within(subnet netip.Prefix, address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && subnet.Contains(a.Addr().Unmap())
}

// everywhere reports whether a listener has every address of the machine, that
// of the task bridge too.
func everywhere(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().IsUnspecified()
}

func (o *Options) complete() error {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&o.Listen, DefaultListen)
	if o.Accounts != nil {
		set(&o.Account, o.Accounts.Default())
	}
	set(&o.Account, DefaultAccount)
	set(&o.Region, DefaultRegion)
	set(&o.Runtime, RuntimeAuto)
	set(&o.Version, "dev")
	if o.Mode == "" {
		o.Mode = gateway.Strict
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.Real
	}
	if len(o.Account) != 12 || strings.Trim(o.Account, "0123456789") != "" {
		return fmt.Errorf("account %q is not 12 digits", o.Account)
	}
	if o.Account == ReservedAccount {
		return fmt.Errorf("account %s is reserved for Remit's own hosts", ReservedAccount)
	}
	if o.Accounts == nil {
		o.Accounts, o.alone = organization.Single(o.Account), true
	}
	switch {
	case !o.Accounts.Has(o.Account):
		return fmt.Errorf("account %s is not among those that --accounts names", o.Account)
	case o.Accounts.Has(ReservedAccount):
		return fmt.Errorf("--accounts names %s, which is reserved for Remit's own hosts", ReservedAccount)
	}
	switch o.Runtime {
	case RuntimeAuto, RuntimeEmbedded, RuntimeProcess, RuntimeNone:
	default:
		return fmt.Errorf("runtime %q is not one of auto, embedded, process, none", o.Runtime)
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together")
	}
	if (o.RootKeyID == "") != (o.RootSecret == "") {
		return errors.New("REMIT_ROOT_ACCESS_KEY_ID and REMIT_ROOT_SECRET_ACCESS_KEY belong together")
	}
	if o.Store != "" && !strings.HasPrefix(o.Store, "sqlite://") {
		return fmt.Errorf("--store %s: only sqlite:// is offered yet", o.Store)
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q: %w", o.Listen, err)
	}
	if !loopback(host) && o.TLSCert == "" && !o.InsecureHTTP {
		return fmt.Errorf("--listen %s is not loopback: serve https with --tls-cert and --tls-key, or accept plain http with --insecure-http", o.Listen)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// reachable is the address of a listener as a client on this machine writes it.
func reachable(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err == nil && ap.Addr().IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", ap.Port())
	}
	return a.String()
}

// openData takes the data directory, or makes a temporary one.
func (cp *ControlPlane) openData() error {
	cp.data = cp.Options.Data
	if cp.data == "" {
		dir, err := os.MkdirTemp("", tempPrefix)
		if err != nil {
			return err
		}
		cp.data, cp.temp = dir, true
	} else if err := os.MkdirAll(cp.data, 0o700); err != nil {
		return err
	}
	abs, err := filepath.Abs(cp.data)
	if err != nil {
		return err
	}
	cp.data = abs
	cp.lock, err = lockData(cp.data)
	return err
}

// openState opens the store and builds everything that answers requests.
func (cp *ControlPlane) openState(ctx context.Context) error {
	keys, err := seal.Open(cp.data)
	if err != nil {
		return err
	}
	if cp.roots, err = cp.loadRootKeys(); err != nil {
		return err
	}
	url := cp.Options.Store
	if url == "" {
		url = filepath.Join(cp.data, "state.db")
	}
	if cp.store, err = store.Open(ctx, url, store.Options{Clock: cp.Clock}); err != nil {
		return err
	}
	if cp.blobs, err = blob.Open(filepath.Join(cp.data, "blobs")); err != nil {
		return err
	}
	cp.services = cp.buildServices(keys)
	sealer, err := session.NewSealer(keys.Derive("sessions", session.KeySize), session.WithRevoker(cp.services.ecs))
	if err != nil {
		return err
	}
	mux := gateway.NewMux()
	cp.services.register(mux, sealer)
	rootKeys := map[string]gateway.RootKey{}
	for account, k := range cp.roots {
		rootKeys[k.KeyID] = gateway.RootKey{Account: account, Secret: k.Secret}
	}
	decide := &authz.Authorizer{Sources: cp.services.iam, Resources: cp.services.resources(), Organizations: cp.organizations()}
	cp.gateway = gateway.New(gateway.Config{
		Mode: cp.Mode, Account: cp.Account, Store: cp.store, Blobs: cp.blobs, Clock: cp.Clock, Sealer: sealer,
		Keys:  cp.services.iam,
		Authz: decide,
		Log:   cp.Log, PageKey: keys.Derive("pages", 32),
		RootKeys: rootKeys,
		Serves:   cp.serves,
		Used:     cp.services.iam.Used,
		Validate: cp.Validate,
	}, mux)
	cp.services.connect(cp.gateway)
	return nil
}

// organizations is nil where no account is in an organization, and where nothing
// runs (Operations).
func (cp *ControlPlane) organizations() authz.Organizations {
	if cp.Accounts == nil || cp.Accounts.OrganizationID() == "" {
		return nil
	}
	return cp.Accounts
}

// serves says whose credentials are good: nobody's of an account that is not
// named, even if the state has some from when it was. Where nothing is verified
// and no accounts were named, clients choose accounts as they like.
func (cp *ControlPlane) serves(account string) bool {
	return account == ReservedAccount || cp.Accounts.Has(account) || cp.alone && cp.Mode == gateway.Off
}

// serve answers on a listener until Close.
func (cp *ControlPlane) serve(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 3 * time.Minute, ErrorLog: slog.NewLogLogger(cp.Log.Handler(), slog.LevelDebug)}
	cp.servers = append(cp.servers, s)
	cp.loops.Go(func() {
		var err error
		if cp.certificate != nil {
			s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cp.certificate}, MinVersion: tls.VersionTLS12}
			err = s.ServeTLS(l, "", "")
		} else {
			err = s.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			cp.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	})
}

// Close stops the server: the built-in host first, then the listeners, then
// the store. What is acknowledged is on disk already. A temporary data
// directory is removed.
func (cp *ControlPlane) Close(ctx context.Context) error {
	var errs []error
	cp.hostMu.Lock()
	if cp.host != nil {
		errs = append(errs, cp.host.stop(ctx, cp.machine.runtime))
		cp.host = nil
		cp.machine.close()
	}
	cp.hostMu.Unlock()
	if cp.stop != nil {
		cp.stop()
	}
	if cp.services.hosts != nil {
		cp.services.hosts.Close()
	}
	for _, s := range cp.servers {
		// Websockets and keep-alive connections do not end by themselves.
		graceful, cancel := context.WithTimeout(ctx, time.Second)
		if err := s.Shutdown(graceful); err != nil {
			_ = s.Close()
		}
		cancel()
	}
	cp.servers = nil
	done := make(chan struct{})
	go func() { cp.loops.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, errors.New("the background work did not end in time"))
	}
	if cp.gateway != nil && cp.store != nil {
		errs = append(errs, cp.gateway.RecordHeld(ctx))
	}
	if cp.store != nil {
		errs = append(errs, cp.store.Close())
		cp.store = nil
	}
	if cp.lock != nil {
		cp.lock.release()
		cp.lock = nil
	}
	if cp.temp && cp.data != "" {
		errs = append(errs, os.RemoveAll(cp.data))
	}
	return errors.Join(errs...)
}

// Endpoint is the URL that clients on this machine use.
func (cp *ControlPlane) Endpoint() string { return cp.endpoint }

// Region is where the built-in host is.
func (cp *ControlPlane) Region() string { return cp.Options.Region }

// Data is the data directory.
func (cp *ControlPlane) Data() string { return cp.data }

// Root is the access key of the default account's root user.
func (cp *ControlPlane) Root() (keyID, secret string) {
	keyID, secret, _ = cp.RootOf(cp.Account)
	return keyID, secret
}

// RootOf is the access key of an account's root user; false where the account
// is not served.
func (cp *ControlPlane) RootOf(account string) (keyID, secret string, ok bool) {
	k, ok := cp.roots[account]
	return k.KeyID, k.Secret, ok
}

// Failed reports what ended the server by itself.
func (cp *ControlPlane) Failed() <-chan error { return cp.failed }

// Warnings say what is weaker on this machine than it should be.
func (cp *ControlPlane) Warnings() []string { return cp.warnings }

// Gateway is for tests of the whole.
func (cp *ControlPlane) Gateway() *gateway.Gateway { return cp.gateway }
