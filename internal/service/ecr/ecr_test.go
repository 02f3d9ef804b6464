package ecr_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	service "github.com/remit-ecs/remit/internal/service/ecr"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/testkit"
)

// ended is a Revoker whose list the test writes.
type ended struct {
	mu    sync.Mutex
	names []string
}

func (e *ended) Ended(p *session.Principal) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.names, p.SessionName)
}

func (e *ended) end(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.names = append(e.names, name)
}

type fixture struct {
	*testkit.Kit
	t       *testing.T
	service *service.Service
	ended   *ended
	*ecr.Client
}

func start(t *testing.T, opts ...testkit.Option) *fixture {
	f := &fixture{t: t, ended: &ended{}}
	f.Kit = testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		f.service = service.New(service.Config{Store: k.Store, Blobs: k.Blobs, Keys: k.Seal, Clock: k.Clock, Sources: k.Authz.Sources, Principals: k.Principals(), Revoker: f.ended})
		k.Authz.Resources["ecr"] = f.service.ResourcePolicy
		return []testkit.Registrar{f.service}
	}, opts...)
	f.Client = ecr.NewFromConfig(f.Root())
	return f
}

func errorText(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

// wantError holds an error to "Code: part of the message".
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	code, text, _ := strings.Cut(want, ": ")
	if got := errorText(err); !strings.HasPrefix(got, code+": ") || !strings.Contains(got, text) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func (f *fixture) create(name string) *types.Repository {
	f.t.Helper()
	out, err := f.CreateRepository(f.t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name})
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Repository
}

// upload puts a layer into a repository through the API alone.
func (f *fixture) upload(repo string, b []byte) (string, error) {
	up, err := f.InitiateLayerUpload(f.t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: &repo})
	if err != nil {
		return "", err
	}
	half := len(b) / 2
	for _, p := range [][2]int{{0, half}, {half, len(b)}} {
		out, err := f.UploadLayerPart(f.t.Context(), &ecr.UploadLayerPartInput{
			RepositoryName: &repo, UploadId: up.UploadId, LayerPartBlob: b[p[0]:p[1]],
			PartFirstByte: aws.Int64(int64(p[0])), PartLastByte: aws.Int64(int64(p[1] - 1)),
		})
		if err != nil {
			return "", err
		}
		if *out.LastByteReceived != int64(p[1]-1) {
			f.t.Errorf("lastByteReceived %d, want %d", *out.LastByteReceived, p[1]-1)
		}
	}
	d := string(blob.DigestOf(b))
	_, err = f.CompleteLayerUpload(f.t.Context(), &ecr.CompleteLayerUploadInput{RepositoryName: &repo, UploadId: up.UploadId, LayerDigests: []string{d}})
	return d, err
}

// image puts a manifest over new layers; the first is the config.
func (f *fixture) image(repo, tag string, contents ...string) string {
	f.t.Helper()
	for _, c := range contents {
		if _, err := f.upload(repo, []byte(c)); err != nil && !strings.HasPrefix(errorText(err), "LayerAlreadyExistsException") {
			f.t.Fatal(err)
		}
	}
	in := &ecr.PutImageInput{RepositoryName: &repo, ImageManifest: aws.String(manifest(contents...))}
	if tag != "" {
		in.ImageTag = &tag
	}
	out, err := f.PutImage(f.t.Context(), in)
	if err != nil {
		f.t.Fatal(err)
	}
	return *out.Image.ImageId.ImageDigest
}

func manifest(contents ...string) string {
	d := func(c string) string {
		return fmt.Sprintf(`{"mediaType":"application/octet-stream","size":%d,"digest":"%s"}`, len(c), blob.DigestOf([]byte(c)))
	}
	var layers []string
	for _, c := range contents[1:] {
		layers = append(layers, d(c))
	}
	return `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":` + d(contents[0]) + `,"layers":[` + strings.Join(layers, ",") + `]}`
}

