package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/rogpeppe/go-internal/testscript"
)

type serverKey struct{}

// server is the remit serve of one script, and whom the script has been.
type server struct {
	started   bool
	endpoint  string
	root      credentials
	sessions  map[string]credentials
	anonymous bool
}

type credentials struct{ keyID, secret, token string }

// operator is the user whom "as role/NAME" lets assume the role: root cannot
// assume roles, on AWS neither.
const operator = "operator"

const startWithin, stopWithin = 30 * time.Second, 20 * time.Second

func theServer(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

func anonymous(ts *testscript.TestScript) bool { return theServer(ts).anonymous }

// remitServe starts the script's server on a free port and waits until it is
// ready. Its state is temporary, so that it also takes its bridge along when the
// script ends it.
func remitServe(ts *testscript.TestScript, neg bool, args []string) {
	s := theServer(ts)
	if neg || s.started {
		ts.Fatalf("usage: remit-serve [FLAGS], once")
	}
	s.started = true
	all := append([]string{"serve", "--listen", "127.0.0.1:0", "--account", account}, args...)
	if !contains(args, "--runtime") {
		all = append(all, "--runtime", "none")
	}
	cmd := exec.Command(remit, all...)
	cmd.Env = []string{"HOME=" + ts.Getenv("HOME"), "PATH=" + ts.Getenv("PATH"), "AWS_REGION=" + region}
	errs := &lockedBuffer{}
	cmd.Stderr = errs
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ready, ended := make(chan struct{}), make(chan struct{})
	banner := &lockedBuffer{}
	go func() {
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			fmt.Fprintln(banner, sc.Text())
			if sc.Text() == "Ready." {
				close(ready)
			}
		}
		close(ended)
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(stopWithin, func() { _ = cmd.Process.Kill() })
		<-ended
		err := cmd.Wait()
		kill.Stop()
		if text := errs.String(); text != "" {
			ts.Logf("[remit serve said]\n%s", text)
		}
		if err != nil {
			ts.Logf("[remit serve ended: %v]", err)
		}
	})
	select {
	case <-ready:
	case <-ended:
		ts.Fatalf("remit serve ended before it was ready:\n%s%s", banner, errs)
	case <-time.After(startWithin):
		ts.Fatalf("remit serve was not ready within %s:\n%s%s", startWithin, banner, errs)
	}
	ts.Logf("%s", banner)
	env := readEnv(ts)
	s.endpoint = env["AWS_ENDPOINT_URL"]
	s.root = credentials{keyID: env["AWS_ACCESS_KEY_ID"], secret: env["AWS_SECRET_ACCESS_KEY"]}
	for k, v := range env {
		ts.Setenv(k, v)
	}
	ts.Setenv("ENDPOINT", s.endpoint)
	_, hostPort, _ := strings.Cut(s.endpoint, "://")
	ts.Setenv("ENDPOINT_HOST", hostPort)
	s.use(ts, s.root)
}

// readEnv is what `eval "$(remit env)"` would set. remit env looks for the
// default port; the server under test left the same on a port of its own.
func readEnv(ts *testscript.TestScript) map[string]string {
	found, err := filepath.Glob(filepath.Join(ts.Getenv("HOME"), ".cache", "remit", "server-*.json"))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("remit serve left %q for remit env, want one file", found)
	}
	dir := filepath.Join(ts.Getenv("HOME"), "env")
	text, err := os.ReadFile(found[0])
	ts.Check(err)
	ts.Check(os.Mkdir(dir, 0o700))
	ts.Check(os.WriteFile(filepath.Join(dir, "environment.json"), text, 0o600))
	out, err := exec.Command(remit, "env", "--data", dir).Output()
	ts.Check(err)
	env := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if k, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			env[k] = strings.Trim(v, "'")
		}
	}
	if env["AWS_ENDPOINT_URL"] == "" {
		ts.Fatalf("remit env printed no endpoint:\n%s", out)
	}
	return env
}

func (s *server) use(ts *testscript.TestScript, c credentials) {
	s.anonymous = false
	ts.Setenv("AWS_ACCESS_KEY_ID", c.keyID)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", c.secret)
	ts.Setenv("AWS_SESSION_TOKEN", c.token)
}

func (s *server) config(c credentials) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(s.endpoint),
		Credentials: awscredentials.NewStaticCredentialsProvider(c.keyID, c.secret, c.token),
	}
}

// become changes whose credentials the script has. A role's trust policy has to
// let the account (arn:aws:iam::ACCOUNT:root) or user/operator assume it; a
// user gets an access key.
func become(ts *testscript.TestScript, neg bool, args []string) {
	s := theServer(ts)
	if neg || len(args) != 1 || !s.started {
		ts.Fatalf("usage, after remit-serve: as root | role/NAME | user/NAME | anybody")
	}
	switch kind, name, _ := strings.Cut(args[0], "/"); {
	case args[0] == "root":
		s.use(ts, s.root)
	case args[0] == "anybody":
		s.anonymous = true
	case kind == "user" && name != "":
		c, err := s.user(name)
		ts.Check(err)
		s.use(ts, c)
	case kind == "role" && name != "":
		c, err := s.role(name)
		ts.Check(err)
		s.use(ts, c)
	default:
		ts.Fatalf("as %s: not root, role/NAME, user/NAME or anybody", args[0])
	}
}

func (s *server) user(name string) (credentials, error) {
	if c, ok := s.sessions["user/"+name]; ok {
		return c, nil
	}
	out, err := iam.NewFromConfig(s.config(s.root)).CreateAccessKey(context.Background(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		return credentials{}, err
	}
	c := credentials{keyID: *out.AccessKey.AccessKeyId, secret: *out.AccessKey.SecretAccessKey}
	s.sessions["user/"+name] = c
	return c, nil
}

func (s *server) role(name string) (credentials, error) {
	if c, ok := s.sessions["role/"+name]; ok {
		return c, nil
	}
	by, err := s.operator()
	if err != nil {
		return credentials{}, err
	}
	out, err := sts.NewFromConfig(s.config(by)).AssumeRole(context.Background(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::" + account + ":role/" + name), RoleSessionName: aws.String("script"),
	})
	if err != nil {
		return credentials{}, err
	}
	c := credentials{*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken}
	s.sessions["role/"+name] = c
	return c, nil
}

// operator makes the user who may assume every role that trusts the account.
func (s *server) operator() (credentials, error) {
	if c, ok := s.sessions["user/"+operator]; ok {
		return c, nil
	}
	ctx, root := context.Background(), iam.NewFromConfig(s.config(s.root))
	if _, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String(operator)}); err != nil {
		return credentials{}, err
	}
	_, err := root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: aws.String(operator), PolicyName: aws.String("assume-roles"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`),
	})
	if err != nil {
		return credentials{}, err
	}
	return s.user(operator)
}

// lockedBuffer collects what a process writes while others read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
