package hosts

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coder/websocket"

	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/service/ecs"
)

const (
	tick          = time.Second
	heartbeatGap  = 30 * time.Second
	heartbeatLost = 60 * time.Second // an agent that does not answer for so long is gone
	aliveGap      = 45 * time.Second // below ecs.Options.Lost
	resend        = 15 * time.Second
	writeTimeout  = 30 * time.Second
)

// errGone ends a session that is not the instance's any more.
var errGone = errors.New("the connection is not the container instance's any more")

// errBarred ends a session whose host may not poll any more.
var errBarred = errors.New("the host may not poll any more")

// session is one ACS connection. One goroutine owns everything in it; another
// only reads frames.
type session struct {
	*Server
	call            *gateway.Call
	inst            *ecs.Instance
	conn            *websocket.Conn
	id              string
	timeline        int64
	sendCredentials bool
	frames          chan frame
	deliveries      map[string]*delivery // by task ARN
	// pending says what to do when a message is acknowledged.
	pending map[string]func(m fromAgent, kind string)
	log     *slog.Logger

	beatAt   time.Time
	beatID   string // unanswered
	aliveAt  time.Time
	manifest string // id of the manifest that may be answered
}

type frame struct {
	kind string
	m    fromAgent
	err  error
}

// delivery is what was sent about one task on this connection.
type delivery struct {
	run, stop message
	retryAt   time.Time         // of run, after a failure of ours
	renewed   map[string]string // role type -> the message that renewed it here
}

// message is something that is sent until it is acknowledged.
type message struct {
	bytes []byte
	at    time.Time
	acked bool
}

func (se *session) run(ctx context.Context) {
	defer se.conn.CloseNow()
	woken, stop := se.Gateway.Store.Wake(ecs.WorkKinds()...)
	defer stop()
	timeline, ok, err := se.ECS.Connect(ctx, se.inst, se.id)
	if err != nil || !ok {
		se.log.Warn("hosts: connection not taken up", "error", err)
		return
	}
	defer func() {
		// The client's context is over; the document still has to say so.
		if err := se.ECS.Disconnect(context.WithoutCancel(ctx), se.inst, se.id); err != nil {
			se.log.Warn("hosts: disconnect", "error", err)
		}
		se.log.Info("hosts: agent disconnected")
	}()
	se.log.Info("hosts: agent connected", "connection", se.id)
	se.timeline = timeline
	now := se.Gateway.Clock.Now()
	se.beatAt, se.aliveAt = now, now
	go se.read(ctx)
	err = se.sendManifest(ctx)
	for err == nil {
		if err = se.reconcile(ctx); err != nil {
			break
		}
		timer := se.Gateway.Clock.NewTimer(tick)
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case f := <-se.frames:
			err = se.handle(ctx, f)
		case <-woken:
		case <-timer.C:
		}
		timer.Stop()
	}
	switch {
	case errors.Is(err, errBarred):
		se.log.Warn("hosts: connection ended", "reason", err)
		// Not 1000 or 1001: on those the agent is back in milliseconds.
		_ = se.conn.Close(websocket.StatusPolicyViolation, "not authorized to perform: ecs:Poll")
	case errors.Is(err, errGone), ctx.Err() != nil:
		_ = se.conn.Close(websocket.StatusNormalClosure, "")
	default:
		se.log.Debug("hosts: connection ended", "reason", err)
	}
}

func (se *session) read(ctx context.Context) {
	for {
		_, b, err := se.conn.Read(ctx)
		f := frame{err: err}
		if err == nil {
			if f.kind, f.m, err = decodeFrame(b); err != nil {
				se.log.Warn("hosts: frame ignored", "error", err)
				continue
			}
		}
		select {
		case se.frames <- f:
		case <-ctx.Done():
			return
		}
		if f.err != nil {
			return
		}
	}
}

func (se *session) write(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return se.conn.Write(ctx, websocket.MessageText, b)
}

func (se *session) send(ctx context.Context, kind string, m any) error {
	b, err := encode(kind, m)
	if err != nil {
		return err
	}
	return se.write(ctx, b)
}

func (se *session) handle(ctx context.Context, f frame) error {
	if f.err != nil {
		return f.err
	}
	switch f.kind {
	case typeHeartbeatAck:
		if f.m.MessageID == se.beatID {
			se.beatID = ""
		}
	case typeNack:
		se.log.Warn("hosts: agent declined a message", "messageId", f.m.MessageID, "reason", f.m.Reason)
	case typeAck, typeCredentialsAck:
		if done := se.pending[f.m.MessageID]; done != nil {
			done(f.m, f.kind)
		}
	case typeStopVerification:
		return se.verifyStops(ctx, f.m)
	}
	return nil
}

// sendManifest lists what the instance is to run. Whatever else the agent runs
// it offers to stop; what it lacks comes as payloads.
func (se *session) sendManifest(ctx context.Context) error {
	v := se.Gateway.Store.View(ctx)
	if err := v.Err(); err != nil {
		return err
	}
	list := []taskIdentifier{}
	for _, t := range ecs.TasksOn(v, se.inst) {
		if t.Desired() == ecs.StatusRunning {
			list = append(list, taskIdentifier{t.ARN(), t.ClusterARN(), ecs.StatusRunning})
		}
	}
	se.manifest = id.UUID(id.Random)
	return se.send(ctx, "TaskManifestMessage", manifest{
		MessageID: se.manifest, ClusterARN: se.inst.ClusterARN(), ContainerInstance: se.inst.ARN(),
		GeneratedAt: se.Gateway.Clock.Now().UnixMilli(), Timeline: se.timeline, Tasks: list,
	})
}

