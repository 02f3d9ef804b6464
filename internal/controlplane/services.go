package controlplane

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/registry"
	"github.com/remit-ecs/remit/internal/seal"
	"github.com/remit-ecs/remit/internal/service/cloudtrail"
	"github.com/remit-ecs/remit/internal/service/ecr"
	"github.com/remit-ecs/remit/internal/service/ecs"
	"github.com/remit-ecs/remit/internal/service/ecs/hosts"
	"github.com/remit-ecs/remit/internal/service/iam"
	"github.com/remit-ecs/remit/internal/service/kms"
	"github.com/remit-ecs/remit/internal/service/logs"
	"github.com/remit-ecs/remit/internal/service/s3"
	"github.com/remit-ecs/remit/internal/service/secretsmanager"
	"github.com/remit-ecs/remit/internal/service/ssm"
	"github.com/remit-ecs/remit/internal/service/sts"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

// services are the concrete services. A service never imports another: what
// one needs of another it declares, and here it is given.
type services struct {
	iam            *iam.Service
	ecs            *ecs.Service
	ecr            *ecr.Service
	s3             *s3.Service
	secretsmanager *secretsmanager.Service
	kms            *kms.Service
	all            []registrar

	hosts    *hosts.Server
	registry http.Handler
}

type registrar interface{ Register(*gateway.Mux) }

func (cp *ControlPlane) buildServices(keys *seal.Keyring) services {
	s := services{
		iam: iam.New(iam.Deps{Seal: keys, Organizations: cp.organizations(), LinkedRoleUsage: map[string]func(store.Reader, string) map[string][]string{
			"ecs.amazonaws.com": ecs.ServiceLinkedRoleUsage,
		}}),
		ecs: ecs.New(ecs.Options{
			Store: cp.store, Clock: cp.Clock, Log: cp.Log,
			Reserved: ReservedAccount, Secret: keys.Derive("ecs credential ids", 32),
		}),
	}
	s.s3 = s3.New(cp.store, cp.blobs, iam.Principals{})
	s.secretsmanager = secretsmanager.New(keys, iam.Principals{}, cp.store, cp.Clock, cp.Log)
	s.ecr = ecr.New(ecr.Config{Store: cp.store, Blobs: cp.blobs, Keys: keys, Clock: cp.Clock, Sources: s.iam, Principals: iam.Principals{}, Revoker: s.ecs})
	s.kms = kms.New(kms.Config{Keys: keys, Store: cp.store, Clock: cp.Clock, Log: cp.Log, Principals: iam.Principals{}})
	s.all = []registrar{s.iam, s.ecs, s.ecr, s.s3, s.secretsmanager, s.kms, ssm.New(keys), logs.New(cp.store), cloudtrail.New(cp.store)}
	return s
}

// register adds every operation that is served.
func (s *services) register(m *gateway.Mux, sealer *session.Sealer) {
	sts.New(sealer, s.iam).Register(m)
	for _, r := range s.all {
		r.Register(m)
	}
}

// resources are the resource-based policies, by the service prefix of actions.
func (s *services) resources() map[string]authz.ResourcePolicy {
	return map[string]authz.ResourcePolicy{
		"ecr": s.ecr.ResourcePolicy, "iam": iam.ResourcePolicy, "kms": s.kms.Policy, "s3": s3.ResourcePolicy, "secretsmanager": s.secretsmanager.ResourcePolicy,
	}
}

// connect gives the listeners their way into the gateway.
func (s *services) connect(g *gateway.Gateway) {
	s.hosts = hosts.New(hosts.Options{Gateway: g, Tasks: g.As(ecs.TasksPrincipal), ECS: s.ecs, Log: g.Log})
	s.registry = registry.New(g, s.ecr, g.Log)
}

// startLoops starts the background work of the services.
func (cp *ControlPlane) startLoops(ctx context.Context) {
	s := &cp.services
	cp.loops.Go(func() { s.iam.Run(ctx, cp.store, cp.Clock, cp.Log) })
	cp.loops.Go(func() { s.ecs.Run(ctx) })
	cp.loops.Go(func() { s.ecr.Run(ctx, cp.Log) })
	cp.loops.Go(func() { s.secretsmanager.Run(ctx) })
	cp.loops.Go(func() { s.kms.Run(ctx) })
	cp.loops.Go(func() { cp.collect(ctx) })
}

// Operations returns the operations that a control plane serves, without
// starting one.
func Operations() *gateway.Mux {
	cp := &ControlPlane{}
	s := cp.buildServices(seal.NewEphemeral())
	m := gateway.NewMux()
	s.register(m, nil)
	return m
}

// resetState empties the store, and makes what has to be there again.
func (cp *ControlPlane) resetState(ctx context.Context) error {
	cp.hostMu.Lock()
	defer cp.hostMu.Unlock()
	if cp.host != nil {
		if err := cp.host.stop(ctx, cp.machine.runtime); err != nil {
			return err
		}
		cp.host = nil
	}
	if err := cp.store.Reset(ctx); err != nil {
		return err
	}
	if cp.machine == nil {
		return nil
	}
	// What the agent remembers is of a world that is gone.
	if err := os.RemoveAll(filepath.Join(cp.data, "host", "agent")); err != nil {
		return err
	}
	if err := cp.machine.start(ctx); err != nil {
		return err
	}
	var err error
	cp.host, err = cp.startHost(cp.loopCtx, cp.machine)
	return err
}

// Unreferenced blobs are kept for a while: the commit that refers to them may
// still come.
const (
	collectEvery = time.Hour
	collectGrace = time.Hour
)

// collect removes the bytes that no image and no object refers to.
func (cp *ControlPlane) collect(ctx context.Context) {
	for cp.Clock.Sleep(ctx, collectEvery) == nil {
		if err := cp.services.s3.Sweep(ctx); err != nil && ctx.Err() == nil {
			cp.Log.Warn("sweep abandoned uploads", "error", err)
		}
		view := cp.store.View(ctx)
		if view.Err() != nil {
			continue // what looks unreferenced may only be out of sight
		}
		image, object := ecr.Live(view), s3.Live(view)
		live := func(d blob.Digest) bool { return image(d) || object(d) }
		if n, bytes, err := cp.blobs.Collect(ctx, live, collectGrace); err != nil && ctx.Err() == nil {
			cp.Log.Warn("collect unreferenced blobs", "error", err)
		} else if n > 0 {
			cp.Log.Info("collected unreferenced blobs", "blobs", n, "bytes", bytes)
		}
	}
}
