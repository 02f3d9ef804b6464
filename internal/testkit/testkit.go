// Package testkit starts the gateway with some services inside a test: a real
// store in a temporary directory, real signatures, a real listener, and
// principals whose policies the test writes down.
//
// It is for the tests of services, which need neither IAM nor containers.
// Package testkit/whole starts everything.
package testkit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/organization"
	"github.com/remit-ecs/remit/internal/seal"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// Account and Region are where tests happen.
const (
	Account = "111122223333"
	Region  = "eu-west-1"

	rootKey = "AKIAROOTROOTROOTROOT"

	rootSecret = "root/secret/of/the/test/kit/1234567890ab"
)

// Registrar is a service.
type Registrar interface{ Register(*gateway.Mux) }

// Kit is a running gateway.
type Kit struct {
	Store   *store.Store
	Blobs   *blob.Store
	Seal    *seal.Keyring
	Sealer  *session.Sealer
	Clock   clock.Clock
	Mux     *gateway.Mux
	Authz   *authz.Authorizer
	Gateway *gateway.Gateway
	URL     string
	Server  *httptest.Server

	t            testing.TB
	organization *organization.Directory // nil: none

	mu    sync.Mutex
	roles map[string][]policy.Attached // identity-based policies by role ARN
	trust map[string]policy.Attached   // trust policies by role ARN
	ids   map[string]string            // unique ids of the roles that exist, by role ARN
	gone  map[string]bool
}

// Option changes the kit before it starts.
type Option func(*Kit)

// WithClock makes the kit use a clock of the test.
func WithClock(c clock.Clock) Option { return func(k *Kit) { k.Clock = c } }

// New starts a gateway with the services that build returns. Everything ends
// with the test.
func New(t testing.TB, build func(k *Kit) []Registrar, opts ...Option) *Kit {
	t.Helper()
	dir := t.TempDir()
	k := &Kit{t: t, Clock: clock.Real, Seal: seal.NewEphemeral(), Mux: gateway.NewMux(), roles: map[string][]policy.Attached{}, trust: map[string]policy.Attached{}, ids: map[string]string{}, gone: map[string]bool{}}
	for _, o := range opts {
		o(k)
	}
	var err error
	if k.Store, err = store.Open(context.Background(), dir+"/state.db", store.Options{Clock: k.Clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Store.Close() })
	if k.Blobs, err = blob.Open(dir + "/blobs"); err != nil {
		t.Fatal(err)
	}
	if k.Sealer, err = session.NewSealer(k.Seal.Derive("sessions", session.KeySize)); err != nil {
		t.Fatal(err)
	}
	k.Authz = &authz.Authorizer{Sources: sources{k}, Resources: map[string]authz.ResourcePolicy{}}
	if k.organization != nil {
		k.Authz.Organizations = k.organization
	}
	k.Gateway = gateway.New(gateway.Config{
		Mode: gateway.Strict, Account: Account, Store: k.Store, Blobs: k.Blobs, Clock: k.Clock, Sealer: k.Sealer,
		Keys: noKeys{}, Authz: k.Authz, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), PageKey: k.Seal.Derive("pages", 32),
		RootKeys: rootKeys(),
		Validate: true,
	}, k.Mux)
	for _, s := range build(k) {
		s.Register(k.Mux)
	}
	k.Server = httptest.NewServer(k.Gateway)
	t.Cleanup(k.Server.Close)
	k.URL = k.Server.URL
	return k
}

// Root is the configuration of the account's root user.
func (k *Kit) Root() aws.Config { return k.config(rootKey, rootSecret, "") }

func (k *Kit) config(key, secret, token string) aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(k.URL),
		Credentials:  credentials.NewStaticCredentialsProvider(key, secret, token),
		// Retries stay on, as every user has them. smithy-go closes the request's
		// body as soon as the answer's head is there; net/http may be looking
		// then whether the body has more bytes, and the WriteTo of a closed body
		// says io.EOF where it means none (transport/http/internal/io), which
		// net/http takes for a failed write: it closes the connection under an
		// answer longer than its first buffer. It happened to 2,088 of 3,000
		// answers of 300 kB from a handler of ten lines, with none of our code.
	}
}

// With is the configuration of a fresh role session whose role has exactly
// these identity-based policies: JSON documents.
func (k *Kit) With(policies ...string) aws.Config {
	k.t.Helper()
	name := "role-" + id.Hex(id.Random, 4)
	k.Role(name, "", policies...)
	return k.Session(name, "session", time.Hour)
}

// WithIn is With for a role of an account.
func (k *Kit) WithIn(account string, policies ...string) aws.Config {
	k.t.Helper()
	name := "role-" + id.Hex(id.Random, 4)
	k.RoleIn(account, name, "", policies...)
	return k.SessionIn(account, name, "session", time.Hour)
}

// Role declares a role of the test's account. An empty trust policy means that
// it is never assumed.
func (k *Kit) Role(name, trust string, policies ...string) (arn string) {
	k.t.Helper()
	return k.RoleIn(Account, name, trust, policies...)
}

