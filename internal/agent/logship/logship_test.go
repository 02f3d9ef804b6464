package logship

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// logsServer accepts PutLogEvents and enforces its limits.
type logsServer struct {
	t  *testing.T
	mu sync.Mutex
	// fail gives the status and code of the next answers, "" for none.
	fail     []string
	gate     chan struct{} // when set, each request waits for a value
	messages []string
	batches  int
}

func (s *logsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fail) > 0 {
		code := s.fail[0]
		s.fail = s.fail[1:]
		if code != "" {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(400)
			json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "no"})
			return
		}
	}
	var in struct {
		LogGroupName, LogStreamName string
		LogEvents                   []struct {
			Message   string
			Timestamp int64
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		s.t.Error(err)
	}
	size, last := 0, int64(0)
	for _, e := range in.LogEvents {
		size += len(e.Message) + 26
		if e.Timestamp < last {
			s.t.Error("events out of order")
		}
		if len(e.Message) == 0 || len(e.Message)+26 > 256<<10 {
			s.t.Errorf("a message of %d bytes", len(e.Message))
		}
		if e.Timestamp-in.LogEvents[0].Timestamp > 24*3600*1000 {
			s.t.Error("a batch spans more than a day")
		}
		last = e.Timestamp
		s.messages = append(s.messages, e.Message)
	}
	if size > 1<<20 || len(in.LogEvents) > 10_000 || len(in.LogEvents) == 0 {
		s.t.Errorf("a batch of %d events and %d bytes", len(in.LogEvents), size)
	}
	s.batches++
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	io.WriteString(w, "{}")
}

func open(t *testing.T, s *logsServer, change ...func(*Options)) *Stream {
	s.t = t
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	o := Options{Group: "g", Stream: "s", Logger: slog.New(slog.DiscardHandler), Client: cloudwatchlogs.New(cloudwatchlogs.Options{
		Region: "eu-north-1", BaseEndpoint: aws.String(server.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "c"),
	})}
	for _, f := range change {
		f(&o)
	}
	return Open(o)
}

func TestDeliversAllInOrder(t *testing.T) {
	s := &logsServer{}
	stream := open(t, s)
	at := time.Now()
	var want []string
	for i := range 25_000 {
		line := strings.Repeat("x", 1+i%97)
		want = append(want, line)
		stream.Line(runtime.Stdout, at.Add(time.Duration(i)*time.Microsecond), []byte(line))
	}
	stream.Line(runtime.Stdout, at, nil) // Logs takes no empty message
	if err := stream.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.messages, want) {
		t.Errorf("%d messages of %d", len(s.messages), len(want))
	}
}

func TestFlushesWithinASecond(t *testing.T) {
	s := &logsServer{}
	stream := open(t, s)
	defer stream.Close(t.Context())
	stream.Line(runtime.Stdout, time.Now(), []byte("one"))
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		n := len(s.messages)
		s.mu.Unlock()
		if n == 1 {
			return
		}
		if time.Since(began) > 2*time.Second {
			t.Fatal("not flushed")
		}
	}
}

func TestRetries(t *testing.T) {
	s := &logsServer{fail: []string{"ThrottlingException", "ServiceUnavailableException", "ExpiredTokenException"}}
	stream := open(t, s)
	stream.Line(runtime.Stdout, time.Now(), []byte("kept"))
	if err := stream.Close(t.Context()); err != nil || !slices.Equal(s.messages, []string{"kept"}) {
		t.Errorf("%v %q", err, s.messages)
	}
}

func TestDeniedIsDropped(t *testing.T) {
	s := &logsServer{fail: []string{"AccessDeniedException"}}
	stream := open(t, s)
	stream.Line(runtime.Stdout, time.Now(), []byte("lost"))
	if err := stream.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "1 events") {
		t.Errorf("got %v", err)
	}
}

func TestCloseGivesUp(t *testing.T) {
	s := &logsServer{fail: slices.Repeat([]string{"ThrottlingException"}, 1000)}
	stream := open(t, s)
	stream.Line(runtime.Stdout, time.Now(), []byte("never"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := stream.Close(ctx); err == nil {
		t.Error("an undelivered event was not reported")
	}
	stream.Line(runtime.Stdout, time.Now(), []byte("late")) // must not block
}

func TestBackPressure(t *testing.T) {
	s := &logsServer{gate: make(chan struct{})}
	stream := open(t, s, func(o *Options) { o.Buffer = 1000 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			stream.Line(runtime.Stdout, time.Now(), bytes.Repeat([]byte("x"), 100))
		}
	}()
	select {
	case <-done:
		t.Error("a full buffer did not slow the writer")
	case <-time.After(50 * time.Millisecond):
	}
	close(s.gate)
	<-done
	if err := stream.Close(t.Context()); err != nil || len(s.messages) != 50 {
		t.Errorf("%v, %d messages", err, len(s.messages))
	}
}

func TestNonBlockingDrops(t *testing.T) {
	s := &logsServer{gate: make(chan struct{})}
	stream := open(t, s, func(o *Options) { o.Buffer, o.NonBlocking = 1000, true })
	for range 50 {
		stream.Line(runtime.Stdout, time.Now(), bytes.Repeat([]byte("x"), 100))
	}
	close(s.gate)
	if err := stream.Close(t.Context()); err == nil || len(s.messages) == 0 {
		t.Errorf("%v, %d messages", err, len(s.messages))
	}
}

func TestBatchSpan(t *testing.T) {
	s := &logsServer{}
	stream := open(t, s)
	now := time.Now()
	stream.Line(runtime.Stdout, now.Add(-30*time.Hour), []byte("old"))
	stream.Line(runtime.Stdout, now, []byte("new"))
	if err := stream.Close(t.Context()); err != nil || s.batches != 2 {
		t.Errorf("%v, %d batches", err, s.batches)
	}
}

func FuzzCutMessage(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("bad \xff\xfe utf8 é"))
	f.Add(bytes.Repeat([]byte("é"), maxMessage))
	f.Add(bytes.Repeat([]byte{0xff}, maxMessage))
	f.Fuzz(func(t *testing.T, line []byte) {
		var all strings.Builder
		for rest := line; len(rest) > 0; {
			m, r := cutMessage(rest)
			if m == "" || len(m) > maxMessage || !utf8.ValidString(m) || len(r) >= len(rest) {
				t.Fatalf("%d bytes of %d", len(m), len(rest))
			}
			all.WriteString(m)
			rest = r
		}
		if utf8.Valid(line) && all.String() != string(line) {
			t.Error("the pieces are not the line")
		}
	})
}
