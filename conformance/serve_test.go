package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// region is where servers under test are: the default of remit serve.
const region = "us-east-1"

// machineDir is what a server takes from its machine: where it leaves its
// environment for remit env, and where temporary data directories lie. A test
// has its own, so that no server sweeps another test's.
type machineDir string

func newMachineDir(t *testing.T) machineDir {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"tmp", "cache"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return machineDir(dir)
}

func (d machineDir) environ() []string {
	return append(os.Environ(), "TMPDIR="+filepath.Join(string(d), "tmp"), "XDG_CACHE_HOME="+filepath.Join(string(d), "cache"))
}

// temporary lists the temporary data directories of servers on this machine.
func (d machineDir) temporary(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(string(d), "tmp", "remit-data-*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// server is a running remit serve.
type server struct {
	t        *testing.T
	dir      machineDir
	cmd      *exec.Cmd
	banner   []string // without "Ready."
	endpoint string
	port     string
	keyID    string
	secret   string
	client   *http.Client // nil: the SDK's own

	mu     sync.Mutex
	stderr bytes.Buffer
	ended  chan struct{} // closed when the process is gone
}

// Write collects what the server says on stderr.
func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(p)
}

func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// startServer runs remit serve on a free port and returns when it is ready.
// It ends with the test, if it still runs then.
func startServer(t *testing.T, dir machineDir, args ...string) *server {
	t.Helper()
	return startServerEnv(t, dir, nil, args...)
}

func startServerEnv(t *testing.T, dir machineDir, env []string, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, ended: make(chan struct{})}
	s.cmd = exec.Command(remit, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Env = append(dir.environ(), env...)
	s.cmd.Stderr = s
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			lines <- sc.Text()
		}
		_ = s.cmd.Wait()
		close(lines)
		close(s.ended)
	}()
	t.Cleanup(func() {
		// Killed, it would leave its bridge and firewall table to the machine.
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(8 * time.Second):
			s.kill()
		}
		if t.Failed() {
			t.Logf("remit serve %s said:\n%s", strings.Join(args, " "), s.said())
		}
	})
	late := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("remit serve %v ended: %s\n%s", args, s.cmd.ProcessState, s.said())
			}
			if line == "Ready." {
				go func() {
					for range lines { // nothing more is expected
					}
				}()
				s.findItself()
				return s
			}
			s.banner = append(s.banner, line)
		case <-late:
			t.Fatalf("remit serve %v is not ready after 30 s:\n%s\n%s", args, strings.Join(s.banner, "\n"), s.said())
		}
	}
}

var atLine = regexp.MustCompile(`^Remit \S+ at (https?://\S+), account ([0-9]{12})$`)

// findItself reads where the server is and its root key, as remit env does.
func (s *server) findItself() {
	s.t.Helper()
	m := atLine.FindStringSubmatch(s.banner[0])
	if m == nil {
		s.t.Fatalf("the banner begins %q", s.banner[0])
	}
	s.endpoint = m[1]
	u, err := url.Parse(s.endpoint)
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = u.Port()
	text, err := os.ReadFile(s.envFile())
	if err != nil {
		s.t.Fatal(err)
	}
	var e struct {
		Endpoint, Region, Account string
		Keys                      map[string]struct{ AccessKeyID, SecretAccessKey string }
	}
	if err := json.Unmarshal(text, &e); err != nil || e.Endpoint != s.endpoint || e.Region != region || e.Account != m[2] || e.Keys[m[2]].AccessKeyID == "" {
		s.t.Fatalf("%s: %v", s.envFile(), err)
	}
	s.keyID, s.secret = e.Keys[m[2]].AccessKeyID, e.Keys[m[2]].SecretAccessKey
}

func (s *server) envFile() string {
	return filepath.Join(string(s.dir), "cache", "remit", "server-"+s.port+".json")
}

// kill ends the server as a power failure would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// stop asks the server to end, and returns how long it took and its status.
func (s *server) stop() (time.Duration, int) {
	s.t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		s.t.Fatalf("still running 20 s after SIGTERM\n%s", s.said())
	}
	return time.Since(began), s.cmd.ProcessState.ExitCode()
}

// root is the configuration of the account's root user.
func (s *server) root() aws.Config { return s.as(s.keyID, s.secret, "") }

// as is the configuration of whoever has these keys.
func (s *server) as(keyID, secret, token string) aws.Config {
	c := aws.Config{
		Region: region, BaseEndpoint: aws.String(s.endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, token),
	}
	if s.client != nil {
		c.HTTPClient = s.client
	}
	return c
}

