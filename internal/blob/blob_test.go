package blob_test

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/remit-ecs/remit/internal/blob"
)

func open(t *testing.T, dir string) *blob.Store {
	t.Helper()
	s, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *blob.Store, content string) blob.Digest {
	t.Helper()
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, content)
	d, err := w.Commit("")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func get(t *testing.T, s *blob.Store, d blob.Digest) string {
	t.Helper()
	r, size, err := s.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size {
		t.Errorf("read %d of %d bytes: %v", len(b), size, err)
	}
	return string(b)
}

// files counts what lies under dir.
func files(t *testing.T, dir string) (n int) {
	filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return nil
	})
	return n
}

func TestWriter(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	sum := md5.New()
	w, err := s.Create(sum)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "hello ")
	io.WriteString(w, "world")
	want := blob.DigestOf([]byte("hello world"))
	if d, err := w.Commit(want); err != nil || d != want || w.Size() != 11 {
		t.Fatalf("Commit = %s, %v; size %d", d, err, w.Size())
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != "5eb63bbbe01eeed093cb22bb8f5acdc3" {
		t.Errorf("MD5 = %s", got)
	}
	if put(t, s, "hello world") != want {
		t.Error("the same bytes, another digest")
	}
	s = open(t, dir)
	if got := get(t, s, want); got != "hello world" {
		t.Errorf("after reopening: %q", got)
	}
	if size, err := s.Stat(want); err != nil || size != 11 {
		t.Errorf("Stat = %d, %v", size, err)
	}

	w, _ = s.Create()
	io.WriteString(w, "something else")
	if _, err := w.Commit(want); !errors.Is(err, blob.ErrDigest) {
		t.Errorf("wrong content: %v", err)
	}
	w, _ = s.Create()
	io.WriteString(w, "given up")
	w.Abort()
	if n := files(t, dir); n != 1 {
		t.Errorf("%d files, want 1", n)
	}
	if err := s.Delete(want); err != nil {
		t.Error(err)
	}
	for _, err := range []error{s.Delete(want), second(s.Stat(want))} {
		if !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("deleted: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestNames(t *testing.T) {
	s := open(t, t.TempDir())
	for _, d := range []string{"", "sha256:", "sha256:../../../etc/passwd", "md5:5eb63bbbe01eeed093cb22bb8f5acdc3",
		"sha256:" + strings.Repeat("A", 64), "sha256:" + strings.Repeat("a", 63), "sha256:" + strings.Repeat("a", 65),
		"sha256:" + strings.Repeat(".", 64), "sha256:" + strings.Repeat("/", 64)} {
		if _, err := blob.ParseDigest(d); !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("ParseDigest(%q): %v", d, err)
		}
		if _, _, err := s.Open(blob.Digest(d)); !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("Open(%q): %v", d, err)
		}
		if err := s.Delete(blob.Digest(d)); !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("Delete(%q): %v", d, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "../x", "a\x00", "ä", strings.Repeat("a", 129)} {
		if _, err := s.StartUpload(id); !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("StartUpload(%q): %v", id, err)
		}
		if _, err := s.Upload(id); !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("Upload(%q): %v", id, err)
		}
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(string(blob.DigestOf(nil)))
	f.Add("sha256:../..")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := blob.ParseDigest(s)
		if err == nil && (string(d) != s || strings.ContainsAny(s, "/.\\\x00") || len(s) != 71) {
			t.Errorf("accepted %q", s)
		}
	})
}

func TestUploadSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	content := make([]byte, 700_000)
	rand.Read(content)
	u, err := s.StartUpload("up-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartUpload("up-1"); err == nil {
		t.Error("started twice")
	}
	if n, err := u.Append(0, bytes.NewReader(content[:300_000])); n != 300_000 || err != nil {
		t.Fatalf("Append = %d, %v", n, err)
	}
	if _, err := u.Append(5, strings.NewReader("x")); !errors.Is(err, blob.ErrOffset) {
		t.Errorf("wrong offset: %v", err)
	}
	broken := io.MultiReader(bytes.NewReader(content[300_000:400_000]), iotest.ErrReader(errors.New("connection lost")))
	if n, err := u.Append(300_000, broken); n != 400_000 || err == nil {
		t.Errorf("broken body: %d, %v", n, err)
	}

	s = open(t, dir)
	if u, err = s.Upload("up-1"); err != nil || u.Size() != 400_000 {
		t.Fatalf("after restart: %v, %v", u, err)
	}
	if n, err := u.Append(-1, bytes.NewReader(content[400_000:])); n != 700_000 || err != nil {
		t.Fatalf("Append = %d, %v", n, err)
	}
	if _, _, err := u.Commit(blob.DigestOf(nil)); !errors.Is(err, blob.ErrDigest) {
		t.Errorf("wrong digest: %v", err)
	}
	sum := md5.New()
	d, n, err := u.Commit(blob.DigestOf(content), sum)
	if err != nil || n != 700_000 || d != blob.DigestOf(content) {
		t.Fatalf("Commit = %s, %d, %v", d, n, err)
	}
	if want := md5.Sum(content); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("MD5")
	}
	if get(t, s, d) != string(content) {
		t.Error("content")
	}
	if _, err := s.Upload("up-1"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("committed upload: %v", err)
	}
	u, _ = s.StartUpload("up-2")
	if ids, err := s.Uploads(); err != nil || len(ids) != 1 || ids["up-2"].IsZero() {
		t.Errorf("Uploads = %v, %v", ids, err)
	}
	if err := u.Abort(); err != nil || files(t, dir) != 1 {
		t.Errorf("Abort: %v, %d files", err, files(t, dir))
	}
}

func TestConcatAndCollect(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a, b := put(t, s, "a"), put(t, s, "b")
	d, n, err := s.Concat([]blob.Digest{a, b, a})
	if err != nil || n != 3 || get(t, s, d) != "aba" {
		t.Fatalf("Concat = %s, %d, %v", d, n, err)
	}
	if _, _, err := s.Concat([]blob.Digest{a, blob.DigestOf([]byte("nowhere"))}); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("missing part: %v", err)
	}
	live := func(x blob.Digest) bool { return x == d }
	if n, _, err := s.Collect(t.Context(), live, time.Hour); n != 0 || err != nil {
		t.Errorf("young blobs collected: %d, %v", n, err)
	}
	// b is old, and then stored again: young.
	old := time.Now().Add(-2 * time.Hour)
	for blobDigest := range s.All() {
		h := string(blobDigest[7:])
		if err := os.Chtimes(filepath.Join(dir, "sha256", h[:2], h), old, old); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "b")
	if n, bytes, err := s.Collect(t.Context(), live, time.Hour); n != 1 || bytes != 1 || err != nil {
		t.Errorf("Collect = %d, %d, %v", n, bytes, err)
	}
	if _, err := s.Stat(a); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a: %v", err)
	}
	get(t, s, b)
	get(t, s, d)
}

func TestSameBlobAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { put(t, s, "same") })
	}
	wg.Wait()
	if n := files(t, dir); n != 1 {
		t.Errorf("%d files", n)
	}
}

func TestInterruptedWritersAreSwept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "never finished")
	open(t, dir)
	if n := files(t, dir); n != 0 {
		t.Errorf("%d files left", n)
	}
	w.Abort()
}
