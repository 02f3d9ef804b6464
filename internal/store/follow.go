package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// follower keeps the state of a replica up with what other replicas commit. One
// query for the newest revisions serves every View that waits for it.
type follower struct {
	s    *Store
	asks chan chan error
}

const (
	pollBusy  = 10 * time.Millisecond
	pollIdle  = 100 * time.Millisecond
	busyFor   = time.Second
	staleness = 2 * time.Second // after which a replica answers nothing
)

func newFollower(s *Store) *follower {
	return &follower{s: s, asks: make(chan chan error, 4096)}
}

// barrier returns once the state holds everything committed before the call.
func (f *follower) barrier(ctx context.Context) error {
	ask := make(chan error, 1)
	late := time.NewTimer(staleness)
	defer late.Stop()
	select {
	case f.asks <- ask:
	case <-late.C:
		return ErrStale
	case <-ctx.Done():
		return ctx.Err()
	case <-f.s.closing:
		return ErrClosed
	}
	select {
	case err := <-ask:
		return err
	case <-late.C:
		return ErrStale
	case <-ctx.Done():
		return ctx.Err()
	case <-f.s.closing:
		return ErrClosed
	}
}

func (f *follower) run() {
	defer f.s.stopped.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-f.s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	var lastNews time.Time
	failing := false
	for {
		pause := pollIdle
		if time.Since(lastNews) < busyFor {
			pause = pollBusy
		}
		poll := time.NewTimer(pause)
		var waiting []chan error
		select {
		case ask := <-f.asks:
			waiting = append(waiting, ask)
		case <-poll.C:
		case <-ctx.Done():
			poll.Stop()
			return
		}
		poll.Stop()
		// Everybody who asked by now is served by a query that starts now.
		for more := true; more; {
			select {
			case ask := <-f.asks:
				waiting = append(waiting, ask)
			default:
				more = false
			}
		}
		news, err := f.catchUp(ctx)
		if err != nil {
			if !failing && ctx.Err() == nil {
				f.s.log.Error("out of touch with the database: answering nothing", "error", err)
			}
			err = fmt.Errorf("%w: %w", ErrStale, err)
		} else if failing {
			f.s.log.Info("in touch with the database again")
		}
		failing = err != nil
		if news {
			lastNews = time.Now()
		}
		for _, ask := range waiting {
			ask <- err
		}
	}
}

// catchUp applies what is new, and reports whether anything was.
func (f *follower) catchUp(ctx context.Context) (news bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, staleness)
	defer cancel()
	heads, err := f.s.engine.heads(ctx)
	if err != nil {
		return false, err
	}
	b := newBuilder(f.s.state.Load())
	for shard, head := range heads {
		at := b.rev(shard)
		if at >= head {
			continue
		}
		changes, err := f.s.engine.tail(ctx, shard, at, head, 1<<30)
		switch {
		case errors.Is(err, ErrTrimmed):
			b.clear(shard)
			err = f.s.engine.snapshot(ctx, shard, b.setRev, b.change)
		case err == nil:
			for _, c := range changes {
				if err = b.change(c); err != nil {
					break
				}
			}
			b.setRev(shard, head)
		}
		if err != nil {
			return false, err
		}
	}
	f.s.publish(b)
	return len(b.shards) > 0, nil
}