// whoAmI is the caller's ARN.
func whoAmI(t *testing.T, c aws.Config) string {
	t.Helper()
	me, err := sts.NewFromConfig(c).GetCallerIdentity(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(me.Arn)
}

// noTasks keeps a server from preparing anything to run tasks with.
var noTasks = []string{"--runtime", "none"}

// TestServeBanner has every line that tells a person what holds here.
func TestServeBanner(t *testing.T) {
	dir := newMachineDir(t)
	data := filepath.Join(t.TempDir(), "state")
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{noTasks, []string{
			`^Remit \S+ at http://127\.0\.0\.1:[0-9]+, account 000000000000$`,
			`^IAM: strict \(roles bind\)$`,
			`^Signatures: verified \(SigV4\)$`,
			`^Bypasses: none$`,
			`^Tasks: none run here$`,
			`^State: temporary, removed at exit \(--data DIR keeps it\)$`,
		}},
		{append([]string{"--iam", "soft", "--allow-reset", "--account", "123456789012", "--data", data}, noTasks...), []string{
			`^Remit \S+ at http://127\.0\.0\.1:[0-9]+, account 123456789012$`,
			`^IAM: soft \(WHAT WOULD BE DENIED IS RECORDED AND ALLOWED\)$`,
			`^Signatures: verified \(SigV4\)$`,
			`^Bypasses: POST /_remit/reset empties all state, unsigned$`,
			`^Tasks: none run here$`,
			`^State: ` + regexp.QuoteMeta(data) + `$`,
		}},
		{append([]string{"--iam", "off"}, noTasks...), []string{
			`^Remit \S+ at`,
			`^IAM: off \(NOTHING IS ENFORCED\)$`,
			`^Signatures: NOT VERIFIED: any key is the account's root$`,
			`^Bypasses: none$`,
			`^Tasks: none run here$`,
			`^State: temporary`,
		}},
	} {
		s := startServer(t, dir, tc.args...)
		if len(s.banner) != len(tc.want) {
			t.Errorf("%v: %d lines, want %d:\n%s", tc.args, len(s.banner), len(tc.want), strings.Join(s.banner, "\n"))
			continue
		}
		for i, want := range tc.want {
			if !regexp.MustCompile(want).MatchString(s.banner[i]) {
				t.Errorf("%v: line %d is %q, want %s", tc.args, i, s.banner[i], want)
			}
		}
		res, err := http.Get(s.endpoint + "/_remit/health")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || !bytes.Contains(body, []byte(`"status":"running"`)) {
			t.Errorf("health: %d %s", res.StatusCode, body)
		}
		if took, code := s.stop(); code != 0 || took > 5*time.Second {
			t.Errorf("%v: status %d after %v\n%s", tc.args, code, took, s.said())
		}
		if left := dir.temporary(t); len(left) > 0 {
			t.Errorf("%v: left behind %v", tc.args, left)
		}
	}
}

// TestServeEnv is what a person types after remit serve.
func TestServeEnv(t *testing.T) {
	dir := newMachineDir(t)
	env := "remit env"
	args := noTasks
	// The server on the default port is the one that remit env finds by itself.
	if l, err := net.Listen("tcp", "127.0.0.1:4566"); err == nil {
		l.Close()
		args = append([]string{"--listen", "127.0.0.1:4566"}, args...)
	} else {
		t.Log("port 4566 is taken on this machine: remit env is told the data directory instead of finding the default port")
		data := t.TempDir()
		env, args = "remit env --data "+data, append([]string{"--data", data}, args...)
	}
	s := startServer(t, dir, args...)
	info, err := os.Stat(s.envFile())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v", s.envFile(), info.Mode())
	}
	sh := func(script string) string {
		t.Helper()
		c := exec.Command("sh", "-euc", script)
		c.Env = append(dir.environ(), "PATH="+filepath.Dir(remit)+":"+os.Getenv("PATH"),
			// What an earlier session left in the environment must not win.
			"AWS_SESSION_TOKEN=stale", "AWS_PROFILE=nobody", "AWS_EC2_METADATA_DISABLED=true",
			"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("sh -c %q: %v\n%s", script, err, out)
		}
		return string(out)
	}
	got := sh(`eval "$(` + env + `)"; echo "$AWS_ENDPOINT_URL $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $AWS_REGION $AWS_DEFAULT_REGION ${AWS_SESSION_TOKEN-} ${AWS_PROFILE-}"`)
	if want := strings.Join([]string{s.endpoint, s.keyID, s.secret, region, region}, " "); strings.TrimSpace(got) != want {
		t.Error("the shell has other variables than the server's")
	}
	if _, err := exec.LookPath("aws"); err != nil {
		t.Log("the aws command is not installed: remit env was not tried with it")
	} else {
		got = sh(`eval "$(` + env + `)"; aws --endpoint-url "$AWS_ENDPOINT_URL" sts get-caller-identity --output text --query Arn`)
		if strings.TrimSpace(got) != "arn:aws:iam::000000000000:root" {
			t.Errorf("the aws command is %q", got)
		}
	}
	if _, code := s.stop(); code != 0 {
		t.Errorf("status %d", code)
	}
	if _, err := os.Stat(s.envFile()); !os.IsNotExist(err) {
		t.Errorf("%s outlived its server: %v", s.envFile(), err)
	}
}

