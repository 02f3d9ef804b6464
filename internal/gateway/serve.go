package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/internal/wire"
)

// maxBody bounds a request body that is not streamed: the largest of the
// served APIs is ecr:UploadLayerPart with 20 MiB in base64.
const maxBody = 32 << 20

// bodyTime is how long such a body may take to arrive.
const bodyTime = 5 * time.Minute

// maxAttempts bounds how often a call that conflicts is run again.
const maxAttempts = 60

// serve is the life of one request; DESIGN.md numbers the steps.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	// 1. Arrive.
	c := g.arrive(r)
	var op *api.OpInfo
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			g.Log.Error("panic", "request", c.RequestID, "operation", name(op), "panic", p, "stack", string(debug.Stack()))
			err := api.Internal(fmt.Errorf("panic: %v", p))
			if c.Op = op; !c.recorded {
				if aerr := g.recordAlone(c, nil, nil, err); aerr != nil {
					err = aerr
				}
			}
			wire.EncodeError(service(op), w, c.RequestID, err)
		}
	}()

	// 2. Recognise. The body of all but the streamed operations is read here:
	// query requests name their operation in it, and signatures cover it.
	op, q, body, err := g.recognise(c, w, r)
	if err != nil {
		g.refuse(c, w, op, err)
		return
	}
	c.Op = op

	// 3. Authenticate: signature before parameters, as AWS does.
	if err := g.authenticate(c, r, q, body); err != nil {
		g.refuse(c, w, op, err)
		return
	}
	if g.Used != nil {
		g.Used(c.Principal, op.Service.Name, c.Region, c.Time)
	}
	e, err := g.mux.find(op)
	if err != nil {
		g.refuse(c, w, op, err)
		return
	}

	// 4. Decode and check.
	in := op.NewInput()
	if err := wire.DecodeInput(op, wire.Request{HTTP: r, Body: body.bytes}, in); err != nil {
		g.refuse(c, w, op, err)
		return
	}
	if err := wire.Validate(op, in); err != nil {
		g.refuse(c, w, op, err)
		return
	}
	if e.spool {
		if err := g.spool(c, e, in, r, q, body); err != nil {
			g.refuse(c, w, op, err)
			return
		}
	}

	// 5 to 9.
	out, err := g.run(c, e, in)
	if err != nil {
		g.answerError(c, w, op, err)
		return
	}

	// 10. Answer.
	if g.Validate {
		if err := wire.ValidateOutput(op, out); err != nil {
			g.answerError(c, w, op, api.Internal(fmt.Errorf("answer does not fit the model: %w", err)))
			return
		}
	}
	if err := wire.EncodeOutput(op, w, c.RequestID, out); err != nil {
		g.Log.Warn("answer not delivered", "request", c.RequestID, "operation", op.Action(), "error", err)
	}
}

// run is steps 5 to 9: read, ask, decide, do, commit; again on a conflict. The
// audit record is durable before run returns, whatever the outcome.
func (g *Gateway) run(c *Call, e *entry, in any) (any, *api.Error) {
	if g.auditLost.Load() {
		if err := g.probeAudit(c.Context); err != nil {
			return nil, api.Unavailable("The audit trail cannot be written; nothing is served until it can.", err)
		}
	}
	if c.Op.Service.Global {
		// A global service has one endpoint, whatever region signed for it:
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-requestedregion
		c.facts.Region = defaultRegion
	}
	for attempt := 0; ; attempt++ {
		// 5. Read.
		c.Home = e.homeShard(c, in)
		c.Tx = g.Store.Begin(c.Context, c.Home)
		if err := c.Tx.Err(); err != nil {
			return nil, api.Unavailable("The store cannot be read.", err)
		}
		c.IDs = id.NewSeeded(c.seed[:])
		c.asked, c.after, c.refusal = c.asked[:0], nil, nil

		// 6. Ask. 7. Decide. 8. Do.
		out, err := g.attempt(c, e, in)
		if err != nil {
			apiErr := g.asAPI(c, err)
			closeOutput(out)
			if aerr := g.recordAlone(c, in, nil, apiErr); aerr != nil {
				return nil, aerr
			}
			return nil, apiErr
		}

		// 9. Commit.
		cerr := g.commit(c, in, out)
		if cerr == nil {
			for _, f := range c.after {
				f()
			}
			return out, nil
		}
		closeOutput(out)
		if errors.Is(cerr, store.ErrConflict) && attempt < maxAttempts {
			// Whoever lost once too often waits a little, so that callers who
			// change the same document do not all lose together.
			if err := g.Clock.Sleep(c.Context, time.Duration(mathrand.Int64N(int64(attempt+1)*int64(time.Millisecond)))); err == nil {
				continue
			}
		}
		return nil, api.Unavailable("The request could not be committed.", cerr)
	}
}

