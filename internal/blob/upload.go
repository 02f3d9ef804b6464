package blob

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An Upload is a blob that arrives in pieces over several requests, and over
// restarts of the server. Its methods may be called concurrently.
type Upload struct {
	store *Store
	id    string
	path  string

	mu     sync.Mutex
	done   bool
	size   int64
	sum    hash.Hash // of the first hashed bytes
	hashed int64
}

// maxID bounds upload ids, which are file names.
const maxID = 128

func checkID(id string) error {
	ok := id != "" && len(id) <= maxID
	for _, c := range id {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_", c))
	}
	if !ok {
		return fmt.Errorf("%w: upload id %q", ErrInvalid, id)
	}
	return nil
}

// StartUpload begins an upload under an id of the caller's making (letters,
// digits, - and _; at most 128), which must be new.
func (s *Store) StartUpload(id string) (*Upload, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(s.dir, "upload", id)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, failed("start upload", err)
	}
	f.Close()
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	u := &Upload{store: s, id: id, path: path, sum: sha256.New()}
	s.uploads[id] = u
	return u, nil
}

// Upload returns an upload under way, or ErrNotFound.
func (s *Store) Upload(id string) (*Upload, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.uploads[id]; u != nil {
		return u, nil
	}
	path := filepath.Join(s.dir, "upload", id)
	st, err := os.Stat(path)
	if err != nil {
		return nil, failed("upload", err)
	}
	u := &Upload{store: s, id: id, path: path, size: st.Size(), sum: sha256.New()}
	s.uploads[id] = u
	return u, nil
}

// Uploads returns the ids of the uploads under way, and when each last grew, so
// that abandoned ones can be aborted.
func (s *Store) Uploads() (map[string]time.Time, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "upload"))
	if err != nil {
		return nil, failed("uploads", err)
	}
	out := make(map[string]time.Time)
	for _, e := range entries {
		if st, err := e.Info(); err == nil && checkID(e.Name()) == nil {
			out[e.Name()] = st.ModTime()
		}
	}
	return out, nil
}

// Size is the number of bytes so far: the offset at which to go on.
func (u *Upload) Size() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.size
}

// Append adds all of r at offset, which must be the present size (ErrOffset
// otherwise; -1 means wherever the end is). It returns the new size. When r or the
// disk fails midway, what had arrived is kept, and the size says how much.
func (u *Upload) Append(offset int64, r io.Reader) (size int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done {
		return 0, ErrNotFound
	}
	if offset >= 0 && offset != u.size {
		return u.size, fmt.Errorf("%w: offset %d, size %d", ErrOffset, offset, u.size)
	}
	f, err := os.OpenFile(u.path, os.O_WRONLY, 0)
	if err != nil {
		return u.size, failed("append", err)
	}
	defer f.Close()
	// A write that failed earlier may have left bytes behind the end.
	if err := f.Truncate(u.size); err != nil {
		return u.size, failed("append", err)
	}
	if _, err := f.Seek(u.size, io.SeekStart); err != nil {
		return u.size, failed("append", err)
	}
	buf := make([]byte, 256<<10)
	for {
		n, rerr := r.Read(buf)
		if n > 0 {
			if _, err := f.Write(buf[:n]); err != nil {
				return u.size, failed("append", err)
			}
			if u.hashed == u.size {
				u.sum.Write(buf[:n])
				u.hashed += int64(n)
			}
			u.size += int64(n)
		}
		if rerr == io.EOF {
			return u.size, nil
		}
		if rerr != nil {
			return u.size, fmt.Errorf("blob: append: %w", rerr)
		}
	}
}

// Commit turns the upload into a blob and returns its digest and size. If want is
// not empty and the content has another digest, it returns ErrDigest and the
// upload stays as it is. Extra hashes are fed the whole content.
func (u *Upload) Commit(want Digest, also ...hash.Hash) (Digest, int64, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done {
		return "", 0, ErrNotFound
	}
	f, err := os.OpenFile(u.path, os.O_RDWR, 0)
	if err != nil {
		return "", 0, failed("commit upload", err)
	}
	defer f.Close()
	if err := f.Truncate(u.size); err != nil {
		return "", 0, failed("commit upload", err)
	}
	if err := u.hash(f, also); err != nil {
		return "", 0, err
	}
	d := digestOf(u.sum)
	if want != "" && want != d {
		return "", 0, fmt.Errorf("%w: got %s, want %s", ErrDigest, d, want)
	}
	if err := u.store.keep(f, d); err != nil {
		return "", 0, err
	}
	u.forget()
	return d, u.size, nil
}

// hash brings u.sum up to the whole content: after a restart, from the beginning.
func (u *Upload) hash(f *os.File, also []hash.Hash) error {
	if u.hashed == u.size && len(also) == 0 {
		return nil
	}
	u.sum.Reset()
	u.hashed = 0
	sinks := []io.Writer{u.sum}
	for _, h := range also {
		sinks = append(sinks, h)
	}
	n, err := io.Copy(io.MultiWriter(sinks...), io.NewSectionReader(f, 0, u.size))
	if err != nil {
		return failed("read upload", err)
	}
	if n != u.size {
		return fmt.Errorf("blob: upload %s is shorter than it was", u.id)
	}
	u.hashed = n
	return nil
}

// Abort removes the upload.
func (u *Upload) Abort() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done {
		return ErrNotFound
	}
	if err := os.Remove(u.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("abort upload", err)
	}
	u.forget()
	return nil
}

func (u *Upload) forget() {
	u.done = true
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	delete(u.store.uploads, u.id)
}