// TestRepositories is the life of repositories, with AWS's words.
func TestRepositories(t *testing.T) {
	f, ctx := start(t), t.Context()
	r := f.create("team/app")
	if *r.RepositoryArn != "arn:aws:ecr:"+testkit.Region+":"+testkit.Account+":repository/team/app" || r.ImageTagMutability != types.ImageTagMutabilityMutable {
		t.Errorf("%+v", r)
	}
	_, err := f.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/app")})
	wantError(t, err, "RepositoryAlreadyExistsException: The repository with name 'team/app' already exists in the registry with id '111122223333'")
	_, err = f.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("kms"), EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms}})
	if err == nil {
		t.Error("a KMS key was taken, and is not used")
	}
	for _, n := range []string{"b1", "b2", "b3"} {
		f.create(n)
	}
	var names []string
	for p := ecr.NewDescribeRepositoriesPaginator(f.Client, &ecr.DescribeRepositoriesInput{MaxResults: aws.Int32(2)}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Repositories {
			names = append(names, *r.RepositoryName)
		}
	}
	if !slices.Equal(names, []string{"b1", "b2", "b3", "team/app"}) {
		t.Errorf("listed %v", names)
	}
	_, err = f.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"b1", "nowhere"}})
	wantError(t, err, "RepositoryNotFoundException: The repository with name 'nowhere' does not exist in the registry with id '111122223333'")
	_, err = f.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{NextToken: aws.String("forged")})
	wantError(t, err, "InvalidParameterException: ")

	scan, err := f.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{RepositoryName: aws.String("b1"), ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true}})
	if err != nil || !scan.ImageScanningConfiguration.ScanOnPush {
		t.Errorf("%+v, %v", scan, err)
	}

	f.image("b1", "v1", "{}", "layer")
	_, err = f.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String("b1")})
	wantError(t, err, "RepositoryNotEmptyException: The repository with name 'b1' in registry with id '111122223333' cannot be deleted because it still contains images")
	if _, err := f.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: aws.String("b1"), Force: true}); err != nil {
		t.Fatal(err)
	}
	f.create("b1")
	if out, err := f.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: aws.String("b1")}); err != nil || len(out.ImageIds) != 0 {
		t.Errorf("a new repository has its predecessor's images: %v, %v", out, err)
	}
	if live := service.Live(f.Store.View(ctx)); live(blob.DigestOf([]byte("layer"))) {
		t.Error("the layers of a deleted repository are kept")
	}
}

// TestTags tags a repository, and binds a role to what is tagged.
func TestTags(t *testing.T) {
	f, ctx := start(t), t.Context()
	out, err := f.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("app"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("blue")}}})
	if err != nil {
		t.Fatal(err)
	}
	f.create("other")
	arn := out.Repository.RepositoryArn
	if _, err := f.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("env"), Value: aws.String("prod")}}}); err != nil {
		t.Fatal(err)
	}
	list, err := f.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: arn})
	if err != nil || len(list.Tags) != 2 || *list.Tags[0].Key != "env" || *list.Tags[1].Value != "blue" {
		t.Errorf("%+v, %v", list, err)
	}
	for _, key := range []string{"aws:ResourceTag/team", "ecr:ResourceTag/team"} {
		c := ecr.NewFromConfig(f.With(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:ListImages","Resource":"*","Condition":{"StringEquals":{"` + key + `":"blue"}}}]}`))
		if _, err := c.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: aws.String("app")}); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		_, err := c.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: aws.String("other")})
		wantError(t, err, "AccessDeniedException: is not authorized to perform: ecr:ListImages on resource: arn:aws:ecr:eu-west-1:111122223333:repository/other because no identity-based policy allows the ecr:ListImages action")
	}
	if _, err := f.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team", "absent"}}); err != nil {
		t.Fatal(err)
	}
	if list, err := f.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: arn}); err != nil || len(list.Tags) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	// Tags at creation need their own permission.
	create := ecr.NewFromConfig(f.With(testkit.Allow("*", "ecr:CreateRepository")))
	_, err = create.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("tagged"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	wantError(t, err, "AccessDeniedException: ecr:TagResource")
	_, err = f.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("1")}}})
	wantError(t, err, "InvalidTagParameterException: aws:")
}