// RoleIn declares a role of an account.
func (k *Kit) RoleIn(account, name, trust string, policies ...string) (arn string) {
	k.t.Helper()
	arn = "arn:aws:iam::" + account + ":role/" + name
	var docs []policy.Attached
	for i, p := range policies {
		doc, err := policy.Parse(policy.KindIdentity, []byte(p))
		if err != nil {
			k.t.Fatalf("policy of %s: %v", name, err)
		}
		docs = append(docs, policy.Attached{Layer: policy.LayerIdentity, Name: fmt.Sprintf("policy-%d", i+1), Document: doc})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.roles[arn] = docs
	delete(k.gone, arn)
	k.roleID(arn)
	if trust != "" {
		doc, err := policy.Parse(policy.KindTrust, []byte(trust))
		if err != nil {
			k.t.Fatalf("trust policy of %s: %v", name, err)
		}
		k.trust[arn] = policy.Attached{Layer: policy.LayerTrust, Document: doc}
	}
	return arn
}

// Delete makes a role, and with it its sessions, cease to exist.
func (k *Kit) Delete(arn string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.roles, arn)
	delete(k.trust, arn)
	delete(k.ids, arn)
	k.gone[arn] = true
}

// roleID is the unique id of a role. One that the test did not declare gets
// one, too: sessions can be of roles that are not there.
func (k *Kit) roleID(arn string) string {
	if k.ids[arn] == "" {
		k.ids[arn] = id.Unique(id.Random, "AROA")
	}
	return k.ids[arn]
}

// Principals knows the roles that the test declared, by ids that are new
// whenever a role is declared again after it was deleted.
func (k *Kit) Principals() authz.Principals { return sources{k} }

// Session mints credentials of a declared role.
func (k *Kit) Session(role, sessionName string, ttl time.Duration) aws.Config {
	k.t.Helper()
	return k.SessionIn(Account, role, sessionName, ttl)
}

// SessionIn mints credentials of a declared role of an account.
func (k *Kit) SessionIn(account, role, sessionName string, ttl time.Duration) aws.Config {
	k.t.Helper()
	p := k.PrincipalIn(account, role, sessionName)
	c, err := k.Sealer.Mint(*p, id.AccessKeyID(id.Random, id.Temporary, account), ttl, k.Clock.Now())
	if err != nil {
		k.t.Fatal(err)
	}
	return k.config(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
}

// Principal is a session of a role as the gateway sees it.
func (k *Kit) Principal(role, sessionName string) *session.Principal {
	return k.PrincipalIn(Account, role, sessionName)
}

// PrincipalIn is a session of a role of an account.
func (k *Kit) PrincipalIn(account, role, sessionName string) *session.Principal {
	arn := "arn:aws:iam::" + account + ":role/" + role
	k.mu.Lock()
	defer k.mu.Unlock()
	roleID := k.roleID(arn)
	return &session.Principal{
		Type: session.AssumedRole, Account: account,
		ARN:    "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + sessionName,
		UserID: roleID + ":" + sessionName, RoleARN: arn, RoleName: role, RoleID: roleID, SessionName: sessionName,
	}
}

// Trail reads the audit records of the test's account and region, oldest first.
func (k *Kit) Trail() []*audit.Record {
	k.t.Helper()
	recs, err := k.Store.ReadStream(context.Background(), audit.Stream(Account, Region), 0, 10000)
	if err != nil {
		k.t.Fatal(err)
	}
	out := make([]*audit.Record, len(recs))
	for i, r := range recs {
		if out[i], err = audit.Decode(r.Data); err != nil {
			k.t.Fatal(err)
		}
	}
	return out
}

// Allow is a policy document that allows actions on a resource.
func Allow(resource string, actions ...string) string {
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{
		map[string]any{"Effect": "Allow", "Action": actions, "Resource": resource},
	}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TrustService is a trust policy for an AWS service.
func TrustService(service string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
}

// sources answers from what the test declared.
type sources struct{ k *Kit }

func (s sources) Identity(_ store.Reader, p *session.Principal) authz.Identity {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if s.k.gone[p.RoleARN] {
		return authz.Identity{Gone: true}
	}
	return authz.Identity{Policies: s.k.roles[p.RoleARN]}
}

func (s sources) Trust(_ store.Reader, roleARN string) (*policy.Attached, bool) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	t, ok := s.k.trust[roleARN]
	return &t, ok
}

func (s sources) PrincipalID(_ store.Reader, principalARN string) (string, bool) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	account, rest, isSession := strings.Cut(strings.TrimPrefix(principalARN, "arn:aws:sts::"), ":assumed-role/")
	if !isSession {
		roleID, ok := s.k.ids[principalARN]
		return roleID, ok
	}
	name, sessionName, _ := strings.Cut(rest, "/")
	roleID, ok := s.k.ids["arn:aws:iam::"+account+":role/"+name]
	return roleID + ":" + sessionName, ok && sessionName != ""
}

func (s sources) PrincipalARN(_ store.Reader, _, principalID string) (string, bool) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	roleID, sessionName, isSession := strings.Cut(principalID, ":")
	for arn, of := range s.k.ids {
		if of == roleID && isSession {
			account, name, _ := strings.Cut(strings.TrimPrefix(arn, "arn:aws:iam::"), ":role/")
			return "arn:aws:sts::" + account + ":assumed-role/" + name + "/" + sessionName, true
		} else if of == roleID {
			return arn, true
		}
	}
	return "", false
}

type noKeys struct{}

func (noKeys) User(store.Reader, string, string) (*session.Principal, bool) { return nil, false }

func (noKeys) Key(store.Reader, string) (string, *session.Principal, bool) { return "", nil, false }
