// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
)

// corrections are values that a service answers although its model does not
// list them, by service and shape. A model that has learned one of them fails
// the generation: the correction is then to go.
var corrections = map[string]map[string][]string{
	"iam": {
		// The examples of SimulateCustomPolicy and SimulatePrincipalPolicy in the
		// API reference, and every answer that was seen.
		// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
		"PolicySourceType": {"IAM Policy", "Resource Policy", "Permissions Boundary Policy"},
	},
}

// correct adds what the model of a service lacks.
func correct(name string, m *model) error {
	for shape, values := range corrections[name] {
		s, ok := m.Shapes.values[shape]
		if !ok {
			return fmt.Errorf("%s: no shape %s to correct", name, shape)
		}
		for _, v := range values {
			if slices.Contains(s.Enum, v) {
				return fmt.Errorf("%s: the model of %s lists %q by itself now", name, shape, v)
			}
		}
		s.Enum = append(slices.Clone(s.Enum), values...)
		m.Shapes.values[shape] = s
	}
	return nil
}
