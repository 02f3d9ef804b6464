package s3

import (
	"io"

	"github.com/remit-ecs/remit/internal/blob"
)

// body reads extents one behind the other. It opens a blob when its turn comes
// (an object may have 10,000 of them), so one that is never read holds nothing.
type body struct {
	blobs *blob.Store
	rest  []extent
	open  io.ReadSeekCloser
	left  int64 // of the open blob
}

func (b *body) Read(p []byte) (int, error) {
	for b.left == 0 {
		if err := b.Close(); err != nil {
			return 0, err
		}
		if len(b.rest) == 0 {
			return 0, io.EOF
		}
		x := b.rest[0]
		b.rest = b.rest[1:]
		f, _, err := b.blobs.Open(x.Blob)
		if err != nil {
			return 0, err
		}
		b.open, b.left = f, x.Size
		if _, err := f.Seek(x.Offset, io.SeekStart); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.open.Read(p)
	b.left -= int64(n)
	if err == io.EOF {
		if err = nil; n == 0 {
			err = io.ErrUnexpectedEOF // the blob is shorter than the document says
		}
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.open == nil {
		return nil
	}
	err := b.open.Close()
	b.open = nil
	return err
}

// slice returns the extents of size bytes from offset on.
func slice(xs []extent, offset, size int64) []extent {
	var out []extent
	for _, x := range xs {
		switch {
		case size == 0:
			return out
		case offset >= x.Size:
			offset -= x.Size
			continue
		}
		x.Offset += offset
		x.Size = min(x.Size-offset, size)
		offset, size = 0, size-x.Size
		out = append(out, x)
	}
	return out
}

// read opens size bytes of extents from offset on.
func (s *Service) read(xs []extent, offset, size int64) io.ReadCloser {
	return &body{blobs: s.blobs, rest: slice(xs, offset, size)}
}
