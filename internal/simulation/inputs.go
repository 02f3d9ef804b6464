package simulation

import (
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/policy"
)

// itemOf is how IAM names the policies of a parameter: PolicyInputList.1.
func itemOf(parameter string, i int) string { return parameter + "." + strconv.Itoa(i+1) }

// checkActions refuses what is not the name of an action. Wildcards are not
// supported: the engine would compare them as letters.
func checkActions(names []string) error {
	for _, name := range names {
		service, action, ok := strings.Cut(name, ":")
		switch {
		case !ok || service == "" || action == "" || strings.Contains(action, ":"):
			return iamapi.InvalidInputException("The action is invalid since it is missing names") // seen
		case strings.ContainsAny(name, "*?"):
			return iamapi.InvalidInputException("The action %s is invalid since wildcards are not supported in action names", name)
		}
	}
	return nil
}

// Check refuses what cannot be asked: an action that is none or has wildcards, a
// resource that is neither an ARN nor "*", an owner that is no account. An empty
// owner is nobody in particular. The error is an *api.Error, InvalidInput.
func Check(action, resource, account string) error {
	if err := checkActions([]string{action}); err != nil {
		return err
	}
	if account != "" && !isAccount(account) {
		return iamapi.InvalidInputException("The resource owner %s is not an account: twelve digits", account)
	}
	return checkResources(&iamapi.SimulateCustomPolicyInput{ResourceArns: []string{resource}})
}

// checkResources refuses resources that are no ARNs. "*" stands alone, and not
// beside a resource-based policy, which is about a resource.
func checkResources(in *iamapi.SimulateCustomPolicyInput) error {
	for _, resource := range in.ResourceArns {
		if resource == "*" && len(in.ResourceArns) == 1 {
			break
		}
		if _, err := arn.Parse(resource); err != nil {
			return iamapi.InvalidInputException("ResourceNames are not in a valid ARN format: %s.", resource) // seen
		}
	}
	if in.ResourcePolicy != nil && anyResource(in.ResourceArns) {
		return iamapi.InvalidInputException("Invalid Entity Arn: * does not clearly define entity type and name.")
	}
	if option := api.Value(in.ResourceHandlingOption); option != "" && !handlingOptions[option] {
		return iamapi.InvalidInputException("Invalid input resource handling options.")
	}
	return nil
}

func anyResource(resources []string) bool {
	return len(resources) == 0 || len(resources) == 1 && resources[0] == "*"
}

// handlingOptions are the scenarios of ec2:RunInstances. They say which
// resources a caller should name, and have no say in the decision.
var handlingOptions = map[string]bool{
	"EC2-Classic-InstanceStore": true, "EC2-Classic-EBS": true, "EC2-VPC-InstanceStore": true,
	"EC2-VPC-InstanceStore-Subnet": true, "EC2-VPC-EBS": true, "EC2-VPC-EBS-Subnet": true,
}

// owner is the account in the ARN of a resource owner.
func owner(text string) (string, error) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "iam" || a.Region != "" || !isAccount(a.Account) {
		return "", iamapi.InvalidInputException("'%s' is not a valid as a Resource Owner.", text) // seen, grammar included
	}
	return a.Account, nil
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// nobody is the user id of a caller that is not named.
const nobody = "STUB_PRINCIPAL_FOR_POLICY_SIMULATOR" // seen

// anySession is the name of the session that a role stands for.
const anySession = "simulation"

// caller is who makes the simulated requests: CallerArn, or else the principal
// whose policies are simulated.
func caller(in *iamapi.SimulateCustomPolicyInput, src *Source) (policy.Principal, error) {
	name := api.Value(in.CallerArn)
	if name == "" {
		name = src.ARN
	}
	if name == "" {
		if in.ResourcePolicy != nil {
			return policy.Principal{}, iamapi.InvalidInputException("Invalid caller - Caller cannot be null or empty.")
		}
		return policy.Principal{Type: policy.User, Account: src.Account}, nil
	}
	p, ok := ParseCaller(name)
	if !ok {
		return p, iamapi.InvalidInputException("Invalid caller - Caller must be an IAM user, role or group in this context.")
	}
	identify(&p, src)
	return p, nil
}

