package iam

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

// LastUse is when and where an access key or a role last signed a request.
type LastUse struct {
	At      time.Time `json:"at"`
	Service string    `json:"service"` // the service prefix, as "s3"
	Region  string    `json:"region"`
}

// lastUses are kept by access key id, and of roles by unique id.
var lastUses = store.NewKind[LastUse]("iam.lastuse", 1)

const (
	// lastUseEvery is how often what was used is written down. A request costs
	// no commit: it is remembered in memory, where answers look first.
	lastUseEvery = time.Minute
	// lastUseGrain is how exact the time is kept, so that a busy key or role
	// is not remembered again for each request.
	lastUseGrain = 10 * time.Second
	// lastUseKept is how long AWS tells of the last use of a role.
	lastUseKept = 400 * 24 * time.Hour
)

// lastUse is what was used since it was last written down.
type lastUse struct {
	mu   sync.RWMutex
	uses map[used]LastUse
}

type used struct{ account, id string }

// Used remembers that a request was signed by p. The gateway calls it for every
// request that it has authenticated, allowed or not.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_last-accessed.html
func (s *Service) Used(p *session.Principal, service, region string, at time.Time) {
	u := used{account: p.Account}
	switch p.Type {
	case session.User:
		u.id = p.AccessKeyID
	case session.AssumedRole:
		u.id = p.RoleID
	}
	if u.id == "" {
		return
	}
	s.last.mu.RLock()
	have, ok := s.last.uses[u]
	s.last.mu.RUnlock()
	if ok && have.Service == service && have.Region == region && at.Sub(have.At) < lastUseGrain {
		return
	}
	s.last.mu.Lock()
	defer s.last.mu.Unlock()
	if s.last.uses == nil {
		s.last.uses = map[used]LastUse{}
	}
	s.last.uses[u] = LastUse{At: at, Service: service, Region: region}
}

// lastUseOf is the last use of an access key or role, if any is known.
func (s *Service) lastUseOf(r store.Reader, account, id string) (LastUse, bool) {
	s.last.mu.RLock()
	u, ok := s.last.uses[used{account, id}]
	s.last.mu.RUnlock()
	if ok {
		return u, true
	}
	d, ok := lastUses.Get(r, gateway.Global(account), id)
	if !ok {
		return LastUse{}, false
	}
	return *d, true
}

// Run writes down what was used, until ctx ends and then once more. What was
// used in the last minute before a crash is not known afterwards.
func (s *Service) Run(ctx context.Context, st *store.Store, c clock.Clock, log *slog.Logger) {
	for c.Sleep(ctx, lastUseEvery) == nil {
		if err := s.WriteLastUses(ctx, st); err != nil && ctx.Err() == nil {
			log.Warn("write down what was last used", "error", err)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastUseFarewell)
	defer cancel()
	if err := s.WriteLastUses(last, st); err != nil {
		log.Warn("write down what was last used", "error", err)
	}
}

// lastUseFarewell is how long the end may be held up by that.
const lastUseFarewell = 2 * time.Second

// WriteLastUses writes down what was used since it was last called.
func (s *Service) WriteLastUses(ctx context.Context, st *store.Store) error {
	s.last.mu.RLock()
	of := map[string]map[string]LastUse{}
	for u, use := range s.last.uses {
		if of[u.account] == nil {
			of[u.account] = map[string]LastUse{}
		}
		of[u.account][u.id] = use
	}
	s.last.mu.RUnlock()
	for account, uses := range of {
		if err := writeLastUses(ctx, st, gateway.Global(account), uses); err != nil {
			return err
		}
		s.last.mu.Lock()
		for id, use := range uses { // unless it was used again meanwhile
			if u := (used{account, id}); s.last.uses[u] == use {
				delete(s.last.uses, u)
			}
		}
		s.last.mu.Unlock()
	}
	return nil
}

// writeLastUses writes the uses of one account in one commit. What was deleted
// meanwhile is left out: nobody can ask about it.
func writeLastUses(ctx context.Context, st *store.Store, shard string, uses map[string]LastUse) error {
	tx := st.Begin(ctx, shard)
	for id, use := range uses {
		_, isKey := accessKeys.Get(tx.View(), shard, id)
		_, isRole := roleByID(tx.View(), shard, id)
		if isKey || isRole {
			lastUses.Put(tx, id, &use)
		}
	}
	if !tx.Dirty() {
		return tx.Err()
	}
	return tx.Commit(ctx)
}
