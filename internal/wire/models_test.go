// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"slices"
	"testing"

	"github.com/remit-ecs/remit/internal/wire"
)

// Patterns that Go's engine cannot express are not enforced. This is all of
// them; a new one must be looked at.
func TestPatternsNotEnforced(t *testing.T) {
	want := []string{}
	var got []string
	for _, s := range services {
		for _, shape := range s.Model.Shapes {
			if shape.Pattern != "" && !wire.Enforced(shape.Pattern) {
				got = append(got, s.Name+" "+shape.Name+" "+shape.Pattern)
			}
		}
	}
	slices.Sort(got)
	got = slices.Compact(got)
	if !slices.Equal(got, want) {
		t.Errorf("have %q\nwant %q", got, want)
	}
}
