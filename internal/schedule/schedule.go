// Package schedule decides which host runs which task.
//
// Plan is a pure function from a snapshot to placements: it reads no clock, no
// store and no randomness, so that it can be tested with literals. The ECS
// service calls it with what it read in a transaction and commits the result
// conditionally on that reading; that is what makes "never over capacity" true
// of several schedulers at once. The package knows no document and no API.
//
//	every waiting task, in the order given
//	   1. open?        the host takes tasks at all         AGENT, INACTIVE
//	   2. attributes   the host can do what the task needs ATTRIBUTE
//	   3. constraints  distinct hosts                      DistinctInstance ...
//	   4. resources    what is left after all placed tasks RESOURCE:CPU, ...
//	   5. strategy     the best of those that remain
package schedule

import (
	"cmp"
	"slices"
)

// Port is a port of a host.
type Port struct {
	Number   int32  `json:"number"`
	Protocol string `json:"protocol"` // "tcp" or "udp"
}

// Resources are what a task takes from a host, or what a host has.
type Resources struct {
	CPU       int64  `json:"cpu"`                 // shares; 1024 are one core
	Memory    int64  `json:"memory"`              // MiB
	Ports     []Port `json:"ports,omitempty"`     // of a task: taken; of a host: not for tasks
	Addresses int64  `json:"addresses,omitempty"` // task addresses (network mode awsvpc)
}

// Attribute is something a host must have. An empty Value asks only for the name.
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// Host is a container instance.
type Host struct {
	ID         string
	Total      Resources
	Attributes map[string]string
	// Closed says why the host takes no new tasks (AGENT where its agent is not
	// connected); empty where it does. Tasks that are there stay there.
	Closed string
}

// Task is a task that is placed, or waits to be.
type Task struct {
	ID       string
	Host     string // where it is; empty while it waits
	Needs    Resources
	Requires []Attribute
	Group    string // spread keeps tasks of one group apart
	// Distinct keeps tasks of the same non-empty value on different hosts.
	Distinct string
	// Strategy orders the hosts that fit. Without one, tasks of a group are
	// spread over availability zones and then over hosts.
	Strategy []Strategy
}

// Strategy is one placement strategy of ECS.
type Strategy struct {
	Type  string `json:"type"`            // "spread", "binpack" or "random"
	Field string `json:"field,omitempty"` // binpack: "cpu" or "memory"; spread: "instanceId", "host" or "attribute:NAME"
}

// Snapshot is everything a plan depends on.
type Snapshot struct {
	Hosts []Host
	Tasks []Task
}

// Placement is the answer for one waiting task: a host, or why none.
type Placement struct {
	Task    string
	Host    string // empty where no host fits
	Refused []Refusal
}

// Refusal says why a host does not take a task, in the words of ECS's failures.
type Refusal struct{ Host, Reason string }

// The reasons of https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
const (
	ReasonAttribute = "ATTRIBUTE"
	ReasonCPU       = "RESOURCE:CPU"
	ReasonMemory    = "RESOURCE:MEMORY"
	ReasonPorts     = "RESOURCE:PORTS"
	ReasonENI       = "RESOURCE:ENI"
	ReasonDistinct  = "DistinctInstance placement constraint unsatisfied."
)

// ZoneAttribute names the attribute that holds a host's availability zone.
const ZoneAttribute = "ecs.availability-zone"

// Plan places the waiting tasks of a snapshot, in the order in which they
// stand. It never moves a placed task and never takes more than a host has. The
// order of the hosts does not matter.
func Plan(s Snapshot) []Placement {
	hosts := make([]*state, 0, len(s.Hosts))
	byID := make(map[string]*state, len(s.Hosts))
	for i := range s.Hosts {
		h := newState(&s.Hosts[i])
		hosts = append(hosts, h)
		byID[h.ID] = h
	}
	slices.SortFunc(hosts, func(a, b *state) int { return cmp.Compare(a.ID, b.ID) })
	for i := range s.Tasks {
		if t := &s.Tasks[i]; t.Host != "" && byID[t.Host] != nil {
			byID[t.Host].take(t)
		}
	}
	var plan []Placement
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.Host != "" {
			continue
		}
		p := Placement{Task: t.ID}
		var fit []*state
		for _, h := range hosts {
			if why := h.refuses(t); why != "" {
				p.Refused = append(p.Refused, Refusal{h.ID, why})
			} else {
				fit = append(fit, h)
			}
		}
		if len(fit) > 0 {
			best := choose(t, fit, hosts)
			best.take(t)
			p.Host, p.Refused = best.ID, nil
		}
		plan = append(plan, p)
	}
	return plan
}

