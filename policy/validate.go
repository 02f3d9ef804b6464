package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Quotas on the size of documents, in characters as Size counts them, at AWS's
// defaults.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	MaxManagedPolicySize     = 6144
	MaxUserInlinePolicySize  = 2048  // sum of a user's inline policies
	MaxGroupInlinePolicySize = 5120  // sum of a group's
	MaxRoleInlinePolicySize  = 10240 // sum of a role's
	MaxTrustPolicySize       = 2048
	MaxSessionPolicySize     = 2048
	MaxSCPSize               = 5120
	MaxRCPSize               = 5120
	MaxSessionPolicyARNs     = 10
)

// ValidationError is AWS's refusal of a document.
type ValidationError struct {
	Code    string // always MalformedPolicyDocument
	Message string // in AWS's words, where they are known
}

func (e *ValidationError) Error() string { return e.Code + ": " + e.Message }

// Size is the length of a document as IAM counts it against quotas: in
// characters, white space outside strings left out.
func Size(text []byte) int {
	size, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\' && i+1 < len(text):
			size++
			i++
		case c == '"':
			inString = !inString
		case !inString && strings.IndexByte(" \t\r\n", c) >= 0, c&0xC0 == 0x80:
			continue // white space, or inside a UTF-8 sequence
		}
		size++
	}
	return size
}

// malformed is a refusal on its way out of the checks.
func malformed(format string, args ...any) *ValidationError {
	return &ValidationError{Code: "MalformedPolicyDocument", Message: fmt.Sprintf(format, args...)}
}

const syntaxErrors = "Syntax errors in policy."

// Validate checks a document that is to be stored or passed, in AWS's order and
// words: identity-based, session and service control policies by the grammar of
// IAM, trust and resource control policies by their own rules, and other kinds by
// whether Parse reads them. The
// error is a *ValidationError. It does not look at the size or the character
// set, which are constraints on the parameter, nor whether the principals exist.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func Validate(kind Kind, text []byte) error {
	var err *ValidationError
	switch kind {
	case KindIdentity, KindSession:
		err = validateIdentity(kind, text)
	case KindTrust:
		err = validateTrust(text)
	case KindSCP, KindRCP:
		err = validateControl(kind, text)
	default:
		if d, parseErr := Parse(kind, text); parseErr != nil {
			err = malformed("%s", d.Diagnostics[0])
		} else if len(d.Statements) == 0 {
			err = malformed(syntaxErrors)
		}
	}
	if err != nil {
		return err
	}
	return nil // not a nil *ValidationError
}

// validateIdentity runs the checks one after the other over all statements, so
// that of several faults the one is reported that AWS reports.
func validateIdentity(kind Kind, text []byte) *ValidationError {
	root, jsonErr := parseJSON(text)
	if jsonErr != nil || root.kind != objectNode {
		return malformed(syntaxErrors)
	}
	statements, ok := shape(&root)
	if !ok {
		return malformed(syntaxErrors)
	}
	for i := range statements {
		if statements[i].get("Principal") != nil || statements[i].get("NotPrincipal") != nil {
			return malformed("Policy document should not specify a principal.")
		}
		if !statementShape(&statements[i]) {
			return malformed(syntaxErrors)
		}
	}
	if v := root.get("Version"); v == nil || v.text != version2012 {
		return malformed("Policy document must be version 2012-10-17 or greater.")
	}
	for _, check := range [...]func([]node) *ValidationError{
		checkLegacy, checkSids, checkHasActions, checkResources, checkActions, checkHasResources,
	} {
		if err := check(statements); err != nil {
			return err
		}
	}
	// What the checks above let through must be readable when it counts.
	if d, err := Parse(kind, text); err != nil && len(d.Diagnostics) > 0 {
		return malformed(syntaxErrors)
	}
	return nil
}

// shape checks the top level and returns the statements.
func shape(root *node) ([]node, bool) {
	if root.repeated() != "" {
		return nil, false
	}
	for _, m := range root.members {
		switch m.key {
		case "Version":
			if m.value.kind != stringNode || m.value.text != version2012 && m.value.text != "2008-10-17" {
				return nil, false
			}
		case "Id":
			if m.value.kind != stringNode {
				return nil, false
			}
		case "Statement":
		default:
			return nil, false
		}
	}
	st := root.get("Statement")
	switch {
	case st == nil:
		return nil, false
	case st.kind == objectNode:
		return []node{*st}, true
	}
	return st.items, st.kind == arrayNode && len(st.items) > 0
}

// statementShape checks the elements of a statement and their types.
func statementShape(st *node) bool {
	if st.kind != objectNode || st.repeated() != "" {
		return false
	}
	for _, m := range st.members {
		switch m.key {
		case "Sid", "Effect":
			if m.value.kind != stringNode {
				return false
			}
		case "Action", "NotAction", "Resource", "NotResource":
			if !isTexts(&m.value, false) {
				return false
			}
		case "Principal", "NotPrincipal":
		case "Condition":
			if !conditionShape(&m.value) {
				return false
			}
		default:
			return false
		}
	}
	effect := st.get("Effect")
	return effect != nil && (strings.EqualFold(effect.text, "Allow") || strings.EqualFold(effect.text, "Deny")) &&
		!(st.get("Action") != nil && st.get("NotAction") != nil) &&
		!(st.get("Resource") != nil && st.get("NotResource") != nil)
}

