//go:build !unix

package controlplane

// dataLock does nothing here: the store's own lock keeps a second process out.
type dataLock struct{}

func lockData(string) (*dataLock, error) { return &dataLock{}, nil }

// abandoned never says so here, where no lock tells whether a server lives.
func abandoned(string) bool { return false }

func (l *dataLock) release() {}