// TestImages puts, lists, describes and deletes images.
func TestImages(t *testing.T) {
	f, ctx := start(t), t.Context()
	f.create("app")
	app := aws.String("app")
	one := f.image("app", "v1", "{}", "one")
	two := f.image("app", "v2", "{}", "two")
	plain := f.image("app", "", "{}", "three")

	_, err := f.PutImage(ctx, &ecr.PutImageInput{RepositoryName: app, ImageTag: aws.String("v1"), ImageManifest: aws.String(manifest("{}", "one"))})
	wantError(t, err, "ImageAlreadyExistsException: Image with digest '"+one+"' and tag 'v1' already exists in the repository with name 'app' in registry with id '111122223333'")
	_, err = f.PutImage(ctx, &ecr.PutImageInput{RepositoryName: app, ImageTag: aws.String("v3"), ImageManifest: aws.String(manifest("{}", "nowhere"))})
	wantError(t, err, "LayersNotFoundException: Layers with digests '["+string(blob.DigestOf([]byte("nowhere")))+"]' required for pushing image into repository with name 'app' in the registry with id '111122223333' do not exist")
	_, err = f.PutImage(ctx, &ecr.PutImageInput{RepositoryName: app, ImageManifest: aws.String(manifest("{}", "one")), ImageDigest: &two})
	wantError(t, err, "ImageDigestDoesNotMatchException: ")
	_, err = f.PutImage(ctx, &ecr.PutImageInput{RepositoryName: app, ImageManifest: aws.String("{"), ImageTag: aws.String("x")})
	wantError(t, err, "InvalidParameterException: Invalid parameter at 'ImageManifest' failed to satisfy constraint")

	var listed []string
	for p := ecr.NewListImagesPaginator(f.Client, &ecr.ListImagesInput{RepositoryName: app, MaxResults: aws.Int32(1)}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range out.ImageIds {
			listed = append(listed, aws.ToString(i.ImageTag)+*i.ImageDigest)
		}
	}
	slices.Sort(listed)
	want := []string{"v1" + one, "v2" + two, plain}
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("listed %v", listed)
	}
	untagged, err := f.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: app, Filter: &types.ListImagesFilter{TagStatus: types.TagStatusUntagged}})
	if err != nil || len(untagged.ImageIds) != 1 || *untagged.ImageIds[0].ImageDigest != plain {
		t.Errorf("untagged: %+v, %v", untagged, err)
	}

	d, err := f.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("v1")}}})
	if err != nil || len(d.ImageDetails) != 1 || *d.ImageDetails[0].ImageSizeInBytes != 5 || !slices.Equal(d.ImageDetails[0].ImageTags, []string{"v1"}) {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = f.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("v9")}}})
	wantError(t, err, "ImageNotFoundException: The image with imageId {imageDigest:'null', imageTag:'v9'} does not exist within the repository with name 'app' in the registry with id '111122223333'")

	got, err := f.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("v1")}, {ImageTag: aws.String("v9")}, {ImageTag: aws.String("v1"), ImageDigest: &two}, {ImageDigest: aws.String("sha256:1")}}})
	if err != nil || len(got.Images) != 1 || *got.Images[0].ImageManifest != manifest("{}", "one") {
		t.Fatalf("%+v, %v", got, err)
	}
	var codes []types.ImageFailureCode
	for _, x := range got.Failures {
		codes = append(codes, x.FailureCode)
	}
	if !slices.Equal(codes, []types.ImageFailureCode{types.ImageFailureCodeImageNotFound, types.ImageFailureCodeImageTagDoesNotMatchDigest, types.ImageFailureCodeInvalidImageDigest}) || *got.Failures[0].FailureReason != "Requested image not found" {
		t.Errorf("failures %v", codes)
	}
	if d, err := f.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{ImageDigest: &one}}}); err != nil || d.ImageDetails[0].LastRecordedPullTime == nil {
		t.Errorf("the pull is not recorded: %+v, %v", d, err)
	}

	// A second tag, then both taken away: the image goes with the last.
	if _, err := f.PutImage(ctx, &ecr.PutImageInput{RepositoryName: app, ImageTag: aws.String("also"), ImageManifest: got.Images[0].ImageManifest}); err != nil {
		t.Fatal(err)
	}
	for i, tag := range []string{"v1", "also"} {
		del, err := f.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{ImageTag: &tag}}})
		if err != nil || len(del.ImageIds) != 1 || len(del.Failures) != 0 {
			t.Fatalf("%+v, %v", del, err)
		}
		g, err := f.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{ImageDigest: &one}}})
		if err != nil || len(g.Images) != 1-i {
			t.Errorf("after %s was deleted: %+v, %v", tag, g, err)
		}
	}
}

