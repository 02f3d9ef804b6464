package refusal

import "github.com/aws/aws-sdk-go-v2/service/sts"

var stsFixtures = map[string]fixture{
	"sts:GetSessionToken": func(f *subject) any { return &sts.GetSessionTokenInput{} },
	"sts:GetFederationToken": func(f *subject) any {
		return &sts.GetFederationTokenInput{Name: ptr("somebody"), Policy: ptr(someDocument), Tags: f.stsTags()}
	},
}
