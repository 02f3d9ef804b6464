// Package logship carries what a container prints to CloudWatch Logs, as the
// awslogs log driver does.
//
//	runtime --Line--> [ bounded buffer ] --batch--> PutLogEvents
//	                    full: Line waits             as the execution role
//
// The engine opens one [Stream] per container, gives it to the runtime as the
// container's LogSink, and closes it after the container's exit and before the
// task is reported STOPPED, so that whoever sees STOPPED can read the last
// line.
//
// The package never creates groups or streams (the engine validates them before
// anything starts), never holds keys (its client asks the credentials provider
// for each request, so pushed refreshes take effect in place), and never
// reorders the lines of one stream of a container.
package logship

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// Limits of PutLogEvents.
//
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
const (
	eventOverhead  = 26                     // bytes charged per event beside its message
	maxBatchBytes  = 1 << 20                // messages and overhead together
	maxBatchEvents = 10_000                 // events
	maxMessage     = 256<<10 - 26           // bytes of one message
	maxBatchSpan   = 24 * time.Hour         // between first and last timestamp
	flushAfter     = 500 * time.Millisecond // a line waits at most about this long
	defaultBuffer  = 4 << 20                // bytes held before Line waits
)

// Options of a stream.
type Options struct {
	Client        *cloudwatchlogs.Client
	Group, Stream string
	// Buffer is how many bytes may wait to be sent; 0 is 4 MiB.
	Buffer int
	// NonBlocking drops lines when the buffer is full instead of slowing the
	// container (log option mode=non-blocking).
	NonBlocking bool
	Logger      *slog.Logger
}

// Stream is one container's log stream. It implements runtime.LogSink.
type Stream struct {
	opts Options
	log  *slog.Logger

	mu      sync.Mutex
	space   *sync.Cond // signalled when events leave the buffer
	events  []types.InputLogEvent
	bytes   int
	closed  bool
	dropped int // events given up

	wake chan struct{} // the sender has something to do; capacity 1
	done chan struct{}
	stop context.CancelFunc
}

var _ runtime.LogSink = (*Stream)(nil)

// Open starts a stream. It sends nothing until the first line.
func Open(o Options) *Stream {
	if o.Buffer <= 0 {
		o.Buffer = defaultBuffer
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Stream{
		opts: o, stop: stop,
		log:  o.Logger.With("logGroup", o.Group, "logStream", o.Stream),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.space = sync.NewCond(&s.mu)
	go s.run(ctx)
	return s
}

// Line queues one line. It waits while the buffer is full, which is how a
// container that prints faster than Logs accepts is slowed down. Lines after
// Close are dropped, and so are empty ones, which Logs does not accept.
func (s *Stream) Line(_ runtime.Stream, at time.Time, line []byte) {
	for len(line) > 0 {
		var message string
		message, line = cutMessage(line)
		s.push(at, message)
	}
}

// cutMessage takes at most one event's worth of valid UTF-8 from line. Bytes
// that are not UTF-8 become U+FFFD, which is longer, so the length that Logs
// will count is that of the result.
func cutMessage(line []byte) (message string, rest []byte) {
	if len(line) <= maxMessage && utf8.Valid(line) {
		return string(line), nil
	}
	var b strings.Builder
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		if b.Len()+utf8.RuneLen(r) > maxMessage {
			break
		}
		b.WriteRune(r)
		line = line[size:]
	}
	return b.String(), line
}

func (s *Stream) push(at time.Time, message string) {
	size := len(message) + eventOverhead
	s.mu.Lock()
	defer s.mu.Unlock()
	// A single event always fits, even into a buffer smaller than itself.
	for !s.closed && s.bytes > 0 && s.bytes+size > s.opts.Buffer {
		if s.opts.NonBlocking {
			s.dropped++
			return
		}
		s.space.Wait()
	}
	if s.closed {
		s.dropped++
		return
	}
	s.events = append(s.events, types.InputLogEvent{Message: aws.String(message), Timestamp: aws.Int64(at.UnixMilli())})
	s.bytes += size
	s.signal()
}

func (s *Stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close sends what is left and ends the stream. When ctx ends first the rest is
// given up. The error says how many events never arrived, if any.
func (s *Stream) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.space.Broadcast()
	s.mu.Unlock()
	s.signal()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.stop()
		<-s.done
	}
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if lost := s.dropped + len(s.events); lost > 0 {
		return fmt.Errorf("logship: %d events of %s %s were not delivered", lost, s.opts.Group, s.opts.Stream)
	}
	return nil
}

