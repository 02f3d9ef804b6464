package metadata

import (
	"sync"
	"time"
)

// The stock agent's defaults (ECS_TASK_METADATA_RPS_LIMIT 40,60).
const (
	requestsPerSecond = 40
	requestBurst      = 60
)

// bucket is a token bucket: burst tokens at first, refilled at a steady rate.
type bucket struct {
	mu     sync.Mutex
	rate   float64 // tokens per second; 0 means unlimited
	burst  float64
	tokens float64
	last   time.Time
}

func (b *bucket) init(rate, burst float64, now time.Time) {
	b.rate, b.burst, b.tokens, b.last = rate, burst, burst, now
}

// take reports whether a request at now may pass, and uses a token if so.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return true
	}
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.tokens = min(b.burst, b.tokens+passed*b.rate)
		b.last = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
