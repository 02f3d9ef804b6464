package refusal

import "github.com/aws/aws-sdk-go-v2/service/iam"

// simulateFixtures are of IAM's policy simulator.
var simulateFixtures = map[string]fixture{
	"iam:SimulateCustomPolicy": func(f *subject) any {
		return &iam.SimulateCustomPolicyInput{PolicyInputList: []string{someDocument}, ActionNames: []string{"ecs:ListClusters"}}
	},
	"iam:SimulatePrincipalPolicy": func(f *subject) any {
		return &iam.SimulatePrincipalPolicyInput{PolicySourceArn: f.role().Arn, ActionNames: []string{"ecs:ListClusters"}}
	},
	"iam:GetContextKeysForCustomPolicy": func(f *subject) any {
		return &iam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{someDocument}}
	},
	"iam:GetContextKeysForPrincipalPolicy": func(f *subject) any {
		return &iam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: f.role().Arn}
	},
}
