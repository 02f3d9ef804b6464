package metadata

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const limitText = "You have reached maximum request limit."

// Handler answers the credentials and metadata paths of this task:
//
//	GET /v2/credentials/ID   /v1/credentials?id=ID
//	GET /v4/ID  /v4/ID/task  /v4/ID/taskWithTags  /v4/ID/stats  /v4/ID/task/stats
//	GET /v3/ID  /v3/ID/task  /v3/ID/taskWithTags  /v3/ID/stats  /v3/ID/task/stats
//
// Errors have the stock agent's codes and words. Over 40 requests per second,
// after a burst of 60, the task gets status 429.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
func (t *Task) Handler() http.Handler { return handler{task: t} }

// maxConnections bounds the file descriptors that one task can hold in the
// agent, which serves all tasks of the host.
const maxConnections = 128

// Server returns an HTTP server for this task alone, with limits of time and
// of connections fit for small answers to untrusted clients: what one task
// does to its endpoint is not felt by another. The caller serves a listener
// with it and closes it before the task's network is detached.
func (t *Task) Server() *http.Server { return newServer(t.Handler()) }

func newServer(h http.Handler) *http.Server {
	var connections atomic.Int64
	return &http.Server{
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				if connections.Add(1) > maxConnections {
					c.Close() // its goroutine finds out and reports StateClosed
				}
			case http.StateClosed, http.StateHijacked:
				connections.Add(-1)
			}
		},
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

type handler struct {
	task *Task
	// token, when set, is the Authorization header that credentials requests
	// must carry.
	token string
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	path := r.URL.Path
	id, v2 := strings.CutPrefix(path, "/v2/credentials")
	v2 = v2 && (id == "" || id[0] == '/')
	v1 := path == "/v1/credentials" || path == "/v1/credentials/"
	authorized := h.token == "" || equal(r.Header.Get("Authorization"), h.token)
	limit := &h.task.limit
	if !authorized {
		limit = &h.task.anonymous
	}
	if !limit.take(now) {
		// Before anything else: a client that ignores the limit costs little.
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusTooManyRequests)
		write(w, r, []byte(limitText))
		if v1 || v2 {
			h.record(r, now, "GetCredentialsInvalidRoleType", http.StatusTooManyRequests, v2)
		}
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	switch {
	case v2:
		h.credentials(w, r, now, strings.TrimPrefix(id, "/"), authorized, true)
	case v1:
		// A parameter that cannot be parsed is no id.
		q, _ := url.ParseQuery(r.URL.RawQuery)
		h.credentials(w, r, now, q.Get("id"), authorized, false)
	case strings.HasPrefix(path, "/v4/"):
		h.metadata(w, r, path[len("/v4/"):], true)
	case strings.HasPrefix(path, "/v3/"):
		h.metadata(w, r, path[len("/v3/"):], false)
	default:
		http.NotFound(w, r)
	}
}

// credentialsError is the body of a refused credentials request.
type credentialsError struct {
	Code          string `json:"code"`
	Message       string `json:"message"`
	HTTPErrorCode int    `json:"HTTPErrorCode"`
}

func (h handler) credentials(w http.ResponseWriter, r *http.Request, now time.Time, id string, authorized, v2 bool) {
	event, body := "GetCredentialsInvalidRoleType", []byte(nil)
	var refusal credentialsError
	s, execution := h.task.application.Load(), h.task.executionID.Load()
	switch {
	case !authorized:
		refusal = credentialsError{"Unauthorized", "The Authorization header does not carry AWS_CONTAINER_AUTHORIZATION_TOKEN", http.StatusUnauthorized}
	case id == "":
		refusal = credentialsError{"NoIdInRequest", "No Credential ID in the request", http.StatusBadRequest}
	case s != nil && equal(id, s.id):
		event, body = "GetCredentials", s.body
		if body == nil {
			refusal = credentialsError{"CredentialsUninitialized", "Credentials uninitialized for ID", http.StatusServiceUnavailable}
		}
	default:
		if execution != nil && equal(id, *execution) {
			event = "GetCredentialsExecutionRole"
		}
		refusal = credentialsError{"InvalidIdInRequest", "Credentials not found", http.StatusBadRequest}
	}
	status := http.StatusOK
	if body == nil {
		status = refusal.HTTPErrorCode
		prefix := "CredentialsV1Request: "
		if v2 {
			prefix = "CredentialsV2Request: "
		}
		refusal.Message = prefix + refusal.Message
		body, _ = json.Marshal(refusal) // two strings and a number cannot fail
	}
	writeJSON(w, r, status, body)
	h.record(r, now, event, status, v2)
}

