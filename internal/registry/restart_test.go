package registry_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/registry"
	"github.com/remit-ecs/remit/internal/seal"
	service "github.com/remit-ecs/remit/internal/service/ecr"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/internal/testkit"
	"github.com/remit-ecs/remit/policy"
)

// nobody is the policies of an account that has only its root user.
type nobody struct{}

func (nobody) Identity(store.Reader, *session.Principal) authz.Identity {
	return authz.Identity{Gone: true}
}
func (nobody) Trust(store.Reader, string) (*policy.Attached, bool) { return nil, false }

// boot starts a registry over a directory; stop ends it as a shutdown does.
func boot(t *testing.T, dir string) (root *gateway.Invoker, server *httptest.Server, stop func()) {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(dir, "state.db"), store.Options{Clock: clock.Real})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s := service.New(service.Config{Store: st, Blobs: blobs, Keys: keys, Clock: clock.Real, Sources: nobody{}})
	m := gateway.NewMux()
	s.Register(m)
	g := gateway.New(gateway.Config{
		Mode: gateway.Strict, Account: testkit.Account, Store: st, Blobs: blobs, Clock: clock.Real,
		Authz: &authz.Authorizer{Sources: nobody{}}, Log: log, PageKey: keys.Derive("pages", 32),
	}, m)
	server = httptest.NewServer(registry.New(g, s, log))
	root = g.For(&session.Principal{Type: session.Root, Account: testkit.Account, ARN: "arn:aws:iam::" + testkit.Account + ":root", UserID: testkit.Account})
	return root, server, func() { server.Close(); _ = st.Close() }
}

// TestRestart finds images, passwords and unfinished uploads again.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	root, server, stop := boot(t, dir)
	target := gateway.Target{Account: testkit.Account, Region: testkit.Region}
	if _, err := gateway.Invoke(t.Context(), root, target, ecrapi.CreateRepository, &ecrapi.CreateRepositoryInput{RepositoryName: api.Ptr("app")}); err != nil {
		t.Fatal(err)
	}
	token, err := gateway.Invoke(t.Context(), root, target, ecrapi.GetAuthorizationToken, &ecrapi.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(token.AuthorizationData[0].ExpiresAt.Time); left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("the password lives %v", left)
	}
	e := &engine{t: t, server: server.URL, password: decode(t, *token.AuthorizationData[0].AuthorizationToken)}
	digest := e.image("app", "v1", []byte("{}"), []byte("layer"))
	b := []byte("half of a layer, and half of a layer")
	at := e.begin("app")
	e.want(http.StatusAccepted, e.do("PATCH", at, strings.NewReader(string(b[:10]))))
	stop()

	_, server, stop = boot(t, dir)
	defer stop()
	e.server = server.URL
	if a := e.want(200, e.do("GET", base("app")+"/manifests/v1", nil)); a.Header.Get("Docker-Content-Digest") != digest {
		t.Errorf("after the restart v1 is %s", a.Header.Get("Docker-Content-Digest"))
	}
	e.want(200, e.do("GET", base("app")+"/blobs/"+digestOf([]byte("layer")), nil))
	if a := e.want(204, e.do("GET", at, nil)); a.Header.Get("Range") != "0-9" {
		t.Errorf("the upload is at %s", a.Header.Get("Range"))
	}
	e.want(201, e.do("PUT", with(at, digestOf(b)), strings.NewReader(string(b[10:]))))
}
