package acs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// Handler does what the server asks. Calls come one at a time, in the order of
// the frames; a slow handler delays the next frame, so work belongs elsewhere.
type Handler interface {
	// Accept takes one task. An error means that the task is unusable; the
	// handler has reported it and the payload is not acknowledged, as the
	// stock agent does.
	Accept(Task) error
	// Refuse reports a task that could not be decoded as STOPPED.
	Refuse(taskARN string, why error)
	// SetCredentials replaces the keys of one credential set. An error
	// withholds the acknowledgement, so that the server sends them again.
	SetCredentials(taskARN, roleType string, c RoleCredentials) error
	// Running lists the tasks that this host keeps running.
	Running() []TaskIdentifier
	// StopTask stops one task that the server does not want any more.
	StopTask(taskARN string)
	// Attached confirms network interfaces announced for a task.
	Attached(taskARN string, interfaces []ElasticNetworkInterface)
}

// Sequence is the highest sequence number seen. It outlives the process.
type Sequence interface {
	// Last is the highest number so far, 0 at first.
	Last() int64
	// Advance raises it to n; a lower n changes nothing. It is durable when
	// Advance returns.
	Advance(n int64) error
}

// Timers are the stock agent's; tests shorten them. Zero fields mean defaults.
type Timers struct {
	Inactivity, InactivityJitter time.Duration // 60 s + up to 60 s without a message: reconnect
	Lifetime, LifetimeJitter     time.Duration // 30 min + up to 5 min, then close with 1000
	Inactive                     time.Duration // 1 h after InactiveInstanceException
	Backoff                      Backoff       // 250 ms x 1.5 +- 20 % up to 2 min
}

func (t *Timers) defaults() {
	orDefault(&t.Inactivity, time.Minute)
	orDefault(&t.InactivityJitter, time.Minute)
	orDefault(&t.Lifetime, 30*time.Minute)
	orDefault(&t.LifetimeJitter, 5*time.Minute)
	orDefault(&t.Inactive, time.Hour)
	if t.Backoff.Min == 0 {
		t.Backoff = Backoff{Min: 250 * time.Millisecond, Max: 2 * time.Minute, Factor: 1.5, Jitter: 0.2}
	}
}

func orDefault(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

// Session keeps the ACS websocket open.
type Session struct {
	Line     *Line
	Handler  Handler
	Sequence Sequence
	Timers   Timers
	Logger   *slog.Logger
	// Connected is called after every successful handshake; may be nil.
	Connected func()

	// verifying is the manifest whose stop candidates were sent last.
	verifying string
}

// Run connects and reconnects until ctx is done, which is the only way that
// it ends. The error is ctx's.
func (s *Session) Run(ctx context.Context) error {
	s.Timers.defaults()
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	backoff := s.Timers.Backoff
	sendCredentials := true // until one handshake has succeeded
	for {
		started := s.Line.now()
		connected, err := s.connect(ctx, sendCredentials)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if connected {
			sendCredentials = false
		}
		delay := time.Duration(0)
		switch {
		case inactive(err):
			delay = s.Timers.Inactive
			s.Logger.Warn("the control plane says that this container instance is inactive", "error", err, "retryIn", delay)
		case connected && orderly(err) && s.Line.now().Sub(started) > time.Second:
			backoff.Reset()
			s.Logger.Info("ACS connection ended, reconnecting", "reason", err)
		default:
			// Also for a socket that was accepted and dropped at once:
			// the stock agent spins on that, we do not.
			if connected && s.Line.now().Sub(started) > time.Minute {
				backoff.Reset()
			}
			delay = backoff.Next()
			s.Logger.Warn("ACS connection failed", "error", err, "retryIn", delay)
		}
		if err := s.Line.clock().Sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// orderly says whether the end of a connection is an ordinary one, after which
// the stock agent comes back at once.
func orderly(err error) bool {
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusInternalError:
		return true
	case -1: // no close frame: a plain TCP end (1006), or our own timers
		return true
	}
	return false
}

var (
	errQuiet    = errors.New("no message from the server in time")
	errLifetime = errors.New("connection reached its maximum age")
)

func (s *Session) connect(ctx context.Context, sendCredentials bool) (connected bool, err error) {
	endpoints, err := s.Line.Discover(ctx)
	if err != nil {
		return false, err
	}
	query := url.Values{
		"agentHash":            {"remit"},
		"agentVersion":         {s.Line.Version},
		"clusterArn":           {s.Line.Cluster},
		"containerInstanceArn": {s.Line.ContainerInstance},
		"dockerVersion":        {"DockerVersion: 0"},
		"protocolVersion":      {"2"},
		"sendCredentials":      {map[bool]string{true: "true", false: "false"}[sendCredentials]},
		"seqNum":               {"1"},
	}
	conn, _, err := s.Line.dial(ctx, endpoints.ACS, query)
	if err != nil {
		return false, err
	}
	defer conn.CloseNow()
	s.Logger.Info("connected to ACS", "endpoint", endpoints.ACS)
	if s.Connected != nil {
		s.Connected()
	}
	life, cancel := context.WithTimeoutCause(ctx, jittered(s.Timers.Lifetime, s.Timers.LifetimeJitter), errLifetime)
	defer cancel()
	defer closeWhenDone(life, conn)()
	for {
		// Cancelling a read tears the connection down without a close frame,
		// so only silence does; the ordinary ends go through closeWhenDone.
		quiet, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx),
			jittered(s.Timers.Inactivity, s.Timers.InactivityJitter), errQuiet)
		kind, frame, err := conn.Read(quiet)
		cause := context.Cause(quiet)
		cancel()
		if err != nil {
			return true, cmp.Or(cause, context.Cause(life), err)
		}
		if kind != websocket.MessageText {
			s.Logger.Warn("dropped a binary frame from the server")
			continue
		}
		if err := s.handle(ctx, conn, frame); err != nil {
			return true, err
		}
	}
}

