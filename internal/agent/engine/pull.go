package engine

import (
	"context"
	"errors"
	"net"
	"net/url"
	"regexp"
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
	r, ours := t.engine.registry(ref)
	// A token for ECR goes to ECR alone, whatever host an image names.
	if a := c.payload.RegistryAuthentication; a != nil && (a.Type != "ecr" || ours || ecrHost.MatchString(ref.host)) {
		login := t.prepared.registries[c.payload.Name]
		r.username, r.password = login.username, login.password
	}

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
		// Fargate has no cache between tasks, so there a role that may not
		// fetch layers cannot run an image that another task brought. Asking
		// for the configuration, a blob like any other, keeps it so.
		if _, err := img.RawConfigFile(); err != nil {
			return err
		}
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

// ecrHost is the host of a private ECR registry.
var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$`)

// registry opens the repository that a reference means, where it is really
// served, and says whether that is the control plane's own.
func (e *Engine) registry(ref reference) (r *registry, ours bool) {
	r = &registry{repository: ref.repository, client: e.opts.HTTPClient}
	if e.opts.Registry != nil {
		if base, prefix, ok := e.opts.Registry(ref.host); ok {
			r.base, r.repository = strings.TrimSuffix(base, "/"), prefix+ref.repository
			return r, true
		}
	}
	if u, err := url.Parse(e.opts.Endpoint); err == nil && u.Host == ref.host {
		r.base = u.Scheme + "://" + ref.host
		return r, true
	}
	// Docker's rule: a registry on this machine may be plain http.
	r.base = "https://" + ref.host
	if loopback(ref.host) {
		r.base = "http://" + ref.host
	}
	return r, false
}

func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