func conditionShape(n *node) bool {
	if n.kind != objectNode {
		return false
	}
	for _, op := range n.members {
		if op.value.kind != objectNode || !knownOperator(op.key) {
			return false
		}
		for _, key := range op.value.members {
			if !isTexts(&key.value, true) {
				return false
			}
		}
	}
	return true
}

// isTexts reports whether a node is a string or an array of strings, or of
// booleans and numbers where those are accepted.
func isTexts(n *node, scalars bool) bool {
	for _, v := range listOf(n) {
		if v.kind != stringNode && !(scalars && (v.kind == boolNode || v.kind == numberNode)) {
			return false
		}
	}
	return true
}

// listOf is the array, or the single value as a list; nothing for nil.
func listOf(n *node) []node {
	switch {
	case n == nil:
		return nil
	case n.kind == arrayNode:
		return n.items
	}
	return []node{*n}
}

// either is the first of two elements that is there.
func either(st *node, key, other string) *node {
	if n := st.get(key); n != nil {
		return n
	}
	return st.get(other)
}

func checkLegacy(statements []node) *ValidationError {
	failed := malformed("The policy failed legacy parsing")
	for i := range statements {
		st := &statements[i]
		if e := st.get("Effect").text; e != "Allow" && e != "Deny" {
			return failed
		}
		for _, r := range listOf(either(st, "Resource", "NotResource")) {
			if strings.Count(r.text, ":") < 5 && strings.Contains(r.text, "::") {
				return failed
			}
			if parts := strings.Split(r.text, ":"); len(parts) > 2 && parts[2] == "" {
				return failed
			}
		}
		if cond := st.get("Condition"); cond != nil {
			for _, op := range cond.members {
				if spec, _, _, _ := parseOperator(op.key); spec.op != opDate {
					continue
				}
				for _, key := range op.value.members {
					for _, v := range listOf(&key.value) {
						if _, ok := parseDate(v.text); !ok {
							return failed
						}
					}
				}
			}
		}
	}
	return nil
}

func checkSids(statements []node) *ValidationError {
	seen := map[string]bool{}
	for i := range statements {
		sid := statements[i].get("Sid")
		if sid == nil || sid.text == "" {
			continue
		}
		if seen[sid.text] {
			return malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		seen[sid.text] = true
		for _, c := range sid.text {
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
			}
		}
	}
	return nil
}

func checkHasActions(statements []node) *ValidationError {
	for i := range statements {
		if len(listOf(either(&statements[i], "Action", "NotAction"))) == 0 {
			return malformed("Policy statement must contain actions.")
		}
	}
	return nil
}

func checkHasResources(statements []node) *ValidationError {
	for i := range statements {
		if len(listOf(either(&statements[i], "Resource", "NotResource"))) == 0 {
			return malformed("Policy statement must contain resources.")
		}
	}
	return nil
}

func checkActions(statements []node) *ValidationError {
	for i := range statements {
		for _, a := range listOf(either(&statements[i], "Action", "NotAction")) {
			if err := checkAction(a.text); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkAction(text string) *ValidationError {
	if text == "*" {
		return nil
	}
	vendor, name, found := strings.Cut(text, ":")
	switch {
	case !found:
		return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
	case strings.Contains(name, ":"):
		return malformed("Actions/Condition can contain only one colon.")
	}
	for _, c := range vendor {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-') {
			return malformed("Vendor %s is not valid", vendor)
		}
	}
	if vendor == "" || name == "" {
		return malformed("Vendor %s is not valid", vendor)
	}
	return nil
}

func checkResources(statements []node) *ValidationError {
	for i := range statements {
		for _, r := range listOf(either(&statements[i], "Resource", "NotResource")) {
			if err := checkResource(r.text); err != nil {
				return err
			}
		}
	}
	return nil
}

// partitions are those that IAM knows.
var partitions = []string{"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"}

// iamPaths is how the resource part of an IAM ARN may begin.
var iamPaths = []string{"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/",
	"policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/"}

func checkResource(text string) *ValidationError {
	if text == "*" {
		return nil
	}
	if !strings.HasPrefix(text, "arn:") {
		return malformed(`Resource %s must be in ARN format or "*".`, text)
	}
	parts := strings.SplitN(text, ":", 6)
	given := len(parts)
	for len(parts) < 6 {
		parts = append(parts, "*")
	}
	partition, service, region, resource := parts[1], parts[2], parts[3], parts[5]
	switch {
	case !slices.Contains(partitions, partition) && partition != "*":
		return malformed(`Partition "%s" is not valid for resource "arn:%s".`, partition, strings.Join(parts[1:], ":"))
	case given < 3, strings.ContainsAny(service, "*?"):
		return malformed("Resource vendor must be fully qualified and cannot contain regexes.")
	case given >= 4 && service == "iam" && region != "" && region != "*":
		return malformed("IAM resource %s cannot contain region information.", text)
	case given >= 4 && service == "s3" && region != "" && region != "*" && !strings.HasPrefix(resource, "accesspoint/"):
		return malformed("Resource %s can not contain region information.", text)
	}
	if service == "iam" && given == 6 && resource != "*" &&
		!slices.ContainsFunc(iamPaths, func(p string) bool { return strings.HasPrefix(resource, p) }) {
		return malformed(`IAM resource path must either be "*" or start with %s.`, strings.Join(iamPaths, ", "))
	}
	return nil
}
