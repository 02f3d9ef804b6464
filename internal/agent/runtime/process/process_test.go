package process_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/process"
	"github.com/remit-ecs/remit/internal/agent/runtime/runtimetest"
)

var subject = runtimetest.Subject{New: func(tb testing.TB, root string) runtime.Runtime {
	rt, err := process.New(process.Options{Root: root})
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}}

func TestContract(t *testing.T) { runtimetest.Run(t, subject) }

func TestCrash(t *testing.T) {
	runtimetest.Crash(t, subject, func(root string) []string {
		files, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("REMIT_CONTAINER_DIR="+root+"/")) {
				left = append(left, f)
			}
		}
		return left
	})
}

func TestInfoSaysSo(t *testing.T) {
	rt := subject.New(t, t.TempDir())
	defer rt.Close()
	info := rt.Info()
	if info.Isolation != runtime.IsolationNone || info.MemoryLimits || info.NetNS || info.Users ||
		!strings.Contains(strings.Join(info.Warnings, " "), "not isolated") {
		t.Errorf("%+v", info)
	}
}