func (g *Gateway) attempt(c *Call, e *entry, in any) (any, error) {
	asks, err := e.rule(c, in)
	if err != nil {
		return nil, err
	}
	if !e.itself || len(asks) > 0 {
		if err := g.decide(c, asks); err != nil {
			return nil, err
		}
	}
	out, err := e.do(c, in)
	if err == nil && len(c.asked) == 0 {
		closeOutput(out)
		return nil, g.decide(c, nil)
	}
	return out, err
}

// decide answers the questions in order; the first refusal ends it. In soft
// mode a refusal is recorded and passed over.
func (g *Gateway) decide(c *Call, asks []authz.Ask) error {
	if len(asks) == 0 {
		return api.AccessDenied("the operation asked for nothing: " + c.Op.Action())
	}
	for _, ask := range asks {
		if err := AmbiguousTags(ask.Keys["aws:tagkeys"]); err != nil && !c.Op.Service.Global { // IAM has words of its own
			return err
		}
		c.asked = append(c.asked, g.Authz.Decide(c.Tx, c.Principal, &c.facts, ask))
		v := &c.asked[len(c.asked)-1]
		// What nobody signed, nobody may pass over.
		if !v.Allowed && (g.Mode == Strict || c.Principal.Type == session.Anonymous) {
			c.refusal, c.refused = v.Refusal(), v
			return c.refusal
		}
	}
	return nil
}

// Ask answers a further question from within a handler, where only the
// handler's own reading shows what must be asked (the key of a secret). It is
// recorded like those of the rule.
func (c *Call) Ask(asks ...authz.Ask) error { return c.g.decide(c, asks) }

// Would answers a question without asking it: nothing is refused and nothing
// recorded. It is for what a change would make of the caller's own access.
func (c *Call) Would(ask authz.Ask) bool {
	v := c.g.Authz.Decide(c.Tx, c.Principal, &c.facts, ask)
	return v.Allowed
}

func (g *Gateway) arrive(r *http.Request) *Call {
	c := g.newCall(r.Context())
	c.HTTP, c.Host, c.Scheme = r, r.Host, "http"
	if r.TLS != nil {
		c.Scheme = "https"
	}
	c.from(r)
	return c
}

// from takes over where a request came from and how.
func (c *Call) from(r *http.Request) {
	c.UserAgent = r.UserAgent()
	c.facts.TLS = r.TLS != nil
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.SourceIP, _ = netip.ParseAddr(host)
	}
	c.facts.SourceIP, c.facts.UserAgent = c.SourceIP, c.UserAgent
}

func (g *Gateway) newCall(ctx context.Context) *Call {
	c := &Call{g: g, Context: ctx, Time: g.Clock.Now(), RequestID: id.UUID(id.Random), Account: g.Account}
	if _, err := rand.Read(c.seed[:]); err != nil {
		panic(err) // crypto/rand does not fail on supported systems
	}
	c.facts.Time = c.Time
	c.asked = c.first[:0]
	return c
}

