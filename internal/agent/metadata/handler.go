package metadata

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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

// Server returns an HTTP server for this task alone, with time limits fit for
// small answers to untrusted clients. The caller serves a listener with it and
// closes it.
func (t *Task) Server() *http.Server { return newServer(t.Handler()) }

func newServer(h http.Handler) *http.Server {
	return &http.Server{
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
	if !h.task.limit.take(now) {
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
		h.credentials(w, r, now, strings.TrimPrefix(id, "/"), true)
	case v1:
		// A parameter that cannot be parsed is no id.
		q, _ := url.ParseQuery(r.URL.RawQuery)
		h.credentials(w, r, now, q.Get("id"), false)
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

func (h handler) credentials(w http.ResponseWriter, r *http.Request, now time.Time, id string, v2 bool) {
	event, body := "GetCredentialsInvalidRoleType", []byte(nil)
	var refusal credentialsError
	s, execution := h.task.application.Load(), h.task.executionID.Load()
	switch {
	case h.token != "" && !equal(r.Header.Get("Authorization"), h.token):
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
	version := "V3"
	if v4 {
		version = "V4"
	}
	d := h.task.documents.Load()
	var c containerDocuments
	known := false
	if d != nil {
		// The map lookup leaks nothing worth timing: a metadata id opens
		// descriptions of this task, to this task.
		c, known = d.containers[id]
	}
	var taskBody, containerBody []byte
	if known {
		taskBody, containerBody = d.task, c.v4
		if !v4 {
			taskBody, containerBody = d.taskV3, c.v3
		}
	}
	switch what {
	case "":
		if !known {
			lookupFailure(w, r, version+" container metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: "+id)
			return
		}
		writeJSON(w, r, http.StatusOK, containerBody)
	case "task", "taskWithTags":
		if !known {
			lookupFailure(w, r, version+" task metadata handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: "+id)
			return
		}
		if what == "taskWithTags" {
			taskBody = d.taskWithTags
		}
		writeJSON(w, r, http.StatusOK, taskBody)
	case "stats":
		if !known {
			lookupFailure(w, r, version+" container stats handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: "+id)
			return
		}
		b, err := h.stats(r.Context(), c.dockerID)
		if err != nil {
			writeText(w, r, http.StatusInternalServerError, "Unable to get container stats for: "+c.dockerID)
			return
		}
		writeJSON(w, r, http.StatusOK, b)
	case "task/stats":
		if !known {
			lookupFailure(w, r, version+" task stats handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: "+id)
			return
		}
		all := make(map[string]json.RawMessage, len(d.dockerIDs))
		for _, dockerID := range d.dockerIDs {
			b, err := h.stats(r.Context(), dockerID)
			if err != nil {
				b = json.RawMessage("null") // one container without stats does not hide the others
			}
			all[dockerID] = b
		}
		b, err := json.Marshal(all)
		if err != nil {
			writeText(w, r, http.StatusInternalServerError, "Unable to get task stats for: "+h.task.arn)
			return
		}
		writeJSON(w, r, http.StatusOK, b)
	default:
		http.NotFound(w, r)
	}
}

func (h handler) stats(ctx context.Context, dockerID string) (json.RawMessage, error) {
	f := h.task.stats.Load()
	if f == nil || *f == nil || dockerID == "" {
		return json.RawMessage("null"), nil
	}
	b, err := (*f)(ctx, dockerID)
	if err == nil && len(b) == 0 {
		b = json.RawMessage("null")
	}
	return b, err
}

func lookupFailure(w http.ResponseWriter, r *http.Request, text string) {
	writeText(w, r, http.StatusNotFound, text)
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
