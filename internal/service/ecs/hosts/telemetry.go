package hosts

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/service/ecs"
)

// acknowledgements of TCS, by the message that they answer. Any of them keeps
// the agent's connection alive.
var telemetryAcks = map[string]string{
	typeMetrics:        "AckPublishMetric",
	typeHealth:         "AckPublishHealth",
	typeInstanceStatus: "AckPublishInstanceStatus",
}

// serveTCS takes measurements. Metrics are acknowledged and dropped; the health
// of containers travels on no other way, and is kept.
func (s *Server) serveTCS(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	call, inst, no := s.admit(r, opTelemetry, q.Get("cluster"), q.Get("containerInstance"))
	if no != nil {
		no.write(w)
		return
	}
	conn, ok := s.upgrade(w, r)
	if !ok {
		return
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	leave, ok := s.enter("tcs "+inst.ARN(), cancel)
	if !ok {
		_ = conn.Close(websocket.StatusGoingAway, "shutting down")
		return
	}
	defer leave()
	for {
		// The agent publishes every 20 seconds; three minutes of silence end it.
		rctx, done := context.WithTimeout(ctx, 3*time.Minute)
		_, b, err := conn.Read(rctx)
		done()
		if err != nil {
			return
		}
		if !s.mayReport(ctx, call, inst) {
			_ = conn.Close(websocket.StatusPolicyViolation, "not authorized to perform: ecs:StartTelemetrySession")
			return
		}
		kind, report, err := decodeTelemetry(b)
		if err != nil {
			s.Log.Warn("hosts: telemetry frame ignored", "containerInstance", inst.ARN(), "error", err)
			continue
		}
		for _, t := range report.Tasks {
			var health []ecs.ContainerHealth
			for _, c := range t.Containers {
				health = append(health, ecs.ContainerHealth{Name: c.Name, Status: c.Status})
			}
			if err := s.ECS.Health(ctx, inst, t.TaskARN, health); err != nil {
				s.Log.Warn("hosts: container health not noted", "task", t.TaskARN, "error", err)
			}
		}
		if ack := telemetryAcks[kind]; ack != "" {
			answer, err := encode(ack, map[string]string{"message": "OK"})
			if err != nil {
				return
			}
			wctx, done := context.WithTimeout(ctx, writeTimeout)
			err = conn.Write(wctx, websocket.MessageText, answer)
			done()
			if err != nil {
				return
			}
		}
	}
}

// mayReport asks again whether the host may report, as of now: it may have been
// deregistered since the handshake, or have lost its session or its permission.
func (s *Server) mayReport(ctx context.Context, call *gateway.Call, inst *ecs.Instance) bool {
	v := s.Gateway.Store.View(ctx)
	now, ok := ecs.FindInstance(v, inst.ARN())
	if v.Err() != nil || !ok || now.Status == "INACTIVE" || now.PrincipalID != call.Principal.UserID {
		return false
	}
	return s.Gateway.Ask(call, func(*gateway.Call) string { return inst.Shard() }, rule(opTelemetry, inst.ARN(), inst.ClusterARN())) == nil
}
