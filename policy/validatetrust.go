package policy

import (
	"slices"
	"strings"
)

// trustActions are the actions that a trust policy may be about, lower case.
var trustActions = []string{"assumerole", "assumerolewithsaml", "assumerolewithwebidentity", "tagsession", "setsourceidentity", "setcontext"}

// isTrustAction reports whether roles' trust policies govern an action of sts.
func isTrustAction(name string) bool {
	return isOneOf(name, trustActions...)
}

// validateTrust checks a role trust policy.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-role-trust-policy.html
func validateTrust(text []byte) *ValidationError {
	root, jsonErr := parseJSON(text)
	if jsonErr != nil || root.kind != objectNode {
		return malformed("This policy contains invalid Json")
	}
	if st := root.get("Statement"); st == nil || len(listOf(st)) == 0 {
		return malformed("Could not parse the policy: Statement is empty!")
	}
	statements, ok := shape(&root)
	if !ok {
		return malformed(syntaxErrors)
	}
	for i := range statements {
		if err := checkTrust(&statements[i]); err != nil {
			return err
		}
	}
	if err := checkSids(statements); err != nil {
		return err
	}
	if d, err := Parse(KindTrust, text); err != nil && len(d.Diagnostics) > 0 {
		return malformed(syntaxErrors)
	}
	return nil
}

func checkTrust(st *node) *ValidationError {
	switch {
	case st.get("Resource") != nil:
		return malformed("Has prohibited field Resource")
	case st.get("NotResource") != nil:
		return malformed("AssumeRole policy must not contain resources.")
	case st.get("Effect") == nil:
		return malformed("Missing required field Effect")
	}
	principal := either(st, "Principal", "NotPrincipal")
	switch {
	case principal == nil:
		return malformed("Missing required field Principal")
	case principal.kind == objectNode && len(principal.members) == 0, principal.kind == stringNode && principal.text == "":
		return malformed("Missing required field Principal cannot be empty!")
	case st.get("NotPrincipal") != nil && st.get("Effect").text == "Allow":
		return malformed("Allow with NotPrincipal is not allowed.")
	case len(listOf(either(st, "Action", "NotAction"))) == 0:
		return malformed("Missing required field Action")
	case !statementShape(st):
		return malformed(syntaxErrors)
	case st.get("NotAction") != nil:
		return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
	}
	for _, n := range st.get("Action").texts() {
		a, ok := compileAction(n)
		about := func(name string) bool { return a.match("sts", name) }
		if !ok || a.service != "sts" || !slices.ContainsFunc(trustActions, about) {
			return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
		}
	}
	for _, m := range principal.members {
		if !isTexts(&m.value, false) {
			return malformed(syntaxErrors)
		}
		for _, v := range m.value.texts() {
			if !principalShape(m.key, v) {
				return malformed(`Invalid principal in policy: "%s":"%s"`, strings.ToUpper(m.key), v)
			}
		}
	}
	return nil
}

// texts are the strings of a string or an array.
func (n *node) texts() []string {
	var out []string
	for _, v := range listOf(n) {
		out = append(out, v.text)
	}
	return out
}

// principalShape reports whether a principal could exist. Whether it does is for
// the caller to find out: see Document.Principals.
func principalShape(kind, text string) bool {
	switch kind {
	case "AWS":
		return (&principals{}).enterAWS(text)
	case "Service":
		return strings.Contains(text, ".") && !strings.ContainsAny(text, "*?:/ ")
	case "Federated", "CanonicalUser":
		return text != ""
	}
	return false
}

// NamedPrincipal is an entry of a Principal or NotPrincipal element.
type NamedPrincipal struct {
	Kind string // "AWS", "Service", "Federated", "CanonicalUser"
	Text string // "*", an account, an ARN, an id, a service, a provider
}

// Principals are the principals that the document names, in the order of its
// statements, so that IAM can check that they exist.
func (d *Document) Principals() []NamedPrincipal {
	var out []NamedPrincipal
	for i := range d.Statements {
		p := d.Statements[i].principals
		if p == nil {
			continue
		}
		if p.star {
			out = append(out, NamedPrincipal{"AWS", "*"})
		}
		for _, list := range [...]struct {
			kind  string
			texts []string
		}{
			{"AWS", p.accounts}, {"AWS", p.arns}, {"AWS", p.ids}, {"Service", p.services},
			{"Federated", p.federated}, {"CanonicalUser", p.canonical},
		} {
			for _, text := range list.texts {
				out = append(out, NamedPrincipal{list.kind, text})
			}
		}
	}
	return out
}
