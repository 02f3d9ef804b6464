package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/remit-ecs/remit/internal/registry"
	service "github.com/remit-ecs/remit/internal/service/ecr"
	"github.com/remit-ecs/remit/internal/testkit"
)

// fixture is the gateway and the registry behind one address.
type fixture struct {
	*testkit.Kit
	t       *testing.T
	service *service.Service
	server  *httptest.Server
}

func start(t *testing.T, opts ...testkit.Option) *fixture {
	f := &fixture{t: t}
	f.Kit = testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		f.service = service.New(service.Config{Store: k.Store, Blobs: k.Blobs, Keys: k.Seal, Clock: k.Clock, Sources: k.Authz.Sources, Principals: k.Principals()})
		k.Authz.Resources["ecr"] = f.service.ResourcePolicy
		return []testkit.Registrar{f.service}
	}, opts...)
	images := registry.New(f.Gateway, f.service, slog.New(slog.NewTextHandler(t.Output(), nil)))
	mux := http.NewServeMux()
	mux.Handle("/v2/", images)
	mux.Handle("/", f.Gateway)
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fixture) client(c aws.Config) *ecr.Client {
	c.BaseEndpoint = aws.String(f.server.URL)
	return ecr.NewFromConfig(c)
}

// repository creates a repository and returns what images in it are called.
func (f *fixture) repository(repo string) name.Repository {
	f.t.Helper()
	out, err := f.client(f.Root()).CreateRepository(f.t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &repo})
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := name.NewRepository(*out.Repository.RepositoryUri, name.Insecure)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// password asks for a registry password.
func (f *fixture) password(c aws.Config) string {
	f.t.Helper()
	out, err := f.client(c).GetAuthorizationToken(f.t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		f.t.Fatal(err)
	}
	return decode(f.t, *out.AuthorizationData[0].AuthorizationToken)
}

// decode takes an authorization token apart.
func decode(t *testing.T, token string) string {
	t.Helper()
	plain, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(string(plain), ":")
	if user != "AWS" {
		t.Fatalf("user %q", user)
	}
	return password
}

func (f *fixture) auth(c aws.Config) remote.Option { return withPassword(f.password(c)) }

func withPassword(p string) remote.Option {
	return remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: "AWS", Password: p}))
}

// arnOf is the ARN of a repository of the test.
func arnOf(repo string) string {
	return "arn:aws:ecr:" + testkit.Region + ":" + testkit.Account + ":repository/" + repo
}

