package main

import (
	"fmt"
	"slices"
	"strings"
)

// leftOut are operations that are not served on purpose: the service, the
// operations, and why. They stand in COVERAGE.md below those that are merely
// not there yet.
var leftOut = []struct {
	service string
	why     string
	ops     []string
}{
	{"sts", "identities that outside providers vouch for (OpenID Connect, SAML) need providers to trust, and Remit has users, roles and sessions of its own",
		[]string{"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}},
	{"sts", "it vouches for an identity to services outside AWS, which would have to reach and to trust this server's keys",
		[]string{"GetWebIdentityToken"}},
	{"sts", "it lets the management account act as root of a member account, and the root keys of every account are the operator's already",
		[]string{"AssumeRoot"}},
	{"sts", "it exchanges tokens of AWS's temporary delegation to product providers, of which there are none here",
		[]string{"GetDelegatedAccessToken"}},
	{"iam", "federation with OIDC and SAML providers is out of scope: whoever calls is a user, a role or a service of an account that is here",
		[]string{"AddClientIDToOpenIDConnectProvider", "CreateOpenIDConnectProvider", "CreateSAMLProvider",
			"DeleteOpenIDConnectProvider", "DeleteSAMLProvider", "DisableOutboundWebIdentityFederation",
			"EnableOutboundWebIdentityFederation", "GetOpenIDConnectProvider", "GetOutboundWebIdentityFederationInfo",
			"GetSAMLProvider", "ListOpenIDConnectProviderTags", "ListOpenIDConnectProviders", "ListSAMLProviderTags",
			"ListSAMLProviders", "RemoveClientIDFromOpenIDConnectProvider", "TagOpenIDConnectProvider",
			"TagSAMLProvider", "UntagOpenIDConnectProvider", "UntagSAMLProvider",
			"UpdateOpenIDConnectProviderThumbprint", "UpdateSAMLProvider"}},
	{"iam", "nobody signs in with a password; a user's login profile is answered as one that is not there",
		[]string{"ChangePassword", "CreateLoginProfile", "UpdateLoginProfile"}},
	{"iam", "there are no MFA devices, so aws:MultiFactorAuthPresent is never true; lists of them are empty",
		[]string{"CreateVirtualMFADevice", "DeactivateMFADevice", "DeleteVirtualMFADevice", "EnableMFADevice",
			"GetMFADevice", "ListMFADeviceTags", "ResyncMFADevice", "TagMFADevice", "UntagMFADevice"}},
	{"iam", "keys and certificates for services that are not here (CodeCommit, CloudFront, Bedrock); lists of a user's are empty",
		[]string{"CreateServiceSpecificCredential", "DeleteSSHPublicKey", "DeleteServerCertificate",
			"DeleteServiceSpecificCredential", "DeleteSigningCertificate", "GetSSHPublicKey", "GetServerCertificate",
			"ListServerCertificateTags", "ListServerCertificates", "ResetServiceSpecificCredential",
			"TagServerCertificate", "UntagServerCertificate", "UpdateSSHPublicKey", "UpdateServerCertificate",
			"UpdateServiceSpecificCredential", "UpdateSigningCertificate", "UploadSSHPublicKey",
			"UploadServerCertificate", "UploadSigningCertificate"}},
	{"iam", "the Organizations API is not served: accounts, organizational units and their policies come from a file (`remit serve --accounts`)",
		[]string{"DisableOrganizationsRootCredentialsManagement", "DisableOrganizationsRootSessions",
			"EnableOrganizationsRootCredentialsManagement", "EnableOrganizationsRootSessions",
			"GenerateOrganizationsAccessReport", "GetOrganizationsAccessReport", "ListOrganizationsFeatures"}},
	{"iam", "reports for people; CloudTrail's LookupEvents has what they are made of, GetRole and GetAccessKeyLastUsed say when something was last used",
		[]string{"GenerateCredentialReport", "GenerateServiceLastAccessedDetails", "GetCredentialReport",
			"GetServiceLastAccessedDetails", "GetServiceLastAccessedDetailsWithEntities",
			"ListPoliciesGrantingServiceAccess"}},
	{"iam", "features of the AWS console and of AWS's own STS endpoints",
		[]string{"AcceptDelegationRequest", "AssociateDelegationRequest", "CreateDelegationRequest",
			"GetDelegationRequest", "GetHumanReadableSummary", "ListDelegationRequests", "RejectDelegationRequest",
			"SendDelegationToken", "SetSecurityTokenServicePreferences", "UpdateDelegationRequest"}},
}

// why lists the reasons of a service. Every operation named must exist and not
// be served, so that a reason does not outlive its cause.
func why(service string, unserved []string) string {
	var b strings.Builder
	for _, l := range leftOut {
		if l.service != service {
			continue
		}
		for _, op := range l.ops {
			if !slices.Contains(unserved, op) {
				panic(fmt.Sprintf("coverage: %s:%s has a reason to be left out, but is served or does not exist", service, op))
			}
		}
		fmt.Fprintf(&b, "- %s: %s.\n", strings.Join(l.ops, ", "), l.why)
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nLeft out on purpose:\n\n" + b.String()
}