// invoke runs an operation for a caller inside the process.
func (g *Gateway) invoke(ctx context.Context, i *Invoker, t Target, op *api.OpInfo, in any) (any, error) {
	p := i.principal
	c := g.newCall(ctx)
	c.UserAgent = p.Service
	if len(i.via) > 0 {
		c.UserAgent, c.facts.CalledVia = i.via[len(i.via)-1], i.via
	}
	if i.from != nil {
		c.from(i.from)
	}
	c.Op, c.Principal, c.Target = op, p, t
	c.Account, c.Region = t.Account, t.Region
	if c.Account == "" {
		c.Account = p.Account
	}
	c.facts.UserAgent, c.facts.Region = c.UserAgent, t.Region
	if p.Type == session.Service {
		c.facts.SourceARN, c.facts.SourceAcct = t.SourceARN, t.Account
	}
	e, err := g.mux.find(op)
	if err == nil && p.Account != "" && !g.serves(p.Account) { // a registry's password may outlive its account
		err = api.InvalidClientToken()
	}
	if err == nil {
		err = wire.Validate(op, in)
	}
	if err != nil {
		if aerr := g.recordAlone(c, nil, nil, err); aerr != nil {
			err = aerr
		}
		return nil, err
	}
	out, err := g.run(c, e, in)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// refuse answers a request that never reached its operation.
func (g *Gateway) refuse(c *Call, w http.ResponseWriter, op *api.OpInfo, err *api.Error) {
	c.Op = op
	if aerr := g.recordAlone(c, nil, nil, err); aerr != nil {
		err = aerr
	}
	g.answerError(c, w, op, err)
}

func (g *Gateway) answerError(c *Call, w http.ResponseWriter, op *api.OpInfo, err *api.Error) {
	if err.Fault == api.FaultServer && err.Idea != api.IdeaNotImplemented {
		g.Log.Error("request failed", "request", c.RequestID, "operation", name(op), "principal", arnOf(c.Principal), "error", err, "cause", errors.Unwrap(err))
	}
	c.tellWhy(w, err)
	wire.EncodeError(service(op), w, c.RequestID, err)
}

// asAPI turns whatever a handler returned into what a client may see.
func (g *Gateway) asAPI(c *Call, err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	return api.Internal(err)
}

// body is a request body, read or still to be streamed.
type body struct {
	bytes  []byte
	stream io.ReadCloser // set for operations that stream; bytes is nil then
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *api.Error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	// Nobody is known yet: the length is only said, and must cost no memory, and
	// the connection must not be held for ever.
	late := time.AfterFunc(bodyTime, func() {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // ends the read under way
	})
	defer late.Stop()
	if n := r.ContentLength; 0 < n && n <= 64<<10 {
		// net/http reads no more than the length, so the bound is kept.
		b := make([]byte, n)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return nil, api.Malformed("The request body could not be read.")
		}
		return b, nil
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(64 << 10)
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, api.TooLarge(fmt.Sprintf("The request body exceeds the limit of %d bytes.", tooLarge.Limit))
		}
		return nil, api.Malformed("The request body could not be read.")
	}
	return buf.Bytes(), nil
}

func closeOutput(out any) {
	if s, ok := out.(interface{ Stream() io.Closer }); ok {
		closeQuietly(s.Stream())
	}
}

func name(op *api.OpInfo) string {
	if op == nil {
		return ""
	}
	return op.Action()
}

func service(op *api.OpInfo) *api.Service {
	if op == nil {
		return nil
	}
	return op.Service
}

func arnOf(p *session.Principal) string {
	if p == nil {
		return ""
	}
	return p.ARN
}

// AmbiguousTags refuses tags whose names differ only in case: condition keys
// know no case, so a policy on aws:RequestTag/team, or on aws:ResourceTag/team
// later, could not tell which of "team" and "Team" it is about. The gateway
// calls it for the tags of one request; services, for all that a resource is
// going to have.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-requesttag
func AmbiguousTags(names []string) error {
	for i, a := range names {
		for _, b := range names[:i] {
			if a != b && strings.EqualFold(a, b) {
				return api.Validation("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
			}
		}
	}
	return nil
}
