package registry

import (
	"net"
	"regexp"
	"strings"
)

// noun is what a path is about.
type noun int

const (
	manifests noun = iota + 1
	blobs
	uploads
	tags
)

// repository is a repository as a path names it.
type repository struct {
	account, region, name string
	base                  string // the path before the noun: "/v2/…/NAME"
}

type route struct {
	repository
	noun      noun
	reference string // tag, digest or upload id
}

// registryName is what AWS calls a registry.
var registryName = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)*-[0-9]+)\.amazonaws\.com(?:\.cn)?$`)

// namePattern is what AWS allows as the name of a repository.
var namePattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)

// parse reads the path of a request to a host; false where it names no
// repository of ours.
func parse(host, path string) (route, bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return route{}, false
	}
	var r route
	// From the end: names have any number of parts.
	if full, ok := strings.CutSuffix(rest, "/tags/list"); ok {
		r.noun, rest = tags, full
	} else if i := strings.LastIndex(rest, "/blobs/uploads"); i >= 0 && !strings.Contains(strings.TrimPrefix(rest[i+len("/blobs/uploads"):], "/"), "/") {
		r.noun, r.reference, rest = uploads, strings.TrimPrefix(rest[i+len("/blobs/uploads"):], "/"), rest[:i]
	} else if full, ref, ok := cutLast(rest, "/manifests/"); ok {
		r.noun, r.reference, rest = manifests, ref, full
	} else if full, ref, ok := cutLast(rest, "/blobs/"); ok {
		r.noun, r.reference, rest = blobs, ref, full
	} else {
		return route{}, false
	}
	r.repository, ok = parseRepository(host, rest)
	return r, ok
}

// cutLast cuts around the last sep; nothing behind it may hold a slash.
func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", "", false
	}
	after = s[i+len(sep):]
	return s[:i], after, after != "" && !strings.Contains(after, "/")
}

// parseRepository reads what an engine takes for the repository's name: the
// registry comes first in it, or is the host.
func parseRepository(host, full string) (repository, bool) {
	r := repository{base: "/v2/" + full}
	first, name, _ := strings.Cut(full, "/")
	m := registryName.FindStringSubmatch(first)
	if m == nil {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		m, name = registryName.FindStringSubmatch(host), full
	}
	if m == nil || len(name) > 256 || !namePattern.MatchString(name) {
		return repository{}, false
	}
	r.account, r.region, r.name = m[1], m[2], name
	return r, true
}
