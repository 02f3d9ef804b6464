package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

// Mode is how far IAM binds.
type Mode string

// The modes. Strict is the default and the only one in which roles bind.
const (
	Strict Mode = "strict" // verify signatures, enforce policies
	Soft   Mode = "soft"   // verify signatures, record what would be denied, allow it
	Off    Mode = "off"    // verify nothing, take any key as the account's root
)

// ParseMode reads a mode as the --iam flag spells it.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Strict, Soft, Off:
		return m, nil
	}
	return "", fmt.Errorf("IAM mode %q is not one of strict, soft, off", s)
}

// Keys finds long-term access keys, and the users behind sessions. service/iam
// implements it.
type Keys interface {
	// Key returns the secret and the owner of an access key; false where the
	// key does not exist or is inactive.
	Key(r store.Reader, keyID string) (secret string, owner *session.Principal, ok bool)
	// User returns the user with a unique id as it is now; false where it was
	// deleted.
	User(r store.Reader, account, userID string) (*session.Principal, bool)
}

// Config is what a Gateway is built from.
type Config struct {
	Mode     Mode
	Account  string // the account that anonymous trouble and, with Off, unknown keys belong to
	Store    *store.Store
	Blobs    *blob.Store
	Clock    clock.Clock
	Sealer   *session.Sealer
	Keys     Keys
	Authz    *authz.Authorizer
	Log      *slog.Logger
	PageKey  []byte // authenticates pagination tokens
	RootKeys map[string]RootKey
	// Serves says which accounts' credentials are good. Nil means all that there
	// are keys of.
	Serves func(account string) bool
	// Used is told of every request that was authenticated, allowed or not;
	// nil is told nothing. It must not block.
	Used func(p *session.Principal, service, region string, at time.Time)
	// Validate checks every answer against the model. Tests switch it on.
	Validate bool
}

// RootKey is an access key of an account's root user. It stands in the
// configuration, not in IAM.
type RootKey struct {
	Account string
	Secret  string
}

// Gateway serves registered operations.
type Gateway struct {
	Config
	mux *Mux
	// auditLost is set while the trail cannot be written: then everything is
	// refused, because what is not audited must not happen.
	auditLost atomic.Bool
	strangers strangers
}

// New returns a gateway over the operations of m.
func New(c Config, m *Mux) *Gateway { return &Gateway{Config: c, mux: m} }

// Mux returns what is registered.
func (g *Gateway) Mux() *Mux { return g.mux }

// ServeHTTP serves one AWS API request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.serve(w, r) }

// Invoker calls operations from inside the process, as one principal. It
// cannot be made outside this package: cmd hands them out with As, and the
// listeners get one for the principal that they authenticated.
type Invoker struct {
	g         *Gateway
	principal *session.Principal
	from      *http.Request // set by From
	via       []string      // set by Call.Via
}

// From returns an Invoker whose calls carry the facts of a listener's request:
// where it came from and how. Conditions on them bind, and the trail has them.
func (i *Invoker) From(r *http.Request) *Invoker {
	c := *i
	c.from = r
	return &c
}

// As returns an Invoker for an AWS service acting by itself. Its calls are
// authorised and audited like anybody's.
func (g *Gateway) As(service string) *Invoker {
	return &Invoker{g: g, principal: authz.Service(service)}
}

// For returns an Invoker for a principal that a listener has authenticated
// through this gateway (the owner of a registry token).
func (g *Gateway) For(p *session.Principal) *Invoker { return &Invoker{g: g, principal: p} }

// Via returns an Invoker with which a service that serves this call goes on to
// others on the caller's behalf, as Secrets Manager asks KMS to decrypt: the
// caller's policies decide, with aws:CalledVia naming the service.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html
func (c *Call) Via(service string) *Invoker {
	p := *c.Principal
	p.InvokedBy = service
	return &Invoker{g: c.g, principal: &p, via: append(slices.Clone(c.facts.CalledVia), service)}
}

// CalledVia are the services on whose way this call came, the first one first.
func (c *Call) CalledVia() []string { return c.facts.CalledVia }

// Principal is who the Invoker calls as.
func (i *Invoker) Principal() *session.Principal { return i.principal }

// Invoke calls an operation in the process: it enters the path where a decoded
// request would, and is authorised, audited and committed the same way.
func Invoke[In, Out any](ctx context.Context, i *Invoker, t Target, op api.Op[In, Out], in *In) (*Out, error) {
	out, err := i.g.invoke(ctx, i, t, op.Info, in)
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}
