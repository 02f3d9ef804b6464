// SPDX-License-Identifier: Apache-2.0

package api

import "sync"

// lazyOps finds operations by name. The map is built at the first question, so
// that a service which nobody calls costs nothing.
type lazyOps struct {
	once   sync.Once
	byName map[string]*OpInfo
}

func (l *lazyOps) find(ops []*OpInfo, name string) *OpInfo {
	l.once.Do(func() {
		l.byName = make(map[string]*OpInfo, len(ops))
		for _, op := range ops {
			l.byName[op.Name] = op
		}
	})
	return l.byName[name]
}