// TestMutability moves tags where the repository lets them.
func TestMutability(t *testing.T) {
	f, ctx := start(t), t.Context()
	filter := []types.ImageTagMutabilityExclusionFilter{{FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard, Filter: aws.String("dev-*")}}
	tests := []struct {
		mutability types.ImageTagMutability
		filters    []types.ImageTagMutabilityExclusionFilter
		release    bool // whether the tag v1 may move
		dev        bool // whether the tag dev-1 may
	}{
		{types.ImageTagMutabilityMutable, nil, true, true},
		{types.ImageTagMutabilityImmutable, nil, false, false},
		{types.ImageTagMutabilityImmutableWithExclusion, filter, false, true},
		{types.ImageTagMutabilityMutableWithExclusion, filter, true, false},
	}
	for i, tt := range tests {
		repo := aws.String(fmt.Sprintf("app%d", i))
		f.create(*repo)
		for _, tag := range []string{"v1", "dev-1"} {
			f.image(*repo, tag, "{}", "one")
		}
		f.image(*repo, "", "{}", "two")
		if _, err := f.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: repo, ImageTagMutability: tt.mutability, ImageTagMutabilityExclusionFilters: tt.filters}); err != nil {
			t.Fatal(err)
		}
		for tag, may := range map[string]bool{"v1": tt.release, "dev-1": tt.dev} {
			_, err := f.PutImage(ctx, &ecr.PutImageInput{RepositoryName: repo, ImageTag: &tag, ImageManifest: aws.String(manifest("{}", "two"))})
			if may != (err == nil) {
				t.Errorf("%s, %s: %v", tt.mutability, tag, err)
			} else if err != nil {
				wantError(t, err, "ImageTagAlreadyExistsException: The image tag '"+tag+"' already exists in the '"+*repo+"' repository and cannot be overwritten because the repository is immutable.")
			}
		}
	}
	_, err := f.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: aws.String("app0"), ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion})
	wantError(t, err, "InvalidParameterException: Exclusion filters are required")
}

