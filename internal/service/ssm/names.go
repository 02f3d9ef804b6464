package ssm

import (
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/gateway"
)

// ref is what a request calls a parameter: a name or an ARN, and perhaps which
// version of it.
type ref struct {
	given    string // trimmed of spaces, else as it came
	name     string // without the selector; of an ARN what follows "parameter", its slash included
	selector string // ":3" or ":label", or ""
	byARN    bool
	account  string
	region   string
}

const (
	maxLevels = 15
	// maxARN bounds the name: it counts with the ARN that comes before it.
	// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
	maxARN = 1011
)

// parseRef reads a name or ARN of a request in an account and region.
func parseRef(account, region, s string) (ref, error) {
	s = strings.Trim(s, " ")
	r := ref{given: s, name: s, account: account, region: region}
	if strings.HasPrefix(s, "arn:") {
		a, err := arn.Parse(s)
		name, ok := strings.CutPrefix(a.Resource, "parameter/")
		if err != nil || !ok || a.Service != "ssm" || a.Partition != "aws" || a.Region == "" || !isAccount(a.Account) {
			return ref{}, errName()
		}
		r.name, r.byARN, r.account, r.region = "/"+name, true, a.Account, a.Region
	}
	if i := strings.IndexByte(r.name, ':'); i >= 0 {
		r.name, r.selector = r.name[:i], r.name[i:]
		if !validSelector(r.selector[1:]) {
			return ref{}, errName()
		}
	}
	if !validName(r.name) {
		return ref{}, errName()
	}
	return r, nil
}

func errName() *api.Error {
	return api.Validation("Invalid parameter name. Parameter names can include only a-zA-Z0-9_.- and the slash that divides the levels of a hierarchy, " +
		"which begins with a slash and does not end with one; a version number or label may follow after a colon.")
}

// validName checks the characters and slashes of a name.
func validName(s string) bool {
	if s == "" || s == "/" || len(s) > maxARN || strings.HasSuffix(s, "/") || strings.Contains(s, "//") {
		return false
	}
	for i := range len(s) {
		if s[i] != '/' && !nameByte(s[i]) {
			return false
		}
	}
	return true
}

func validSelector(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return false
		}
	}
	return true
}

func nameByte(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_' || c == '.' || c == '-'
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// parameterARN is the ARN of a name: the slash in front of a hierarchy is the
// one behind "parameter".
func parameterARN(account, region, name string) string {
	return "arn:aws:ssm:" + region + ":" + account + ":parameter/" + strings.TrimPrefix(name, "/")
}

func (r *ref) arn() string { return parameterARN(r.account, r.region, r.name) }

// find returns the parameter. The ARNs of "name" and "/name" are the same; the
// first is the usual one.
func (r *ref) find(c *gateway.Call) (*Parameter, bool) {
	if r.region != c.Region {
		return nil, false // permission for a region is not usable in another
	}
	shard := gateway.Regional(r.account, r.region)
	if r.byARN && strings.Count(r.name, "/") == 1 {
		if p, ok := parameters.Get(c.Tx, shard, r.name[1:]); ok {
			return p, true
		}
	}
	return parameters.Get(c.Tx, shard, r.name)
}

// own is find for what changes the parameter: only the account itself does.
func (r *ref) own(c *gateway.Call) (*Parameter, bool) {
	if r.account != c.Account {
		return nil, false
	}
	return r.find(c)
}

// newName checks what a new parameter may be called.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-parameter-name-constraints.html
func newName(c *gateway.Call, r *ref) error {
	bare := strings.ToLower(strings.TrimPrefix(r.name, "/"))
	switch {
	case r.byARN || r.selector != "":
		return api.Validation("Parameter name: can't be an ARN and can't hold a version or label.")
	case strings.HasPrefix(bare, "aws"):
		return api.AccessDenied("No access to reserved parameter name: " + r.name + ".")
	case strings.HasPrefix(bare, "ssm"):
		return api.Validation(`Parameter name: can't be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_`)
	case !strings.HasPrefix(r.name, "/") && strings.Contains(r.name, "/"):
		return api.Validation("Parameter name must be a fully qualified name.")
	case strings.Count(r.name, "/") > maxLevels:
		return ssmapi.HierarchyLevelLimitExceededException("The hierarchy of %s has more than %d levels.", r.name, maxLevels)
	case len(r.arn()) > maxARN:
		return api.Validation("The parameter name is too long: with its ARN it has more than 1011 characters.")
	}
	return nil
}

// secretReference is the hierarchy through which AWS reads secrets of Secrets
// Manager. Remit does not: the answer would be given under the permission of
// another service than the one asked.
const secretReference = "/aws/reference/secretsmanager/"

func isSecretReference(r *ref) bool { return strings.HasPrefix(r.name, secretReference) }

func errSecretReference(r *ref) error {
	return api.NotImplemented("Remit does not serve " + r.name + ": read the secret with secretsmanager:GetSecretValue.")
}
