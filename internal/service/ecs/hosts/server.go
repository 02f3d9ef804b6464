// Package hosts is the control plane's side of the agent protocol: the
// websockets on which hosts get their tasks and credentials (ACS) and report
// measurements (TCS). The stock amazon-ecs-agent and Remit's own are served
// alike.
//
//	handshake: gateway.Admit as ecs:Poll on the container instance; the signer
//	           must be the one who registered it
//	connected: manifest ──► what the agent should not run, it offers to stop
//	           then, whenever a document changes and every second:
//	             PENDING            ──► PayloadMessage with both credential sets
//	             desired STOPPED    ──► PayloadMessage STOPPED
//	             half-life reached  ──► IAMRoleCredentialsMessage
//	           each sent again until it is acknowledged
//
// cmd mounts Handler at /acs/ and /tcs/. Credentials are minted at the push, by
// sts:AssumeRole through the gateway as ecs-tasks.amazonaws.com, and are never
// stored; before each push the gateway is asked again whether the host may
// still poll. A host only ever gets credentials of tasks that are placed on it.
//
// The package decides neither where tasks run nor what their status is: both
// are documents of package ecs.
package hosts

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/service/ecs"
)

// The two operations that only websockets serve. The models do not have them;
// the service authorization reference does.
var (
	opPoll      = &api.OpInfo{Service: ecsapi.RunTask.Info.Service, Name: "Poll", Method: "GET", Input: -1, Output: -1}
	opTelemetry = &api.OpInfo{Service: ecsapi.RunTask.Info.Service, Name: "StartTelemetrySession", Method: "GET", Input: -1, Output: -1}
)

// Options is what a Server is built from.
type Options struct {
	Gateway *gateway.Gateway
	// Tasks invokes as ecs-tasks.amazonaws.com: gateway.As(ecs.TasksPrincipal).
	Tasks *gateway.Invoker
	ECS   *ecs.Service
	Log   *slog.Logger

	// LogsEndpoint becomes the awslogs-endpoint of every container. It is for
	// stock agents, whose log driver does not know where Remit is; Remit's own
	// agent uses the endpoint that it talks to.
	LogsEndpoint string
}

// Server serves the websockets.
type Server struct {
	Options

	mu       sync.Mutex
	sessions map[string]*connection // by container instance ARN, TCS apart
	closed   bool
	// refresh is when the credentials of a task and role are to be replaced.
	// It outlives connections, which agents renew every half hour.
	refresh map[refreshKey]time.Time
	running sync.WaitGroup
}

// connection is one open websocket.
type connection struct{ cancel context.CancelFunc }

type refreshKey struct{ task, roleType string }

// New returns a Server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Server{Options: o, sessions: map[string]*connection{}, refresh: map[refreshKey]time.Time{}}
}

// Close ends every connection. Agents connect again at once, elsewhere or here.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for _, c := range s.sessions {
		c.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// Handler serves /acs/ws and /tcs/ws.
func (s *Server) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /acs/ws", s.serveACS)
	m.HandleFunc("GET /tcs/ws", s.serveTCS)
	return m
}

// refusal is how a handshake is turned down: an exception's name and text. Only
// InactiveInstanceException makes the stock agent wait (for an hour); all
// others it tries again with back-off.
type refusal struct {
	status     int
	name, text string
}

func (r *refusal) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_ = json.NewEncoder(w).Encode(map[string]string{r.name: r.text}) // the agent may be gone
}

