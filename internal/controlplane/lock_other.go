//go:build !unix

package controlplane

// dataLock does nothing here: the store's own lock keeps a second process out.
type dataLock struct{}

func lockData(string) (*dataLock, error) { return &dataLock{}, nil }

func (l *dataLock) release() {}
