// Package blob keeps bytes on disk under the SHA-256 of their content: image
// layers, S3 objects, log archives. What is stored never changes, and the same
// bytes are stored once.
//
//	<dir>/sha256/3f/3f9a…      blobs, complete and synced
//	<dir>/upload/<id>          resumable uploads, growing
//	<dir>/temp/…               writers under way; emptied at Open
//
// The registry, S3 and the log archive call it; they keep who refers to which
// digest in documents of package store, and tell Collect. The package decides
// nothing about access and knows no names but digests and upload ids.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrNotFound: no such blob, or no such upload.
	ErrNotFound = errors.New("blob: not found")
	// ErrDigest: the bytes are not those that the digest promised. Nothing is kept.
	ErrDigest = errors.New("blob: the content does not match the digest")
	// ErrInvalid: a malformed digest or upload id.
	ErrInvalid = errors.New("blob: malformed name")
	// ErrOffset: an upload was continued elsewhere than at its end.
	ErrOffset = errors.New("blob: not the end of the upload")
	// ErrNoSpace: the disk is full. Nothing is kept of a Writer; an upload keeps
	// what it had.
	ErrNoSpace = errors.New("blob: no space left on the disk")
)

// A Digest names a blob: "sha256:" and 64 lower-case hexadecimal digits.
type Digest string

const algorithm = "sha256"

// ParseDigest accepts a digest that may have come from outside.
func ParseDigest(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, algorithm+":")
	if !ok || len(h) != 2*sha256.Size || strings.Trim(h, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: digest %q", ErrInvalid, s)
	}
	return Digest(s), nil
}

func digestOf(h hash.Hash) Digest {
	return Digest(algorithm + ":" + hex.EncodeToString(h.Sum(nil)))
}

// DigestOf returns the digest of bytes in memory.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(algorithm + ":" + hex.EncodeToString(sum[:]))
}

// Store is a directory of blobs. All methods may be called concurrently; one
// process at a time may use the directory.
type Store struct {
	dir string
	// settle is held for writing by Collect while it looks at one blob, and for
	// reading by whoever makes a blob appear or young again.
	settle  sync.RWMutex
	mu      sync.Mutex
	uploads map[string]*Upload // by id, those used since Open
}

// Open prepares the directory and removes what interrupted writers left. Uploads
// stay.
func Open(dir string) (*Store, error) {
	if err := os.RemoveAll(filepath.Join(dir, "temp")); err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	for _, sub := range []string{algorithm, "upload", "temp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("blob: %w", err)
		}
	}
	return &Store{dir: dir, uploads: make(map[string]*Upload)}, nil
}

// path is where a blob lies. It checks the digest again: no path is ever built
// from anything else.
func (s *Store) path(d Digest) (string, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return "", err
	}
	h := string(d[len(algorithm)+1:])
	return filepath.Join(s.dir, algorithm, h[:2], h), nil
}

// Open opens a blob for reading and returns its size. The reader stays good when
// the blob is deleted.
func (s *Store) Open(d Digest) (io.ReadSeekCloser, int64, error) {
	path, err := s.path(d)
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, failed("open", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, failed("open", err)
	}
	return f, st.Size(), nil
}

// Stat returns a blob's size in bytes, or ErrNotFound.
func (s *Store) Stat(d Digest) (int64, error) {
	path, err := s.path(d)
	if err != nil {
		return 0, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return 0, failed("stat", err)
	}
	return st.Size(), nil
}

// Delete removes a blob, whoever refers to it; Collect removes only what nobody
// does. Deleting an absent blob returns ErrNotFound.
func (s *Store) Delete(d Digest) error {
	path, err := s.path(d)
	if err != nil {
		return err
	}
	return failed("delete", os.Remove(path))
}

// All yields every digest, in order, and its size.
func (s *Store) All() iter.Seq2[Digest, int64] {
	return func(yield func(Digest, int64) bool) {
		filepath.WalkDir(filepath.Join(s.dir, algorithm), func(_ string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil
			}
			d, err := ParseDigest(algorithm + ":" + e.Name())
			if err != nil {
				return nil
			}
			st, err := e.Info()
			if err == nil && !yield(d, st.Size()) {
				return fs.SkipAll
			}
			return nil
		})
	}
}

