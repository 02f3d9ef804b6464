// SPDX-License-Identifier: Apache-2.0

package api

// Ptr returns a pointer to v: generated structures hold scalars as pointers,
// because absent and zero differ.
func Ptr[T any](v T) *T { return &v }

// Value returns what p points to, or the zero value where p is nil.
func Value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
