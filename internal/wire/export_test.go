// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"maps"
	"slices"
)

// Enforced reports whether a pattern of a model can be expressed.
func Enforced(java string) bool { return pattern(java) != nil }

// Overlay returns the members that are hidden though no model says so.
func Overlay() []string { return slices.Sorted(maps.Keys(overlay)) }
