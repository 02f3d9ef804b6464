package runtimetest

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// ProgramEnv names a file holding the test program, for test processes that may
// not or cannot build it.
const ProgramEnv = "REMIT_RUNTIMETEST_PROGRAM"

// Program returns the static binary of testdata/probe.
func Program(tb testing.TB) []byte {
	tb.Helper()
	b, err := probe()
	if err != nil {
		tb.Fatalf("build the test program: %v", err)
	}
	return b
}

// probe builds the test program once for each test binary.
var probe = sync.OnceValues(func() ([]byte, error) {
	if built := os.Getenv(ProgramEnv); built != "" {
		return os.ReadFile(built)
	}
	dir, err := os.MkdirTemp("", "probe-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "probe")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out,
		"github.com/remit-ecs/remit/internal/agent/runtime/runtimetest/testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-buildvcs=false")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, &buildError{text, err}
	}
	return os.ReadFile(out)
})

type buildError struct {
	text []byte
	err  error
}

func (e *buildError) Error() string { return e.err.Error() + "\n" + string(e.text) }

// File is one entry of a Layer.
type File struct {
	Name string
	Body string
	Mode int64
	Type byte // a tar type flag; 0 is a regular file
	Link string
	Uid  int
}

// Layer makes an image layer of the files.
func Layer(tb testing.TB, files ...File) v1.Layer {
	tb.Helper()
	b := Tar(tb, files...)
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// Tar makes an archive of the files, as they are, hostile or not.
func Tar(tb testing.TB, files ...File) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Typeflag: f.Type, Linkname: f.Link, Mode: f.Mode, Uid: f.Uid, Gid: f.Uid}
		if f.Type == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.Body))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if f.Type == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if err := w.WriteHeader(h); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(w, f.Body[:h.Size]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// Image makes an image of the layers.
func Image(tb testing.TB, config v1.Config, layers ...v1.Layer) v1.Image {
	tb.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		tb.Fatal(err)
	}
	if img, err = mutate.Config(img, config); err != nil {
		tb.Fatal(err)
	}
	return img
}

// ProbeImage is an image with the test program at /bin/probe, a user "app"
// (1000) in the group "staff" (50), and three layers of which the last deletes
// a file of the first.
func ProbeImage(tb testing.TB) v1.Image {
	tb.Helper()
	return Image(tb, v1.Config{Entrypoint: []string{"/bin/probe"}, Env: []string{"FROM_IMAGE=yes"}},
		Layer(tb,
			File{Name: "bin/", Type: tar.TypeDir},
			File{Name: "bin/probe", Body: string(Program(tb)), Mode: 0o755},
			File{Name: "bin/link", Type: tar.TypeSymlink, Link: "/bin/probe"},
			File{Name: "bin/text", Body: "not a program", Mode: 0o644},
			File{Name: "tmp/", Type: tar.TypeDir, Mode: 0o1777},
			File{Name: "data/", Type: tar.TypeDir},
			File{Name: "data/deleted", Body: "deleted"},
			File{Name: "data/kept", Body: "kept"},
			File{Name: "hidden/", Type: tar.TypeDir},
			File{Name: "hidden/old", Body: "old"},
		),
		Layer(tb,
			File{Name: "etc/", Type: tar.TypeDir},
			File{Name: "etc/passwd", Body: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"},
			File{Name: "etc/group", Body: "root:x:0:\napp:x:1000:\nstaff:x:50:app\n"},
			File{Name: "home/app/", Type: tar.TypeDir, Uid: 1000},
		),
		Layer(tb,
			File{Name: "data/.wh.deleted"},
			File{Name: "hidden/", Type: tar.TypeDir},
			File{Name: "hidden/.wh..wh..opq"},
			File{Name: "hidden/new", Body: "new"},
		),
	)
}
