package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/remit-ecs/remit/internal/agent/metadata"
	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/sigv4"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// TestRatioGetCallerIdentity is the cheapest call that goes the whole path:
// signature, session, policy engine, and an audit record that is committed
// before the answer leaves.
func TestRatioGetCallerIdentity(t *testing.T) {
	s := whole.Start(t, func(o *controlplane.Options) { o.Validate = false })
	requests := signed(t, s, s.With(), "sts", "Action=GetCallerIdentity&Version=2011-06-15")
	hold(t,
		&target{name: "GetCallerIdentity, strict, audited", address: strings.TrimPrefix(s.Endpoint(), "http://"), requests: requests, answer: []byte("assumed-role/")},
		trivial(t, requests), 0.35)
}

// TestRatioGetRole is a call that policies decide: the role's own allows it, by
// the second of two statements.
func TestRatioGetRole(t *testing.T) {
	s := whole.Start(t, func(o *controlplane.Options) { o.Validate = false })
	caller := s.With(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"},
		{"Effect":"Allow","Action":"iam:Get*","Resource":"arn:aws:iam::` + whole.Account + `:role/bench","Condition":{"StringEquals":{"aws:PrincipalAccount":"` + whole.Account + `"}}}]}`)
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	name := "bench"
	if _, err := iam.NewFromConfig(s.Root()).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}); err != nil {
		t.Fatal(err)
	}
	requests := signed(t, s, caller, "iam", "Action=GetRole&RoleName=bench&Version=2010-05-08")
	hold(t,
		&target{name: "GetRole, strict, audited", address: strings.TrimPrefix(s.Endpoint(), "http://"), requests: requests, answer: []byte(":role/bench")},
		trivial(t, requests), 0.25)
}

// signed are requests of a query service, one for each connection, signed once.
func signed(t *testing.T, s *whole.System, config aws.Config, service, body string) [][]byte {
	t.Helper()
	keys, err := config.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	var requests [][]byte
	for i := range connections {
		r, err := http.NewRequest(http.MethodPost, s.Endpoint()+"/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		r.Header.Set("User-Agent", fmt.Sprintf("remit-bench/%d", i))
		sigv4.Sign(r, sigv4.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken},
			service, whole.Region, time.Now(), hex.EncodeToString(sum[:]))
		requests = append(requests, raw(t, r))
	}
	return requests
}

// TestRatioCredentials is what a task's SDK asks for its role's keys. The
// endpoint answers each task 40 times a second, so there are many tasks.
func TestRatioCredentials(t *testing.T) {
	const id = "0f2e4ba8-7f0e-4c38-8ad3-1f8ad67ccd31"
	const tasks = 8000
	handlers := make([]http.Handler, tasks)
	for i := range handlers {
		task := metadata.NewTask(fmt.Sprintf("arn:aws:ecs:us-east-1:111122223333:task/bench/%032x", i))
		err := task.SetCredentials(metadata.TaskApplication, metadata.Credentials{
			ID: id, RoleARN: "arn:aws:iam::111122223333:role/ordersTask",
			AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			SessionToken: strings.Repeat("t", 700), Expiration: time.Now().Add(6 * time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		handlers[i] = task.Handler()
	}
	var next atomic.Int64
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers[next.Add(1)%tasks].ServeHTTP(w, r)
	})}
	r, err := http.NewRequest(http.MethodGet, "http://169.254.170.2/v2/credentials/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	requests := [][]byte{raw(t, r)}
	hold(t,
		&target{name: "credentials endpoint", address: listen(t, server), requests: requests, answer: []byte("ASIAIOSFODNN7EXAMPLE")},
		trivial(t, requests), 0.8)
}
