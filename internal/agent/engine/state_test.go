package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// kinds reduces steps to "kind container" for comparison.
func kinds(steps []step) (out []string) {
	for _, s := range steps {
		k := string(s.kind)
		if s.container >= 0 {
			k += " " + string(rune('a'+s.container))
		}
		out = append(out, k)
	}
	return out
}

func TestNext(t *testing.T) {
	essential := wantedContainer{essential: true}
	on := func(condition string) wantedContainer {
		return wantedContainer{essential: true, dependsOn: []dependency{{1, condition}}}
	}
	up := func(c ...observedContainer) observed {
		return observed{credentials: true, network: ready, resources: ready, containers: c}
	}
	run := observedContainer{status: running, ran: true}
	exit := func(code int) observedContainer { return observedContainer{status: stopped, ran: true, exitCode: code} }
	at := func(s containerStatus) observedContainer { return observedContainer{status: s} }
	busyAt := func(s containerStatus) observedContainer { return observedContainer{status: s, busy: true} }
	neverRan := observedContainer{status: stopped}

	tests := []struct {
		name string
		w    wanted
		o    observed
		want []string
	}{
		{"waits for credentials", wanted{containers: []wantedContainer{essential}}, observed{containers: []observedContainer{at(none)}}, nil},
		{"begins", wanted{containers: []wantedContainer{essential}}, observed{credentials: true, containers: []observedContainer{at(none)}}, []string{"attachNetwork", "prepare"}},
		{"waits for both", wanted{containers: []wantedContainer{essential}}, observed{credentials: true, network: ready, resources: busy, containers: []observedContainer{at(none)}}, nil},
		{"pulls all at once", wanted{containers: []wantedContainer{on(conditionSuccess), {}}}, up(at(none), at(none)), []string{"pull a", "pull b"}},
		{"creates", wanted{containers: []wantedContainer{essential}}, up(at(pulled)), []string{"create a"}},
		{"starts", wanted{containers: []wantedContainer{essential}}, up(at(created)), []string{"start a"}},
		{"rests", wanted{containers: []wantedContainer{essential}}, up(run), nil},
		{"START not yet", wanted{containers: []wantedContainer{on(conditionStart), {}}}, up(at(pulled), at(created)), []string{"start b"}},
		{"START", wanted{containers: []wantedContainer{on(conditionStart), {}}}, up(at(pulled), run), []string{"create a"}},
		{"START, ended since", wanted{containers: []wantedContainer{on(conditionStart), {}}}, up(at(pulled), exit(3)), []string{"create a"}},
		{"START impossible", wanted{containers: []wantedContainer{on(conditionStart), {}}}, up(at(pulled), neverRan), []string{"abandon a"}},
		{"COMPLETE not yet", wanted{containers: []wantedContainer{on(conditionComplete), {}}}, up(at(pulled), run), nil},
		{"COMPLETE", wanted{containers: []wantedContainer{on(conditionComplete), {}}}, up(at(pulled), exit(1)), []string{"create a"}},
		{"SUCCESS", wanted{containers: []wantedContainer{on(conditionSuccess), {}}}, up(at(pulled), exit(0)), []string{"create a"}},
		{"SUCCESS impossible", wanted{containers: []wantedContainer{on(conditionSuccess), {}}}, up(at(pulled), exit(1)), []string{"abandon a"}},
		{"HEALTHY not yet", wanted{containers: []wantedContainer{on(conditionHealthy), {}}}, up(at(pulled), run), nil},
		{"HEALTHY", wanted{containers: []wantedContainer{on(conditionHealthy), {}}}, up(at(pulled), observedContainer{status: running, ran: true, health: healthy}), []string{"create a"}},
		{"UNHEALTHY", wanted{containers: []wantedContainer{on(conditionHealthy), {}}}, up(at(pulled), observedContainer{status: running, ran: true, health: unhealthy}), []string{"abandon a"}},
		{"startTimeout", wanted{containers: []wantedContainer{on(conditionComplete), {}}}, up(at(pulled), observedContainer{status: running, ran: true, timedOut: true}), []string{"abandon a"}},
		{"a non-essential exit changes nothing", wanted{containers: []wantedContainer{essential, {}}}, up(run, exit(1)), nil},
		{"an essential exit stops the others", wanted{containers: []wantedContainer{essential, {}}}, up(exit(0), run), []string{"stop b"}},
		{"all non-essential gone", wanted{containers: []wantedContainer{{}, {}}}, up(exit(0), exit(0)), []string{"release"}},
		{"dependents stop first", wanted{stop: true, containers: []wantedContainer{on(conditionStart), {}}}, up(run, run), []string{"stop a"}},
		{"then what they needed", wanted{stop: true, containers: []wantedContainer{on(conditionStart), {}}}, up(exit(0), run), []string{"stop b"}},
		{"what has not started is abandoned", wanted{stop: true, containers: []wantedContainer{essential, {}}}, up(at(pulled), at(created)), []string{"abandon a", "abandon b"}},
		{"a step under way is waited for", wanted{stop: true, containers: []wantedContainer{essential}}, up(busyAt(none)), nil},
		{"failed resources", wanted{containers: []wantedContainer{essential}}, observed{credentials: true, network: busy, resources: failed, containers: []observedContainer{at(none)}}, []string{"abandon a"}},
		{"release waits for the network", wanted{containers: []wantedContainer{essential}}, observed{credentials: true, network: busy, resources: failed, containers: []observedContainer{neverRan}}, nil},
		{"release", wanted{containers: []wantedContainer{essential}}, observed{credentials: true, network: ready, resources: failed, containers: []observedContainer{neverRan}}, []string{"release"}},
		{"released once", wanted{stop: true, containers: []wantedContainer{essential}}, observed{release: gone, containers: []observedContainer{neverRan}}, nil},
		{"stopping needs no credentials", wanted{stop: true, containers: []wantedContainer{essential}}, observed{containers: []observedContainer{at(none)}}, []string{"abandon a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := kinds(next(test.w, test.o)); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// Whatever the shape of a task and however its steps turn out: it always ends,
// no container starts before its conditions hold, none runs after release, and
// every container is started at most once.
func TestNextAlwaysEnds(t *testing.T) {
	conditions := []string{conditionStart, conditionComplete, conditionSuccess, conditionHealthy}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(5)
		w := wanted{}
		o := observed{credentials: r.IntN(4) > 0}
		for i := range n {
			c := wantedContainer{essential: r.IntN(2) == 0}
			for range r.IntN(3) {
				if i > 0 { // only backwards: no cycles
					c.dependsOn = append(c.dependsOn, dependency{r.IntN(i), conditions[r.IntN(4)]})
				}
			}
			w.containers = append(w.containers, c)
			o.containers = append(o.containers, observedContainer{status: none})
		}
		starts := make([]int, n)
		var underWay []step
		for turn := 0; o.release != gone; turn++ {
			if turn > 400 {
				t.Fatalf("seed %d: not ended: %+v %+v", seed, w, o)
			}
			switch {
			case turn == 30:
				o.credentials = true
			case turn == 200:
				w.stop = true
			}
			for _, s := range next(w, o) {
				switch s.kind {
				case attachNetwork:
					o.network = busy
				case prepare:
					o.resources = busy
				case release:
					o.release = busy
				default:
					if o.containers[s.container].busy {
						t.Fatalf("seed %d: %s of a busy container", seed, s.kind)
					}
					o.containers[s.container].busy = true
				}
				underWay = append(underWay, s)
			}
			// One step ends, well or badly; or a container does something.
			if len(underWay) > 0 && r.IntN(3) > 0 {
				i := r.IntN(len(underWay))
				s := underWay[i]
				underWay = slices.Delete(underWay, i, i+1)
				bad := r.IntN(8) == 0
				var c *observedContainer
				if s.container >= 0 {
					c = &o.containers[s.container]
					c.busy = false
				}
				switch s.kind {
				case attachNetwork:
					o.network = map[bool]phase{false: ready, true: failed}[bad]
				case prepare:
					o.resources = map[bool]phase{false: ready, true: failed}[bad]
				case release:
					o.release = gone
					for _, c := range o.containers {
						if c.status != stopped {
							t.Fatalf("seed %d: released with a container %s", seed, c.status)
						}
					}
				case pull:
					c.status = pulled
				case create:
					if met, _ := dependencies(w, o, s.container); !met && !stopping(w, o) {
						// Conditions other than HEALTHY cannot be lost.
						for _, d := range w.containers[s.container].dependsOn {
							if d.condition != conditionHealthy {
								if ok, _ := dependencies(wanted{containers: []wantedContainer{{dependsOn: []dependency{d}}}}, o, 0); !ok {
									t.Fatalf("seed %d: created before %+v", seed, d)
								}
							}
						}
					}
					c.status = created
				case start:
					starts[s.container]++
					c.status, c.ran = running, true
				case stop, abandon:
					c.status = stopped
				}
				if bad && c != nil && (s.kind == pull || s.kind == create || s.kind == start) {
					c.status, c.ran = stopped, false
				}
			} else if i := r.IntN(n); o.containers[i].status == running && !o.containers[i].busy {
				switch r.IntN(3) {
				case 0:
					o.containers[i].status, o.containers[i].exitCode = stopped, r.IntN(2)
				case 1:
					o.containers[i].health = []string{healthy, unhealthy}[r.IntN(2)]
				}
			}
		}
		for i, n := range starts {
			if n > 1 {
				t.Fatalf("seed %d: container %d started %d times", seed, i, n)
			}
		}
	}
}

func TestCycle(t *testing.T) {
	d := func(on ...int) (c wantedContainer) {
		for _, i := range on {
			c.dependsOn = append(c.dependsOn, dependency{i, conditionStart})
		}
		return c
	}
	for _, test := range []struct {
		w    []wantedContainer
		want bool
	}{
		{[]wantedContainer{d(), d(0), d(0, 1)}, false},
		{[]wantedContainer{d(0)}, true},
		{[]wantedContainer{d(), d(2), d(1)}, true},
	} {
		if got := cycle(wanted{containers: test.w}) >= 0; got != test.want {
			t.Errorf("%v: %t", test.w, got)
		}
	}
}
