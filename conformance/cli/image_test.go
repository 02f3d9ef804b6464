package cli

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"
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
	img, err := imageOf(probe)
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

// imageOf is an image with one file, /probe, which is its entry point.
func imageOf(program string) (v1.Image, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	if err := w.WriteHeader(&tar.Header{Name: "probe", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	f, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	f = f.DeepCopy()
	f.OS, f.Architecture, f.Config.Entrypoint = "linux", runtime.GOARCH, []string{"/probe"}
	return mutate.ConfigFile(img, f)
}

func writeFile(name string, b []byte) error { return os.WriteFile(name, b, 0o644) }
