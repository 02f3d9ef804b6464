// Command app is the example workload: a small service that uses the AWS SDK
// and nothing of Remit. It finds its credentials through the SDK's default
// chain, as any application in an ECS task does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Println("orders: " + err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}

	me, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return fmt.Errorf("who am I: %w", err)
	}
	fmt.Println("orders: I am", aws.ToString(me.Arn))

	// The execution role read these two before the app started.
	fmt.Printf("orders: DB_PASSWORD has %d characters, FEATURE_FLAGS=%s\n", len(os.Getenv("DB_PASSWORD")), os.Getenv("FEATURE_FLAGS"))

	// The task role may read the configuration.
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	bucket := os.Getenv("CONFIG_BUCKET")
	got, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("orders/config.json")})
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	fmt.Println("orders: configuration", strings.TrimSpace(string(text)))

	// The secret is the execution role's to read, not the app's.
	_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(os.Getenv("DB_SECRET"))})
	if err == nil {
		return fmt.Errorf("the task role could read the secret, though nothing allows it")
	}
	fmt.Println("orders: as expected, the task role may not read the secret:", err)
	fmt.Println("orders: done")
	return nil
}
