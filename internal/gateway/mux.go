package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/authz"
)

// Mux holds the operations that are served. Services register into it before
// the first request; afterwards it does not change.
type Mux struct {
	entries  map[*api.OpInfo]*entry
	services []*api.Service
}

// NewMux returns a Mux without operations.
func NewMux() *Mux { return &Mux{entries: map[*api.OpInfo]*entry{}} }

// entry is a registered operation with its types erased.
type entry struct {
	op     *api.OpInfo
	rule   func(*Call, any) ([]authz.Ask, error)
	do     func(*Call, any) (any, error)
	home   func(*Call, any) string
	spool  bool
	itself bool
}

// Option changes how an operation is served.
type Option[In any] func(*entry)

// In names the shard that an operation reads first and writes to. Without it
// the home is the caller's account and region, for global services the
// account alone.
func In[T any](home func(c *Call, in *T) string) Option[T] {
	return func(e *entry) { e.home = func(c *Call, in any) string { return home(c, in.(*T)) } }
}

// Spool makes the gateway put a streamed request body into the blob store
// before the handler runs: the request is authorised from its headers, then
// the body is verified while it is written, then rule and handler run with
// Call.Spooled set.
func Spool[T any]() Option[T] { return func(e *entry) { e.spool = true } }

// AsksItself is for an operation that answers for each of its parts: the rule
// asks nothing, the handler asks for every part with Call.Ask. A handler that
// asked nothing at all is refused.
func AsksItself[T any]() Option[T] { return func(e *entry) { e.itself = true } }

// Handle registers an operation: rule says what is asked of the policy engine
// before handler may run. Both see the same snapshot and may run more than
// once; a handler changes nothing but documents, through Call.Tx.
//
// A rule that returns an error refuses the request with it, before any
// question is asked: only for input that does not even say what it is about.
// A rule without questions is a mistake, and refuses too.
func Handle[In, Out any](m *Mux, op api.Op[In, Out], rule func(*Call, *In) ([]authz.Ask, error), handler func(*Call, *In) (*Out, error), opts ...Option[In]) {
	if _, dup := m.entries[op.Info]; dup {
		panic("gateway: operation registered twice: " + op.Info.Action())
	}
	e := &entry{
		op:   op.Info,
		rule: func(c *Call, in any) ([]authz.Ask, error) { return rule(c, in.(*In)) },
		do: func(c *Call, in any) (any, error) {
			out, err := handler(c, in.(*In))
			if err != nil {
				return nil, err
			}
			return out, nil
		},
	}
	for _, o := range opts {
		o(e)
	}
	m.entries[op.Info] = e
	if !slices.Contains(m.services, op.Info.Service) {
		m.services = append(m.services, op.Info.Service)
	}
}

// Operations lists what is registered, ordered by service and name.
func (m *Mux) Operations() []*api.OpInfo {
	ops := make([]*api.OpInfo, 0, len(m.entries))
	for op := range m.entries {
		ops = append(ops, op)
	}
	slices.SortFunc(ops, func(a, b *api.OpInfo) int {
		return strings.Compare(a.Service.Name+" "+a.Name, b.Service.Name+" "+b.Name)
	})
	return ops
}

// Services lists the services that have at least one operation registered.
func (m *Mux) Services() []*api.Service { return slices.Clone(m.services) }

func (m *Mux) find(op *api.OpInfo) (*entry, *api.Error) {
	if e := m.entries[op]; e != nil {
		return e, nil
	}
	return nil, api.NotImplemented(fmt.Sprintf("Remit does not serve %s yet. COVERAGE.md lists what it serves.", op.Action()))
}

func (e *entry) homeShard(c *Call, in any) string {
	if e.home != nil {
		return e.home(c, in)
	}
	if e.op.Service.Global || e.op.Service.Name == "sts" {
		return Global(c.Account)
	}
	return Regional(c.Account, c.Region)
}
