package ecs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/schedule"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

const (
	leaseTTL   = 30 * time.Second
	leaseRenew = 10 * time.Second
	// idle bounds how late a change is noticed that no commit announces: time.
	idle = 5 * time.Second
)

// Run makes wanted state true until ctx ends: it places tasks, ends what waits
// for nobody, notices lost hosts, and removes what was kept long enough. One
// replica does it at a time, under a lease.
func (s *Service) Run(ctx context.Context) {
	holder := id.UUID(id.Random)
	woken, stop := s.Store.Wake(WorkKinds()...)
	defer stop()
	var lease *store.Lease
	var renewed, swept time.Time
	for ctx.Err() == nil {
		var err error
		now := s.Clock.Now()
		switch {
		case lease == nil:
			lease, err = s.Store.Lease(ctx, "ecs.tasks", holder, leaseTTL)
			renewed = now
		case now.Sub(renewed) >= leaseRenew:
			err = lease.Renew(ctx)
			renewed = now
		}
		if err != nil {
			lease = nil
			if !errors.Is(err, store.ErrHeld) && ctx.Err() == nil {
				s.Log.Warn("ecs: no lease for the task loop", "error", err)
			}
		} else {
			err = s.pass(ctx, lease)
			if err == nil && now.Sub(swept) >= time.Minute {
				err = s.sweep(ctx, lease)
				swept = now
			}
			if errors.Is(err, store.ErrFenced) {
				lease = nil
			} else if err != nil && ctx.Err() == nil {
				s.Log.Error("ecs: task loop", "error", err)
			}
		}
		timer := s.Clock.NewTimer(idle)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-woken:
		}
		timer.Stop()
	}
	if lease != nil {
		_ = lease.Release(context.WithoutCancel(ctx)) // otherwise it runs out
	}
}

// update is one commit of the loop on one shard.
func (s *Service) update(ctx context.Context, lease *store.Lease, shard string, fn func(tx *store.Tx) error) error {
	return s.Store.Update(ctx, shard, func(tx *store.Tx) error {
		tx.Fence(lease)
		return fn(tx)
	})
}

// pass does what there is to do now.
func (s *Service) pass(ctx context.Context, lease *store.Lease) error {
	v := s.Store.View(ctx)
	if err := v.Err(); err != nil {
		return err
	}
	now := s.Clock.Now()
	var errs []error
	for _, shard := range tasks.Shards(v) {
		if hasDue(v, shard, dueFinish) {
			errs = append(errs, s.update(ctx, lease, shard, func(tx *store.Tx) error { return s.finishDue(tx, now) }))
		}
		if hasDue(v, shard, duePlace) {
			errs = append(errs, s.update(ctx, lease, shard, func(tx *store.Tx) error { return s.placeDue(tx, now) }))
		}
	}
	errs = append(errs, s.watchHosts(ctx, lease, v, now))
	return errors.Join(errs...)
}

func hasDue(r store.Reader, shard, what string) bool {
	for range tasks.By(r, shard, "due", what) {
		return true
	}
	return false
}

// finishDue ends tasks that have no host to wait for, moves stopping ones on,
// and gives interfaces back.
func (s *Service) finishDue(tx *store.Tx, now time.Time) error {
	for key := range tasks.By(tx.View(), tx.Shard(), "due", dueFinish) {
		t, ok := tasks.Edit(tx, key)
		switch {
		case !ok || due(t) != dueFinish:
			continue
		case t.Host == "", t.Status() == StatusDeprovisioning:
			s.finish(t, now)
		default:
			advance(t, StatusStopping)
		}
		tasks.Put(tx, key, t)
	}
	return nil
}

// placeDue places waiting FARGATE tasks on the hidden hosts. Nobody else does,
// as long as the lease holds, and the commit depends on that: so the load of the
// hosts can only have become less since it was read, and need not be unchanged.
// Every report of every task would make this commit a conflict otherwise.
func (s *Service) placeDue(tx *store.Tx, now time.Time) error {
	var waiting []*Task
	v := tx.View()
	for key := range tasks.By(v, tx.Shard(), "due", duePlace) {
		if t, ok := tasks.Edit(tx, key); ok && due(t) == duePlace {
			waiting = append(waiting, t)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *Task) int { return a.Shown.CreatedAt.Compare(b.Shown.CreatedAt.Time) })
	hosts := s.hiddenHosts(v)
	snap := s.snapshot(v, hosts, now)
	for _, t := range waiting {
		snap.Tasks = append(snap.Tasks, planned(t))
	}
	plan := schedule.Plan(snap)
	taken := map[string][]*Task{}
	for n, t := range waiting {
		p := plan[n] // waiting tasks are planned in the order given
		if i := slices.IndexFunc(hosts, func(i *Instance) bool { return i.ARN() == p.Host }); p.Host != "" && i >= 0 {
			s.settle(v, t, hosts[i], taken[p.Host], now)
			taken[p.Host] = append(taken[p.Host], t)
		} else if now.Sub(t.Shown.CreatedAt.Time) >= s.CapacityWait {
			wantStopped(t, ecsapi.TaskStopCodeTaskFailedToStart, "Capacity is unavailable at this time. Please try again later or in a different availability zone", now)
			s.finish(t, now)
		} else {
			continue
		}
		tasks.Put(tx, t.key(), t)
	}
	return nil
}

