package secretsmanager_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/service/secretsmanager"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/testkit"
)

const (
	v1 = "11111111-1111-1111-1111-111111111111"
	v2 = "22222222-2222-2222-2222-222222222222"
	v3 = "33333333-3333-3333-3333-333333333333"
)

func TestCreateIsIdempotent(t *testing.T) {
	_, c, _ := start(t)
	in := &sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("one"), ClientRequestToken: aws.String(v1)}
	first, err := c.CreateSecret(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.CreateSecret(ctx, in)
	if err != nil || *again.ARN != *first.ARN || *again.VersionId != v1 {
		t.Errorf("%+v, %v", again, err)
	}
	in.SecretString = aws.String("two")
	_, err = c.CreateSecret(ctx, in)
	fails(t, err, "ResourceExistsException", "You can't use ClientRequestToken "+v1+" because that value is already in use for a version of secret "+*first.ARN+".")
	in.ClientRequestToken = aws.String(v2)
	_, err = c.CreateSecret(ctx, in)
	fails(t, err, "ResourceExistsException", "The operation failed because the secret s already exists.")
}

func TestVersionsAndStages(t *testing.T) {
	_, c, _ := start(t)
	empty, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("s")})
	if err != nil || empty.VersionId != nil {
		t.Fatalf("%+v, %v", empty, err)
	}
	_, err = get(c, "s")
	fails(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	put := func(token, value string, stages ...string) {
		t.Helper()
		for range 2 { // the second is a repetition
			if _, err := c.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("s"), ClientRequestToken: &token, SecretString: &value, VersionStages: stages}); err != nil {
				t.Fatal(err)
			}
		}
	}
	stages := func() string {
		t.Helper()
		d, err := c.DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: aws.String("s")})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for v, s := range d.VersionIdsToStages {
			out = append(out, v[:1]+"="+strings.Join(s, ","))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	put(v1, "one", "mine") // the first becomes current anyhow
	put(v2, "two")
	put(v3, "three", "AWSPENDING")
	if got := stages(); got != "1=AWSPREVIOUS,mine 2=AWSCURRENT 3=AWSPENDING" {
		t.Errorf("stages: %s", got)
	}
	_, err = c.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("s"), ClientRequestToken: aws.String(v3), SecretString: aws.String("other")})
	fails(t, err, "ResourceExistsException", "You can't use ClientRequestToken")
	_, err = c.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("s")})
	fails(t, err, "InvalidRequestException", "SecretString or SecretBinary")
	_, err = c.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("x"), SecretBinary: []byte("x")})
	fails(t, err, "InvalidParameterException", "both")

	read := func(version, stage string) (string, error) {
		in := &sdk.GetSecretValueInput{SecretId: aws.String("s")}
		if version != "" {
			in.VersionId = &version
		}
		if stage != "" {
			in.VersionStage = &stage
		}
		out, err := c.GetSecretValue(ctx, in)
		if err != nil {
			return "", err
		}
		return *out.SecretString, nil
	}
	for _, tt := range []struct{ version, stage, want string }{{"", "", "two"}, {v1, "", "one"}, {"", "AWSPREVIOUS", "one"}, {"", "AWSPENDING", "three"}, {v3, "AWSPENDING", "three"}} {
		if got, err := read(tt.version, tt.stage); err != nil || got != tt.want {
			t.Errorf("%s %s: %q, %v", tt.version, tt.stage, got, err)
		}
	}
	_, err = read(v1, "AWSCURRENT")
	fails(t, err, "InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
	_, err = read("", "nope")
	fails(t, err, "ResourceNotFoundException", "can't find the specified secret value for staging label: nope")
	_, err = read("44444444-4444-4444-4444-444444444444", "")
	fails(t, err, "ResourceNotFoundException", "can't find the specified secret value for VersionId: 4444")

	move := func(stage, from, to string) error {
		in := &sdk.UpdateSecretVersionStageInput{SecretId: aws.String("s"), VersionStage: &stage}
		if from != "" {
			in.RemoveFromVersionId = &from
		}
		if to != "" {
			in.MoveToVersionId = &to
		}
		_, err := c.UpdateSecretVersionStage(ctx, in)
		return err
	}
	fails(t, move("AWSCURRENT", "", v3), "InvalidParameterException", "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version "+v2)
	fails(t, move("AWSCURRENT", v1, v3), "InvalidParameterException", "isn't attached")
	fails(t, move("AWSCURRENT", v2, ""), "InvalidParameterException", "You can only move staging label AWSCURRENT")
	fails(t, move("AWSCURRENT", "", ""), "InvalidParameterException", "RemoveFromVersionId, MoveToVersionId")
	fails(t, move("AWSCURRENT", v2, "44444444-4444-4444-4444-444444444444"), "ResourceNotFoundException", "VersionId")
	for _, err := range []error{move("AWSCURRENT", v2, v3), move("mine", v1, ""), move("new", "", v2)} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := stages(); got != "2=AWSPREVIOUS,new 3=AWSCURRENT,AWSPENDING" {
		t.Errorf("stages: %s", got)
	}
	count := func(deprecated bool) (n int) {
		pages := sdk.NewListSecretVersionIdsPaginator(c, &sdk.ListSecretVersionIdsInput{SecretId: aws.String("s"), MaxResults: aws.Int32(1), IncludeDeprecated: &deprecated})
		for pages.HasMorePages() {
			p, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			n += len(p.Versions)
		}
		return n
	}
	if count(false) != 2 || count(true) != 3 {
		t.Errorf("%d versions, %d with deprecated ones", count(false), count(true))
	}
}

