package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/sigv4"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/internal/wire"
)

// recognise finds the operation and reads what has to be read before the
// signature can be checked.
func (g *Gateway) recognise(c *Call, w http.ResponseWriter, r *http.Request) (*api.OpInfo, *sigv4.Request, body, *api.Error) {
	q, serr := sigv4.Parse(r)
	signing := ""
	if q != nil {
		signing = q.Service
		c.region(q)
	}
	var b body
	// Only S3 streams, and S3 names its operation in path and query.
	streams := signing == "s3" || signing == "" && r.Header.Get("X-Amz-Target") == "" && !isForm(r)
	if !streams {
		raw, err := readBody(w, r)
		if err != nil {
			return nil, q, b, err
		}
		b.bytes = raw
	}
	op, err := wire.Recognise(g.mux.services, r, signing, b.bytes)
	if err != nil {
		// An unsigned request is told that first, as AWS does.
		if q == nil && g.Mode != Off {
			return op, q, b, g.signatureError(op, serr)
		}
		return op, q, b, err
	}
	switch {
	case streams && op.StreamingInput:
		b.stream = r.Body
	case streams:
		raw, err := readBody(w, r)
		if err != nil {
			return op, q, b, err
		}
		b.bytes = raw
	}
	if q == nil && !anonymous(op, serr) && (g.Mode != Off || serr != nil && serr.Kind != sigv4.Missing) {
		return op, q, b, g.signatureError(op, serr)
	}
	return op, q, b, nil
}

// anonymous tells a request that need not be signed: S3 has buckets that are
// open to everyone, and the policy of the bucket decides.
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
func anonymous(op *api.OpInfo, e *sigv4.Error) bool {
	return op.Service.Name == "s3" && e != nil && e.Kind == sigv4.Missing
}

// defaultRegion is where what names no region belongs.
const defaultRegion = "us-east-1"

// regionName is the form of every region's name. The name becomes part of
// shards, streams and ARNs: a colon in it would shift the fields of an ARN, so
// that a policy for one resource allows another.
var regionName = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{2,16}){1,3}-[0-9]{1,2}$`)

// region takes the region over from a credential scope; one that is none is
// left out, and authenticate refuses the request.
func (c *Call) region(q *sigv4.Request) {
	if regionName.MatchString(q.Region) {
		c.Region, c.facts.Region = q.Region, q.Region
	}
}

func isForm(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") && r.Method == http.MethodPost
}

// authenticate checks the signature and turns the key into a principal.
func (g *Gateway) authenticate(c *Call, r *http.Request, q *sigv4.Request, b body) *api.Error {
	if g.Mode == Off {
		if err := fromPage(r); err != nil {
			return err
		}
		g.takeAtItsWord(c, q)
		if !g.serves(c.Account) {
			return api.InvalidClientToken()
		}
		return nil
	}
	if q == nil { // recognise lets only these through
		c.Principal = &session.Principal{Type: session.Anonymous, UserID: "anonymous"}
		c.Region, c.facts.Region = defaultRegion, defaultRegion
		return nil
	}
	view := g.Store.View(c.Context)
	if err := view.Err(); err != nil {
		return api.Unavailable("The store cannot be read.", err)
	}
	p, secret, err := g.resolve(c, view, q)
	if err != nil {
		return err
	}
	if !g.serves(p.Account) { // it was, when the credentials were made
		return api.InvalidClientToken()
	}
	if serr := q.CheckScope(c.Op.Service.SigningName, ""); serr != nil {
		return g.signatureError(c.Op, serr)
	}
	if c.Region == "" {
		return g.signatureError(c.Op, q.CheckScope("", defaultRegion))
	}
	hash := func() (string, error) {
		sum := sha256.Sum256(b.bytes)
		return hex.EncodeToString(sum[:]), nil
	}
	if b.stream != nil {
		hash = nil // the declared hash is signed; the body is held against it while it is spooled
	}
	serr := q.Verify(r, secret, c.Time, hash)
	if serr != nil {
		return g.signatureError(c.Op, serr)
	}
	c.Principal, c.Account = p, p.Account
	return limited(p, c.Op)
}

// resolve finds the secret behind an access key id, and whose it is.
func (g *Gateway) resolve(c *Call, r store.Reader, q *sigv4.Request) (*session.Principal, string, *api.Error) {
	if q.SessionToken != "" {
		p, secret, err := g.Sealer.Open(q.AccessKeyID, q.SessionToken, c.Time)
		switch {
		case errors.Is(err, session.ErrExpired):
			return nil, "", api.ExpiredToken()
		case err != nil || !g.present(r, &p):
			return nil, "", api.InvalidClientToken()
		}
		p.AccessKeyID = q.AccessKeyID
		return &p, secret, nil
	}
	if k, ok := g.RootKeys[q.AccessKeyID]; ok {
		return rootOf(k.Account, q.AccessKeyID), k.Secret, nil
	}
	if secret, p, ok := g.Keys.Key(r, q.AccessKeyID); ok {
		return p, secret, nil
	}
	return nil, "", api.InvalidClientToken()
}

func (g *Gateway) serves(account string) bool { return g.Serves == nil || g.Serves(account) }

// Unchecked is the principal that everybody is where nothing is verified, and
// nil where IAM binds. The error is for a request that not even then may be
// served.
func (g *Gateway) Unchecked(r *http.Request) (*session.Principal, *api.Error) {
	if g.Mode != Off {
		return nil, nil
	}
	if err := fromPage(r); err != nil {
		return nil, err
	}
	return rootOf(g.Account, ""), nil
}

// fromPage refuses what a page in a browser sent. Any page on this machine can
// send requests here; where signatures are checked, they keep it out.
func fromPage(r *http.Request) *api.Error {
	if origin := r.Header.Get("Origin"); origin != "" {
		return api.AccessDenied("Without signatures Remit answers no page in a browser: the request has the Origin " + clip(origin) + ".")
	}
	return nil
}

func rootOf(account, keyID string) *session.Principal {
	return &session.Principal{Type: session.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account, AccessKeyID: keyID}
}

// clip bounds what an answer repeats of the caller's own words.
func clip(s string) string { return s[:min(len(s), 128)] }

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// takeAtItsWord makes a principal without checking anything: the mode "off".
// A session of ours still is itself, so that a task sees its own role.
func (g *Gateway) takeAtItsWord(c *Call, q *sigv4.Request) {
	if c.Region == "" {
		c.Region, c.facts.Region = defaultRegion, defaultRegion
	}
	account, key := g.Account, ""
	if q != nil {
		key = q.AccessKeyID
		if q.SessionToken != "" {
			if p, _, err := g.Sealer.Open(q.AccessKeyID, q.SessionToken, c.Time); err == nil {
				p.AccessKeyID = key
				c.Principal, c.Account = &p, p.Account
				return
			}
		}
		if accountID.MatchString(key) {
			account = key
		}
	}
	c.Principal, c.Account = rootOf(account, key), account
}

// signatureError words what is wrong with a signature as the service of the
// operation would; where no operation was recognised, as an S3 endpoint does,
// which is what answers any path.
func (g *Gateway) signatureError(op *api.OpInfo, e *sigv4.Error) *api.Error {
	f := sigv4.S3
	if op != nil {
		switch {
		case op.Service.Protocol.IsJSON():
			f = sigv4.JSON
		case op.Service.Protocol == api.Query || op.Service.Protocol == api.EC2Query:
			f = sigv4.Query
		}
	}
	code, status := e.Code(f)
	return api.Errorf(code, status, api.FaultClient, "%s", e.Text(f))
}