// state is a host while a plan is made.
type state struct {
	*Host
	cpu, memory, addresses int64 // left
	ports                  map[Port]bool
	distinct               map[string]bool
	groups                 map[string]int
	tasks                  int
}

func newState(h *Host) *state {
	s := &state{Host: h, cpu: h.Total.CPU, memory: h.Total.Memory, addresses: h.Total.Addresses,
		ports: map[Port]bool{}, distinct: map[string]bool{}, groups: map[string]int{}}
	for _, p := range h.Total.Ports {
		s.ports[p] = true
	}
	return s
}

func (s *state) take(t *Task) {
	s.cpu -= t.Needs.CPU
	s.memory -= t.Needs.Memory
	s.addresses -= t.Needs.Addresses
	for _, p := range t.Needs.Ports {
		s.ports[p] = true
	}
	if t.Distinct != "" {
		s.distinct[t.Distinct] = true
	}
	s.groups[t.Group]++
	s.tasks++
}

// refuses says why the host cannot take the task, "" where it can.
func (s *state) refuses(t *Task) string {
	if s.Closed != "" {
		return s.Closed
	}
	for _, a := range t.Requires {
		v, ok := s.Attributes[a.Name]
		if !ok || a.Value != "" && v != a.Value {
			return ReasonAttribute
		}
	}
	switch {
	case t.Distinct != "" && s.distinct[t.Distinct]:
		return ReasonDistinct
	case t.Needs.CPU > s.cpu:
		return ReasonCPU
	case t.Needs.Memory > s.memory:
		return ReasonMemory
	case t.Needs.Addresses > s.addresses:
		return ReasonENI
	}
	for _, p := range t.Needs.Ports {
		if s.ports[p] {
			return ReasonPorts
		}
	}
	return ""
}

var defaultStrategy = []Strategy{{Type: "spread", Field: "attribute:" + ZoneAttribute}, {Type: "spread", Field: "instanceId"}}

// choose picks the best of the hosts that fit. Ties go to the emptier host, and
// then to the lower id, so that the same snapshot gives the same plan.
func choose(t *Task, fit, all []*state) *state {
	strategy := t.Strategy
	if len(strategy) == 0 {
		strategy = defaultStrategy
	}
	return slices.MinFunc(fit, func(a, b *state) int {
		for _, st := range strategy {
			if c := cmp.Compare(score(st, t, a, all), score(st, t, b, all)); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(a.tasks, b.tasks), cmp.Compare(b.memory, a.memory), cmp.Compare(a.ID, b.ID))
	})
}

// score rates a host under one strategy; lower is better.
func score(st Strategy, t *Task, h *state, all []*state) int64 {
	switch st.Type {
	case "binpack":
		if st.Field == "cpu" {
			return h.cpu
		}
		return h.memory
	case "spread":
		if st.Field == "instanceId" || st.Field == "host" {
			return int64(h.groups[t.Group])
		}
		name, ok := cutAttribute(st.Field)
		if !ok {
			return 0
		}
		n := 0
		for _, o := range all {
			if o.Attributes[name] == h.Attributes[name] {
				n += o.groups[t.Group]
			}
		}
		return int64(n)
	case "random":
		// A pure function throws no dice: the task's id does.
		return int64(hash(t.ID + "\x00" + h.ID))
	}
	return 0
}

func cutAttribute(field string) (string, bool) {
	const p = "attribute:"
	if len(field) > len(p) && field[:len(p)] == p {
		return field[len(p):], true
	}
	return "", false
}

// hash is FNV-1a, cut to 31 bits.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h >> 1
}
