package registry_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/testkit"
)

// TestPullAcrossAccounts pulls by a reference into another account's registry:
// the repository's policy and the puller's own both have to allow.
func TestPullAcrossAccounts(t *testing.T) {
	f := start(t)
	repo := f.repository("orders")
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	as := func(c aws.Config) remote.Option {
		return remote.WithAuth(&authn.Basic{Username: "AWS", Password: f.password(c)})
	}
	if err := remote.Write(repo.Tag("v1"), img, as(f.Root())); err != nil {
		t.Fatal(err)
	}
	pull := func(c aws.Config) error {
		got, err := remote.Image(repo.Tag("v1"), as(c))
		if err == nil {
			_, err = got.Digest()
		}
		if err == nil {
			layers, _ := got.Layers()
			_, err = layers[0].Compressed()
		}
		return err
	}
	const actions = `["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]`
	login := testkit.Allow("*", "ecr:GetAuthorizationToken")
	may := f.WithIn(testkit.Other, login, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":`+actions+`,"Resource":"*"}}`)
	mayNot := f.WithIn(testkit.Other, login)
	if err := pull(may); err == nil {
		t.Error("pulled without the repository's policy")
	}
	_, err = f.client(f.Root()).SetRepositoryPolicy(t.Context(), &ecr.SetRepositoryPolicyInput{
		RepositoryName: aws.String("orders"),
		PolicyText:     aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + testkit.Other + `"},"Action":` + actions + `}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := pull(may); err != nil {
		t.Errorf("both sides allow: %v", err)
	}
	if err := pull(mayNot); err == nil {
		t.Error("pulled without a policy of the puller's own")
	}
	if err := remote.Write(repo.Tag("v2"), img, as(may)); err == nil {
		t.Error("pushed what the policy lets pull")
	}
}

// TestNoPagesWithoutSignatures: where passwords are not checked, a page in a
// browser could push.
func TestNoPagesWithoutSignatures(t *testing.T) {
	f := start(t)
	f.Gateway.Mode = gateway.Off
	for origin, want := range map[string]int{"": http.StatusOK, "http://evil.example": http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.server.URL+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("AWS", "anything")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("Origin %q: %s, want %d", origin, res.Status, want)
		}
	}
}
