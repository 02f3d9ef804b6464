package schedule

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func host(id string, cpu, memory int64) Host {
	return Host{ID: id, Total: Resources{CPU: cpu, Memory: memory, Addresses: 8}, Attributes: map[string]string{"ecs.os-type": "linux"}}
}

func TestPlan(t *testing.T) {
	tcp80 := []Port{{80, "tcp"}}
	tests := []struct {
		name string
		in   Snapshot
		want []Placement
	}{
		{"nothing to do", Snapshot{Hosts: []Host{host("a", 1, 1)}}, nil},
		{"fits", Snapshot{
			Hosts: []Host{host("a", 1024, 1024)},
			Tasks: []Task{{ID: "t", Needs: Resources{CPU: 1024, Memory: 1024}}},
		}, []Placement{{Task: "t", Host: "a"}}},
		{"the placed count first", Snapshot{
			Hosts: []Host{host("a", 1024, 1024)},
			Tasks: []Task{{ID: "t", Needs: Resources{CPU: 600}}, {ID: "old", Host: "a", Needs: Resources{CPU: 600}}},
		}, []Placement{{Task: "t", Refused: []Refusal{{"a", ReasonCPU}}}}},
		{"one reason per host", Snapshot{
			Hosts: []Host{host("c", 4096, 64), {ID: "b", Closed: "AGENT"}, {ID: "a", Total: Resources{CPU: 4096, Memory: 4096}}},
			Tasks: []Task{{ID: "t", Needs: Resources{CPU: 1, Memory: 128}, Requires: []Attribute{{Name: "ecs.os-type", Value: "linux"}}}},
		}, []Placement{{Task: "t", Refused: []Refusal{{"a", ReasonAttribute}, {"b", "AGENT"}, {"c", ReasonMemory}}}}},
		{"ports", Snapshot{
			Hosts: []Host{host("a", 9, 9)},
			Tasks: []Task{{ID: "t", Needs: Resources{Ports: tcp80}}, {ID: "u", Needs: Resources{Ports: tcp80}}, {ID: "v", Needs: Resources{Ports: []Port{{80, "udp"}}}}},
		}, []Placement{{Task: "t", Host: "a"}, {Task: "u", Refused: []Refusal{{"a", ReasonPorts}}}, {Task: "v", Host: "a"}}},
		{"addresses", Snapshot{
			Hosts: []Host{{ID: "a", Total: Resources{Addresses: 1}}},
			Tasks: []Task{{ID: "t", Needs: Resources{Addresses: 1}}, {ID: "u", Needs: Resources{Addresses: 1}}},
		}, []Placement{{Task: "t", Host: "a"}, {Task: "u", Refused: []Refusal{{"a", ReasonENI}}}}},
		{"spread is the default", Snapshot{
			Hosts: []Host{host("b", 9, 9), host("a", 9, 9)},
			Tasks: []Task{{ID: "t", Group: "g"}, {ID: "u", Group: "g"}},
		}, []Placement{{Task: "t", Host: "a"}, {Task: "u", Host: "b"}}},
		{"binpack fills", Snapshot{
			Hosts: []Host{host("b", 9, 5), host("a", 9, 9)},
			Tasks: []Task{{ID: "t", Needs: Resources{Memory: 2}, Strategy: []Strategy{{"binpack", "memory"}}}},
		}, []Placement{{Task: "t", Host: "b"}}},
		{"distinct", Snapshot{
			Hosts: []Host{host("a", 9, 9)},
			Tasks: []Task{{ID: "t", Distinct: "x"}, {ID: "u", Distinct: "x"}},
		}, []Placement{{Task: "t", Host: "a"}, {Task: "u", Refused: []Refusal{{"a", ReasonDistinct}}}}},
		{"a placed task on an unknown host is nobody's", Snapshot{
			Tasks: []Task{{ID: "t", Host: "gone"}},
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Plan(tt.in); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestPlanProperties makes random clusters: never over capacity, the order of
// the hosts does not matter, what is placed stays, and a second plan over the
// outcome places nothing more.
func TestPlanProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 500 {
		var s Snapshot
		for i := range 1 + r.IntN(5) {
			h := host(fmt.Sprint("h", i), r.Int64N(4096), r.Int64N(4096))
			h.Total.Addresses = r.Int64N(6)
			h.Attributes[ZoneAttribute] = string(rune('a' + r.IntN(2)))
			if r.IntN(6) == 0 {
				h.Closed = "AGENT"
			}
			s.Hosts = append(s.Hosts, h)
		}
		for i := range r.IntN(20) {
			task := Task{ID: fmt.Sprint("t", i), Group: "g", Needs: Resources{CPU: r.Int64N(1024), Memory: r.Int64N(1024), Addresses: r.Int64N(2)}}
			if r.IntN(3) == 0 {
				task.Needs.Ports = []Port{{r.Int32N(4), "tcp"}}
			}
			if r.IntN(3) == 0 {
				task.Strategy = []Strategy{{Type: []string{"random", "spread", "binpack"}[r.IntN(3)], Field: "cpu"}}
			}
			s.Tasks = append(s.Tasks, task)
		}
		plan := Plan(s)
		shuffled := Snapshot{Hosts: slices.Clone(s.Hosts), Tasks: s.Tasks}
		r.Shuffle(len(shuffled.Hosts), func(i, j int) { shuffled.Hosts[i], shuffled.Hosts[j] = shuffled.Hosts[j], shuffled.Hosts[i] })
		if again := Plan(shuffled); !reflect.DeepEqual(plan, again) {
			t.Fatalf("round %d: the order of the hosts changed the plan", round)
		}
		where := map[string]string{}
		for _, p := range plan {
			where[p.Task] = p.Host
		}
		used := map[string]Resources{}
		next := Snapshot{Hosts: s.Hosts}
		for _, task := range s.Tasks {
			task.Host = where[task.ID]
			next.Tasks = append(next.Tasks, task)
			if task.Host == "" {
				continue
			}
			u := used[task.Host]
			u.CPU, u.Memory, u.Addresses = u.CPU+task.Needs.CPU, u.Memory+task.Needs.Memory, u.Addresses+task.Needs.Addresses
			for _, p := range task.Needs.Ports {
				if slices.Contains(u.Ports, p) {
					t.Fatalf("round %d: port %v twice on %s", round, p, task.Host)
				}
				u.Ports = append(u.Ports, p)
			}
			used[task.Host] = u
		}
		for _, h := range s.Hosts {
			u := used[h.ID]
			if u.CPU > h.Total.CPU || u.Memory > h.Total.Memory || u.Addresses > h.Total.Addresses {
				t.Fatalf("round %d: host %s is over capacity: %+v of %+v", round, h.ID, u, h.Total)
			}
			if h.Closed != "" && u.CPU+u.Memory+u.Addresses > 0 {
				t.Fatalf("round %d: a closed host got tasks", round)
			}
		}
		for _, p := range Plan(next) {
			if p.Host != "" {
				t.Fatalf("round %d: a second plan places %s on %s", round, p.Task, p.Host)
			}
		}
	}
}
