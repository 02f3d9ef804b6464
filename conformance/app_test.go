package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/remit-ecs/remit/internal/scenario"
)

// writeApp builds the example app into an image tarball.
func writeApp(to string) error {
	bin := filepath.Join(filepath.Dir(to), "app")
	c := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "../examples/orders/app")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	img, err := scenario.ImageOf(bin)
	if err != nil {
		return err
	}
	tag, err := name.NewTag("orders:1")
	if err != nil {
		return err
	}
	return tarball.WriteToFile(to, tag, img)
}
