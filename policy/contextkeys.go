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

// ContextKeys are the condition keys that the documents refer to, in conditions
// and in policy variables: as first written, each once whatever its case, in
// order of appearance. Nil documents have none. GetContextKeysForCustomPolicy
// answers this.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetContextKeysForCustomPolicy.html
func ContextKeys(documents ...*Document) []string {
	var keys []string
	seen := map[string]bool{}
	for _, d := range documents {
		if d == nil {
			continue
		}
		for i := range d.Statements {
			d.Statements[i].keys(func(key string) {
				if lower := strings.ToLower(key); !seen[lower] {
					seen[lower] = true
					keys = append(keys, key)
				}
			})
		}
	}
	return keys
}

// ContextKeys are the condition keys that the document refers to; see the
// function of that name.
func (d *Document) ContextKeys() []string { return ContextKeys(d) }

// keys calls f for the condition keys of a statement, as written, with
// repetitions.
func (st *Statement) keys(f func(key string)) {
	for i := range st.resources {
		for _, v := range st.resources[i].vars {
			f(v.text)
		}
	}
	for i := range st.conditions {
		c := &st.conditions[i]
		f(c.keyText)
		for j := range c.operands {
			for _, v := range c.operands[j].vars {
				f(v.text)
			}
		}
	}
}
