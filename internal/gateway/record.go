package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/wire"
)

// commit makes the call's changes and its audit record durable together. A
// call that changed nothing only appends its record.
func (g *Gateway) commit(c *Call, in, out any) error {
	if !c.Tx.Dirty() {
		if err := g.recordAlone(c, in, out, nil); err != nil {
			return err
		}
		return nil
	}
	var r audit.Record
	g.record(&r, c, in, out, nil)
	rec, err := r.Encode()
	if err != nil {
		return fmt.Errorf("audit record: %w", err)
	}
	c.Tx.Append(g.stream(c), rec)
	err = c.Tx.Commit(c.Context)
	c.recorded = err == nil
	return err
}

// recordAlone appends the record of a call without changes. A record that
// cannot be written makes the call fail, and everything after it until the
// trail can be written again. Of strangers, who may call without end, only so
// many refusals get a record each (strangers.go).
func (g *Gateway) recordAlone(c *Call, in, out any, refusal *api.Error) *api.Error {
	buf := buffers.Get().(*[]byte)
	var r audit.Record
	g.record(&r, c, in, out, refusal)
	if refusal != nil && c.unknown() && !g.strangers.admits(c.SourceIP, g.Clock.Now()) {
		buffers.Put(buf)
		g.hold(c, &r)
		c.recorded = true
		return nil
	}
	rec, err := r.AppendTo((*buf)[:0])
	defer func() {
		if cap(rec) <= 16<<10 {
			*buf = rec[:0]
			buffers.Put(buf)
		}
	}()
	if err == nil {
		// The client may be gone; what it asked for still belongs in the trail.
		appendRecord := g.Store.Append
		if refusal == nil && c.onlyLooked() {
			appendRecord = g.Store.AppendUnsynced
		}
		err = appendRecord(context.WithoutCancel(c.Context), g.stream(c), rec)
	}
	if err != nil {
		g.auditLost.Store(true)
		return api.Unavailable("The audit trail cannot be written.", err)
	}
	c.recorded = true
	return nil
}

// unknown says that nobody's signature stands behind the call.
func (c *Call) unknown() bool { return c.Principal == nil || c.Principal.Type == session.Anonymous }

// buffers are for records: a kilobyte or two each, all short-lived. The store
// has no use for one any more when it returns.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// onlyLooked says that the call, if it succeeds, changes nothing, hands out
// neither credentials nor secrets, and that nothing was asked for in vain. Its
// record is committed before the answer like any other, but it need not outlive
// the machine: a sync to disk costs more than all the rest of such a call.
func (c *Call) onlyLooked() bool {
	if c.Op == nil || !audit.ReadOnly(c.Op.Name) || audit.HandsOut(c.Op.Name) {
		return false
	}
	for i := range c.asked {
		if !c.asked[i].Allowed {
			return false
		}
	}
	return true
}

// probeAudit tries the trail again after it was lost.
func (g *Gateway) probeAudit(ctx context.Context) error {
	if err := g.Store.Append(ctx, "trail/probe", []byte("{}")); err != nil {
		return err
	}
	g.auditLost.Store(false)
	return nil
}

func (g *Gateway) stream(c *Call) string { return audit.Stream(c.Account, trailRegion(c)) }

// trailRegion is the region whose trail has the record of a call. Calls of
// global services are in one place, whatever region they were signed for:
// nobody would find them elsewhere.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-concepts.html#cloudtrail-concepts-global-service-events
func trailRegion(c *Call) string {
	if c.Region == "" || c.Op != nil && c.Op.Service.Global {
		return defaultRegion
	}
	return c.Region
}

// maxUserAgent bounds what a record keeps of the caller's own words; CloudTrail
// keeps as much.
const maxUserAgent = 1024

// record fills r.
func (g *Gateway) record(r *audit.Record, c *Call, in, out any, refusal *api.Error) {
	*r = audit.Record{
		EventVersion:       "1.11",
		EventTime:          audit.Time(g.Clock.Now()), // completed, not arrived: the trail is in this order
		AWSRegion:          trailRegion(c),
		UserAgent:          c.UserAgent[:min(len(c.UserAgent), maxUserAgent)],
		RequestID:          c.RequestID,
		EventID:            id.UUID(id.Random),
		EventType:          "AwsApiCall",
		EventCategory:      "Management",
		RecipientAccountID: c.Account,
	}
	if c.SourceIP.IsValid() {
		r.SourceIPAddress = c.SourceIP.Unmap().String()
	}
	if p := c.Principal; p != nil {
		r.UserIdentity = audit.Identity(p)
		if p.Type == session.Service {
			r.SourceIPAddress, r.UserAgent = p.Service, p.Service
		}
	} else {
		r.UserIdentity = audit.UserIdentity{Type: "Unknown"}
	}
	if op := c.Op; op != nil {
		r.EventSource, r.EventName = op.Service.EventSource, op.Name
		r.ReadOnly, r.ManagementEvent = audit.ReadOnly(op.Name), audit.Management(op.Name)
		if !r.ManagementEvent {
			r.EventCategory = "Data"
		}
		if in != nil {
			r.RequestParameters = wire.RedactedInput(op, in)
		}
		// Whose a temporary access key is, is found by the record that made it.
		if out != nil && (!r.ReadOnly || op.Service.Name == "sts" && audit.HandsOut(op.Name)) {
			r.ResponseElements = wire.RedactedOutput(op, out)
		}
	}
	if refusal != nil {
		spelled := wire.Spell(service(c.Op), refusal)
		r.ErrorCode, r.ErrorMessage = strings.TrimSuffix(spelled.Code, "Exception"), spelled.Message
		if spelled.Idea != api.IdeaAccessDenied {
			r.ErrorCode = spelled.Code
		}
	}
	r.AdditionalEventData = g.additional(c)
	var seen map[string]bool
	for i := range c.asked {
		ask := &c.asked[i].Ask
		if ask.Resource == "*" || seen[ask.Resource] || len(r.Resources) >= mostAsks {
			continue
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[ask.Resource] = true
		r.Resources = append(r.Resources, audit.Resource{ARN: ask.Resource, AccountID: ask.Account, Type: audit.ResourceType(ask.Resource)})
	}
}
