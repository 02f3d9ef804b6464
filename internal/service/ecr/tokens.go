package ecr

import (
	"context"
	"encoding/base64"
	"regexp"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
)

// passwordLife is how long a password is valid, unless the session that asked
// for it ends earlier.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
const passwordLife = 12 * time.Hour

func (s *Service) mayGetAuthorizationToken(*gateway.Call, *ecrapi.GetAuthorizationTokenInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "ecr:GetAuthorizationToken", Resource: "*"}}, nil
}

// getAuthorizationToken makes a password that stands for the caller: whoever
// presents it is the caller, with the policies of that moment.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
func (s *Service) getAuthorizationToken(c *gateway.Call, in *ecrapi.GetAuthorizationTokenInput) (*ecrapi.GetAuthorizationTokenOutput, error) {
	password, expires, err := s.password(c.Principal, c.Time)
	if err != nil {
		return nil, err
	}
	token := base64.StdEncoding.EncodeToString([]byte("AWS:" + password))
	registries := in.RegistryIds
	if len(registries) == 0 {
		registries = []string{c.Account}
	}
	out := &ecrapi.GetAuthorizationTokenOutput{}
	for _, registry := range registries {
		out.AuthorizationData = append(out.AuthorizationData, ecrapi.AuthorizationData{
			AuthorizationToken: &token,
			ExpiresAt:          &api.Time{Time: expires},
			ProxyEndpoint:      api.Ptr(proxyEndpoint(c, registry)),
		})
	}
	return out, nil
}

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9]{1,128}$`)

// password seals a principal. The seal keeps when the session was issued, so
// that policies which revoke older sessions hold for its passwords too.
func (s *Service) password(p *session.Principal, now time.Time) (string, time.Time, error) {
	issued, expires := now, now.Add(passwordLife)
	if !p.ExpiresAt.IsZero() {
		issued = p.IssuedAt
		if p.ExpiresAt.Before(expires) {
			expires = p.ExpiresAt
		}
	}
	keyID := p.AccessKeyID
	if !keyPattern.MatchString(keyID) { // callers inside the process have none, and --iam off takes any
		keyID = "-"
	}
	c, err := s.passwords.Mint(*p, keyID, expires.Sub(issued), issued)
	if err != nil {
		return "", time.Time{}, err
	}
	return keyID + "." + c.SessionToken, c.Expiration, nil
}

// OpenToken returns the principal that a password stands for. It refuses with
// session.ErrExpired, or with session.ErrInvalid what is no password of ours,
// or one of a session that ended or of a principal that is gone.
func (s *Service) OpenToken(password string) (*session.Principal, error) {
	keyID, token, ok := strings.Cut(password, ".")
	if !ok {
		return nil, session.ErrInvalid
	}
	p, _, err := s.passwords.Open(keyID, token, s.Clock.Now())
	if err != nil {
		return nil, err
	}
	switch p.Type {
	case session.AssumedRole, session.FederatedUser:
	case session.Root, session.User:
		if !strings.HasPrefix(p.AccessKeyID, id.Temporary) {
			p.IssuedAt, p.ExpiresAt = time.Time{}, time.Time{} // long-term credentials have none
		}
	default:
		return nil, session.ErrInvalid
	}
	if p.AccessKeyID == "-" {
		p.AccessKeyID = ""
	}
	if p.Type != session.Root {
		v := s.Store.View(context.Background())
		if v.Err() != nil || s.Sources.Identity(v, &p).Gone {
			return nil, session.ErrInvalid
		}
	}
	return &p, nil
}

// registryHost is the name that AWS gives a registry.
func registryHost(registry, region string) string {
	return registry + ".dkr.ecr." + region + ".amazonaws.com"
}

// ownAddress tells that the client reached us under an address of our own. Under
// a name of AWS's it will reach registries by their names too; under our own, the
// address comes first and the registry's name is part of the path.
func ownAddress(c *gateway.Call) bool {
	host := c.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return host != "" && !strings.HasSuffix(host, ".amazonaws.com")
}

func proxyEndpoint(c *gateway.Call, registry string) string {
	if ownAddress(c) {
		return c.Scheme + "://" + c.Host
	}
	return "https://" + registryHost(registry, c.Region)
}

func repositoryURI(c *gateway.Call, r ref) string {
	uri := registryHost(r.registry, r.region) + "/" + r.name
	if ownAddress(c) {
		return c.Host + "/" + uri
	}
	return uri
}
