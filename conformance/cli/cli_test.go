// Package cli judges Remit with the clients people have: the real aws command,
// boto3, and the real remit binary, in scripts that read like a terminal.
//
// The scripts in testdata know AWS and nothing of Remit but its command line.
// Each starts one server. commands_test.go says what a script can do besides
// the commands of testscript itself.
package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const (
	account = "111122223333"
	region  = "us-east-1"
)

// remit is the binary under test, coverage is COVERAGE.md.
var remit, coverage string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "remit-cli-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		remit = filepath.Join(dir, "bin", "remit")
		args := []string{"build", "-o", remit}
		if _, err := os.Stat("/usr/include/seccomp.h"); err == nil {
			args = append(args, "-tags", "seccomp")
		}
		if out, err := exec.Command("go", append(args, "../../cmd/remit")...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build remit: %v\n%s", err, out)
			return 1
		}
		if coverage, err = filepath.Abs("../../COVERAGE.md"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		probe = filepath.Join(dir, "probe")
		return m.Run()
	}())
}

// TestScripts runs every script of testdata, as many at a time as -parallel
// says: one for each core unless told otherwise.
func TestScripts(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the scripts are told with the aws command: %v", err)
		}
		t.Skipf("the scripts are told with the aws command: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		Cmds:               commands,
		Condition:          condition,
		Setup:              setup,
		RequireUniqueNames: true,
		ContinueOnError:    true, // a run shows all that is wrong
		UpdateScripts:      os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

// config asks for Signature Version 4 in presigned URLs, which version 1 of the
// aws command does not choose by itself for us-east-1. S3 refuses the older one
// for buckets made after June 2020:
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
const config = "[default]\ns3 =\n    signature_version = s3v4\n"

// setup gives a script an environment in which the aws command finds nothing of
// this machine's own configuration.
func setup(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, ".home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(home, "config"), []byte(config), 0o600); err != nil {
		return err
	}
	for _, v := range [...][2]string{
		{"HOME", home},
		{"PATH", filepath.Dir(remit) + string(os.PathListSeparator) + env.Getenv("PATH")},
		{"ACCOUNT", account},
		{"REGION", region},
		{"AWS_CONFIG_FILE", filepath.Join(home, "config")},
		{"AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials")},
		{"AWS_EC2_METADATA_DISABLED", "true"},
		{"AWS_MAX_ATTEMPTS", "1"},
		{"AWS_PAGER", ""},
		{"NO_PROXY", "*"},
	} {
		env.Setenv(v[0], v[1])
	}
	env.Values[serverKey{}] = &server{sessions: map[string]credentials{}}
	return nil
}

// condition answers the conditions of the scripts: [root] and [boto3].
func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "boto3":
		return boto3() == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// boto3 says why the python3 on PATH cannot import boto3.
var boto3 = sync.OnceValue(func() error {
	out, err := exec.Command("python3", "-c", "import boto3").CombinedOutput()
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		err = errors.New(lines[len(lines)-1])
	}
	err = fmt.Errorf("boto3.txtar is skipped: python3 -c 'import boto3': %w", err)
	fmt.Fprintln(os.Stderr, err)
	return err
})