func TestUpdateAndTags(t *testing.T) {
	_, c, _ := start(t)
	create(t, c, "s", "one")
	if _, err := c.UpdateSecret(ctx, &sdk.UpdateSecretInput{SecretId: aws.String("s"), Description: aws.String("d"), SecretBinary: []byte("two"), KmsKeyId: aws.String("alias/aws/secretsmanager")}); err != nil {
		t.Fatal(err)
	}
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	tags := func(tags ...types.Tag) error {
		_, err := c.TagResource(ctx, &sdk.TagResourceInput{SecretId: aws.String("s"), Tags: tags})
		return err
	}
	if err := tags(tag("a", "1"), tag("c", "2"), tag("b", "3")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UntagResource(ctx, &sdk.UntagResourceInput{SecretId: aws.String("s"), TagKeys: []string{"b", "none"}}); err != nil {
		t.Fatal(err)
	}
	fails(t, tags(tag("aws:x", "1")), "InvalidParameterException", "reserved")
	fails(t, tags(tag("x", "1"), tag("x", "2")), "InvalidParameterException", "Duplicate")
	d, err := c.DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: aws.String("s")})
	if err != nil || *d.Description != "d" || len(d.Tags) != 2 || len(d.VersionIdsToStages) != 2 || d.LastAccessedDate != nil {
		t.Errorf("%+v, %v", d, err)
	}
	if v, err := c.GetSecretValue(ctx, &sdk.GetSecretValueInput{SecretId: aws.String("s")}); err != nil || string(v.SecretBinary) != "two" {
		t.Errorf("%+v, %v", v, err)
	}
	if d, err = c.DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: aws.String("s")}); err != nil || d.LastAccessedDate == nil {
		t.Errorf("not accessed: %v", err)
	}
	for _, err := range []error{
		func() error {
			_, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("k"), AddReplicaRegions: []types.ReplicaRegionType{{Region: aws.String("us-east-1")}}})
			return err
		}(),
	} {
		if err == nil || !strings.Contains(err.Error(), "Remit does not") {
			t.Errorf("not refused: %v", err)
		}
	}
	_, err = c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("has space")})
	fails(t, err, "ValidationException", "Invalid name.")
}

