package kms

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/gateway"
)

// pager cuts a listing into pages.
type pager struct {
	after string // the key that the page begins behind
	room  int
	last  string
	more  bool
}

// page reads Limit and Marker. KMS gives usual entries where no limit is asked
// for, and at most most.
func page(c *gateway.Call, limit *int32, marker *string, usual, most int) (*pager, error) {
	after, ok := c.After(marker)
	if !ok {
		return nil, kmsapi.InvalidMarkerException("Could not deserialize marker '%s'", api.Value(marker))
	}
	p := &pager{after: after, room: usual}
	if limit != nil {
		p.room = min(int(*limit), most)
	}
	return p, nil
}

// full takes note of an entry by its key; true where the page has no room for
// it.
func (p *pager) full(key string) bool {
	if p.room == 0 {
		p.more = true
		return true
	}
	p.room, p.last = p.room-1, key
	return false
}

// end is the NextMarker and Truncated of an answer.
func (p *pager) end(c *gateway.Call) (*string, *bool) {
	if !p.more {
		return nil, api.Ptr(false)
	}
	return c.NextToken(p.last), api.Ptr(true)
}
