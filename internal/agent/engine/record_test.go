package engine

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/remit-ecs/remit/internal/agent/runtime/fake"
)

// acceptAll is a control plane that accepts every report.
type acceptAll struct{}

func (acceptAll) SubmitTaskStateChange(context.Context, *ecs.SubmitTaskStateChangeInput, ...func(*ecs.Options)) (*ecs.SubmitTaskStateChangeOutput, error) {
	return &ecs.SubmitTaskStateChangeOutput{}, nil
}

// FuzzRecord: whatever stands in a task's file, an agent starts; what it cannot
// read it sets aside.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		`{"version":1,"task":{"arn":"c/t","desiredStatus":"RUNNING","roleCredentials":{"credentialsId":"x"},"containers":[{"name":"a","image":"i"}]},"containers":[{"status":"NONE"}]}`,
		`{"version":1,"task":{"arn":"c/t","desiredStatus":"RUNNING","containers":[{"name":"a","image":"i","dependsOn":[{"containerName":"b","condition":"START"}]}]},"containers":[{"status":"RUNNING"}]}`,
		`{"version":1,"task":{"arn":"c/t","desiredStatus":"STOPPED","containers":null},"released":true,"stoppedSent":true,"events":[{"task":"c/t","status":"STOPPED"}]}`,
		`{"version":2}`, `{`, ``, `null`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		e, err := New(Options{DataDir: dir, Runtime: fake.New(), Submit: acceptAll{}, Endpoint: "http://127.0.0.1:1", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		name := filepath.Join(dir, "tasks", "t.json")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := e.Restore(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(name + ".unreadable"); err != nil && len(e.all()) != 1 {
			t.Error("the file was neither restored nor set aside")
		}
	})
}

func TestUnreadableRecordIsSetAside(t *testing.T) {
	dir := t.TempDir()
	e, err := New(Options{DataDir: dir, Runtime: fake.New(), Submit: acceptAll{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	name := filepath.Join(dir, "tasks", "t.json")
	os.WriteFile(name, []byte("{"), 0o600)
	os.WriteFile(filepath.Join(dir, "tasks", ".tmp-1"), []byte("half"), 0o600)
	if err := e.Restore(); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(filepath.Dir(name))
	if len(entries) != 1 || !strings.HasSuffix(entries[0].Name(), ".unreadable") {
		t.Errorf("left: %v", entries)
	}
}
