package policy

import "strings"

// multiValued are the condition keys that hold several values, from the service
// authorization reference's ArrayOf... types and the list of global keys.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
var multiValued = func() map[string]bool {
	keys := map[string]bool{}
	for key := range strings.FieldsSeq(`
		aws:calledvia aws:principalorgpaths aws:principalservicenameslist
		aws:resourceorgpaths aws:sourceorgpaths aws:tagkeys
		autoscaling:capacityreservationids autoscaling:capacityreservationresourcegrouparns
		autoscaling:loadbalancernames autoscaling:targetcapacitytypes
		autoscaling:targetgrouparns autoscaling:trafficsourceidentifiers
		autoscaling:vpczoneidentifiers
		cloudwatch:alarmactions cloudwatch:requestinsightruleloggroups
		cloudwatch:requestmanagedresourcearns
		dynamodb:attributes dynamodb:firstpartitionkeyvalues dynamodb:fistargetarns
		dynamodb:fourthpartitionkeyvalues dynamodb:leadingkeys
		dynamodb:secondpartitionkeyvalues dynamodb:thirdpartitionkeyvalues
		ec2:fistargetarns ec2:ikeversions ec2:phase1dhgroup
		ec2:phase1encryptionalgorithms ec2:phase1integrityalgorithms ec2:phase2dhgroup
		ec2:phase2encryptionalgorithms ec2:phase2integrityalgorithms
		ec2:vpceprivatednsspecifieddomains
		ecs:capacity-provider ecs:compute-compatibility ecs:subnet
		elasticloadbalancing:listenerprotocol elasticloadbalancing:securitygroup
		elasticloadbalancing:securitypolicy elasticloadbalancing:subnet
		events:detail-type events:eventbusarn events:source events:targetarn
		iam:accountpropertynamespaces
		kms:encryptioncontextkeys kms:grantoperations kms:resourcealiases
		logs:loggeneratingresourcearns
		s3:inventoryaccessibleoptionalfields s3:requestobjecttagkeys
		saml:cn saml:eduorghomepageuri saml:eduorgidentityauthnpolicyuri
		saml:eduorglegalname saml:eduorgsuperioruri saml:eduorgwhitepagesuri
		saml:edupersonaffiliation saml:edupersonassurance saml:edupersonentitlement
		saml:edupersonnickname saml:edupersonorgunitdn
		saml:edupersonscopedaffiliation saml:edupersontargetedid
		secretsmanager:addreplicaregions
		ssm:documentcategories ssm:documentversion ssm:inventorytypename
		sts:identitytokenaudience sts:requestcontextproviders sts:transitivetagkeys`) {
		keys[key] = true
	}
	return keys
}()

// MultiValued reports whether a condition key, in lower case, may hold several
// values. Conditions on it need ForAllValues or ForAnyValue, also when a request
// brings one value only.
func MultiValued(key string) bool {
	return multiValued[key]
}
