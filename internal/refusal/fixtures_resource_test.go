package refusal

import (
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3t "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// Policies that concern nobody whom the tests ask as.
const (
	repositoryPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"999988887777"},"Action":"ecr:BatchGetImage"}]}`
	secretPolicy     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"999988887777"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
	registryPolicy   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"999988887777"},"Action":"ecr:CreateRepository","Resource":"arn:aws:ecr:` + whole.Region + `:` + whole.Account + `:repository/theirs/*"}]}`
)

func (f *subject) repositoryWithPolicy() *string {
	r := f.repository()
	must(f.ecr.SetRepositoryPolicy(f.ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: r, PolicyText: ptr(repositoryPolicy)}))
	return r
}

func (f *subject) registryWithPolicy() {
	must(f.ecr.PutRegistryPolicy(f.ctx, &ecr.PutRegistryPolicyInput{PolicyText: ptr(registryPolicy)}))
}

func (f *subject) secretWithPolicy() *string {
	s := f.secret()
	must(f.secrets.PutResourcePolicy(f.ctx, &secretsmanager.PutResourcePolicyInput{SecretId: s, ResourcePolicy: ptr(secretPolicy)}))
	return s
}

func (f *subject) bucketPolicy() *string {
	return ptr(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"999988887777"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::` + f.name + `/*"}]}`)
}

func (f *subject) bucketWithPolicy() *string {
	b := f.bucket()
	must(f.s3.PutBucketPolicy(f.ctx, &s3.PutBucketPolicyInput{Bucket: b, Policy: f.bucketPolicy()}))
	return b
}

var policyFixtures = map[string]fixture{
	"ecr:SetRepositoryPolicy": func(f *subject) any {
		return &ecr.SetRepositoryPolicyInput{RepositoryName: f.repository(), PolicyText: ptr(repositoryPolicy)}
	},
	"ecr:GetRepositoryPolicy": func(f *subject) any {
		return &ecr.GetRepositoryPolicyInput{RepositoryName: f.repositoryWithPolicy()}
	},
	"ecr:DeleteRepositoryPolicy": func(f *subject) any {
		return &ecr.DeleteRepositoryPolicyInput{RepositoryName: f.repositoryWithPolicy()}
	},
	"ecr:PutRegistryPolicy": func(f *subject) any { return &ecr.PutRegistryPolicyInput{PolicyText: ptr(registryPolicy)} },
	"ecr:GetRegistryPolicy": func(f *subject) any {
		f.registryWithPolicy()
		return &ecr.GetRegistryPolicyInput{}
	},
	"ecr:DeleteRegistryPolicy": func(f *subject) any {
		f.registryWithPolicy()
		return &ecr.DeleteRegistryPolicyInput{}
	},

	"secretsmanager:PutResourcePolicy": func(f *subject) any {
		return &secretsmanager.PutResourcePolicyInput{SecretId: f.secret(), ResourcePolicy: ptr(secretPolicy), BlockPublicPolicy: ptr(true)}
	},
	"secretsmanager:GetResourcePolicy": func(f *subject) any {
		return &secretsmanager.GetResourcePolicyInput{SecretId: f.secretWithPolicy()}
	},
	"secretsmanager:DeleteResourcePolicy": func(f *subject) any {
		return &secretsmanager.DeleteResourcePolicyInput{SecretId: f.secretWithPolicy()}
	},
	"secretsmanager:ValidateResourcePolicy": func(f *subject) any {
		return &secretsmanager.ValidateResourcePolicyInput{SecretId: f.secret(), ResourcePolicy: ptr(secretPolicy)}
	},

	"s3:PutBucketPolicy":       func(f *subject) any { return &s3.PutBucketPolicyInput{Bucket: f.bucket(), Policy: f.bucketPolicy()} },
	"s3:GetBucketPolicy":       func(f *subject) any { return &s3.GetBucketPolicyInput{Bucket: f.bucketWithPolicy()} },
	"s3:DeleteBucketPolicy":    func(f *subject) any { return &s3.DeleteBucketPolicyInput{Bucket: f.bucketWithPolicy()} },
	"s3:GetBucketPolicyStatus": func(f *subject) any { return &s3.GetBucketPolicyStatusInput{Bucket: f.bucketWithPolicy()} },
	"s3:PutPublicAccessBlock": func(f *subject) any {
		return &s3.PutPublicAccessBlockInput{Bucket: f.bucket(), PublicAccessBlockConfiguration: &s3t.PublicAccessBlockConfiguration{BlockPublicPolicy: ptr(true)}}
	},
	"s3:GetPublicAccessBlock":    func(f *subject) any { return &s3.GetPublicAccessBlockInput{Bucket: f.bucket()} },
	"s3:DeletePublicAccessBlock": func(f *subject) any { return &s3.DeletePublicAccessBlockInput{Bucket: f.bucket()} },
	"s3:PutBucketOwnershipControls": func(f *subject) any {
		return &s3.PutBucketOwnershipControlsInput{Bucket: f.bucket(), OwnershipControls: &s3t.OwnershipControls{Rules: []s3t.OwnershipControlsRule{{ObjectOwnership: s3t.ObjectOwnershipBucketOwnerEnforced}}}}
	},
	"s3:GetBucketOwnershipControls":    func(f *subject) any { return &s3.GetBucketOwnershipControlsInput{Bucket: f.bucket()} },
	"s3:DeleteBucketOwnershipControls": func(f *subject) any { return &s3.DeleteBucketOwnershipControlsInput{Bucket: f.bucket()} },
	"s3:PutBucketEncryption": func(f *subject) any {
		return &s3.PutBucketEncryptionInput{Bucket: f.bucket(), ServerSideEncryptionConfiguration: &s3t.ServerSideEncryptionConfiguration{
			Rules: []s3t.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &s3t.ServerSideEncryptionByDefault{SSEAlgorithm: s3t.ServerSideEncryptionAes256}}},
		}}
	},
	"s3:GetBucketEncryption":    func(f *subject) any { return &s3.GetBucketEncryptionInput{Bucket: f.bucket()} },
	"s3:DeleteBucketEncryption": func(f *subject) any { return &s3.DeleteBucketEncryptionInput{Bucket: f.bucket()} },
}
