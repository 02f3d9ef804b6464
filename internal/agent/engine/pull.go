package engine

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// pull brings a container's image into the runtime's store and returns it with
// the digest that its name resolves to. The registry is asked every time, so
// that a role that may not pull cannot run what somebody else pulled; layers
// that are here already are not fetched again.
func (t *task) pull(ctx context.Context, c *container) (runtime.Image, string, error) {
	name := c.payload.Image
	ref, err := parseReference(name)
	if err != nil {
		return runtime.Image{}, "", fail("manifest", 0, name, err)
	}
	login := t.prepared.registries[c.payload.Name]
	r := t.engine.registry(ref)
	r.username, r.password = login.username, login.password

	var img *remoteImage
	var digest string
	n, err := t.retry(ctx, func(ctx context.Context) (err error) {
		img, digest, err = r.resolve(ctx, ref)
		return err
	})
	if err != nil {
		return runtime.Image{}, "", fail("manifest", n, name, err)
	}
	var out runtime.Image
	n, err = t.retry(ctx, func(ctx context.Context) (err error) {
		if out, err = t.engine.opts.Runtime.Image(ctx, sha(img.raw)); err == nil {
			return nil
		}
		out, err = t.engine.opts.Runtime.Unpack(ctx, img)
		return err
	})
	var blob *blobError
	switch {
	case errors.As(err, &blob):
		return out, digest, fail("layers", n, blob)
	case err != nil:
		return out, digest, fail("unpack", n, err)
	}
	return out, digest, nil
}

// registry opens the repository that a reference means, where it is really
// served.
func (e *Engine) registry(ref reference) *registry {
	r := &registry{repository: ref.repository, client: e.opts.HTTPClient}
	if e.opts.Registry != nil {
		if base, prefix, ok := e.opts.Registry(ref.host); ok {
			r.base, r.repository = strings.TrimSuffix(base, "/"), prefix+ref.repository
			return r
		}
	}
	// Docker's rule: a registry on this machine may be plain http, any other
	// only where it is the control plane's own.
	scheme := "https://"
	if u, err := url.Parse(e.opts.Endpoint); err == nil && u.Host == ref.host || loopback(ref.host) {
		if err == nil && u.Host == ref.host {
			scheme = u.Scheme + "://"
		} else {
			scheme = "http://"
		}
	}
	r.base = scheme + ref.host
	return r
}

func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
