package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/remit-ecs/remit/internal/scenario"
)

// probe is where the program of the tiny image is built when a script first
// wants it.
var probe string

var buildProbe = sync.OnceValue(func() error {
	c := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", probe, "./testdata/probe")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tiny image: %w\n%s", err, out)
	}
	return nil
})

// pushImage does what docker login and docker push do, with an image that holds
// one program (testdata/probe): the user AWS, the password from
// aws ecr get-login-password, any registry client's protocol.
func pushImage(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] push-image REPOSITORY:TAG PASSWORD")
	}
	ts.Check(buildProbe())
	img, err := scenario.ImageOf(probe)
	ts.Check(err)
	ref, err := name.ParseReference(args[0], name.Insecure)
	ts.Check(err)
	err = remote.Write(ref, img, remote.WithTransport(plain),
		remote.WithAuth(&authn.Basic{Username: "AWS", Password: strings.TrimSpace(args[1])}))
	if err != nil {
		fmt.Fprintln(ts.Stderr(), err)
	}
	if (err != nil) != neg {
		ts.Fatalf("push %s: %v", args[0], err)
	}
}

func writeFile(name string, b []byte) error { return os.WriteFile(name, b, 0o644) }