// hiddenHosts are the container instances of the reserved account, in whatever
// region they registered: regions are names here, and the hosts serve them all.
func (s *Service) hiddenHosts(r store.Reader) []*Instance {
	var out []*Instance
	for _, shard := range instances.Shards(r) {
		if !strings.HasPrefix(shard, s.Reserved+"/") {
			continue
		}
		for _, i := range instances.Prefix(r, shard, FargateCluster+"/") {
			if i.Status == "ACTIVE" {
				out = append(out, i)
			}
		}
	}
	return out
}

// watchHosts shows tasks of disconnected hosts as such, and stops those of
// hosts that are given up.
func (s *Service) watchHosts(ctx context.Context, lease *store.Lease, v *store.View, now time.Time) error {
	var errs []error
	shards := tasks.Shards(v)
	for _, shard := range instances.Shards(v) {
		for _, i := range instances.Prefix(v, shard, "") {
			dead := i.Status == "INACTIVE"
			want := ecsapi.ConnectivityConnected
			if !s.connected(i, now) {
				want = ecsapi.ConnectivityDisconnected
				if now.Sub(i.Seen) < s.Lost && !dead {
					continue // it may be back before anybody has to know
				}
			}
			for _, t := range tasksOn(v, shards, i) {
				if !dead && t.Shown.Connectivity == want {
					continue
				}
				errs = append(errs, s.update(ctx, lease, t.Shard(), func(tx *store.Tx) error {
					t, ok := tasks.Edit(tx, t.key())
					if !ok || t.Status() == StatusStopped || t.Host != i.ARN() {
						return nil
					}
					t.Shown.Connectivity, t.Shown.ConnectivityAt = want, api.At(now)
					if dead {
						reason := i.StatusReason
						if t.Fargate() { // whose host is not to be seen
							reason = "InternalError: the host of the task is gone"
						}
						wantStopped(t, i.StopCode, reason, now)
						s.finish(t, now)
					} else {
						touch(t)
					}
					tasks.Put(tx, t.key(), t)
					return nil
				}))
			}
		}
	}
	return errors.Join(errs...)
}

// maxSession is how long credentials of a removed task may still be within
// their time.
const maxSession = 7 * time.Hour

// sweep removes what was kept long enough.
func (s *Service) sweep(ctx context.Context, lease *store.Lease) error {
	v := s.Store.View(ctx)
	if err := v.Err(); err != nil {
		return err
	}
	now := s.Clock.Now()
	shards := slices.Concat(tasks.Shards(v), definitions.Shards(v), runTokens.Shards(v), ended.Shards(v), instances.Shards(v))
	slices.Sort(shards)
	var errs []error
	for _, shard := range slices.Compact(shards) {
		errs = append(errs, s.update(ctx, lease, shard, func(tx *store.Tx) error {
			for key, t := range tasks.By(tx.View(), shard, "due", dueRemove) {
				if now.Before(t.RemoveAt) {
					continue
				}
				if t.TaskRole != "" || t.ExecutionRole != "" {
					ended.Put(tx, t.ID, &endedTask{Roles: []string{t.TaskRole, t.ExecutionRole}, Until: t.Shown.StoppedAt.Add(maxSession)})
				}
				tasks.Delete(tx, key)
			}
			for key, e := range ended.Prefix(tx.View(), shard, "") {
				if !now.Before(e.Until) {
					ended.Delete(tx, key)
				}
			}
			for key, rt := range runTokens.Prefix(tx.View(), shard, "") {
				if !now.Before(rt.Expires) {
					runTokens.Delete(tx, key)
				}
			}
			for key, d := range definitions.Prefix(tx.View(), shard, "") {
				if d.Shown.Status == ecsapi.TaskDefinitionStatusDeleteInProgress && !used(tx, shard, key) {
					definitions.Delete(tx, key)
				}
			}
			for key, i := range instances.Prefix(tx.View(), shard, "") {
				if i.Status == "INACTIVE" && now.Sub(i.InactiveAt) >= s.KeepStopped && len(tasksOn(tx.View(), tasks.Shards(tx), i)) == 0 {
					instances.Delete(tx, key)
				}
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

func used(r store.Reader, shard, definition string) bool {
	for range tasks.By(r, shard, "definition", definition) {
		return true
	}
	return false
}

// lateLogs is how long the execution role outlives its task where both roles
// are one: the last output still has to arrive.
const lateLogs = 2 * time.Minute

// Ended implements session.Revoker: the task role's session ends at STOPPED
// (AWS lets it run out), the execution role's when the task is removed.
// Sessions of other roles that the task has assumed live on, as on AWS, for an
// hour at most: chained sessions last no longer.
func (s *Service) Ended(p *session.Principal) bool {
	if p.Type != session.AssumedRole || len(p.SessionName) != 32 {
		return false
	}
	v := s.Store.View(context.Background())
	if v.Err() != nil {
		return true // what cannot be confirmed has ended
	}
	for _, shard := range tasks.Shards(v) {
		if !strings.HasPrefix(shard, p.Account+"/") {
			continue
		}
		for _, t := range tasks.By(v, shard, "id", p.SessionName) {
			if p.RoleARN != t.TaskRole || t.Status() != StatusStopped {
				return false
			}
			return t.TaskRole != t.ExecutionRole || !s.Clock.Now().Before(t.Shown.StoppedAt.Add(lateLogs))
		}
	}
	for _, shard := range ended.Shards(v) {
		if !strings.HasPrefix(shard, p.Account+"/") {
			continue
		}
		if e, ok := ended.Get(v, shard, p.SessionName); ok && slices.Contains(e.Roles, p.RoleARN) {
			return true
		}
	}
	return false
}