// ParseCaller makes a principal from its ARN, or from the name of an AWS
// service. A user, group or role can be a caller on AWS; here a role session, a
// federated user's session, the root user and a service can, too. A role stands
// for some session of it. Unique ids cannot be known from an ARN. ok is false
// for whatever else it is.
func ParseCaller(text string) (p policy.Principal, ok bool) {
	if service, rest, found := strings.Cut(text, ".amazonaws.com"); found && !strings.HasPrefix(text, "arn:") {
		ok := service != "" && (rest == "" || rest == ".cn") && !strings.ContainsAny(text, " :/*")
		return policy.Principal{Type: policy.Service, Service: text, ARN: text}, ok
	}
	a, err := arn.Parse(text)
	if err != nil || a.Region != "" || !isAccount(a.Account) || strings.ContainsAny(text, "*?") {
		return p, false
	}
	kind, name := a.Type()
	p.Account, p.ARN = a.Account, text
	switch {
	case a.Service == "iam" && a.Resource == "root":
		p.Type, p.UserID = policy.Root, a.Account
		return p, true
	case a.Name() == "" || name == "":
		return p, false
	case a.Service == "iam" && (kind == "user" || kind == "group"):
		p.Type = policy.User
		return p, true
	case a.Service == "iam" && kind == "role":
		p.Type, p.RoleARN = policy.AssumedRole, text
		p.ARN = "arn:" + a.Partition + ":sts::" + a.Account + ":assumed-role/" + a.Name() + "/" + anySession
		return p, true
	case a.Service == "sts" && kind == "assumed-role":
		role, session, found := strings.Cut(name, "/")
		p.Type, p.RoleARN = policy.AssumedRole, "arn:"+a.Partition+":iam::"+a.Account+":role/"+role
		return p, found && role != "" && session != "" && !strings.Contains(session, "/")
	case a.Service == "sts" && kind == "federated-user":
		p.Type, p.RoleARN = policy.FederatedUser, "arn:"+a.Partition+":iam::"+a.Account+":user/"+name
		return p, true
	}
	return p, false
}

// identify adds what the source of the policies tells of a caller that is the
// source itself, or a session of it: the role's path, the unique id.
func identify(p *policy.Principal, src *Source) {
	switch {
	case src.ARN == "":
	case p.ARN == src.ARN && p.Type == policy.User:
		p.UserID = src.UserID
	case p.Type == policy.AssumedRole:
		a, err := arn.Parse(src.ARN)
		r, _ := arn.Parse(p.RoleARN)
		if err == nil && a.Account == p.Account && strings.HasPrefix(a.Resource, "role/") && a.Name() == r.Name() {
			p.RoleARN = src.ARN
			p.UserID = src.UserID + ":" + p.ARN[strings.LastIndexByte(p.ARN, '/')+1:]
		}
	}
}

// fillContext sets the condition keys that follow from the caller. Where its
// unique id is not known aws:userid is its ARN, as in IAM's simulator.
func fillContext(p *policy.Principal, context map[string][]string) {
	p.FillContext(context)
	switch {
	case p.Type == policy.Service || p.UserID != "":
	case p.ARN == "":
		context["aws:userid"] = []string{nobody}
	case p.Type == policy.AssumedRole && strings.HasSuffix(p.ARN, "/"+anySession):
		context["aws:userid"] = []string{p.RoleARN}
	case p.Type != policy.Root:
		context["aws:userid"] = []string{p.ARN}
	}
	if a, err := arn.Parse(p.ARN); err != nil || !strings.HasPrefix(a.Resource, "user/") {
		delete(context, "aws:username") // a group is no user
	}
}