// admit takes a handshake along the request path and finds the instance.
func (s *Server) admit(r *http.Request, op *api.OpInfo, cluster, instanceARN string) (*gateway.Call, *ecs.Instance, *refusal) {
	home, clusterARN, ok := ecs.InstanceHome(instanceARN)
	if !ok {
		return nil, nil, &refusal{http.StatusBadRequest, "InvalidInstanceException", "The container instance is not named by its ARN."}
	}
	if cluster != "" && cluster != clusterARN && !strings.HasSuffix(clusterARN, "/"+cluster) {
		return nil, nil, &refusal{http.StatusBadRequest, "InvalidClusterException", "The container instance is not in cluster " + cluster + "."}
	}
	call, err := s.Gateway.Admit(r, op, func(*gateway.Call) string { return home }, rule(op, instanceARN, clusterARN))
	if err != nil {
		return nil, nil, refused(err)
	}
	inst, ok := ecs.FindInstance(s.Gateway.Store.View(r.Context()), instanceARN)
	switch {
	case !ok:
		return nil, nil, &refusal{http.StatusBadRequest, "InvalidInstanceException", "The container instance is not registered."}
	case inst.PrincipalID != call.Principal.UserID:
		// The session's name is the instance's id: a host with the same role
		// is still another host, and so is one with a new role of the old name.
		return nil, nil, &refusal{http.StatusForbidden, "AccessDeniedException", call.Principal.ARN + " did not register container instance " + instanceARN + "."}
	case inst.Status == "INACTIVE":
		return nil, nil, &refusal{http.StatusBadRequest, "InactiveInstanceException", "The container instance is deregistered."}
	}
	return call, inst, nil
}

// rule asks for the operation on the container instance.
func rule(op *api.OpInfo, instanceARN, clusterARN string) func(*gateway.Call) ([]authz.Ask, error) {
	return func(*gateway.Call) ([]authz.Ask, error) {
		return []authz.Ask{{Action: op.Action(), Resource: instanceARN, Keys: map[string][]string{"ecs:cluster": {clusterARN}}}}, nil
	}
}

func refused(err *api.Error) *refusal {
	if err.Fault == api.FaultServer {
		return &refusal{http.StatusInternalServerError, "ServerException", err.Message}
	}
	return &refusal{http.StatusForbidden, "AccessDeniedException", cmp.Or(err.Message, err.Code)}
}

// upgrade accepts the websocket. Agents send no Origin; a browser's page that
// does is refused by the library.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (*websocket.Conn, bool) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		s.Log.Debug("hosts: handshake", "error", err)
		return nil, false
	}
	conn.SetReadLimit(MaxFrame)
	return conn, true
}

func (s *Server) serveACS(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	call, inst, no := s.admit(r, opPoll, q.Get("clusterArn"), q.Get("containerInstanceArn"))
	if no != nil {
		no.write(w)
		return
	}
	conn, ok := s.upgrade(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	leave, ok := s.enter(inst.ARN(), cancel)
	if !ok {
		_ = conn.Close(websocket.StatusGoingAway, "shutting down")
		return
	}
	defer leave()
	se := &session{
		Server: s, call: call, inst: inst, conn: conn, id: id.UUID(id.Random),
		sendCredentials: q.Get("sendCredentials") == "true",
		frames:          make(chan frame, 16),
		deliveries:      map[string]*delivery{},
		pending:         map[string]func(fromAgent, string){},
		log:             s.Log.With("containerInstance", inst.ARN()),
	}
	se.run(ctx)
}

// enter makes a connection the only one of its instance here: a new one means
// that the agent has given the old one up. Call leave when it is over. False
// means that the server is closing.
func (s *Server) enter(key string, cancel context.CancelFunc) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	if old := s.sessions[key]; old != nil {
		old.cancel()
	}
	c := &connection{cancel}
	s.sessions[key] = c
	s.running.Add(1)
	return func() {
		s.mu.Lock()
		if s.sessions[key] == c {
			delete(s.sessions, key)
		}
		s.mu.Unlock()
		s.running.Done()
	}, true
}

func (s *Server) refreshAt(task, roleType string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.refresh[refreshKey{task, roleType}]
	return t, ok
}

func (s *Server) setRefresh(task, roleType string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh[refreshKey{task, roleType}] = at
}

// forget drops what is remembered of a task that has ended.
func (s *Server) forget(task string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refresh, refreshKey{task, roleApplication})
	delete(s.refresh, refreshKey{task, roleExecution})
}
