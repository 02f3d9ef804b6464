package gateway

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/clock"
)

// Whoever can reach the port can be refused as often as they like, and every
// refusal is a record that is synced to disk. So the records of callers who
// could not say who they are (never the refusals, and never the record of a
// caller whose signature was right) are bounded: one source's by a few, and
// then by a trickle; all sources' together likewise. What goes beyond is
// counted, and the count becomes one record a minute. A source that keeps
// trying all day costs 12 MB, and all strangers of the world 120 MB.
const (
	sourceBurst = 60               // records that one source may cause at once
	sourceEvery = 10 * time.Second // and then one in so long
	worldBurst  = 600
	worldEvery  = time.Second
	countEvery  = time.Minute // at most one record of counts in so long
	mostSources = 4096        // buckets held; further sources share the world's
	namedSource = 20          // sources that a record of counts names
)

// bucket is a token bucket.
type bucket struct {
	left float64
	at   time.Time // when left was right
}

func (b *bucket) take(now time.Time, burst float64, every time.Duration) bool {
	if b.at.IsZero() {
		b.left = burst
	} else if passed := now.Sub(b.at); passed > 0 {
		b.left = min(burst, b.left+float64(passed)/float64(every))
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// strangers decides which refusals of unknown callers get a record of their
// own, and counts the others. The zero value is ready.
type strangers struct {
	all     atomic.Bool // every refusal gets a record
	mu      sync.Mutex
	world   bucket
	sources map[netip.Addr]*bucket

	held  audit.Unrecorded // since the last record of counts
	last  audit.Record     // of the last refusal that was held
	into  string           // the stream that its record would have gone to
	timer *clock.Timer     // set while something is held
}

// source is who shares a bucket: an address, or for IPv6 the network of 64
// bits that one customer usually gets.
func source(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// RecordEveryRefusal lifts the bounds on records of unknown callers. It is for
// tests that are such callers and look for the record of each of their calls.
func (g *Gateway) RecordEveryRefusal() { g.strangers.all.Store(true) }

// admits reports whether a refusal of an unknown caller gets a record.
func (s *strangers) admits(from netip.Addr, now time.Time) bool {
	if s.all.Load() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from = source(from)
	b := s.sources[from]
	if b == nil {
		if len(s.sources) >= mostSources {
			s.forget(now)
		}
		b = &bucket{}
		if len(s.sources) < mostSources {
			if s.sources == nil {
				s.sources = map[netip.Addr]*bucket{}
			}
			s.sources[from] = b
		}
	}
	return b.take(now, sourceBurst, sourceEvery) && s.world.take(now, worldBurst, worldEvery)
}

// forget drops the buckets that are full again: they say nothing.
func (s *strangers) forget(now time.Time) {
	for a, b := range s.sources {
		if now.Sub(b.at) >= sourceBurst*sourceEvery {
			delete(s.sources, a)
		}
	}
}

// hold counts a refusal instead of recording it.
func (g *Gateway) hold(c *Call, r *audit.Record) {
	s := &g.strangers
	s.mu.Lock()
	defer s.mu.Unlock()
	from := "unknown"
	if c.SourceIP.IsValid() {
		from = source(c.SourceIP).String()
	}
	s.held.Add(from, r.ErrorCode, r.EventTime, namedSource)
	s.last, s.into = *r, g.stream(c)
	if s.timer == nil {
		s.timer = g.Clock.AfterFunc(countEvery, func() {
			if err := g.RecordHeld(context.Background()); err != nil {
				g.Log.Error("the count of refused strangers is not in the trail", "error", err)
			}
		})
	}
}

// RecordHeld writes the record that counts the refusals of unknown callers
// which got none of their own. It happens by itself a minute after the first
// of them; whoever closes the store calls it before.
func (g *Gateway) RecordHeld(ctx context.Context) error {
	s := &g.strangers
	s.mu.Lock()
	held, last, into := s.held, s.last, s.into
	if s.timer != nil {
		s.timer.Stop()
	}
	s.held, s.last, s.timer = audit.Unrecorded{}, audit.Record{}, nil
	s.mu.Unlock()
	if held.Count == 0 {
		return nil
	}
	if last.AdditionalEventData == nil {
		last.AdditionalEventData = &audit.Additional{}
	}
	last.AdditionalEventData.Unrecorded = &held
	rec, err := last.Encode()
	if err == nil {
		err = g.Store.Append(ctx, into, rec)
	}
	if err != nil {
		g.auditLost.Store(true)
	}
	return err
}
