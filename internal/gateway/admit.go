package gateway

import (
	"net/http"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/sigv4"
)

// Admit takes a signed request of a listener that is not an AWS API (the
// agents' websockets) along the path as far as the decision: authenticated,
// authorised for what rule asks, audited as op. The listener serves the rest.
// The returned Call is done: it has no transaction to write to.
func (g *Gateway) Admit(r *http.Request, op *api.OpInfo, home func(*Call) string, rule func(*Call) ([]authz.Ask, error)) (*Call, *api.Error) {
	c := g.arrive(r)
	c.Op = op
	err := func() *api.Error {
		q, serr := sigv4.Parse(r)
		if serr != nil && g.Mode != Off {
			return g.signatureError(op, serr)
		}
		if q != nil {
			c.Region, c.facts.Region = q.Region, q.Region
		}
		if err := g.authenticate(c, r, q, body{}); err != nil {
			return err
		}
		return g.ask(c, home, rule)
	}()
	if aerr := g.recordAlone(c, nil, nil, err); aerr != nil {
		return nil, aerr
	}
	return c, err
}

// Ask decides questions again for an admitted call, with the policies of now:
// what was allowed at the handshake may have been taken away since. It is
// recorded only when it refuses.
func (g *Gateway) Ask(c *Call, home func(*Call) string, rule func(*Call) ([]authz.Ask, error)) *api.Error {
	again := *c
	again.Time = g.Clock.Now()
	again.facts.Time = again.Time
	again.asked = nil
	err := g.ask(&again, home, rule)
	if err != nil {
		if aerr := g.recordAlone(&again, nil, nil, err); aerr != nil {
			return aerr
		}
	}
	return err
}

func (g *Gateway) ask(c *Call, home func(*Call) string, rule func(*Call) ([]authz.Ask, error)) *api.Error {
	c.Home = home(c)
	c.Tx = g.Store.Begin(c.Context, c.Home)
	c.IDs = id.NewSeeded(c.seed[:])
	asks, err := rule(c)
	if err == nil {
		err = g.decide(c, asks)
	}
	if err != nil {
		return g.asAPI(c, err)
	}
	return nil
}
