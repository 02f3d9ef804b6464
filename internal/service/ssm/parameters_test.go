package ssm_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

// TestPutRefusals goes through what a parameter may not be. /have exists and
// is advanced.
func TestPutRefusals(t *testing.T) {
	_, c := start(t)
	if _, err := c.PutParameter(ctx, &sdk.PutParameterInput{Name: aws.String("/have"), Value: aws.String("v"), Type: "String", Tier: types.ParameterTierAdvanced}); err != nil {
		t.Fatal(err)
	}
	yes := aws.Bool(true)
	tests := map[string]struct {
		in         sdk.PutParameterInput
		code, text string
	}{
		"exists":           {sdk.PutParameterInput{Name: aws.String("/have"), Type: "String"}, "ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."},
		"other type":       {sdk.PutParameterInput{Name: aws.String("/have"), Type: "SecureString", Overwrite: yes}, "HierarchyTypeMismatchException", "changing a parameter type"},
		"no type":          {sdk.PutParameterInput{Name: aws.String("/new")}, "ValidationException", "A parameter type is required"},
		"downgrade":        {sdk.PutParameterInput{Name: aws.String("/have"), Overwrite: yes, Tier: types.ParameterTierStandard}, "ValidationException", "downgrade"},
		"tags overwrite":   {sdk.PutParameterInput{Name: aws.String("/have"), Overwrite: yes, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}, "ValidationException", "tags and overwrite"},
		"reserved aws":     {sdk.PutParameterInput{Name: aws.String("/AWS/x"), Type: "String"}, "AccessDeniedException", "No access to reserved parameter name"},
		"reserved ssm":     {sdk.PutParameterInput{Name: aws.String("ssmx"), Type: "String"}, "ValidationException", `can't be prefixed with "ssm"`},
		"not qualified":    {sdk.PutParameterInput{Name: aws.String("a/b"), Type: "String"}, "ValidationException", "fully qualified"},
		"deep":             {sdk.PutParameterInput{Name: aws.String(strings.Repeat("/a", 16)), Type: "String"}, "HierarchyLevelLimitExceededException", "15"},
		"long":             {sdk.PutParameterInput{Name: aws.String(strings.Repeat("a", 980)), Type: "String"}, "ValidationException", "1011"},
		"characters":       {sdk.PutParameterInput{Name: aws.String("a b"), Type: "String"}, "ValidationException", "Parameter names"},
		"by ARN":           {sdk.PutParameterInput{Name: aws.String(arnPrefix + "x"), Type: "String"}, "ValidationException", "can't be an ARN"},
		"selector":         {sdk.PutParameterInput{Name: aws.String("x:3"), Type: "String"}, "ValidationException", "version or label"},
		"key of a String":  {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", KeyId: aws.String("alias/aws/ssm")}, "ValidationException", "SecureString"},
		"policies":         {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", Policies: aws.String("[{}]")}, "", "Policies"},
		"too long":         {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", Value: aws.String(strings.Repeat("x", 4097))}, "ValidationException", "Standard tier parameters support a maximum parameter value of 4096 characters"},
		"far too long":     {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", Tier: types.ParameterTierIntelligentTiering, Value: aws.String(strings.Repeat("x", 8193))}, "ValidationException", "8192"},
		"pattern mismatch": {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", AllowedPattern: aws.String(`\d+`), Value: aws.String("12x")}, "ParameterPatternMismatchException", `cannot be validated against allowedPattern: \d+`},
		"bad pattern":      {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", AllowedPattern: aws.String(`(`)}, "InvalidAllowedPatternException", "regular expression"},
		"data type":        {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", DataType: aws.String("TEXT")}, "ValidationException", "The following data type is not supported: TEXT"},
		"image":            {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", DataType: aws.String("aws:ec2:image")}, "", "aws:ec2:image"},
		"nested":           {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", Value: aws.String("{{ssm:x}}")}, "ValidationException", "{{"},
		"tag keys":         {sdk.PutParameterInput{Name: aws.String("/new"), Type: "String", Tags: []types.Tag{{Key: aws.String("aws:a"), Value: aws.String("b")}}}, "ValidationException", "reserved"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.in.Value == nil {
				tt.in.Value = aws.String("value")
			}
			_, err := c.PutParameter(ctx, &tt.in)
			if tt.code == "" {
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %v, want %s", err, tt.text)
				}
				return
			}
			fails(t, err, tt.code, tt.text)
		})
	}
}

func TestVersionsAndLabels(t *testing.T) {
	_, c := start(t)
	name := aws.String("/p")
	for range 3 {
		put(t, c, *name, "v", types.ParameterTypeString)
	}
	labelled, err := c.LabelParameterVersion(ctx, &sdk.LabelParameterVersionInput{Name: name, Labels: []string{"prod", "1st", "AWSx", "ssm-y"}})
	if err != nil || labelled.ParameterVersion != 3 || strings.Join(labelled.InvalidLabels, " ") != "1st AWSx ssm-y" {
		t.Errorf("%+v, %v", labelled, err)
	}
	if _, err := c.LabelParameterVersion(ctx, &sdk.LabelParameterVersionInput{Name: name, ParameterVersion: aws.Int64(1), Labels: []string{"prod"}}); err != nil {
		t.Fatal(err)
	}
	var many []string
	for i := range 10 {
		many = append(many, fmt.Sprintf("l%d", i))
	}
	_, err = c.LabelParameterVersion(ctx, &sdk.LabelParameterVersionInput{Name: name, ParameterVersion: aws.Int64(1), Labels: many})
	fails(t, err, "ParameterVersionLabelLimitExceeded", "10 labels")
	_, err = c.LabelParameterVersion(ctx, &sdk.LabelParameterVersionInput{Name: name, ParameterVersion: aws.Int64(9), Labels: many})
	fails(t, err, "ParameterVersionNotFound", "could not find version 9 of /p")

	for range 97 {
		put(t, c, *name, "v", types.ParameterTypeString)
	}
	_, err = c.PutParameter(ctx, &sdk.PutParameterInput{Name: name, Value: aws.String("v"), Overwrite: aws.Bool(true)})
	fails(t, err, "ParameterMaxVersionLimitExceeded", "Version 1, the oldest version")
	un, err := c.UnlabelParameterVersion(ctx, &sdk.UnlabelParameterVersionInput{Name: name, ParameterVersion: aws.Int64(1), Labels: []string{"prod", "nope"}})
	if err != nil || strings.Join(un.RemovedLabels, "") != "prod" || strings.Join(un.InvalidLabels, "") != "nope" {
		t.Errorf("%+v, %v", un, err)
	}
	if v := put(t, c, *name, "v", types.ParameterTypeString); v != 101 {
		t.Errorf("version %d", v)
	}

	var numbers []int64
	pages := sdk.NewGetParameterHistoryPaginator(c, &sdk.GetParameterHistoryInput{Name: name, MaxResults: aws.Int32(30)})
	for pages.HasMorePages() {
		p, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range p.Parameters {
			numbers = append(numbers, h.Version)
		}
	}
	if len(numbers) != 100 || numbers[0] != 2 || !slices.IsSorted(numbers) {
		t.Errorf("history: %v", numbers)
	}
	_, err = c.GetParameter(ctx, &sdk.GetParameterInput{Name: aws.String("/p:1")})
	fails(t, err, "ParameterVersionNotFound", "Systems Manager could not find version 1 of /p. Verify the version and try again.")
}

func TestNotFound(t *testing.T) {
	_, c := start(t)
	name, value := aws.String("/absent"), []string{"/absent"}
	_, get := c.GetParameter(ctx, &sdk.GetParameterInput{Name: name})
	_, del := c.DeleteParameter(ctx, &sdk.DeleteParameterInput{Name: name})
	_, hist := c.GetParameterHistory(ctx, &sdk.GetParameterHistoryInput{Name: name})
	_, label := c.LabelParameterVersion(ctx, &sdk.LabelParameterVersionInput{Name: name, Labels: value})
	for _, err := range []error{get, del, hist, label} {
		fails(t, err, "ParameterNotFound", "")
	}
	_, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: name})
	fails(t, err, "InvalidResourceId", "")
	_, err = c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceType: types.ResourceTypeForTaggingDocument, ResourceId: name})
	fails(t, err, "InvalidResourceType", "")
	_, err = c.GetParametersByPath(ctx, &sdk.GetParametersByPathInput{Path: aws.String("/"), NextToken: aws.String("forged")})
	fails(t, err, "InvalidNextToken", "")
	_, err = c.DescribeParameters(ctx, &sdk.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Label"), Values: []string{"x"}}}})
	fails(t, err, "InvalidFilterKey", "") // its shape has no message
	_, err = c.DescribeParameters(ctx, &sdk.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Type"), Option: aws.String("Contains"), Values: []string{"x"}}}})
	fails(t, err, "InvalidFilterOption", "Contains")
	_, err = c.DescribeParameters(ctx, &sdk.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Type")}}})
	fails(t, err, "InvalidFilterValue", "Type")
	if _, err = c.GetParameter(ctx, &sdk.GetParameterInput{Name: aws.String("/aws/reference/secretsmanager/x"), WithDecryption: aws.Bool(true)}); err == nil || !strings.Contains(err.Error(), "GetSecretValue") {
		t.Errorf("a reference to a secret: %v", err)
	}
	out, err := c.DeleteParameters(ctx, &sdk.DeleteParametersInput{Names: value})
	if err != nil || strings.Join(out.InvalidParameters, "") != "/absent" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestPathsAndFilters(t *testing.T) {
	_, c := start(t)
	for _, n := range []string{"/a/1", "/a/2", "/a/b/3", "/a/b/c/4", "/ab/5", "top"} {
		typ := types.ParameterTypeString
		if n == "/a/2" {
			typ = types.ParameterTypeSecureString
		}
		put(t, c, n, "value of "+n, typ)
	}
	tag := []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}
	if _, err := c.AddTagsToResource(ctx, &sdk.AddTagsToResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String("top"), Tags: tag}); err != nil {
		t.Fatal(err)
	}
	byPath := func(path string, recursive bool, filters ...types.ParameterStringFilter) string {
		var names []string
		pages := sdk.NewGetParametersByPathPaginator(c, &sdk.GetParametersByPathInput{Path: &path, Recursive: &recursive, MaxResults: aws.Int32(2), ParameterFilters: filters, WithDecryption: aws.Bool(true)})
		for pages.HasMorePages() {
			p, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range p.Parameters {
				if *x.Value != "value of "+*x.Name {
					t.Errorf("%s = %s", *x.Name, *x.Value)
				}
				names = append(names, *x.Name)
			}
		}
		return strings.Join(names, " ")
	}
	filter := func(key, option string, values ...string) types.ParameterStringFilter {
		f := types.ParameterStringFilter{Key: &key, Values: values}
		if option != "" {
			f.Option = &option
		}
		return f
	}
	for _, tt := range []struct{ got, want string }{
		{byPath("/a", false), "/a/1 /a/2"},
		{byPath("/a/", true), "/a/1 /a/2 /a/b/3 /a/b/c/4"},
		{byPath("/", false), "top"},
		{byPath("/", true), "/a/1 /a/2 /a/b/3 /a/b/c/4 /ab/5 top"},
		{byPath("/none", true), ""},
		{byPath("/a", true, filter("Type", "", "SecureString")), "/a/2"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	describe := func(filters ...types.ParameterStringFilter) string {
		var names []string
		pages := sdk.NewDescribeParametersPaginator(c, &sdk.DescribeParametersInput{MaxResults: aws.Int32(2), ParameterFilters: filters})
		for pages.HasMorePages() {
			p, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range p.Parameters {
				names = append(names, *x.Name)
			}
		}
		return strings.Join(names, " ")
	}
	for _, tt := range []struct{ got, want string }{
		{describe(), "/a/1 /a/2 /a/b/3 /a/b/c/4 /ab/5 top"},
		{describe(filter("Name", "", "top", "/ab/5")), "/ab/5 top"},
		{describe(filter("Name", "BeginsWith", "ab")), "/ab/5"},
		{describe(filter("Name", "Contains", "b")), "/a/b/3 /a/b/c/4 /ab/5"},
		{describe(filter("Path", "Recursive", "/a/b"), filter("Type", "", "String")), "/a/b/3 /a/b/c/4"},
		{describe(filter("Path", "", "/a/b")), "/a/b/3"},
		{describe(filter("KeyId", "", "alias/aws/ssm")), "/a/2"},
		{describe(filter("tag:team", "", "red")), "top"},
		{describe(filter("tag:team", "")), "top"},
		{describe(filter("Tier", "", "Advanced")), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	if _, err := c.RemoveTagsFromResource(ctx, &sdk.RemoveTagsFromResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String("top"), TagKeys: []string{"team"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String("top")})
	if err != nil || len(tags.TagList) != 0 {
		t.Errorf("%+v, %v", tags, err)
	}
	out, err := c.DeleteParameters(ctx, &sdk.DeleteParametersInput{Names: []string{"top", "/ab/5", "none"}})
	if err != nil || len(out.DeletedParameters) != 2 || len(out.InvalidParameters) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	if v := put(t, c, "top", "again", types.ParameterTypeString); v != 1 {
		t.Errorf("a parameter made anew begins at version %d", v)
	}
}

// TestBinding checks who may read what.
func TestBinding(t *testing.T) {
	k, root := start(t)
	put(t, root, "/app/a", "v", types.ParameterTypeSecureString)
	put(t, root, "/app/b", "v", types.ParameterTypeString)
	put(t, root, "/other", "v", types.ParameterTypeString)
	if _, err := root.AddTagsToResource(ctx, &sdk.AddTagsToResourceInput{ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String("/other"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}}); err != nil {
		t.Fatal(err)
	}
	get := func(c *sdk.Client, names ...string) error {
		_, err := c.GetParameters(ctx, &sdk.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
		return err
	}
	app := sdk.NewFromConfig(k.With(testkit.Allow(arnPrefix+"app/*", "ssm:GetParameters", "ssm:PutParameter")))
	if err := get(app, "/app/a", arnPrefix+"app/b", "/app/absent", "/app/a:1"); err != nil {
		t.Error(err)
	}
	fails(t, get(app, "/app/a", "/other", "/more"), "AccessDeniedException", "ssm:GetParameters on resource: "+arnPrefix+"other because no identity-based policy allows")
	fails(t, get(app, "/absent"), "AccessDeniedException", arnPrefix+"absent")
	const foreign = "arn:aws:ssm:eu-west-1:999988887777:parameter/app/a"
	fails(t, get(app, foreign), "AccessDeniedException", foreign)
	fails(t, get(root, foreign), "AccessDeniedException", foreign)
	_, err := app.GetParameter(ctx, &sdk.GetParameterInput{Name: aws.String("/app/a")})
	fails(t, err, "AccessDeniedException", "ssm:GetParameter on resource: "+arnPrefix+"app/a")
	_, err = app.GetParametersByPath(ctx, &sdk.GetParametersByPathInput{Path: aws.String("/app")})
	fails(t, err, "AccessDeniedException", "ssm:GetParametersByPath on resource: "+arnPrefix+"app because")
	_, err = app.PutParameter(ctx, &sdk.PutParameterInput{Name: aws.String("/app/c"), Value: aws.String("v"), Type: "String", Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}})
	fails(t, err, "AccessDeniedException", "ssm:AddTagsToResource")

	// The ARN of another region names nothing here, though the wildcard allows it.
	wide := sdk.NewFromConfig(k.With(testkit.Allow("*", "ssm:GetParameters")))
	out, err := wide.GetParameters(ctx, &sdk.GetParametersInput{Names: []string{strings.Replace(arnPrefix, testkit.Region, "us-east-1", 1) + "app/a"}})
	if err != nil || len(out.InvalidParameters) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	red := sdk.NewFromConfig(k.With(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ssm:*","Resource":"*","Condition":{"StringEquals":{"ssm:resourceTag/team":"red"}}}]}`))
	if err := get(red, "/other"); err != nil {
		t.Error(err)
	}
	fails(t, get(red, "/app/a"), "AccessDeniedException", arnPrefix+"app/a")
	once := sdk.NewFromConfig(k.With(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ssm:PutParameter","Resource":"*","Condition":{"StringEquals":{"ssm:Overwrite":"false"}}}]}`))
	_, err = once.PutParameter(ctx, &sdk.PutParameterInput{Name: aws.String("/n"), Value: aws.String("v"), Type: "String", Overwrite: aws.Bool(true)})
	fails(t, err, "AccessDeniedException", "ssm:PutParameter")
	if _, err = once.PutParameter(ctx, &sdk.PutParameterInput{Name: aws.String("/n"), Value: aws.String("v"), Type: "String"}); err != nil {
		t.Error(err)
	}
}

// TestSecretsStaySecret looks for a SecureString in everything that is written.
func TestSecretsStaySecret(t *testing.T) {
	k, c := start(t)
	const secret, visible = "correct-horse-battery-staple", "a-description-to-be-found"
	in := &sdk.PutParameterInput{Name: aws.String("/s"), Value: aws.String(secret), Type: "SecureString", Description: aws.String(visible)}
	if _, err := c.PutParameter(ctx, in); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetParameter(ctx, &sdk.GetParameterInput{Name: in.Name, WithDecryption: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	in.Name, in.AllowedPattern = aws.String("/t"), aws.String("x")
	_, err := c.PutParameter(ctx, in)
	fails(t, err, "ParameterPatternMismatchException", "")
	trail, err := json.Marshal(k.Trail())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(trail), secret) || !strings.Contains(string(trail), "HIDDEN_DUE_TO_SECURITY_REASONS") || len(k.Trail()) != 3 {
		t.Errorf("trail: %s", trail)
	}
	var found bool
	root := filepath.Dir(t.TempDir()) // the directories of this test stand side by side
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, []byte(visible))
		for _, s := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:32]} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds the value", path)
			}
		}
		return err
	})
	if err != nil || !found {
		t.Errorf("the database was not read: %v", err)
	}
}
