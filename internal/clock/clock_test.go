package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/clock"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestFakeFiresInOrderAtTheRightTime(t *testing.T) {
	f := clock.NewFake(start)
	late, early := f.NewTimer(2*time.Minute), f.NewTimer(time.Minute)
	stopped := f.NewTimer(90 * time.Second)
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop should report true once")
	}
	f.Advance(59 * time.Second)
	select {
	case <-early.C:
		t.Fatal("a second too early")
	default:
	}
	f.Advance(10 * time.Minute)
	if got := <-early.C; !got.Equal(start.Add(time.Minute)) {
		t.Errorf("early fired at %v", got)
	}
	if got := <-late.C; !got.Equal(start.Add(2 * time.Minute)) {
		t.Errorf("late fired at %v", got)
	}
	select {
	case <-stopped.C:
		t.Error("a stopped timer fired")
	default:
	}
	if late.Reset(time.Hour) {
		t.Error("Reset says that a fired timer was still to come")
	}
	if f.Waiting() != 1 {
		t.Errorf("%d waiting", f.Waiting())
	}
	f.Set(start) // backwards: nothing fires
	if !f.Now().Equal(start) || f.Waiting() != 1 {
		t.Error("Set back")
	}
	if <-f.NewTimer(0).C; f.Waiting() != 1 {
		t.Error("a timer for now should fire at once")
	}
}

func TestFakeSleep(t *testing.T) {
	f := clock.NewFake(start)
	woke := make(chan error, 2)
	go func() { woke <- f.Sleep(t.Context(), time.Hour) }()
	f.WaitFor(1)
	f.Advance(time.Hour)
	if err := <-woke; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { woke <- f.Sleep(ctx, time.Hour) }()
	f.WaitFor(1)
	cancel()
	if err := <-woke; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if f.Waiting() != 0 {
		t.Error("a cancelled sleep left its timer")
	}
	called := make(chan time.Time)
	f.AfterFunc(time.Second, func() { called <- f.Now() })
	f.Advance(time.Second)
	if got := <-called; got.Before(start) {
		t.Error(got)
	}
}

func TestReal(t *testing.T) {
	before := time.Now()
	if err := clock.Real.Sleep(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if clock.Real.Now().Sub(before) < time.Millisecond {
		t.Error("woke early")
	}
	done := make(chan bool)
	clock.Real.AfterFunc(time.Millisecond, func() { close(done) })
	<-done
	if tm := clock.Real.NewTimer(time.Hour); !tm.Stop() {
		t.Error("Stop")
	}
}
