package policy

import "strings"

// protected reports whether a request would change what belongs to AWS and no
// identity may change, whatever its policies say: AWS managed policies, roles
// under aws-reserved/, KMS aliases under aws/. Service-linked roles are not
// here: IAM refuses them as UnmodifiableEntity, after authorization.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-vs-inline.html
func protected(service, name, resource string) bool {
	switch service {
	case "iam":
		switch {
		case strings.Contains(resource, ":iam::aws:policy/"):
			return isOneOf(name, "createpolicyversion", "deletepolicy", "deletepolicyversion",
				"setdefaultpolicyversion", "tagpolicy", "untagpolicy")
		case strings.Contains(resource, ":role/aws-reserved/"):
			return isOneOf(name, "attachrolepolicy", "deleterole", "deleterolepermissionsboundary",
				"deleterolepolicy", "detachrolepolicy", "putrolepermissionsboundary", "putrolepolicy",
				"tagrole", "untagrole", "updateassumerolepolicy", "updaterole", "updateroledescription")
		}
	case "kms":
		if strings.Contains(resource, ":alias/aws/") {
			return isOneOf(name, "createalias", "deletealias", "updatealias")
		}
	}
	return false
}

// isOneOf compares without regard to case; the names are in lower case.
func isOneOf(name string, names ...string) bool {
	for _, n := range names {
		if equalLower(name, n) {
			return true
		}
	}
	return false
}
