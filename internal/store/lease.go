package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrHeld is returned by Store.Lease while somebody else holds the lease.
var ErrHeld = errors.New("store: the lease is held by another")

// leaseShard holds the leases, as documents like any other, so that an epoch is
// checked under the same locks as everything else that a commit depends on.
const leaseShard = "store.leases"

var leases = NewKind[leaseDoc]("store.lease", 1)

type leaseDoc struct {
	Holder      string
	Incarnation string // of the process that took it
	Epoch       int64
	Expires     time.Time
	Released    bool `json:",omitempty"`
}

// A Lease is the right to do something that only one process at a time may do.
// Holding it proves nothing by itself, since its time may run out unnoticed: give
// it to Tx.Fence in every commit made under it.
type Lease struct {
	store *Store
	name  string
	epoch int64
	ttl   time.Duration
}

// Epoch rises each time the lease is taken.
func (l *Lease) Epoch() int64 { return l.epoch }

// Lease takes the named lease for ttl, if it is free: never taken, released, run
// out, or held under the same holder's name. On SQLite, a lease of an earlier
// process is free, since the lock on the file proves that process gone. Otherwise
// it returns ErrHeld.
func (s *Store) Lease(ctx context.Context, name, holder string, ttl time.Duration) (*Lease, error) {
	l := &Lease{store: s, name: name, ttl: ttl}
	err := s.Update(ctx, leaseShard, func(tx *Tx) error {
		now := s.clock.Now()
		next := leaseDoc{Holder: holder, Incarnation: s.incarnation, Epoch: 1, Expires: now.Add(ttl)}
		if d, ok := leases.Get(tx, leaseShard, name); ok {
			orphan := !s.engine.shared() && d.Incarnation != s.incarnation
			if d.Holder != holder && !d.Released && !orphan && now.Before(d.Expires) {
				return fmt.Errorf("%w: %s, until %s", ErrHeld, d.Holder, d.Expires.UTC().Format(time.RFC3339))
			}
			next.Epoch = d.Epoch + 1
		}
		l.epoch = next.Epoch
		leases.Put(tx, name, &next)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Renew extends the lease by its ttl from now. ErrFenced means that it was taken
// over: stop.
func (l *Lease) Renew(ctx context.Context) error {
	return l.change(ctx, func(d *leaseDoc) { d.Expires = l.store.clock.Now().Add(l.ttl) })
}

// Release gives the lease up, so that another may take it at once.
func (l *Lease) Release(ctx context.Context) error {
	return l.change(ctx, func(d *leaseDoc) { d.Released = true })
}

func (l *Lease) change(ctx context.Context, edit func(*leaseDoc)) error {
	return l.store.Update(ctx, leaseShard, func(tx *Tx) error {
		d, ok := leases.Edit(tx, l.name)
		if !ok || d.Epoch != l.epoch || d.Released {
			return ErrFenced
		}
		edit(d)
		leases.Put(tx, l.name, d)
		return nil
	})
}
