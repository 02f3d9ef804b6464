package policy

import "strings"

// Where AWS's documentation is silent, or disagrees with what was observed,
// this file has one switch per question. Each is set to what AWS documents, and
// where it documents nothing, to the answer that is safer. They are constants:
// a deployment does not choose its own IAM.

const (
	// forAnyValueIfExistsTrue: ForAnyValue:...IfExists with the key missing. The
	// user guide says that IfExists makes the condition true when the key is
	// missing; others report that ForAnyValue wins and it is false.
	forAnyValueIfExistsTrue = true

	// notResourceWithoutValueApplies: an ARN in NotResource whose policy
	// variable has no value. Documented: that ARN matches nothing, so
	// NotResource does apply.
	notResourceWithoutValueApplies = true

	// negatedWithoutValueTrue: a negated operator with a policy variable that
	// has no value. Documented: true.
	negatedWithoutValueTrue = true

	// notPrincipalAccountExempts: whether NotPrincipal with the account alone
	// exempts the users and roles of that account. The examples in the
	// documentation say no.
	notPrincipalAccountExempts = false

	// notPrincipalNeedsAccount: whether NotPrincipal naming a user or role
	// exempts it only when its account is named as well. Documented only as
	// advice ("otherwise the policy might deny").
	notPrincipalNeedsAccount = false

	// directGrantOverridesSession: whether a resource-based policy that names
	// the session, or the user, allows although boundary or session policy do
	// not. Documented: yes, in the same account.
	directGrantOverridesSession = true

	// multiValuedNeedsSetOperator: a multivalued key under an operator without
	// ForAllValues or ForAnyValue. Undocumented; taken as false, for negated
	// operators too. When off, such a condition is read as ForAnyValue.
	multiValuedNeedsSetOperator = true

	// forAllValuesOverEmptyString: ForAllValues over a lone empty string is
	// true, the documentation's "null data set such as an empty string".
	forAllValuesOverEmptyString = true

	// unparsableNegatedTrue: a negated numeric, date or IP address
	// comparison in which a side cannot be read is true, as for a missing key.
	unparsableNegatedTrue = true

	// wildcardsInResourceType: a wildcard in the resource type of an ARN pattern,
	// as in "repo*/x". AWS calls it incorrect usage and does not say what happens;
	// taken as a wildcard like any other. When off, such a pattern matches nothing.
	wildcardsInResourceType = true

	// starCrossesColon: whether '*' at the end of one of the first five parts of
	// an ARN pattern goes on beyond the colon. Documented in one sentence ("it
	// can expand beyond"), and contradicted by others.
	starCrossesColon = true

	// exemptServiceLinkedRoles: a role whose path is /aws-service-role/ is a
	// service-linked role, exempt from SCP and RCP and limited by no boundary.
	// IAM lets nobody create that path by hand, so the path can be trusted.
	exemptServiceLinkedRoles = true

	// scpImplicitReadsExplicit: whether the message for a lacking SCP allow uses
	// the words of an explicit deny. AWS documents both wordings and is seen to
	// use the explicit one; the implicit one is true, and says more.
	scpImplicitReadsExplicit = false
)

// rcpServices are the services whose resources RCPs protect.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html
var rcpServices = map[string]bool{
	"s3": true, "sts": true, "kms": true, "sqs": true, "secretsmanager": true,
	"ecr": true, "aoss": true, "cognito-identity": true, "cognito-idp": true,
	"logs": true, "dynamodb": true,
}

// coveredByRCP reports whether RCPs have a say in an action. kms:RetireGrant is
// documented as beyond their reach, also for "*".
//
// https://docs.aws.amazon.com/kms/latest/developerguide/resource-control-policies.html
func coveredByRCP(service, name string) bool {
	return rcpServices[service] && !(service == "kms" && strings.EqualFold(name, "RetireGrant"))
}
