package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/remit-ecs/remit/internal/gateway"
	objectstore "github.com/remit-ecs/remit/internal/service/s3"
	secrets "github.com/remit-ecs/remit/internal/service/secretsmanager"
	"github.com/remit-ecs/remit/internal/testkit"
)

// TestAnonymous asks without a signature in each mode: only S3 has an answer
// for nobody, and what its policies do not grant is refused in soft mode too.
func TestAnonymous(t *testing.T) {
	ctx := context.Background()
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		k.Authz.Resources["s3"] = objectstore.ResourcePolicy
		return []testkit.Registrar{objectstore.New(k.Store, k.Blobs, k.Principals()), secrets.New(k.Seal, k.Principals(), k.Store, k.Clock, nil)}
	})
	client := func(cfg aws.Config) *s3.Client {
		return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	}
	root, nobody := k.Root(), k.Root()
	nobody.Credentials = aws.AnonymousCredentials{}
	if _, err := client(root).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("data"), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testkit.Region}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client(root).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("k"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	head := func() error {
		_, err := client(nobody).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data")})
		return err
	}
	for _, mode := range []gateway.Mode{gateway.Strict, gateway.Soft} {
		k.Gateway.Mode = mode
		if got, _ := code(t, head()); got != "AccessDenied" {
			t.Errorf("%s: %s", mode, got)
		}
		_, err := secretsmanager.NewFromConfig(nobody).ListSecrets(ctx, nil)
		if got, _ := code(t, err); got != "MissingAuthenticationTokenException" {
			t.Errorf("%s: %s", mode, got)
		}
	}
	k.Gateway.Mode = gateway.Off
	if _, err := client(nobody).ListBuckets(ctx, nil); err != nil {
		t.Errorf("with IAM off nobody is root: %v", err)
	}
}
