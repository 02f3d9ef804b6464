package policy

import (
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
)

// grant is how a Principal element names a caller: the classes that the
// combination of layers tells apart, as a set.
type grant uint8

const (
	// grantDirect: the user, the session, or the service itself.
	grantDirect grant = 1 << iota
	// grantStar: everyone.
	grantStar
	// grantRole: the role of the session, or the user of a federated session.
	grantRole
	// grantAccount: the account, which leaves it to identity-based policies.
	grantAccount
)

// principals is a compiled Principal or NotPrincipal element.
type principals struct {
	star      bool
	accounts  []string
	arns      []string // of users, roles, and sessions
	ids       []string // AIDA..., AROA..., AROA...:SESSION: what IAM stores for users, roles and sessions
	services  []string
	federated []string
	canonical []string
}

// principals compiles a Principal element.
func (c *compiler) principals(n *node) *principals {
	p := &principals{}
	if n.kind == stringNode {
		if n.text != "*" {
			c.complain(n.start, "a Principal that is a string can only be \"*\"")
		}
		p.star = n.text == "*"
		return p
	}
	if n.kind != objectNode {
		c.complain(n.start, "Principal is neither \"*\" nor a JSON object")
		return p
	}
	for i := range n.members {
		m := &n.members[i]
		for _, v := range c.texts(&m.value, false) {
			switch m.key {
			case "AWS":
				if !p.enterAWS(v.text) {
					c.complain(v.start, "%q is not a principal", v.text)
				}
			case "Service":
				p.services = append(p.services, v.text)
			case "Federated":
				p.federated = append(p.federated, v.text)
			case "CanonicalUser":
				p.canonical = append(p.canonical, v.text)
			default:
				c.complain(m.at, "unknown kind of principal %s", m.key)
			}
		}
	}
	return p
}

func (p *principals) enterAWS(text string) bool {
	if text == "*" {
		p.star = true
		return true
	}
	if isAccount(text) {
		p.accounts = append(p.accounts, text)
		return true
	}
	a, err := arn.Parse(text)
	switch {
	case err != nil:
		id, session, isSession := strings.Cut(text, ":")
		if id == "" || strings.ContainsAny(text, "*?/") || isSession && (session == "" || strings.Contains(session, ":") || !strings.HasPrefix(id, "AROA")) {
			return false
		}
		p.ids = append(p.ids, text)
	case strings.ContainsAny(text, "*?"):
		return false // there are no wildcards in principals but "*"
	case a.Service == "iam" && a.Resource == "root":
		p.accounts = append(p.accounts, a.Account)
	default:
		p.arns = append(p.arns, text)
	}
	return true
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// grant is how the element names the caller; zero if it does not.
func (p *principals) grant(who *Principal) grant {
	var g grant
	if p.star {
		g |= grantStar
	}
	switch who.Type {
	case Anonymous:
		return g
	case Service:
		if who.Service != "" && slices.Contains(p.services, who.Service) {
			g |= grantDirect
		}
		return g
	case Federated:
		if who.Provider != "" && slices.Contains(p.federated, who.Provider) {
			g |= grantDirect
		}
		return g
	}
	if who.Account != "" && slices.Contains(p.accounts, who.Account) ||
		who.CanonicalUser != "" && slices.Contains(p.canonical, who.CanonicalUser) {
		g |= grantAccount
	}
	if who.ARN != "" && slices.Contains(p.arns, who.ARN) {
		g |= grantDirect
	}
	id, _, isSession := strings.Cut(who.UserID, ":")
	switch who.Type {
	case User:
		if id != "" && slices.Contains(p.ids, id) {
			g |= grantDirect
		}
	case AssumedRole, FederatedUser:
		if isSession && who.Type == AssumedRole && slices.Contains(p.ids, who.UserID) {
			g |= grantDirect
		}
		if who.RoleARN != "" && slices.Contains(p.arns, who.RoleARN) ||
			isSession && who.Type == AssumedRole && slices.Contains(p.ids, id) {
			g |= grantRole
		}
	}
	return g
}

// exempts reports whether NotPrincipal spares the caller.
func (p *principals) exempts(who *Principal) bool {
	g := p.grant(who)
	switch {
	case g&grantStar != 0:
		return true
	case who.Type == Root:
		return g&grantAccount != 0
	case g&grantAccount != 0 && notPrincipalAccountExempts:
		return true
	case who.Type == Service, who.Type == Federated:
		return g&grantDirect != 0
	}
	return g&(grantDirect|grantRole) != 0 && (g&grantAccount != 0 || !notPrincipalNeedsAccount)
}

// inAccount reports whether the caller belongs to an account, and so has an
// identity side.
func (who *Principal) inAccount() bool {
	return who.Type != Service && who.Type != Anonymous && who.Type != Federated
}

// isServiceLinked reports whether the caller is a session of a service-linked
// role.
func (who *Principal) isServiceLinked() bool {
	return exemptServiceLinkedRoles && who.Type == AssumedRole && strings.Contains(who.RoleARN, ":role/aws-service-role/")
}

// FillContext sets in context the condition keys that follow from the
// principal: aws:PrincipalArn (of a session, the role's ARN), aws:PrincipalType,
// aws:PrincipalAccount, aws:userid, aws:username (IAM users only), and
// aws:PrincipalIsAWSService with aws:PrincipalServiceName and its list.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (who *Principal) FillContext(context map[string][]string) {
	set := func(key, value string) {
		if value != "" {
			context[key] = []string{value}
		}
	}
	set("aws:principalaccount", who.Account)
	set("aws:userid", who.UserID)
	set("aws:principalisawsservice", "false")
	principalARN := who.ARN
	switch who.Type {
	case Anonymous:
		set("aws:principaltype", "Anonymous")
		set("aws:principalaccount", "anonymous")
		set("aws:userid", "anonymous")
	case Root:
		set("aws:principaltype", "Account")
		set("aws:userid", who.Account)
	case User:
		set("aws:principaltype", "User")
		if a, err := arn.Parse(who.ARN); err == nil {
			set("aws:username", a.Name())
		}
	case AssumedRole:
		set("aws:principaltype", "AssumedRole")
		principalARN = who.RoleARN
	case FederatedUser:
		set("aws:principaltype", "FederatedUser")
	case Service:
		set("aws:principalisawsservice", "true")
		set("aws:principalservicename", who.Service)
		set("aws:principalservicenameslist", who.Service)
	}
	set("aws:principalarn", principalARN)
}
