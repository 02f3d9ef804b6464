package gateway

import (
	"context"
	"net/http"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
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
			c.region(q)
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

// Ask decides questions again for an admitted call, with the credentials and
// policies of now: the session may have run out since the handshake, and what
// was allowed may have been taken away. It is recorded only when it refuses.
func (g *Gateway) Ask(c *Call, home func(*Call) string, rule func(*Call) ([]authz.Ask, error)) *api.Error {
	again := *c
	again.Time = g.Clock.Now()
	again.facts.Time = again.Time
	again.asked, again.recorded = again.first[:0], false
	err := g.stillGood(&again)
	if err == nil {
		err = g.ask(&again, home, rule)
	}
	if err != nil {
		if aerr := g.recordAlone(&again, nil, nil, err); aerr != nil {
			return aerr
		}
	}
	return err
}

// Refused records that a listener turned credentials down which are not AWS's
// signatures (the password of a registry), and returns the refusal, or what
// keeps it out of the trail.
func (g *Gateway) Refused(r *http.Request, s *api.Service, refusal *api.Error) *api.Error {
	c := g.arrive(r)
	c.Op = &api.OpInfo{Service: s, Method: r.Method, Input: -1, Output: -1}
	if err := g.recordAlone(c, nil, nil, refusal); err != nil {
		return err
	}
	return refusal
}

// Happened records in some streams of the trail what was done to the server
// itself, by a request that is no call of an AWS API. It is what CloudTrail
// calls a service event. https://docs.aws.amazon.com/awscloudtrail/latest/userguide/non-api-aws-service-events.html
func (g *Gateway) Happened(r *http.Request, name string, streams ...string) error {
	c := g.arrive(r)
	for _, stream := range streams {
		var rec audit.Record
		g.record(&rec, c, nil, nil, nil)
		rec.EventSource, rec.EventName, rec.EventType, rec.ManagementEvent = "remit", name, "AwsServiceEvent", true
		rec.RecipientAccountID, rec.AWSRegion = audit.OfStream(stream)
		text, err := rec.Encode()
		if err == nil {
			err = g.Store.Append(context.WithoutCancel(c.Context), stream, text)
		}
		if err != nil {
			g.auditLost.Store(true)
			return err
		}
	}
	return nil
}

// stillGood refuses credentials that a new request could not be signed with.
func (g *Gateway) stillGood(c *Call) *api.Error {
	p := c.Principal
	switch {
	case g.Mode == Off || p.Type == session.Root && !p.Temporary():
	case p.Type == session.User && !p.Temporary():
		if _, owner, ok := g.Keys.Key(g.Store.View(c.Context), p.AccessKeyID); !ok || owner.UserID != p.UserID {
			return api.InvalidClientToken()
		}
	case !c.Time.Before(p.ExpiresAt):
		return api.ExpiredToken()
	case g.Sealer.Ended(p):
		return api.InvalidClientToken()
	case p.Type == session.User || p.Type == session.FederatedUser:
		now := *p
		if !g.present(g.Store.View(c.Context), &now) {
			return api.InvalidClientToken()
		}
		c.Principal = &now
	}
	return nil
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