// Collect deletes the blobs for which live returns false and that were last
// written more than grace ago, and returns how many and how many bytes. The grace
// is for blobs whose reference is about to be committed: storing bytes that are
// already there makes them young again.
func (s *Store) Collect(ctx context.Context, live func(Digest) bool, grace time.Duration) (n int, bytes int64, err error) {
	for d, size := range s.All() {
		if err := ctx.Err(); err != nil {
			return n, bytes, err
		}
		gone, err := s.collect(d, live, grace)
		if err != nil {
			return n, bytes, err
		}
		if gone {
			n++
			bytes += size
		}
	}
	return n, bytes, nil
}

func (s *Store) collect(d Digest, live func(Digest) bool, grace time.Duration) (bool, error) {
	path, err := s.path(d)
	if err != nil {
		return false, err
	}
	s.settle.Lock()
	defer s.settle.Unlock()
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, failed("collect", err)
	}
	if time.Since(st.ModTime()) < grace || live(d) {
		return false, nil
	}
	return true, failed("collect", os.Remove(path))
}

// A Writer stores a blob whose digest becomes known as it is written. Commit or
// Abort must be called; Abort after Commit does nothing.
type Writer struct {
	store *Store
	f     *os.File
	sum   hash.Hash
	also  []hash.Hash
	size  int64
	err   error
}

// Create starts a blob. The bytes are also fed to the given hashes (MD5 for an
// ETag, a CRC), which the caller reads when done.
func (s *Store) Create(also ...hash.Hash) (*Writer, error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, "temp"), "")
	if err != nil {
		return nil, failed("create", err)
	}
	return &Writer{store: s, f: f, sum: sha256.New(), also: also}, nil
}

// Write implements io.Writer. After an error every later call, and Commit, fails.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.f.Write(p)
	w.sum.Write(p[:n])
	for _, h := range w.also {
		h.Write(p[:n])
	}
	w.size += int64(n)
	w.err = failed("write", err)
	return n, w.err
}

// Size is the number of bytes written so far.
func (w *Writer) Size() int64 { return w.size }

// Commit makes the blob durable and visible and returns its digest. If want is not
// empty and the content has another digest, it returns ErrDigest and keeps
// nothing.
func (w *Writer) Commit(want Digest) (Digest, error) {
	if w.f == nil {
		return "", errors.New("blob: the writer is closed")
	}
	defer w.Abort()
	if w.err != nil {
		return "", w.err
	}
	d := digestOf(w.sum)
	if want != "" && want != d {
		return "", fmt.Errorf("%w: got %s, want %s", ErrDigest, d, want)
	}
	return d, w.store.keep(w.f, d)
}

// Abort gives the blob up.
func (w *Writer) Abort() {
	if w.f != nil {
		os.Remove(w.f.Name()) // gone already, after Commit
		w.f.Close()
		w.f = nil
	}
}

// keep moves a complete file to its place: synced first, then renamed, then the
// directory synced, so that a blob that is there is whole, whatever is cut off.
func (s *Store) keep(f *os.File, d Digest) error {
	path, err := s.path(d)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return failed("sync", err)
	}
	s.settle.RLock()
	defer s.settle.RUnlock()
	if _, err := os.Stat(path); err == nil {
		now := time.Now()
		if err := os.Chtimes(path, now, now); err != nil {
			return failed("touch", err)
		}
		os.Remove(f.Name())
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return failed("keep", err)
	}
	now := time.Now() // an upload may have been idle for long
	if err := os.Chtimes(f.Name(), now, now); err != nil {
		return failed("keep", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return failed("keep", err)
	}
	return syncDir(dir)
}

// Concat stores the blobs, one behind the other, as a new one, and returns its
// digest and size; for uploads in parts.
func (s *Store) Concat(parts []Digest, also ...hash.Hash) (Digest, int64, error) {
	w, err := s.Create(also...)
	if err != nil {
		return "", 0, err
	}
	defer w.Abort()
	for _, p := range parts {
		r, _, err := s.Open(p)
		if err != nil {
			return "", 0, fmt.Errorf("part %s: %w", p, err)
		}
		_, err = io.Copy(w, r)
		r.Close()
		if err != nil {
			return "", 0, failed("concat", err)
		}
	}
	size := w.Size()
	d, err := w.Commit("")
	return d, size, err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return failed("sync", err)
	}
	defer d.Close()
	return failed("sync", d.Sync())
}

// failed words an error of the file system, and makes the two that callers act on
// recognisable.
func failed(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoSpace), errors.Is(err, ErrNotFound):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %s: %w", ErrNoSpace, doing, err)
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotFound
	default:
		return fmt.Errorf("blob: %s: %w", doing, err)
	}
}
