package s3_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/remit-ecs/remit/internal/testkit"
)

// cli runs the aws command against the kit.
type cli struct {
	t   *testing.T
	env []string
	dir string
	url string
}

func newCLI(t *testing.T, k *testkit.Kit, cfg aws.Config) *cli {
	t.Helper()
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the aws command is not on PATH; this test runs `aws s3` and `aws s3api` (any version 1 or 2)")
	}
	cred, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "AWS_") })
	env = append(env, "HOME="+dir, "AWS_ACCESS_KEY_ID="+cred.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+cred.SecretAccessKey,
		"AWS_DEFAULT_REGION="+testkit.Region, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1")
	if cred.SessionToken != "" {
		env = append(env, "AWS_SESSION_TOKEN="+cred.SessionToken)
	}
	return &cli{t: t, env: env, dir: dir, url: k.URL}
}

// try runs a command and returns what it printed, and whether it succeeded.
func (c *cli) try(args ...string) (string, bool) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "aws", append([]string{"--endpoint-url", c.url}, args...)...)
	cmd.Env, cmd.Dir = c.env, c.dir
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if d := time.Since(began); d > 30*time.Second {
		c.t.Errorf("aws %s took %s", strings.Join(args, " "), d)
	}
	return string(out), err == nil
}

func (c *cli) run(args ...string) string {
	c.t.Helper()
	out, ok := c.try(args...)
	if !ok {
		c.t.Fatalf("aws %s: %s", strings.Join(args, " "), out)
	}
	return out
}

func (c *cli) file(name string, content []byte) {
	c.t.Helper()
	p := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(p, content, 0o666); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cli) read(name string) []byte {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *cli) want(out string, parts ...string) {
	c.t.Helper()
	for _, p := range parts {
		if !strings.Contains(out, p) {
			c.t.Errorf("%q is not in:\n%s", p, out)
		}
	}
}

// TestCLI is an afternoon with aws s3.
func TestCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("a dozen runs of the aws command, each over a second")
	}
	k, _ := start(t)
	c := newCLI(t, k, k.Root())
	big := random(17 * mib) // above the CLI's threshold of 8 MiB: in parts
	c.file("tree/a.txt", []byte("alpha"))
	c.file("tree/sub/b c+d.txt", []byte("beta"))
	c.file("tree/sub/ü.txt", []byte("umlaut"))
	c.file("empty", nil)
	c.file("big", big)

	c.want(c.run("s3", "mb", "s3://cli-bucket"), "make_bucket: cli-bucket")
	c.run("s3", "cp", "big", "s3://cli-bucket/big")
	c.run("s3", "cp", "empty", "s3://cli-bucket/empty")
	c.run("s3", "sync", "tree", "s3://cli-bucket/tree")
	if out := c.run("s3", "sync", "tree", "s3://cli-bucket/tree"); strings.Contains(out, "upload") {
		t.Errorf("the second sync uploads: %s", out)
	}
	c.want(c.run("s3", "ls"), "cli-bucket", "data")
	c.want(c.run("s3", "ls", "s3://cli-bucket"), "PRE tree/", "17825792 big", "0 empty")
	c.want(c.run("s3", "ls", "--recursive", "s3://cli-bucket/tree"), "tree/a.txt", "tree/sub/b c+d.txt", "tree/sub/ü.txt")
	c.run("s3", "cp", "s3://cli-bucket/big", "s3://data/copied") // a copy in parts
	c.run("s3", "cp", "s3://data/copied", "fetched")
	if !bytes.Equal(c.read("fetched"), big) {
		t.Error("what came back is not what was sent")
	}
	c.run("s3", "sync", "s3://cli-bucket/tree", "back")
	if got := c.read("back/sub/b c+d.txt"); string(got) != "beta" {
		t.Errorf("%q", got)
	}
	c.want(c.run("s3api", "head-object", "--bucket", "cli-bucket", "--key", "big", "--checksum-mode", "ENABLED"), `"ContentLength": 17825792`, `-3\""`, "ChecksumType")
	c.want(c.run("s3api", "get-bucket-acl", "--bucket", "data"), `"FULL_CONTROL"`, `"CanonicalUser"`)
	out, ok := c.try("s3", "rb", "s3://cli-bucket")
	if ok {
		t.Error("a bucket with objects was removed")
	}
	c.want(out, "BucketNotEmpty")
	c.run("s3", "rm", "--recursive", "s3://cli-bucket/tree")
	c.run("s3", "rb", "--force", "s3://cli-bucket")
	if out := c.run("s3", "ls"); strings.Contains(out, "cli-bucket") {
		t.Errorf("still there: %s", out)
	}

	// A role that may read one prefix.
	r := newCLI(t, k, k.With(testkit.Allow("arn:aws:s3:::data/copied", "s3:GetObject")))
	r.run("s3", "cp", "s3://data/copied", "mine")
	out, ok = r.try("s3", "ls", "s3://data")
	if ok {
		t.Error("a role without s3:ListBucket listed")
	}
	r.want(out, "AccessDenied", `is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::data" because no identity-based policy allows the s3:ListBucket action`)
}