func TestDeleteAndRestore(t *testing.T) {
	_, c, _ := start(t)
	create(t, c, "s", "one")
	del := func(days int64, force bool) error {
		in := &sdk.DeleteSecretInput{SecretId: aws.String("s")}
		if days != 0 {
			in.RecoveryWindowInDays = &days
		}
		if force {
			in.ForceDeleteWithoutRecovery = &force
		}
		_, err := c.DeleteSecret(ctx, in)
		return err
	}
	fails(t, del(6, false), "InvalidParameterException", "between 7 and 30")
	fails(t, del(31, false), "InvalidParameterException", "between 7 and 30")
	fails(t, del(7, true), "InvalidParameterException", "in conjunction with RecoveryWindowInDays")
	if err := del(7, false); err != nil {
		t.Fatal(err)
	}
	const marked = "You can't perform this operation on the secret because it was marked for deletion."
	_, err := get(c, "s")
	fails(t, err, "InvalidRequestException", marked)
	_, err = c.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("x")})
	fails(t, err, "InvalidRequestException", marked)
	fails(t, del(0, false), "InvalidRequestException", marked)
	_, err = c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("s")})
	fails(t, err, "InvalidRequestException", "already scheduled for deletion")
	if out, err := c.ListSecrets(ctx, nil); err != nil || len(out.SecretList) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := c.ListSecrets(ctx, &sdk.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true)}); err != nil || len(out.SecretList) != 1 || out.SecretList[0].DeletedDate == nil {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := c.RestoreSecret(ctx, &sdk.RestoreSecretInput{SecretId: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	if v, err := get(c, "s"); err != nil || v != "one" {
		t.Errorf("%q, %v", v, err)
	}
	for range 2 { // gone, and still not an error
		if err := del(0, true); err != nil {
			t.Fatal(err)
		}
	}
	fails(t, del(0, false), "ResourceNotFoundException", "can't find the specified secret")
	create(t, c, "s", "anew")
}

// TestRecoveryWindowEnds moves the time: past the window the secret is gone at
// once, and Run removes what is left of it.
func TestRecoveryWindowEnds(t *testing.T) {
	fake := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	k, _, s := start(t, testkit.WithClock(fake))
	root := k.Gateway.For(&session.Principal{Type: session.Root, Account: testkit.Account, ARN: "arn:aws:iam::" + testkit.Account + ":root"})
	at := gateway.Target{Account: testkit.Account, Region: testkit.Region}
	for _, name := range []string{"a", "b"} {
		if _, err := gateway.Invoke(ctx, root, at, sm.CreateSecret, &sm.CreateSecretInput{Name: &name, SecretString: api.Ptr("v"), ClientRequestToken: api.Ptr(v1)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := gateway.Invoke(ctx, root, at, sm.DeleteSecret, &sm.DeleteSecretInput{SecretId: api.Ptr("a")}); err != nil {
		t.Fatal(err)
	}
	fake.Advance(30*24*time.Hour - time.Second)
	if _, err := gateway.Invoke(ctx, root, at, sm.DescribeSecret, &sm.DescribeSecretInput{SecretId: api.Ptr("a")}); err != nil {
		t.Errorf("within the window: %v", err)
	}
	fake.Advance(time.Second)
	if _, err := gateway.Invoke(ctx, root, at, sm.RestoreSecret, &sm.RestoreSecretInput{SecretId: api.Ptr("a")}); err == nil {
		t.Error("restored after the window")
	}
	if err := secretsmanager.Sweep(s, ctx); err != nil {
		t.Fatal(err)
	}
	if left := secretsmanager.Stored(k.Store, gateway.Regional(testkit.Account, testkit.Region)); strings.Join(left, " ") != "b b:"+v1 {
		t.Errorf("left: %q", left)
	}
}

// TestOldVersionsGo puts more versions than are kept. The first has a label and
// stays.
func TestOldVersionsGo(t *testing.T) {
	fake := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	k, _, _ := start(t, testkit.WithClock(fake))
	root := k.Gateway.For(&session.Principal{Type: session.Root, Account: testkit.Account, ARN: "arn:aws:iam::" + testkit.Account + ":root"})
	at := gateway.Target{Account: testkit.Account, Region: testkit.Region}
	if _, err := gateway.Invoke(ctx, root, at, sm.CreateSecret, &sm.CreateSecretInput{Name: api.Ptr("s")}); err != nil {
		t.Fatal(err)
	}
	n := 0
	put := func(stages ...string) error {
		n++
		_, err := gateway.Invoke(ctx, root, at, sm.PutSecretValue, &sm.PutSecretValueInput{SecretId: api.Ptr("s"), SecretString: api.Ptr("v"), ClientRequestToken: api.Ptr(fmt.Sprintf("%032d", n)), VersionStages: stages})
		return err
	}
	count := func() int {
		return len(secretsmanager.Stored(k.Store, gateway.Regional(testkit.Account, testkit.Region))) - 1
	}
	for i := range 120 {
		var stages []string
		if i == 0 {
			stages = []string{"AWSCURRENT", "first"}
		}
		if err := put(stages...); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(); got != 120 {
		t.Errorf("%d versions within a day", got)
	}
	fake.Advance(24 * time.Hour)
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 100 {
		t.Errorf("%d versions after a day", got)
	}
	if _, err := gateway.Invoke(ctx, root, at, sm.GetSecretValue, &sm.GetSecretValueInput{SecretId: api.Ptr("s"), VersionStage: api.Ptr("first")}); err != nil {
		t.Errorf("a version with a label is gone: %v", err)
	}
	var err error
	for range 500 {
		if err = put(); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "LimitExceededException") || count() != 500 {
		t.Errorf("%d versions, %v", count(), err)
	}
}

func TestListAndBatch(t *testing.T) {
	k, c, _ := start(t)
	for i, n := range []string{"app/one", "app/two", "db", "Zed"} {
		if _, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: &n, SecretString: aws.String("value of " + n), Description: aws.String(fmt.Sprintf("The Secret number%d", i)),
			Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String(n[:2])}}}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(in sdk.ListSecretsInput, filters ...types.Filter) string {
		in.Filters, in.MaxResults = filters, aws.Int32(3)
		var names []string
		pages := sdk.NewListSecretsPaginator(c, &in)
		for pages.HasMorePages() {
			p, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range p.SecretList {
				names = append(names, *s.Name)
			}
		}
		return strings.Join(names, " ")
	}
	by := func(key string, values ...string) types.Filter {
		return types.Filter{Key: types.FilterNameStringType(key), Values: values}
	}
	for _, tt := range []struct{ got, want string }{
		{list(sdk.ListSecretsInput{}), "app/one app/two db Zed"},
		{list(sdk.ListSecretsInput{SortOrder: "desc"}), "Zed db app/two app/one"},
		{list(sdk.ListSecretsInput{SortBy: "name"}), "Zed app/one app/two db"},
		{list(sdk.ListSecretsInput{SortBy: "name", SortOrder: "desc"}), "db app/two app/one Zed"},
		{list(sdk.ListSecretsInput{}, by("name", "app/")), "app/one app/two"},
		{list(sdk.ListSecretsInput{}, by("name", "!app/")), "db Zed"},
		{list(sdk.ListSecretsInput{}, by("name", "app/", "db"), by("description", "secret NUMBER2")), "db"},
		{list(sdk.ListSecretsInput{}, by("tag-key", "te"), by("tag-value", "Ze")), "Zed"},
		{list(sdk.ListSecretsInput{}, by("tag-key", "Te")), ""},
		{list(sdk.ListSecretsInput{}, by("all", "TWO")), "app/two"},
		{list(sdk.ListSecretsInput{}, by("primary-region", "eu-")), "app/one app/two db Zed"},
		{list(sdk.ListSecretsInput{}, by("owning-service", "rds")), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	_, err := c.ListSecrets(ctx, &sdk.ListSecretsInput{NextToken: aws.String("forged")})
	fails(t, err, "InvalidNextTokenException", "")

	some := sdk.NewFromConfig(k.With(testkit.Allow("*", "secretsmanager:BatchGetSecretValue"), testkit.Allow("arn:aws:secretsmanager:*:*:secret:app/*", "secretsmanager:GetSecretValue")))
	out, err := some.BatchGetSecretValue(ctx, &sdk.BatchGetSecretValueInput{SecretIdList: []string{"app/one", "db", "app/none", "not a name"}})
	if err != nil || len(out.SecretValues) != 1 || *out.SecretValues[0].SecretString != "value of app/one" {
		t.Fatalf("%+v, %v", out, err)
	}
	var codes []string
	for _, e := range out.Errors {
		codes = append(codes, *e.SecretId+" "+*e.ErrorCode)
	}
	if got := strings.Join(codes, ", "); got != "db AccessDeniedException, app/none ResourceNotFoundException, not a name ValidationException" {
		t.Errorf("errors: %s", got)
	}
	filtered := &sdk.BatchGetSecretValueInput{Filters: []types.Filter{by("name", "app/")}, MaxResults: aws.Int32(1)}
	_, err = some.BatchGetSecretValue(ctx, filtered)
	fails(t, err, "AccessDeniedException", "secretsmanager:ListSecrets")
	var values int
	pages := sdk.NewBatchGetSecretValuePaginator(c, filtered)
	for pages.HasMorePages() {
		p, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		values += len(p.SecretValues)
	}
	if values != 2 {
		t.Errorf("%d values", values)
	}
	_, err = c.BatchGetSecretValue(ctx, &sdk.BatchGetSecretValueInput{})
	fails(t, err, "InvalidParameterException", "but not both")
}

// TestBinding checks who may read what.
func TestBinding(t *testing.T) {
	k, root, _ := start(t)
	made := create(t, root, "prod/db", "v")
	create(t, root, "prod/other", "v")
	const prefix = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"
	as := func(policies ...string) *sdk.Client { return sdk.NewFromConfig(k.With(policies...)) }
	for _, tt := range []struct{ resource, allowed, denied string }{
		{*made.ARN, "prod/db", "prod/other"},
		{prefix + "prod/db-??????", "prod/db", "prod/other"},
		{prefix + "prod/*", "prod/other", ""},
	} {
		c := as(testkit.Allow(tt.resource, "secretsmanager:GetSecretValue"))
		if _, err := get(c, tt.allowed); err != nil {
			t.Errorf("%s: %v", tt.resource, err)
		}
		if tt.denied != "" {
			_, err := get(c, tt.denied)
			fails(t, err, "AccessDeniedException", "secretsmanager:GetSecretValue on resource: "+tt.denied+" because")
		}
	}
	// A name is asked about without a suffix while there is no secret.
	_, err := get(as(testkit.Allow(prefix+"absent-??????", "secretsmanager:GetSecretValue")), "absent")
	fails(t, err, "AccessDeniedException", "on resource: absent because")
	_, err = get(as(testkit.Allow(prefix+"absent*", "secretsmanager:GetSecretValue")), "absent")
	fails(t, err, "ResourceNotFoundException", "")

	for _, c := range []*sdk.Client{root, as(testkit.Allow("*", "secretsmanager:*"))} {
		_, err = get(c, "arn:aws:secretsmanager:eu-west-1:999988887777:secret:prod/db-AbCdEf")
		fails(t, err, "AccessDeniedException", "arn:aws:secretsmanager:eu-west-1:999988887777:secret:prod/db-AbCdEf because no resource-based policy allows")
	}
	// The ARN of another region names nothing here.
	_, err = get(root, strings.Replace(*made.ARN, "eu-west-1", "us-east-1", 1))
	fails(t, err, "ResourceNotFoundException", "")

	condition := func(action, key, value string) *sdk.Client {
		return as(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:%s","Resource":"*","Condition":{"ForAnyValue:StringEquals":{%q:%q}}}]}`, action, key, value))
	}
	stage := condition("GetSecretValue", "secretsmanager:VersionStage", "AWSCURRENT")
	if _, err := get(stage, "prod/db"); err != nil {
		t.Error(err)
	}
	_, err = stage.GetSecretValue(ctx, &sdk.GetSecretValueInput{SecretId: made.ARN, VersionStage: aws.String("AWSPREVIOUS")})
	fails(t, err, "AccessDeniedException", "")
	_, err = stage.GetSecretValue(ctx, &sdk.GetSecretValueInput{SecretId: made.ARN, VersionId: made.VersionId})
	fails(t, err, "AccessDeniedException", "")

	tags := []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}
	if _, err := root.TagResource(ctx, &sdk.TagResourceInput{SecretId: made.ARN, Tags: tags}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"aws:ResourceTag/team", "secretsmanager:ResourceTag/team"} {
		c := condition("GetSecretValue", key, "red")
		if _, err := get(c, "prod/db"); err != nil {
			t.Error(err)
		}
		_, err := get(c, "prod/other")
		fails(t, err, "AccessDeniedException", "")
	}
	named := condition("CreateSecret", "secretsmanager:Name", "mine")
	if _, err := named.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("mine")}); err != nil {
		t.Error(err)
	}
	_, err = named.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("mine2")})
	fails(t, err, "AccessDeniedException", prefix+"mine2")
	_, err = as(testkit.Allow("*", "secretsmanager:CreateSecret")).CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("tagged"), Tags: tags})
	fails(t, err, "AccessDeniedException", "secretsmanager:TagResource")
	slow := condition("DeleteSecret", "secretsmanager:ForceDeleteWithoutRecovery", "false")
	_, err = slow.DeleteSecret(ctx, &sdk.DeleteSecretInput{SecretId: made.ARN, ForceDeleteWithoutRecovery: aws.Bool(true)})
	fails(t, err, "AccessDeniedException", "secretsmanager:DeleteSecret")
}

