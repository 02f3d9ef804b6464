package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/remit-ecs/remit/internal/agent/acs"
	"github.com/remit-ecs/remit/internal/agent/metadata"
)

// errUninitialized means that the id is known and the keys have not been
// pushed, as after a restart of the agent.
var errUninitialized = errors.New("CredentialsUninitialized: the control plane has not sent the role's credentials yet")

// credentialSet is one role's current keys. It is an SDK credentials provider
// that is asked for every request, so a pushed refresh takes effect in place.
// Keys live only here, in memory.
type credentialSet struct {
	mu   sync.Mutex
	keys acs.RoleCredentials
}

// set replaces the keys.
func (c *credentialSet) set(keys acs.RoleCredentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = keys
}

// drop forgets the keys and keeps the id.
func (c *credentialSet) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = *c.keys.Redacted()
}

func (c *credentialSet) initialized() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys.AccessKeyID != "" && c.keys.SecretAccessKey != ""
}

// Retrieve implements aws.CredentialsProvider.
func (c *credentialSet) Retrieve(context.Context) (aws.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys.AccessKeyID == "" || c.keys.SecretAccessKey == "" {
		return aws.Credentials{}, errUninitialized
	}
	return aws.Credentials{
		AccessKeyID: c.keys.AccessKeyID, SecretAccessKey: c.keys.SecretAccessKey,
		SessionToken: c.keys.SessionToken, Source: "task execution role",
	}, nil
}

// served is the set as the metadata endpoint takes it.
func (c *credentialSet) served() metadata.Credentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	// An expiration that cannot be read stays zero, and the endpoint then
	// answers that the keys are not there: fail closed.
	expires, _ := time.Parse(time.RFC3339, c.keys.Expiration)
	return metadata.Credentials{
		ID: c.keys.CredentialsID, RoleARN: c.keys.RoleARN, AccessKeyID: c.keys.AccessKeyID,
		SecretAccessKey: c.keys.SecretAccessKey, SessionToken: c.keys.SessionToken, Expiration: expires,
	}
}
