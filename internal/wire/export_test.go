// SPDX-License-Identifier: Apache-2.0

package wire

// Enforced reports whether a pattern of a model can be expressed.
func Enforced(java string) bool { return pattern(java) != nil }