// TestServeRootKey is given the root's key instead of making one.
func TestServeRootKey(t *testing.T) {
	const keyID, secret = "AKIAROOTOFTESTSERVER", "a-secret-that-is-long-enough-for-tests"
	s := startServerEnv(t, newMachineDir(t), []string{"REMIT_ROOT_ACCESS_KEY_ID=" + keyID, "REMIT_ROOT_SECRET_ACCESS_KEY=" + secret}, noTasks...)
	if s.keyID != keyID || s.secret != secret {
		t.Error("the server has another root key than the one it was given")
	}
	if got := whoAmI(t, s.as(keyID, secret, "")); got != "arn:aws:iam::000000000000:root" {
		t.Error(got)
	}
	if _, err := sts.NewFromConfig(s.as(keyID, secret+"x", "")).GetCallerIdentity(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("another secret: %v", err)
	}
}

// TestServeOff takes any key, and one of 12 digits as an account.
func TestServeOff(t *testing.T) {
	s := startServer(t, newMachineDir(t), append([]string{"--iam", "off"}, noTasks...)...)
	if got := whoAmI(t, s.as("123456789012", "nonsense", "")); got != "arn:aws:iam::123456789012:root" {
		t.Error(got)
	}
	if got := whoAmI(t, s.as("test", "test", "")); got != "arn:aws:iam::000000000000:root" {
		t.Error(got)
	}
	// What two accounts have is two things.
	ctx := t.Context()
	if _, err := ecs.NewFromConfig(s.as("123456789012", "x", "")).CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String("theirs")}); err != nil {
		t.Fatal(err)
	}
	if out, err := ecs.NewFromConfig(s.as("test", "x", "")).ListClusters(ctx, nil); err != nil || len(out.ClusterArns) != 0 {
		t.Errorf("%v %v", out, err)
	}
}

// TestServeTLS serves https with a certificate made here.
func TestServeTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "remit test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{cert: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startServer(t, newMachineDir(t), append([]string{"--tls-cert", cert, "--tls-key", keyFile}, noTasks...)...)
	if !strings.HasPrefix(s.endpoint, "https://") {
		t.Errorf("endpoint %s", s.endpoint)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if got := whoAmI(t, s.root()); got != "arn:aws:iam::000000000000:root" {
		t.Error(got)
	}
	if res, err := http.Get("http://127.0.0.1:" + s.port + "/_remit/health"); err == nil {
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			t.Error("plain http is served on the https port")
		}
	}
}

// TestServeRefuses starts what must not start, and wants to be told why.
func TestServeRefuses(t *testing.T) {
	dir := newMachineDir(t)
	data := t.TempDir()
	s := startServer(t, dir, append([]string{"--data", data}, noTasks...)...)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"plain http off loopback":  {[]string{"--listen", "0.0.0.0:0"}, `not loopback.*--tls-cert.*--insecure-http`},
		"plain http on every host": {[]string{"--listen", ":0"}, `not loopback`},
		"a port in use":            {[]string{"--listen", "127.0.0.1:" + s.port}, `127\.0\.0\.1:` + s.port + `.*address already in use`},
		"a data directory in use":  {[]string{"--listen", "127.0.0.1:0", "--data", data}, regexp.QuoteMeta(data) + ` is in use by another remit`},
		"half of TLS":              {[]string{"--listen", "127.0.0.1:0", "--tls-cert", "x"}, `belong together`},
		"no certificate":           {[]string{"--listen", "127.0.0.1:0", "--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem"}, `/nowhere/c\.pem`},
		"another account's data":   {[]string{"--listen", "127.0.0.1:0", "--account", "12"}, `not 12 digits`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			c := exec.CommandContext(ctx, remit, append(append([]string{"serve"}, tc.args...), noTasks...)...)
			c.Env = dir.environ()
			c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
			var out, errs bytes.Buffer
			c.Stdout, c.Stderr = &out, &errs
			_ = c.Run()
			if code := c.ProcessState.ExitCode(); code != 1 || !regexp.MustCompile(`(?m)^remit: .*`+tc.want).MatchString(errs.String()) {
				t.Errorf("status %d, want 1\nstderr: %swant: %s", code, errs.String(), tc.want)
			}
			if strings.Contains(out.String(), "Ready.") {
				t.Error("it said that it is ready")
			}
		})
	}
	if got := whoAmI(t, s.root()); got == "" {
		t.Error("the first server does not answer any more")
	}
	if left := dir.temporary(t); len(left) > 0 {
		t.Errorf("refused servers left %v", left)
	}
}

// TestServeInsecureHTTP is told to serve plain http off loopback, and says so.
func TestServeInsecureHTTP(t *testing.T) {
	s := startServer(t, newMachineDir(t), append([]string{"--listen", "0.0.0.0:0", "--insecure-http"}, noTasks...)...)
	if all := strings.Join(s.banner, "\n"); !strings.Contains(all, "Bypasses: plain http off loopback") {
		t.Error(all)
	}
	whoAmI(t, s.root())
}

// TestServeStops has connections that never end by themselves.
func TestServeStops(t *testing.T) {
	s := startServer(t, newMachineDir(t), append([]string{"--data", t.TempDir()}, noTasks...)...)
	whoAmI(t, s.root())
	// A client that says nothing, and one in the middle of its request.
	for _, text := range []string{"", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"} {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprint(c, text); err != nil {
			t.Fatal(err)
		}
	}
	if took, code := s.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("status %d after %v\n%s", code, took, s.said())
	}
}
