package gateway

import (
	"crypto/md5"
	"errors"
	"io"
	"net/http"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/sigv4"
)

// spool authorises a streamed request from its headers, then writes its body
// to the blob store while hash, chunk signatures and trailer are verified.
// Nobody fills the disk who may not write.
func (g *Gateway) spool(c *Call, e *entry, in any, r *http.Request, q *sigv4.Request, b body) *api.Error {
	c.Home = e.homeShard(c, in)
	c.Tx = g.Store.Begin(c.Context, c.Home)
	c.IDs = id.NewSeeded(c.seed[:])
	asks, err := e.rule(c, in)
	if err == nil {
		err = g.decide(c, asks)
	}
	if err != nil {
		apiErr := g.asAPI(c, err)
		// The refusal is recorded by the caller, which knows no input.
		return apiErr
	}
	if q == nil {
		q = sigv4.Unsigned(r)
	}
	decoded, serr := sigv4.NewBody(q, r, r.Body)
	if serr != nil {
		return g.signatureError(c.Op, serr)
	}
	sum := md5.New()
	w, err := g.Blobs.Create(sum)
	if err != nil {
		return api.Unavailable("The object could not be stored.", err)
	}
	defer w.Abort()
	size, err := io.Copy(w, decoded)
	if err != nil {
		var se *sigv4.Error
		if errors.As(err, &se) {
			return g.signatureError(c.Op, se)
		}
		if errors.Is(err, blob.ErrNoSpace) {
			return api.Unavailable("The object could not be stored.", err)
		}
		return api.Errorf("IncompleteBody", 400, api.FaultClient, "You did not provide the number of bytes specified by the Content-Length HTTP header").Because(err)
	}
	digest, err := w.Commit("")
	if err != nil {
		return api.Unavailable("The object could not be stored.", err)
	}
	c.Spooled = &Spooled{Digest: digest, MD5: [md5.Size]byte(sum.Sum(nil)), Size: size, Checksums: decoded.Checksums()}
	return nil
}
