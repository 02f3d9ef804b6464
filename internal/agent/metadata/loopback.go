package metadata

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// Loopback serves a task that has no network namespace of its own: the process
// runtime, or network mode host. Every process of the machine can connect to
// it, so credentials also require a token.
//
// Metadata paths do not ask for the token, because clients of
// ECS_CONTAINER_METADATA_URI_V4 send none; they are guarded by the unguessable
// metadata id and hold no secrets.
type Loopback struct {
	listener net.Listener
	server   *http.Server
	task     *Task
	token    string
	done     chan struct{}
}

// Listen serves the task on a free port of 127.0.0.1 until Close.
func Listen(t *Task) (*Loopback, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("metadata: loopback listener: %w", err)
	}
	lb := &Loopback{listener: l, task: t, token: rand.Text(), done: make(chan struct{})}
	lb.server = newServer(handler{task: t, token: lb.token})
	go func() {
		defer close(lb.done)
		// Serve ends with ErrServerClosed; if the listener itself fails,
		// clients see refused connections and SDKs report that.
		_ = lb.server.Serve(l)
	}()
	return lb, nil
}

// URL is the base address, such as http://127.0.0.1:40123.
func (l *Loopback) URL() string { return "http://" + l.listener.Addr().String() }

// Token is the value of AWS_CONTAINER_AUTHORIZATION_TOKEN. It is a secret.
func (l *Loopback) Token() string { return l.token }

// CredentialsURI is the value of AWS_CONTAINER_CREDENTIALS_FULL_URI, or empty
// when the task has no task role credentials.
func (l *Loopback) CredentialsURI() string {
	s := l.task.application.Load()
	if s == nil {
		return ""
	}
	return l.URL() + "/v2/credentials/" + s.id
}

// Close ends the listener and every connection.
func (l *Loopback) Close() error {
	err := l.server.Close()
	<-l.done
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}
