package policy

import "strings"

// Message is AWS's one line about a denial, without the error code:
//
//	User: PRINCIPAL is not authorized to perform: ACTION on resource: RESOURCE because no identity-based policy allows the ACTION action
//
// principalARN is the caller's own ARN, "anonymous" if empty; for a role session
// the assumed-role ARN. Where resource is empty the message names none, as some
// services do. STS says nothing of the reasons to callers of another account.
// For an allowed request Message is empty.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func (d Decision) Message(principalARN, action, resource string) string {
	if d.Allowed {
		return ""
	}
	if principalARN == "" {
		principalARN = "anonymous"
	}
	var b strings.Builder
	b.WriteString("User: " + principalARN + " is not authorized to perform: " + action)
	if resource != "" {
		b.WriteString(" on resource: " + resource)
	}
	service, _, _ := strings.Cut(action, ":")
	if d.CrossAccount && strings.EqualFold(service, "sts") {
		return b.String()
	}
	if why := d.because(action); why != "" {
		b.WriteString(" " + why)
	}
	return b.String()
}

// because is the end of the message.
func (d Decision) because(action string) string {
	if d.Layer == LayerNone || d.Layer == LayerProtected {
		return "" // AWS has no words for it
	}
	name := d.Layer.String()
	if d.Effect != ExplicitDeny && !(d.Layer == LayerSCP && scpImplicitReadsExplicit) {
		return "because no " + name + " allows the " + action + " action"
	}
	text := "with an explicit deny in " + article(d.Layer) + " " + name
	// Since January 2026 the ARN of the policy follows, to callers of the same
	// account or organization; inline and resource-based policies have none.
	switch d.Layer {
	case LayerResource, LayerTrust, LayerVPCEndpoint:
	default:
		if d.Statement.Policy != nil && d.Statement.Policy.ARN != "" {
			text += ": " + d.Statement.Policy.ARN
		}
	}
	return text
}

func article(l Layer) string {
	switch l {
	case LayerIdentity:
		return "an"
	case LayerTrust:
		return "the"
	}
	return "a"
}
