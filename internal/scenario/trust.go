package scenario

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
)

// closedTrust lets nobody assume a role. Roles begin with it: a trust policy can
// only name who exists, and two roles may name each other.
const closedTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}`

// without takes out of a trust policy the principals that nobody here can be:
// users, roles and sessions of roles of the account that are not loaded, and
// unique ids, which AWS prints for those that were deleted. AWS refuses to save such a policy. What is
// left means the same, since nobody matched them: Allow grants no less to
// anybody who exists, Deny denies no less. A policy that names nobody such is
// returned as it is, byte for byte.
//
// Principals of other accounts, services, and providers of federated identities
// stay: nobody here can be them either, but they can be saved.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func without(trust, account string, exists func(arn string) bool) (out string, gone []string, err error) {
	var doc map[string]any
	if err := json.Unmarshal([]byte(trust), &doc); err != nil {
		return "", nil, errors.New("its trust policy is not a JSON object")
	}
	statements, ok := doc["Statement"].([]any)
	if !ok {
		statements = []any{doc["Statement"]}
	}
	dead := func(v any) bool {
		p, ok := v.(string)
		if !ok || p == "*" || strings.Trim(p, "0123456789") == "" {
			return false
		}
		a, err := arn.Parse(p)
		if err == nil && (a.Account != account || a.Resource == "root" || !isPrincipal(a) || exists(p)) {
			return false
		}
		gone = append(gone, p)
		return true
	}
	statements = slices.DeleteFunc(statements, func(v any) bool {
		st, _ := v.(map[string]any)
		if p, ok := st["NotPrincipal"].(map[string]any); ok && emptied(p, dead) {
			// Deny everybody but one who does not exist: deny everybody.
			delete(st, "NotPrincipal")
			st["Principal"] = "*"
		}
		p, ok := st["Principal"].(map[string]any)
		return ok && emptied(p, dead)
	})
	switch {
	case len(gone) == 0:
		return trust, nil, nil
	case !once(trust):
		return "", nil, errors.New("its trust policy has a member twice")
	case len(statements) == 0:
		return closedTrust, gone, nil
	}
	doc["Statement"] = statements
	text, err := json.Marshal(doc)
	return string(text), gone, err
}

// isPrincipal says that an ARN is of a kind that IAM looks up when it saves a
// policy.
func isPrincipal(a arn.ARN) bool {
	return a.Service == "iam" || a.Service == "sts" && strings.HasPrefix(a.Resource, "assumed-role/")
}

// emptied drops the dead AWS principals of a Principal element, and reports
// whether that has left nothing of it.
func emptied(p map[string]any, dead func(any) bool) bool {
	switch v := p["AWS"].(type) {
	case string:
		if dead(v) {
			delete(p, "AWS")
			return len(p) == 0
		}
	case []any:
		before := len(v)
		if v = slices.DeleteFunc(v, dead); len(v) == before {
			return false
		}
		p["AWS"] = v
		if len(v) == 0 {
			delete(p, "AWS")
			return len(p) == 0
		}
	}
	return false
}
