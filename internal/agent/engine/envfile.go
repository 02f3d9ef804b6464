package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/remit-ecs/remit/internal/agent/acs"
)

// maxEnvironmentFile bounds one file, in bytes.
const maxEnvironmentFile = 1 << 20

// environmentFiles reads a container's files from S3 as the execution role.
// Where a name stands in several, the first wins.
func (t *task) environmentFiles(ctx context.Context, files []acs.EnvironmentFile) (map[string]string, error) {
	credentials, err := t.executionCredentials()
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(t.awsConfig(credentials, "", ""), func(o *s3.Options) { o.UsePathStyle = true })
	env := map[string]string{}
	for _, f := range files {
		bucket, key, ok := parseObjectARN(f.Value)
		if f.Type != "s3" || !ok {
			return nil, fail("envFile", fmt.Sprintf("%q of type %q is not an object ARN", f.Value, f.Type))
		}
		var body []byte
		_, err := t.retry(ctx, func(ctx context.Context) error {
			out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
			if err != nil {
				return err
			}
			defer out.Body.Close()
			body, err = io.ReadAll(io.LimitReader(out.Body, maxEnvironmentFile+1))
			return err
		})
		if err != nil {
			return nil, fail("envFile", err)
		}
		if len(body) > maxEnvironmentFile {
			return nil, fail("envFile", f.Value+" is too large")
		}
		parsed, err := parseEnvironmentFile(body)
		if err != nil {
			return nil, fail("envFile", f.Value+": "+err.Error())
		}
		for k, v := range parsed {
			if _, have := env[k]; !have {
				env[k] = v
			}
		}
	}
	return env, nil
}

// parseObjectARN reads arn:PARTITION:s3:::BUCKET/KEY.
func parseObjectARN(arn string) (bucket, key string, ok bool) {
	p := strings.SplitN(arn, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[2] != "s3" {
		return "", "", false
	}
	bucket, key, ok = strings.Cut(p[5], "/")
	return bucket, key, ok && bucket != "" && key != ""
}

// parseEnvironmentFile reads lines of VAR=VALUE. Lines that begin with # and
// empty ones are skipped; nothing is unquoted or expanded.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/use-environment-file.html
func parseEnvironmentFile(b []byte) (map[string]string, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("the file is not UTF-8")
	}
	env := map[string]string{}
	for line := range bytes.Lines(b) {
		text := strings.TrimRight(string(line), "\r\n")
		if trimmed := strings.TrimSpace(text); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		k, v, ok := strings.Cut(text, "=")
		k = strings.TrimSpace(k)
		if !ok || k == "" || strings.ContainsRune(text, 0) {
			continue // the stock agent leaves such lines out, too
		}
		if _, have := env[k]; !have {
			env[k] = v
		}
	}
	return env, nil
}