// equal compares secrets in a time that depends on their lengths only.
func equal(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

func (h handler) record(r *http.Request, now time.Time, event string, status int, v2 bool) {
	audit := h.task.audit.Load()
	if audit == nil || *audit == nil {
		return
	}
	path := "/v1/credentials"
	if v2 {
		path = "/v2/credentials"
	}
	(*audit)(Event{
		Time: now, TaskARN: h.task.arn, Type: event, Status: status,
		Path: path, RemoteAddr: r.RemoteAddr, UserAgent: r.UserAgent(),
	})
}

func (h handler) metadata(w http.ResponseWriter, r *http.Request, rest string, v4 bool) {
	id, what, _ := strings.Cut(rest, "/")
	var c containerDocuments
	known := false
	d := h.task.documents.Load()
	if d != nil {
		// The map lookup leaks nothing worth timing: a metadata id opens
		// descriptions of this task, to this task.
		c, known = d.containers[id]
	}
	switch what {
	case "", "task", "taskWithTags", "stats", "task/stats":
	default:
		http.NotFound(w, r)
		return
	}
	if !known {
		lookupFailure(w, r, id, what, v4)
		return
	}
	var body []byte
	switch {
	case what == "stats":
		b, err := h.stats(r.Context(), c.dockerID)
		if err != nil {
			writeText(w, r, http.StatusInternalServerError, "Unable to get container stats for: "+c.dockerID)
			return
		}
		body = b
	case what == "task/stats":
		body = h.taskStats(r.Context(), d)
	case what == "" && v4:
		body = c.v4
	case what == "":
		body = c.v3
	case what == "task" && v4:
		body = d.task
	case what == "task":
		body = d.taskV3
	case v4:
		body = d.taskWithTags
	default:
		body = d.taskWithTagsV3
	}
	writeJSON(w, r, http.StatusOK, body)
}

// lookupFailure answers a request with an unknown metadata id, in the stock
// agent's words. Its version 3 handlers differ in the status.
func lookupFailure(w http.ResponseWriter, r *http.Request, id, what string, v4 bool) {
	version, status, kind := "V4", http.StatusNotFound, "task metadata"
	cause := "unable to get task arn from request: unable to get task Arn from v3 endpoint ID: "
	switch what {
	case "":
		kind = "container metadata"
		cause = "unable to get container ID from request: unable to get docker ID from v3 endpoint ID: "
	case "stats":
		kind = "container stats"
	case "task/stats":
		kind = "task stats"
	}
	if !v4 {
		version, status = "V3", http.StatusInternalServerError
		if strings.HasSuffix(what, "stats") {
			status = http.StatusBadRequest
		}
	}
	writeText(w, r, status, version+" "+kind+" handler: "+cause+id)
}

// taskStats collects the statistics of all containers. One that has none does
// not hide the others.
func (h handler) taskStats(ctx context.Context, d *documents) []byte {
	all := make(map[string]json.RawMessage, len(d.dockerIDs))
	for _, dockerID := range d.dockerIDs {
		b, err := h.stats(ctx, dockerID)
		if err != nil {
			b = null
		}
		all[dockerID] = b
	}
	b, _ := json.Marshal(all) // stats returns valid JSON only
	return b
}

var null = json.RawMessage("null")

// stats asks for the statistics of one container. What it returns is valid
// JSON.
func (h handler) stats(ctx context.Context, dockerID string) (json.RawMessage, error) {
	f := h.task.stats.Load()
	if f == nil || *f == nil || dockerID == "" {
		return null, nil
	}
	b, err := (*f)(ctx, dockerID)
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0:
		return null, nil
	case !json.Valid(b):
		return nil, errors.New("metadata: statistics are not JSON")
	}
	return b, nil
}

// writeText answers with a bare JSON string, as the stock agent does.
func writeText(w http.ResponseWriter, r *http.Request, status int, text string) {
	b, _ := json.Marshal(text) // a string cannot fail
	writeJSON(w, r, status, b)
}

var contentTypeJSON = []string{"application/json"}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = contentTypeJSON
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	write(w, r, body)
}

func write(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Method == http.MethodHead {
		return
	}
	// An error means that the client went away: nobody is left to tell.
	_, _ = w.Write(body)
}
