//go:build !linux || !cgo

package embedded

import (
	"fmt"
	goruntime "runtime"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// Linked without cgo, libcontainer builds but every start fails, because its
// first stage is C. So it is not linked at all.
func containerMissing() string {
	if goruntime.GOOS != "linux" {
		return fmt.Sprintf("Containers need Linux; this is %s.", goruntime.GOOS)
	}
	return "This binary was built without cgo: install a C compiler and build again to have containers."
}

func rootlessMissing() string { return containerMissing() }

func newContainers(Options, Verdict) (runtime.Runtime, error) {
	return nil, fmt.Errorf("embedded runtime: %s: %w", containerMissing(), runtime.ErrUnsupported)
}
