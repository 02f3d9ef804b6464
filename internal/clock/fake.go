package clock

import (
	"context"
	"sync"
	"time"
)

// Fake is a clock that stands still until it is told to move.
type Fake struct {
	mu      sync.Mutex
	changed *sync.Cond // when the set of appointments changes
	now     time.Time
	due     map[*appointment]struct{}
	made    uint64 // appointments so far
}

type appointment struct {
	at   time.Time
	fire func(now time.Time)
	n    uint64 // creation order, for appointments at the same time
}

// NewFake returns a clock that shows the given time.
func NewFake(now time.Time) *Fake {
	f := &Fake{now: now, due: make(map[*appointment]struct{})}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// Now is the time to which the clock was last moved.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Advance moves the clock forward, stopping at every appointment on the way: each
// timer fires with the clock at its own time, in order, also those that are set
// meanwhile by an earlier one firing, provided they are set before the later time
// is reached. Functions given to AfterFunc run in their own goroutines.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advanceTo(f.now.Add(d))
}

// Set moves the clock to a time. Moving it back fires nothing, as when an operator
// corrects a machine's clock.
func (f *Fake) Set(to time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to.Before(f.now) {
		f.now = to
		return
	}
	f.advanceTo(to)
}

func (f *Fake) advanceTo(to time.Time) {
	for {
		var next *appointment
		for a := range f.due {
			if a.at.After(to) {
				continue
			}
			if next == nil || a.at.Before(next.at) || a.at.Equal(next.at) && a.n < next.n {
				next = a
			}
		}
		if next == nil {
			break
		}
		if next.at.After(f.now) {
			f.now = next.at
		}
		delete(f.due, next)
		f.changed.Broadcast()
		next.fire(f.now)
	}
	f.now = to
}

// Waiting is the number of timers, AfterFuncs and Sleeps still to come.
func (f *Fake) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.due)
}

// WaitFor returns once at least n timers, AfterFuncs and Sleeps are set: a test
// calls it before Advance, so that the goroutine it means to wake has gone to
// sleep.
func (f *Fake) WaitFor(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.due) < n {
		f.changed.Wait()
	}
}

// NewTimer implements Clock.
func (f *Fake) NewTimer(d time.Duration) *Timer {
	ch := make(chan time.Time, 1)
	t := f.timer(d, func(now time.Time) {
		select {
		case ch <- now:
		default:
		}
	}, func() {
		select {
		case <-ch:
		default:
		}
	})
	t.C = ch
	return t
}

// AfterFunc implements Clock.
func (f *Fake) AfterFunc(d time.Duration, fn func()) *Timer {
	return f.timer(d, func(time.Time) { go fn() }, func() {})
}

// Sleep implements Clock.
func (f *Fake) Sleep(ctx context.Context, d time.Duration) error { return sleep(ctx, f, d) }

// timer makes an appointment; drain forgets a time sent but not received.
func (f *Fake) timer(d time.Duration, fire func(time.Time), drain func()) *Timer {
	a := &appointment{fire: fire}
	set := func(d time.Duration) {
		f.made++
		a.n = f.made
		a.at = f.now.Add(d)
		if d <= 0 {
			fire(f.now)
			return
		}
		f.due[a] = struct{}{}
		f.changed.Broadcast()
	}
	cancel := func() bool {
		_, pending := f.due[a]
		delete(f.due, a)
		drain()
		return pending
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	set(d)
	return &Timer{
		stop: func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return cancel()
		},
		reset: func(d time.Duration) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			pending := cancel()
			set(d)
			return pending
		},
	}
}