// TestPushAndPull takes an image through its life with a client that others
// use.
func TestPushAndPull(t *testing.T) {
	f := start(t)
	repo := f.repository("team/app")
	if want := strings.TrimPrefix(f.server.URL, "http://") + "/" + testkit.Account + ".dkr.ecr." + testkit.Region + ".amazonaws.com/team/app"; repo.Name() != want {
		t.Fatalf("repositoryUri %s, want %s", repo.Name(), want)
	}
	auth := f.auth(f.Root())
	img, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"v1", "v2", "v1"} { // the third push finds everything there
		if err := remote.Write(repo.Tag(tag), img, auth); err != nil {
			t.Fatalf("push %s: %v", tag, err)
		}
	}
	back, err := remote.Image(repo.Tag("v2"), auth)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Errorf("what was pulled: %v", err)
	}
	tags, err := remote.List(repo, auth, remote.WithPageSize(1))
	if err != nil || !slices.Equal(tags, []string{"v1", "v2"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(repo.Tag("v1"), auth); err != nil {
		t.Error(err)
	}
	if _, err := remote.Head(repo.Digest(digest.String()), auth); err != nil {
		t.Errorf("one of two tags was deleted, and the image is gone: %v", err)
	}
	if err := remote.Delete(repo.Digest(digest.String()), auth); err != nil {
		t.Error(err)
	}
	if _, err := remote.Get(repo.Tag("v2"), auth); !refused(err, http.StatusNotFound, "MANIFEST_UNKNOWN", "Requested image not found") {
		t.Errorf("after it was deleted: %v", err)
	}
	gone := repo.Registry.Repo(testkit.Account+".dkr.ecr."+testkit.Region+".amazonaws.com", "nowhere")
	if _, err := remote.Get(gone.Tag("v1"), auth); !refused(err, http.StatusNotFound, "NAME_UNKNOWN", "The repository with name 'nowhere' does not exist in the registry with id '"+testkit.Account+"'") {
		t.Errorf("no such repository: %v", err)
	}
}

// refused tells whether err is this refusal of the registry.
func refused(err error, status int, code, text string) bool {
	var e *transport.Error
	if !errors.As(err, &e) || e.StatusCode != status {
		return false
	}
	return len(e.Errors) == 1 && string(e.Errors[0].Code) == code && strings.Contains(e.Errors[0].Message, text)
}

// TestRolesBind pulls with roles that lack one permission each, and reads AWS's
// words in what the client shows.
func TestRolesBind(t *testing.T) {
	f := start(t)
	repo := f.repository("app")
	img, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("v1"), img, f.auth(f.Root())); err != nil {
		t.Fatal(err)
	}
	pull := []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
	token := testkit.Allow("*", "ecr:GetAuthorizationToken")

	full := f.auth(f.With(token, testkit.Allow(arnOf("app"), pull...)))
	back, err := remote.Image(repo.Tag("v1"), full)
	if err == nil {
		err = validate.Image(back)
	}
	if err != nil {
		t.Fatalf("with the least that is needed: %v", err)
	}

	_, err = f.client(f.With(testkit.Allow(arnOf("app"), pull...))).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err == nil || !strings.Contains(err.Error(), "is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action") {
		t.Errorf("without GetAuthorizationToken: %v", err)
	}

	// get fetches all of the image. Small manifests are fetched with the tag.
	get := func(o remote.Option) error {
		img, err := remote.Image(repo.Tag("v1"), o)
		if err != nil {
			return err
		}
		return validate.Image(img)
	}
	for _, missing := range pull {
		role := f.With(token, testkit.Allow(arnOf("app"), slices.DeleteFunc(slices.Clone(pull), func(a string) bool { return a == missing })...))
		err := get(f.auth(role))
		want := "is not authorized to perform: " + missing + " on resource: " + arnOf("app") + " because no identity-based policy allows the " + missing + " action"
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "User: arn:aws:sts::"+testkit.Account+":assumed-role/") {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	if err := get(f.auth(f.With(token, testkit.Allow(arnOf("other"), pull...)))); err == nil || !strings.Contains(err.Error(), "ecr:BatchGetImage on resource: "+arnOf("app")) {
		t.Errorf("with the rights to another repository: %v", err)
	}

	// A push needs these, and no more.
	push := []string{"ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:BatchGetImage"}
	other, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, missing := range push[1:5] {
		role := f.With(token, testkit.Allow(arnOf("app"), slices.DeleteFunc(slices.Clone(push), func(a string) bool { return a == missing })...))
		err := remote.Write(repo.Tag("v2"), other, f.auth(role))
		if !refused(err, http.StatusForbidden, "DENIED", "is not authorized to perform: "+missing+" on resource: "+arnOf("app")) {
			t.Errorf("push without %s: %v", missing, err)
		}
	}
	if err := remote.Write(repo.Tag("v2"), other, f.auth(f.With(token, testkit.Allow(arnOf("app"), push...)))); err != nil {
		t.Errorf("push with the least that is needed: %v", err)
	}

	// Every verb is in the trail, under the name of who pulled.
	seen := map[string]bool{}
	for _, r := range f.Trail() {
		if r.ErrorCode == "" && r.UserIdentity.Type == "AssumedRole" {
			seen[r.EventName] = true
		}
	}
	for _, op := range []string{"GetAuthorizationToken", "BatchGetImage", "GetDownloadUrlForLayer", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"} {
		if !seen[op] {
			t.Errorf("the trail has no %s", op)
		}
	}
}

// TestPasswords holds a password to the principal that asked for it.
func TestPasswords(t *testing.T) {
	f := start(t)
	repo := f.repository("app")
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("v1"), img, f.auth(f.Root())); err != nil {
		t.Fatal(err)
	}
	all := testkit.Allow("*", "ecr:*")
	role := f.Role("puller", "", all)
	good := f.password(f.Session("puller", "session", time.Hour))
	head := func(password string) error {
		_, err := remote.Get(repo.Tag("v1"), withPassword(password))
		return err
	}
	if err := head(good); err != nil {
		t.Fatal(err)
	}
	forged := []byte(good)
	forged[len(forged)/2] ^= 1
	for what, password := range map[string]string{"forged": string(forged), "empty": "", "other's key": "AKIAAAAAAAAAAAAAAAAA" + good[strings.Index(good, "."):], "text": "secret"} {
		if err := head(password); !refused(err, http.StatusUnauthorized, "UNAUTHORIZED", "") {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.Role("puller", "", testkit.Allow("*", "ecr:GetAuthorizationToken")) // the policies of now
	if err := head(good); !refused(err, http.StatusForbidden, "DENIED", "ecr:BatchGetImage") {
		t.Errorf("after the policy was taken away: %v", err)
	}
	f.Role("puller", "", all)
	if err := head(good); err != nil {
		t.Errorf("after it was given back: %v", err)
	}
	f.Delete(role)
	if err := head(good); !refused(err, http.StatusUnauthorized, "UNAUTHORIZED", "") {
		t.Errorf("after the role was deleted: %v", err)
	}
}

// TestChallenge is what an engine meets first.
func TestChallenge(t *testing.T) {
	f := start(t)
	resp, err := http.Get(f.server.URL + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want := `Basic realm="` + f.server.URL + `/",service="ecr.amazonaws.com"`
	if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != want || resp.Header.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, f.server.URL+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("AWS", f.password(f.Root()))
	resp, err = http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("with the password: %s", resp.Status)
	}
}
