// Package clock is time as something handed in, so that a test can decide what
// hour it is and a credential can expire without anybody waiting.
//
// Everything that asks for the time or waits for it takes a Clock: services,
// sessions, loops, the agent. Programs hand in Real, tests a Fake. The package
// never reads a global clock setting and never sleeps on a caller's behalf except
// in Sleep.
package clock

import (
	"context"
	"time"
)

// A Clock tells the time and wakes at a time.
type Clock interface {
	// Now is the current time.
	Now() time.Time
	// NewTimer returns a timer that sends the time on its channel once d has
	// passed; at once, if d is not positive.
	NewTimer(d time.Duration) *Timer
	// AfterFunc calls fn in its own goroutine once d has passed. The Timer it
	// returns has a nil channel and serves to stop it.
	AfterFunc(d time.Duration, fn func()) *Timer
	// Sleep returns once d has passed, or ctx.Err() as soon as ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// A Timer is one appointment with a Clock.
type Timer struct {
	C     <-chan time.Time
	stop  func() bool
	reset func(time.Duration) bool
}

// Stop cancels the timer and reports whether it was still to come. After Stop
// nothing is received from C.
func (t *Timer) Stop() bool { return t.stop() }

// Reset sets the timer to d from now and reports whether it was still to come.
func (t *Timer) Reset(d time.Duration) bool { return t.reset(d) }

// Real is the clock of the machine.
var Real Clock = real{}

type real struct{}

func (real) Now() time.Time { return time.Now() }

func (real) NewTimer(d time.Duration) *Timer {
	t := time.NewTimer(d)
	return &Timer{t.C, t.Stop, t.Reset}
}

func (real) AfterFunc(d time.Duration, fn func()) *Timer {
	t := time.AfterFunc(d, fn)
	return &Timer{nil, t.Stop, t.Reset}
}

func (real) Sleep(ctx context.Context, d time.Duration) error { return sleep(ctx, real{}, d) }

func sleep(ctx context.Context, c Clock, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := c.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
