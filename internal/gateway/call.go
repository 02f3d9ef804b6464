package gateway

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

// Call is one request on its way along the path.
type Call struct {
	Context   context.Context
	RequestID string
	Time      time.Time // when the request arrived; handlers use no other clock
	Op        *api.OpInfo
	Principal *session.Principal
	Account   string // the account the request acts in: the principal's, or the target of an Invoke
	Region    string // from the credential scope

	// Home is the shard that the operation writes to, and Tx the transaction
	// on it. The rule reads through Tx too: what was authorised is what is
	// changed. On a conflict both are made again and rule and handler rerun.
	Home string
	Tx   *store.Tx

	// IDs feeds package id (id.Hex(c.IDs, 16)). It starts anew on a rerun, so
	// that a call makes the same ids however often it conflicts.
	IDs id.Source

	Host      string        // host:port as the client wrote it
	Scheme    string        // http or https
	HTTP      *http.Request // headers and query, for operations that the model does not fully describe; nil for Invoke
	SourceIP  netip.Addr
	UserAgent string

	// Spooled is the body of an operation registered with Spool, verified and
	// on disk. It is nil while the operation is authorised for the first time.
	Spooled *Spooled

	// Target is what an in-process caller acts for.
	Target Target

	g     *Gateway
	facts authz.Facts
	asked []authz.Verdict
	first [1]authz.Verdict // where asked begins: most calls ask once
	after []func()
	seed  [32]byte

	refusal *api.Error     // the last that a question ended in
	refused *authz.Verdict // which

	recorded bool // in the trail, whatever still happens
}

// Spooled is a streamed request body after its signature, chunks, trailer and
// checksums were verified.
type Spooled struct {
	Digest    blob.Digest       // its address in the blob store
	MD5       [16]byte          // S3's ETag
	Size      int64             // decoded bytes
	Checksums map[string]string // declared checksums, verified: "x-amz-checksum-crc32" in base64
}

// Enforced says that IAM binds. Without it every caller is the account's root,
// and what AWS refuses to root must not be refused.
func (c *Call) Enforced() bool { return c.g.Mode != Off }

// AfterCommit runs f once the call's changes are durable, and not at all if
// they never are.
func (c *Call) AfterCommit(f func()) { c.after = append(c.after, f) }

// Adopt makes a call by nobody act in the account and region of what it is
// about: its record belongs there. A signed call stays where it was signed for.
func (c *Call) Adopt(account, region string) {
	if c.Principal.Type == session.Anonymous {
		c.Account, c.Region, c.facts.Region = account, region, region
	}
}

// Now returns the time of the request for a document or an answer.
func (c *Call) Now() *api.Time { return &api.Time{Time: c.Time} }

// Regional is the shard of an account's documents in a region.
func Regional(account, region string) string { return account + "/" + region }

// Global is the shard of an account's documents that belong to no region (IAM).
func Global(account string) string { return account + "/global" }

// Target says where, and for which resource, an in-process call acts.
type Target struct {
	Account   string
	Region    string
	SourceARN string // becomes aws:SourceArn where a service assumes a role for a resource
}

// closeQuietly closes what the answer no longer needs.
func closeQuietly(c io.Closer) {
	if c != nil {
		_ = c.Close()
	}
}
