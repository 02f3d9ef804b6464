package acs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"

	"github.com/remit-ecs/remit/internal/clock"
)

// handshakeTimeout bounds connecting and the websocket upgrade, as the stock
// agent does.
const handshakeTimeout = 30 * time.Second

// HandshakeError is a refused websocket upgrade.
type HandshakeError struct {
	Status    int
	Exception string // "" when the body was not in the one-key form
	Text      string
}

func (e *HandshakeError) Error() string {
	if e.Exception == "" {
		return fmt.Sprintf("websocket handshake refused with status %d", e.Status)
	}
	return fmt.Sprintf("websocket handshake refused with status %d: %s: %s", e.Status, e.Exception, e.Text)
}

// inactive reports whether the server no longer knows this container instance.
func inactive(err error) bool {
	var h *HandshakeError
	return errors.As(err, &h) && h.Exception == "InactiveInstanceException"
}

// dial opens a signed websocket. endpoint is what DiscoverPollEndpoint
// answered; "ws" and the query are appended to its path.
func (l *Line) dial(ctx context.Context, endpoint string, query url.Values) (*websocket.Conn, *url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	u, err := socketURL(endpoint, query)
	if err != nil {
		return nil, nil, err
	}
	header, err := l.sign(ctx, u, nil)
	if err != nil {
		return nil, nil, err
	}
	conn, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: l.HTTPClient, HTTPHeader: header,
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			refused := &HandshakeError{Status: resp.StatusCode}
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
			refused.Exception, refused.Text, _ = decodeException(body)
			return nil, nil, refused
		}
		return nil, nil, err
	}
	conn.SetReadLimit(MaxFrame)
	return conn, u, nil
}

// socketURL appends ws and the query to an endpoint.
func socketURL(endpoint string, query url.Values) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("poll endpoint: %w", err)
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return nil, fmt.Errorf("poll endpoint %q: the scheme must be http or https", endpoint)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("poll endpoint %q has no host", endpoint)
	}
	u.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	u.Path = strings.TrimSuffix(u.Path, "/") + "/ws"
	u.RawPath = ""
	// The signer canonicalises a space as %20; sending it that way keeps the
	// signed and the sent query the same bytes.
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u, nil
}

// sign returns the SigV4 headers of a GET of u with the given payload. ECS's
// own services expect the service name "ecs" on its sockets too.
func (l *Line) sign(ctx context.Context, u *url.URL, payload []byte) (http.Header, error) {
	creds, err := l.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("container instance role: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(payload)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(hash[:]), "ecs", l.Region, l.now()); err != nil {
		return nil, err
	}
	return req.Header, nil
}

// Line is what both sockets need to know: who we are and how to sign.
type Line struct {
	Cluster           string // as configured: a name or an ARN
	ContainerInstance string // ARN
	Region            string
	Version           string // agent version
	Credentials       aws.CredentialsProvider
	// Discover gives the current endpoints; it may cache.
	Discover   func(context.Context) (Endpoints, error)
	HTTPClient *http.Client
	// Clock is for signatures and for the waits between connections; nil is
	// the real one. Silence on a socket is measured in real time.
	Clock clock.Clock
}

// Endpoints are the answer of DiscoverPollEndpoint.
type Endpoints struct{ ACS, TCS string }

func (l *Line) clock() clock.Clock {
	if l.Clock != nil {
		return l.Clock
	}
	return clock.Real
}

func (l *Line) now() time.Time { return l.clock().Now() }

// write sends one text frame.
func write(ctx context.Context, conn *websocket.Conn, frame []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, frame)
}

// Backoff grows a delay between attempts. The zero value is unusable; use the
// literals below or fill all fields.
type Backoff struct {
	Min, Max time.Duration
	Factor   float64
	Jitter   float64 // fraction by which a delay varies, both ways

	current time.Duration
}

// Next gives the delay to sleep now and grows the one after.
func (b *Backoff) Next() time.Duration {
	if b.current == 0 {
		b.current = b.Min
	}
	d := b.current
	b.current = min(time.Duration(float64(b.current)*b.Factor), b.Max)
	if b.Jitter > 0 {
		d += time.Duration((rand.Float64()*2 - 1) * b.Jitter * float64(d))
	}
	return d
}

// Reset starts again at Min.
func (b *Backoff) Reset() { b.current = 0 }

// jittered is base plus a random part of spread, so that many agents that lost
// one server do not come back in step.
func jittered(base, spread time.Duration) time.Duration {
	if spread <= 0 {
		return base
	}
	return base + rand.N(spread)
}

// marshal never fails for the agent's own types.
func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("acs: " + err.Error())
	}
	return b
}
