package main

import (
	"fmt"
	"slices"
	"strings"
)

// leftOut are operations that are not served on purpose: the service, the
// operations, and why. They stand in COVERAGE.md below those that are merely
// not there yet.
var leftOut = []struct {
	service string
	why     string
	ops     []string
}{
	{"sts", "identities that outside providers vouch for (OpenID Connect, SAML) need providers to trust, and Remit has users, roles and sessions of its own",
		[]string{"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}},
	{"sts", "it vouches for an identity to services outside AWS, which would have to reach and to trust this server's keys",
		[]string{"GetWebIdentityToken"}},
	{"sts", "it lets the management account act as root of a member account, and the root keys of every account are the operator's already",
		[]string{"AssumeRoot"}},
	{"sts", "it exchanges tokens of AWS's temporary delegation to product providers, of which there are none here",
		[]string{"GetDelegatedAccessToken"}},
}

// why lists the reasons of a service. Every operation named must exist and not
// be served, so that a reason does not outlive its cause.
func why(service string, unserved []string) string {
	var b strings.Builder
	for _, l := range leftOut {
		if l.service != service {
			continue
		}
		for _, op := range l.ops {
			if !slices.Contains(unserved, op) {
				panic(fmt.Sprintf("coverage: %s:%s has a reason to be left out, but is served or does not exist", service, op))
			}
		}
		fmt.Fprintf(&b, "- %s: %s.\n", strings.Join(l.ops, ", "), l.why)
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nLeft out on purpose:\n\n" + b.String()
}
