//go:build !linux

package image

import (
	"errors"
	"io/fs"
)

// Elsewhere images can be stored and looked at in plain form; containers are
// for Linux.

type inode struct{}

func inodeOf(fs.FileInfo) (inode, bool)              { return inode{}, false }
func owner(fs.FileInfo) (uid, gid int, ok bool)      { return 0, 0, false }
func isWhiteout(fs.FileInfo) bool                    { return false }
func makeWhiteout(string) error                      { return errors.ErrUnsupported }
func makeOpaque(string) error                        { return errors.ErrUnsupported }
func makeFifo(string) error                          { return errors.ErrUnsupported }
func setXattr(path, attr string, value []byte) error { return nil }
func copyXattrs(from, to string) error               { return nil }
func syncFS(string) error                            { return nil }
