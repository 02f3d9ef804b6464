package resourcepolicy

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// Outline is what stands in a policy, for checks beyond its grammar.
type Outline struct{ Statements []Statement }

// Statement is one statement, every string or list of strings as a list.
type Statement struct {
	Allow                   bool
	Actions, NotActions     []string
	Resources, NotResources []string
	Principals              map[string][]string // by kind: "AWS", "Service", ...
	NotPrincipals           bool                // the statement has NotPrincipal
	Everyone                bool                // Principal is "*" or {"AWS": "*"}
	Conditions              []Condition
}

// Condition is one key under one operator, as written.
type Condition struct {
	Operator, Key string
	Values        []string
}

// texts reads a string, number or boolean, or a list of them.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(b []byte) error {
	var list []any
	if err := json.Unmarshal(b, &list); err != nil {
		var one any
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		list = []any{one}
	}
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			raw, err := json.Marshal(v)
			if err != nil {
				return err
			}
			s = string(raw)
		}
		*t = append(*t, s)
	}
	return nil
}

// read makes the outline of a text that package policy has accepted: every
// element is known, spelled exactly, and there once.
func read(text string) (*Outline, error) {
	type statement struct {
		Effect                                   string
		Action, NotAction, Resource, NotResource texts
		Principal, NotPrincipal                  json.RawMessage
		Condition                                map[string]map[string]texts
	}
	var whole struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		return nil, err
	}
	var list []statement
	if err := json.Unmarshal(whole.Statement, &list); err != nil {
		var one statement
		if err := json.Unmarshal(whole.Statement, &one); err != nil {
			return nil, err
		}
		list = []statement{one}
	}
	out := &Outline{}
	for _, in := range list {
		st := Statement{
			Allow: in.Effect == "Allow", Actions: in.Action, NotActions: in.NotAction, Resources: in.Resource, NotResources: in.NotResource,
			NotPrincipals: in.NotPrincipal != nil,
		}
		if in.Principal != nil {
			var star string
			if json.Unmarshal(in.Principal, &star) == nil {
				st.Everyone = star == "*"
			} else {
				var kinds map[string]texts
				if err := json.Unmarshal(in.Principal, &kinds); err != nil {
					return nil, err
				}
				st.Principals = map[string][]string{}
				for kind, names := range kinds {
					st.Principals[kind] = names
				}
				st.Everyone = slices.Contains(kinds["AWS"], "*")
			}
		}
		for operator, keys := range in.Condition {
			for key, values := range keys {
				st.Conditions = append(st.Conditions, Condition{operator, key, values})
			}
		}
		out.Statements = append(out.Statements, st)
	}
	return out, nil
}

// Public reports whether the policy grants something to everyone: a wildcard
// for the principal that no condition holds to fixed values of where or from
// whom requests come.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status
func (o *Outline) Public() bool {
	return slices.ContainsFunc(o.Statements, func(st Statement) bool {
		return st.Allow && (st.Everyone || st.NotPrincipals) && !slices.ContainsFunc(st.Conditions, Condition.fixes)
	})
}

// fixing are the condition keys by which a policy can be held to known callers.
var fixing = []string{
	"aws:principalaccount", "aws:principalarn", "aws:principalorgid",
	"aws:sourceaccount", "aws:sourcearn", "aws:sourceip", "aws:sourceowner", "aws:sourcevpc", "aws:sourcevpce", "aws:userid",
	"s3:dataaccesspointaccount", "s3:dataaccesspointarn", "s3:x-amz-server-side-encryption-aws-kms-key-id",
}

// fixes reports whether a condition holds only for certain callers.
func (c Condition) fixes() bool {
	switch strings.TrimPrefix(c.Operator, "ForAnyValue:") {
	case "StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "IpAddress":
	default:
		return false // negated, or true as well where the key is missing
	}
	key := strings.ToLower(c.Key)
	if !slices.Contains(fixing, key) || len(c.Values) == 0 {
		return false
	}
	return !slices.ContainsFunc(c.Values, func(v string) bool { return broad(key, v) })
}

// broad reports whether a value of a condition lets in more than one can know:
// wildcards, variables, and networks of a 256th of all addresses or more.
func broad(key, value string) bool {
	if key != "aws:sourceip" {
		return strings.ContainsAny(value, "*?") || strings.Contains(value, "${")
	}
	p, err := netip.ParsePrefix(value)
	if err != nil {
		_, err := netip.ParseAddr(value)
		return err != nil
	}
	return p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 32
}