// TestLayers uploads through the API, and is told what is wrong.
func TestLayers(t *testing.T) {
	f, ctx := start(t), t.Context()
	f.create("app")
	app := aws.String("app")
	d, err := f.upload("app", []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.upload("app", []byte("content"))
	wantError(t, err, "LayerAlreadyExistsException: "+d)
	check, err := f.BatchCheckLayerAvailability(ctx, &ecr.BatchCheckLayerAvailabilityInput{RepositoryName: app, LayerDigests: []string{d, string(blob.DigestOf(nil)), "sha256:1"}})
	if err != nil || len(check.Layers) != 2 || check.Layers[0].LayerAvailability != types.LayerAvailabilityAvailable || *check.Layers[0].LayerSize != 7 ||
		check.Layers[1].LayerAvailability != types.LayerAvailabilityUnavailable || len(check.Failures) != 1 {
		t.Errorf("%+v, %v", check, err)
	}
	_, err = f.GetDownloadUrlForLayer(ctx, &ecr.GetDownloadUrlForLayerInput{RepositoryName: app, LayerDigest: &d})
	wantError(t, err, "LayerInaccessibleException: not associated with an image")
	f.image("app", "v1", "{}", "content")
	out, err := f.GetDownloadUrlForLayer(ctx, &ecr.GetDownloadUrlForLayerInput{RepositoryName: app, LayerDigest: &d})
	if err != nil || !strings.HasPrefix(*out.DownloadUrl, f.URL+service.DownloadPath+d+"?token=") {
		t.Errorf("%+v, %v", out, err)
	}

	up, err := f.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: app})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{RepositoryName: app, UploadId: up.UploadId, LayerDigests: []string{d}})
	wantError(t, err, "EmptyUploadException: The specified layer upload does not contain any layer parts.")
	part := &ecr.UploadLayerPartInput{RepositoryName: app, UploadId: up.UploadId, LayerPartBlob: []byte("abc"), PartFirstByte: aws.Int64(5), PartLastByte: aws.Int64(7)}
	_, err = f.UploadLayerPart(ctx, part)
	var gap *types.InvalidLayerPartException
	if !errors.As(err, &gap) || *gap.LastValidByteReceived != -1 || *gap.UploadId != *up.UploadId {
		t.Errorf("a gap: %v", err)
	}
	part.PartFirstByte = aws.Int64(0)
	_, err = f.UploadLayerPart(ctx, part)
	wantError(t, err, "InvalidParameterException: ")
	part.PartLastByte = aws.Int64(2)
	if _, err = f.UploadLayerPart(ctx, part); err != nil {
		t.Error(err)
	}
	_, err = f.CompleteLayerUpload(ctx, &ecr.CompleteLayerUploadInput{RepositoryName: app, UploadId: up.UploadId, LayerDigests: []string{d}})
	wantError(t, err, "InvalidLayerException: does not match the digest specified")
}

// TestCompleteTogether ends one upload, and many of the same bytes, at once.
// Every conflict makes the operation run again, when its bytes have moved.
func TestCompleteTogether(t *testing.T) {
	f := start(t)
	f.create("app")
	b := bytes.Repeat([]byte("same bytes "), 1000)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = f.upload("app", b) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !strings.HasPrefix(errorText(err), "LayerAlreadyExistsException") {
			t.Error(err)
		}
	}
	if done == 0 {
		t.Error("nobody was first")
	}
}