// run sends batches until the stream is closed and empty, or ctx ends.
func (s *Stream) run(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		s.linger(ctx)
		for {
			batch := s.peek()
			if len(batch) == 0 {
				break
			}
			delivered := s.send(ctx, batch)
			if ctx.Err() != nil {
				return
			}
			s.remove(len(batch), delivered)
		}
		s.mu.Lock()
		finished := s.closed && len(s.events) == 0
		s.mu.Unlock()
		if finished {
			return
		}
	}
}

// linger lets a batch grow for a moment, unless it is full or the last.
func (s *Stream) linger(ctx context.Context) {
	deadline := time.NewTimer(flushAfter)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		ready := s.closed || s.bytes >= maxBatchBytes || s.bytes >= s.opts.Buffer/2 || len(s.events) >= maxBatchEvents
		s.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-deadline.C:
			return
		case <-s.wake:
		}
	}
}

// peek copies the longest prefix of the buffer that one request may hold, in
// order of time as PutLogEvents demands.
func (s *Stream) peek() []types.InputLogEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	size, n := 0, 0
	var first, last int64
	for _, e := range s.events {
		size += len(*e.Message) + eventOverhead
		if n == 0 {
			first, last = *e.Timestamp, *e.Timestamp
		}
		first, last = min(first, *e.Timestamp), max(last, *e.Timestamp)
		if size > maxBatchBytes || n == maxBatchEvents || last-first > maxBatchSpan.Milliseconds() {
			break
		}
		n++
	}
	batch := slices.Clone(s.events[:n])
	// Stable: equal timestamps keep the order in which they were printed.
	slices.SortStableFunc(batch, func(a, b types.InputLogEvent) int { return cmp.Compare(*a.Timestamp, *b.Timestamp) })
	return batch
}

func (s *Stream) remove(n int, delivered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events[:n] {
		s.bytes -= len(*e.Message) + eventOverhead
	}
	s.events = slices.Delete(s.events, 0, n)
	if !delivered {
		s.dropped += n
	}
	s.space.Broadcast()
}

// send delivers one batch. It tries for as long as the failure may pass by
// itself, and gives the batch up where it cannot, as the awslogs driver does:
// a container must not hang because its role lost a permission.
func (s *Stream) send(ctx context.Context, batch []types.InputLogEvent) bool {
	delay := 100 * time.Millisecond
	for {
		out, err := s.opts.Client.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
			LogGroupName: aws.String(s.opts.Group), LogStreamName: aws.String(s.opts.Stream), LogEvents: batch,
		})
		if err == nil {
			if out.RejectedLogEventsInfo != nil {
				s.log.Warn("Logs rejected some events for their age", "info", *out.RejectedLogEventsInfo)
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		var accepted *types.DataAlreadyAcceptedException
		if errors.As(err, &accepted) {
			return true
		}
		if !Transient(err) {
			s.log.Error("log events dropped", "events", len(batch), "error", err)
			return false
		}
		s.log.Warn("log events delayed", "events", len(batch), "retryIn", delay, "error", err)
		t := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
		delay = min(2*delay, 10*time.Second)
	}
}

// Transient says whether a failed AWS call may succeed unchanged: lost network,
// server faults, throttling, and credentials whose refresh is under way.
func Transient(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		var resp *awshttp.ResponseError
		return !errors.As(err, &resp) || resp.HTTPStatusCode() >= http.StatusInternalServerError
	}
	switch api.ErrorCode() {
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded",
		"ServiceUnavailableException", "ServiceUnavailable", "InternalFailure", "InternalServerError",
		"ServerException", "InternalServiceError",
		"ExpiredTokenException", "ExpiredToken", "RequestExpired":
		return true
	}
	return api.ErrorFault() == smithy.FaultServer
}