func TestRandomPassword(t *testing.T) {
	_, c, _ := start(t)
	yes := aws.Bool(true)
	seen := map[string]bool{}
	for range 20 {
		out, err := c.GetRandomPassword(ctx, &sdk.GetRandomPasswordInput{PasswordLength: aws.Int64(4), ExcludeCharacters: aws.String("abc")})
		if err != nil {
			t.Fatal(err)
		}
		p := *out.RandomPassword
		if len(p) != 4 || strings.ContainsAny(p, "abc ") || !strings.ContainsAny(p, "0123456789") || strings.ToUpper(p) == p || strings.ToLower(p) == p || seen[p] {
			t.Errorf("%q", p)
		}
		seen[p] = true
	}
	_, err := c.GetRandomPassword(ctx, &sdk.GetRandomPasswordInput{PasswordLength: aws.Int64(3)})
	fails(t, err, "InvalidParameterException", "too short")
	_, err = c.GetRandomPassword(ctx, &sdk.GetRandomPasswordInput{ExcludeLowercase: yes, ExcludeUppercase: yes, ExcludeNumbers: yes, ExcludePunctuation: yes})
	fails(t, err, "InvalidParameterException", "No characters")
}

// TestSecretsStaySecret looks for values in everything that is written.
func TestSecretsStaySecret(t *testing.T) {
	var log bytes.Buffer
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		return []testkit.Registrar{secretsmanager.New(k.Seal, k.Principals(), k.Store, k.Clock, slog.New(slog.NewTextHandler(&log, nil)))}
	})
	c := sdk.NewFromConfig(k.Root())
	const visible = "a-description-to-be-found"
	values := []string{"correct-horse-battery-staple-0", "correct-horse-battery-staple-1", "correct-horse-battery-staple-2"}
	if _, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("s"), SecretString: &values[0], Description: aws.String(visible), ClientRequestToken: aws.String(v1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretBinary: []byte(values[1])}); err != nil {
		t.Fatal(err)
	}
	_, err := c.UpdateSecret(ctx, &sdk.UpdateSecretInput{SecretId: aws.String("s"), SecretString: &values[2], ClientRequestToken: aws.String(v1)})
	fails(t, err, "ResourceExistsException", "")
	if _, err := get(c, "s"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.BatchGetSecretValue(ctx, &sdk.BatchGetSecretValueInput{SecretIdList: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	trail, err := json.Marshal(k.Trail())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(trail, []byte("HIDDEN_DUE_TO_SECURITY_REASONS")) || len(k.Trail()) != 5 {
		t.Errorf("trail: %s", trail)
	}
	written := map[string][]byte{"trail": trail, "log": log.Bytes()}
	root := filepath.Dir(t.TempDir()) // the directories of this test stand side by side
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			written[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var found bool
	for where, b := range written {
		found = found || where != "trail" && bytes.Contains(b, []byte(visible))
		for _, v := range values {
			for _, form := range []string{v, base64.StdEncoding.EncodeToString([]byte(v))[:36]} {
				if bytes.Contains(b, []byte(form)) {
					t.Errorf("%s holds %s", where, v)
				}
			}
		}
	}
	if !found {
		t.Error("the database was not read")
	}
}