// TestSweep deletes what nobody uses any more, and nothing else.
func TestSweep(t *testing.T) {
	now := clock.NewFake(time.Now())
	f := start(t, testkit.WithClock(now))
	ctx := context.Background()
	f.create("app")
	f.image("app", "v1", "{}", "kept")
	orphan, err := f.upload("app", []byte("orphan"))
	if err != nil {
		t.Fatal(err)
	}
	part := []byte("part")
	up, err := f.InitiateLayerUpload(ctx, &ecr.InitiateLayerUploadInput{RepositoryName: aws.String("app")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.UploadLayerPart(ctx, &ecr.UploadLayerPartInput{RepositoryName: aws.String("app"), UploadId: up.UploadId, LayerPartBlob: part, PartFirstByte: aws.Int64(0), PartLastByte: aws.Int64(3)}); err != nil {
		t.Fatal(err)
	}
	// Not through HTTP: signatures would be too old.
	root := f.Gateway.For(&session.Principal{Type: session.Root, Account: testkit.Account, ARN: "arn:aws:iam::" + testkit.Account + ":root"})
	availability := func(d string) ecrapi.LayerAvailability {
		t.Helper()
		out, err := gateway.Invoke(ctx, root, gateway.Target{Account: testkit.Account, Region: testkit.Region}, ecrapi.BatchCheckLayerAvailability,
			&ecrapi.BatchCheckLayerAvailabilityInput{RepositoryName: aws.String("app"), LayerDigests: []string{d}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Layers[0].LayerAvailability
	}
	live := func(content string) bool { return service.Live(f.Store.View(ctx))(blob.DigestOf([]byte(content))) }
	sweep := func() {
		t.Helper()
		if err := f.service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if availability(orphan) != ecrapi.LayerAvailabilityAvailable || !live("orphan") || !live("kept") || !live(manifest("{}", "kept")) {
		t.Error("what is new was swept")
	}
	now.Advance(13 * time.Hour)
	sweep()
	if availability(orphan) != ecrapi.LayerAvailabilityUnavailable || !live("orphan") {
		t.Error("a layer that will be swept is offered, or is gone already")
	}
	now.Advance(12 * time.Hour)
	sweep()
	if live("orphan") || !live("kept") || availability(string(blob.DigestOf([]byte("kept")))) != ecrapi.LayerAvailabilityAvailable {
		t.Error("after a day: an orphan is there, or a used layer is gone")
	}
	if left, err := f.Blobs.Uploads(); err != nil || len(left) != 0 {
		t.Errorf("uploads left: %v, %v", left, err)
	}
	if n, _, err := f.Blobs.Collect(ctx, service.Live(f.Store.View(ctx)), 0); err != nil || n != 1 {
		t.Errorf("collected %d blobs, want the orphan alone: %v", n, err)
	}
}

// TestPassword opens what GetAuthorizationToken gave out: the caller, no longer
// than its session.
func TestPassword(t *testing.T) {
	now := clock.NewFake(time.Now())
	f := start(t, testkit.WithClock(now))
	role := f.Role("builder", "", testkit.Allow("*", "ecr:*"))
	password := func(c aws.Config) (string, time.Time) {
		t.Helper()
		out, err := ecr.NewFromConfig(c).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
		if err != nil {
			t.Fatal(err)
		}
		d := out.AuthorizationData[0]
		if *d.ProxyEndpoint != f.URL {
			t.Errorf("proxyEndpoint %s", *d.ProxyEndpoint)
		}
		plain, err := base64.StdEncoding.DecodeString(*d.AuthorizationToken)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(string(plain), "AWS:"), *d.ExpiresAt
	}
	session1 := f.Session("builder", "one", time.Hour)
	issued := now.Now()
	now.Advance(4 * time.Minute)
	one, expires := password(session1)
	if d := expires.Sub(issued); d < 59*time.Minute || d > time.Hour {
		t.Errorf("outlives its session: %v after it was issued", d)
	}
	p, err := f.service.OpenToken(one)
	if err != nil || p.RoleARN != role || p.SessionName != "one" || !p.IssuedAt.Equal(issued.UTC().Truncate(time.Second)) || !strings.HasPrefix(p.AccessKeyID, "ASIA") {
		t.Fatalf("%+v, %v", p, err)
	}
	root, expires := password(f.Root())
	if d := expires.Sub(now.Now()); d > 12*time.Hour || d < 12*time.Hour-2*time.Second {
		t.Errorf("root's lives %v", d)
	}
	if p, err := f.service.OpenToken(root); err != nil || p.Type != session.Root || !p.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	// Of a user's session, here the root user's, the password is no more than it.
	short, err := f.Sealer.Mint(session.Principal{Type: session.Root, Account: testkit.Account, ARN: "arn:aws:iam::" + testkit.Account + ":root", UserID: testkit.Account},
		"ASIAEXAMPLEEXAMPLE22", time.Hour, now.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := f.Root()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(short.AccessKeyID, short.SecretAccessKey, short.SessionToken)
	ofSession, expires := password(cfg)
	if p, err := f.service.OpenToken(ofSession); err != nil || p.Type != session.Root || !p.Temporary() || !p.ExpiresAt.Equal(short.Expiration) || !expires.Equal(short.Expiration) {
		t.Errorf("%+v until %v, %v", p, expires, err)
	}
	f.ended.end("one")
	if _, err := f.service.OpenToken(one); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("of an ended session: %v", err)
	}
	two, _ := password(f.Session("builder", "two", time.Hour))
	f.Delete(role)
	if _, err := f.service.OpenToken(two); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("of a deleted role: %v", err)
	}
	now.Advance(12 * time.Hour)
	if _, err := f.service.OpenToken(root); !errors.Is(err, session.ErrExpired) {
		t.Errorf("after twelve hours: %v", err)
	}
	// A session token is no password, and a password no session token.
	c, err := f.Session("builder", "three", time.Hour).Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.service.OpenToken(c.AccessKeyID + "." + c.SessionToken); !errors.Is(err, session.ErrInvalid) {
		t.Errorf("a session token: %v", err)
	}
}