// handle answers one frame. An error ends the connection; a frame that cannot
// be used is only logged.
func (s *Session) handle(ctx context.Context, conn *websocket.Conn, frame []byte) error {
	m, err := Decode(frame)
	if err != nil {
		s.Logger.Warn("dropped a frame from the server", "error", err, "bytes", len(frame))
		return nil
	}
	send := func(kind string, message any) error {
		b, err := encode(kind, message)
		if err != nil {
			return err
		}
		return write(ctx, conn, b)
	}
	acknowledge := func(id string) error {
		return send(typeAck, ack{s.Line.Cluster, s.Line.ContainerInstance, id})
	}
	switch m := m.(type) {
	case *Heartbeat:
		return send(typeHeartbeatAck, heartbeatAck{m.MessageID})
	case *Payload:
		return s.payload(m, send, acknowledge)
	case *IAMRoleCredentialsMessage:
		if err := s.Handler.SetCredentials(m.TaskARN, m.RoleType, *m.RoleCredentials); err != nil {
			s.Logger.Warn("credentials not accepted", "task", m.TaskARN, "roleType", m.RoleType, "error", err)
			return nil
		}
		return send(typeCredentialsAck, credentialsAck{m.MessageID, m.RoleCredentials.CredentialsID, m.RoleCredentials.Expiration})
	case *TaskManifest:
		return s.manifest(m, send, acknowledge)
	case *TaskStopVerificationAck:
		if s.verifying == "" || m.MessageID != s.verifying {
			s.Logger.Warn("stop verification for a manifest that was not asked about", "messageId", m.MessageID)
			return nil
		}
		s.verifying = ""
		for _, t := range m.StopTasks {
			s.Logger.Info("stopping a task that the control plane does not list", "task", t.TaskARN)
			s.Handler.StopTask(t.TaskARN)
		}
		return nil
	case *AttachNetworkInterfaces:
		if err := acknowledge(m.MessageID); err != nil {
			return err
		}
		if m.forTask {
			s.Handler.Attached(m.TaskARN, m.ElasticNetworkInterfaces)
		}
		return nil
	case *Update:
		return send(typeNack, nack{s.Line.Cluster, s.Line.ContainerInstance, m.MessageID, "updates are not supported"})
	case *Notice:
		s.Logger.Info("message from the control plane", "type", m.Type, "text", m.Text)
	}
	return nil
}

// payload starts and stops tasks. Each credential set is acknowledged by
// itself. One unusable task withholds the acknowledgement of the whole
// payload, though its other tasks run.
func (s *Session) payload(m *Payload, send func(string, any) error, acknowledge func(string) error) error {
	if err := s.Sequence.Advance(*m.SeqNum); err != nil {
		// Not acknowledged: what is not remembered is sent again.
		s.Logger.Error("cannot save the sequence number", "error", err)
		return nil
	}
	sound := true
	for _, raw := range m.Tasks {
		t, err := DecodeTask(raw)
		if err == nil {
			err = s.Handler.Accept(t)
		} else if t.ARN != "" {
			s.Handler.Refuse(t.ARN, err)
		}
		if err != nil {
			s.Logger.Warn("task not accepted", "task", t.ARN, "error", err)
			sound = false
			continue
		}
		for _, c := range []*RoleCredentials{t.RoleCredentials, t.ExecutionRoleCredentials} {
			if c == nil || c.CredentialsID == "" {
				continue
			}
			if err := send(typeCredentialsAck, credentialsAck{m.MessageID, c.CredentialsID, c.Expiration}); err != nil {
				return err
			}
		}
	}
	if !sound {
		return nil
	}
	return acknowledge(m.MessageID)
}

// manifest compares the server's list with ours. It never starts a task and
// never stops one by itself: candidates are named, and stop only when the
// server confirms.
func (s *Session) manifest(m *TaskManifest, send func(string, any) error, acknowledge func(string) error) error {
	if *m.Timeline <= s.Sequence.Last() {
		s.Logger.Info("discarded an old task manifest", "timeline", *m.Timeline, "last", s.Sequence.Last())
		return nil
	}
	if err := s.Sequence.Advance(*m.Timeline); err != nil {
		s.Logger.Error("cannot save the sequence number", "error", err)
		return nil
	}
	wanted := make(map[string]bool, len(m.Tasks))
	for _, t := range m.Tasks {
		if t.DesiredStatus == DesiredRunning {
			wanted[t.TaskARN] = true
		}
	}
	var candidates []TaskIdentifier
	for _, t := range s.Handler.Running() {
		if !wanted[t.TaskARN] {
			t.DesiredStatus = DesiredStopped
			candidates = append(candidates, t)
		}
	}
	if len(candidates) > 0 {
		s.verifying = m.MessageID
		if err := send(typeStopVerification, stopVerification{m.MessageID, candidates}); err != nil {
			return err
		}
	}
	return acknowledge(m.MessageID)
}

// closeWhenDone says goodbye (1000) on conn when ctx ends, and hangs up if the
// server does not answer within two seconds. The result undoes it.
func closeWhenDone(ctx context.Context, conn *websocket.Conn) (undo func() bool) {
	return context.AfterFunc(ctx, func() {
		hangUp := time.AfterFunc(2*time.Second, func() { _ = conn.CloseNow() })
		defer hangUp.Stop()
		_ = conn.Close(websocket.StatusNormalClosure, "")
	})
}
