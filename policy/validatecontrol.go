package policy

// validateControl checks a service control policy or a resource control policy.
//
// SCPs have the whole language of identity-based policies. RCPs have that of
// resource-based policies, in parts: they only deny, everybody, by Action (of
// named services) and never by NotAction. AWS Organizations answers every breach
// with one sentence, that the document does not meet the requirements of its
// type; the sentences about RCPs are ours.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_syntax.html
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps_syntax.html
func validateControl(kind Kind, text []byte) *ValidationError {
	if kind == KindSCP {
		return validateIdentity(kind, text)
	}
	root, jsonErr := parseJSON(text)
	if jsonErr != nil || root.kind != objectNode {
		return malformed(syntaxErrors)
	}
	statements, ok := shape(&root)
	if !ok || len(statements) == 0 {
		return malformed(syntaxErrors)
	}
	if v := root.get("Version"); v == nil || v.text != version2012 {
		return malformed("Policy document must be version 2012-10-17 or greater.")
	}
	for i := range statements {
		if !statementShape(&statements[i]) {
			return malformed(syntaxErrors)
		}
		if why := checkRCP(&statements[i]); why != "" {
			return malformed("Statement %d of the resource control policy %s.", i+1, why)
		}
	}
	for _, check := range [...]func([]node) *ValidationError{
		checkLegacy, checkSids, checkHasActions, checkResources, checkActions, checkHasResources,
	} {
		if err := check(statements); err != nil {
			return err
		}
	}
	if d, err := Parse(kind, text); err != nil && len(d.Diagnostics) > 0 {
		return malformed(syntaxErrors)
	}
	return nil
}

// checkRCP says what a statement may not, empty where nothing is wrong.
func checkRCP(st *node) string {
	if st.get("Effect").text != "Deny" {
		return "allows: only RCPFullAWSAccess does"
	}
	if st.get("NotAction") != nil {
		return "has NotAction, which is not supported"
	}
	for _, a := range listOf(st.get("Action")) {
		if a.text == "*" {
			return `has the action "*": it has to name services`
		}
	}
	p := st.get("Principal")
	if st.get("NotPrincipal") != nil || p == nil {
		return `does not have the Principal "*"`
	}
	// {"AWS": "*"} is the same as "*".
	if p.kind == objectNode && len(p.members) == 1 && p.members[0].key == "AWS" {
		if list := listOf(&p.members[0].value); len(list) == 1 {
			p = &list[0]
		}
	}
	if p.kind != stringNode || p.text != "*" {
		return `does not have the Principal "*"`
	}
	return ""
}