// verifyStops confirms which of the tasks that the manifest lacks must really
// stop, judged by the documents of now.
func (se *session) verifyStops(ctx context.Context, m fromAgent) error {
	if m.MessageID != se.manifest {
		return nil // each manifest is answered once
	}
	se.manifest = ""
	v := se.Gateway.Store.View(ctx)
	if err := v.Err(); err != nil {
		return err
	}
	stop := []taskIdentifier{}
	for _, c := range m.StopCandidates {
		if t, ok := ecs.FindTask(v, c.TaskARN); ok && t.Host == se.inst.ARN() && t.Desired() == ecs.StatusRunning {
			continue
		}
		stop = append(stop, taskIdentifier{c.TaskARN, c.TaskClusterARN, ecs.StatusStopped})
	}
	return se.send(ctx, "TaskStopVerificationAck", stopVerificationAck{
		MessageID: m.MessageID, GeneratedAt: se.Gateway.Clock.Now().UnixMilli(), StopTasks: stop,
	})
}

// reconcile sends what the documents ask for and the agent was not yet told.
func (se *session) reconcile(ctx context.Context) error {
	now := se.Gateway.Clock.Now()
	if err := se.beat(ctx, now); err != nil {
		return err
	}
	v := se.Gateway.Store.View(ctx)
	if v.Err() != nil {
		return nil // out of touch with the store: say nothing until it is back
	}
	inst, ok := ecs.FindInstance(v, se.inst.ARN())
	if !ok || inst.Status == "INACTIVE" || inst.Connection != se.id {
		return errGone
	}
	live := map[string]bool{}
	for _, t := range ecs.TasksOn(v, inst) {
		live[t.ARN()] = true
		d := se.deliveries[t.ARN()]
		if d == nil {
			d = &delivery{renewed: map[string]string{}}
			se.deliveries[t.ARN()] = d
		}
		var err error
		switch {
		case t.Status() == ecs.StatusDeprovisioning:
		case t.Desired() == ecs.StatusStopped:
			err = se.stop(ctx, v, t, d, now)
		case t.Status() == ecs.StatusPending && !d.run.acked:
			err = se.start(ctx, v, t, d, now)
		default:
			err = se.renew(ctx, t, d, now)
		}
		if err != nil {
			return err
		}
	}
	for arn := range se.deliveries {
		if !live[arn] {
			delete(se.deliveries, arn)
			se.forget(arn)
		}
	}
	return nil
}

// beat keeps the connection alive, and ends it where nobody answers.
func (se *session) beat(ctx context.Context, now time.Time) error {
	if se.beatID != "" && now.Sub(se.beatAt) >= heartbeatLost {
		return errors.New("heartbeats are not acknowledged")
	}
	if se.beatID == "" && now.Sub(se.aliveAt) >= aliveGap {
		se.aliveAt = now
		ok, err := se.ECS.Alive(ctx, se.inst, se.id)
		if err != nil {
			se.log.Warn("hosts: sign of life not noted", "error", err)
		} else if !ok {
			return errGone
		}
	}
	if se.beatID != "" || now.Sub(se.beatAt) < heartbeatGap {
		return nil
	}
	se.beatID, se.beatAt = id.UUID(id.Random), now
	return se.send(ctx, "HeartbeatMessage", heartbeat{MessageID: se.beatID, Healthy: true})
}

// post sends a payload of one task and remembers it until it is acknowledged.
func (se *session) post(ctx context.Context, m *message, pt payloadTask, now time.Time) error {
	messageID := id.UUID(id.Random)
	b, err := encode("PayloadMessage", payload{
		MessageID: messageID, ClusterARN: se.inst.ClusterARN(), ContainerInstance: se.inst.ARN(),
		GeneratedAt: now.UnixMilli(), SeqNum: se.timeline, Tasks: []payloadTask{pt},
	})
	if err != nil {
		return err
	}
	m.bytes, m.at = b, now
	se.pending[messageID] = func(_ fromAgent, kind string) {
		if kind == typeAck {
			m.acked, m.bytes = true, nil
			delete(se.pending, messageID)
		}
	}
	return se.write(ctx, b)
}

// stop tells the agent to end a task; again where it says nothing for much
// longer than stopping may take.
func (se *session) stop(ctx context.Context, r reader, t *ecs.Task, d *delivery, now time.Time) error {
	m := &d.stop
	if m.acked {
		def, _ := ecs.DefinitionOf(r, t)
		if now.Sub(m.at) < 2*ecs.Timeout(def)+time.Minute {
			return nil
		}
		*m = message{}
	}
	if m.bytes != nil {
		return se.again(ctx, m, now)
	}
	d.run = message{} // nothing is resent to start a task that is to stop
	return se.post(ctx, m, stopPayload(t), now)
}

// again sends an unacknowledged message once more.
func (se *session) again(ctx context.Context, m *message, now time.Time) error {
	if now.Sub(m.at) < resend {
		return nil
	}
	m.at = now
	return se.write(ctx, m.bytes)
}
