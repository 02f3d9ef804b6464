// Package engine takes tasks from wanted to running to stopped on one host.
//
// The acs package hands it tasks and credentials; it drives a
// [runtime.Runtime], the task's network and its metadata endpoint, does the
// work of the task execution role, and reports what happened to the control
// plane. What happens next is decided by one pure function, next, from what is
// wanted and what is observed:
//
//	task       credentials here? --no--> wait for them to be pushed
//	               | yes
//	           attachNetwork  prepare (registry token, secrets, log streams)
//	               |             |
//	               +------+------+--- either fails --> every container abandoned
//	                      v
//	container  NONE --pull--> PULLED --create--> CREATED --start--> RUNNING --exit--> STOPPED
//	             |               |    (dependsOn)    |                 |                 ^
//	             |               |                   |                stop: SIGTERM,     |
//	             |               |                   |                stopTimeout, SIGKILL
//	             +---------------+----- abandon -----+-----------------+-----------------+
//
//	           an essential container STOPPED, or desiredStatus STOPPED, stops the
//	           others: dependents first. All STOPPED --> release --> STOPPED reported
//
// Every step runs on its own goroutine and ends in one observation; each
// observation is written to disk, may add a report to the task's queue, and
// asks next again. Reports of one task leave in order and are retried for ever.
//
// The engine never decides what should run, never asks for credentials, and
// never restarts a container. Containers do not outlive the agent's runtime:
// after a restart, tasks that had containers are reported STOPPED, tasks that
// had not begin again once their credentials have been pushed.
package engine

// containerStatus is how far a container has come.
type containerStatus string

const (
	none    containerStatus = "NONE"
	pulled  containerStatus = "PULLED"
	created containerStatus = "CREATED"
	running containerStatus = "RUNNING"
	stopped containerStatus = "STOPPED"
)

// phase is how far something that belongs to the whole task has come.
type phase string

const (
	absent phase = ""
	busy   phase = "BUSY"
	ready  phase = "READY"
	failed phase = "FAILED"
	gone   phase = "GONE"
)

// Conditions of dependsOn.
const (
	conditionStart    = "START"
	conditionComplete = "COMPLETE"
	conditionSuccess  = "SUCCESS"
	conditionHealthy  = "HEALTHY"
)

// Results of a container health check, as TCS reports them.
const (
	healthUnknown = "UNKNOWN"
	healthy       = "HEALTHY"
	unhealthy     = "UNHEALTHY"
)

// wanted is what the control plane asked for, reduced to what decides steps.
type wanted struct {
	stop       bool
	containers []wantedContainer
}

type wantedContainer struct {
	essential bool
	dependsOn []dependency
}

// dependency names another container by its index.
type dependency struct {
	on        int
	condition string
}

// observed is what is true on this host.
type observed struct {
	credentials bool // every credential set the task names has its keys
	network     phase
	resources   phase
	release     phase
	containers  []observedContainer
}

type observedContainer struct {
	status   containerStatus
	busy     bool // a step of this container is under way
	ran      bool // its command was executed
	exitCode int  // valid when ran and STOPPED
	health   string
	timedOut bool // its startTimeout has passed
}

type stepKind string

const (
	attachNetwork stepKind = "attachNetwork"
	prepare       stepKind = "prepare"
	pull          stepKind = "pull"
	create        stepKind = "create"
	start         stepKind = "start"
	stop          stepKind = "stop"
	abandon       stepKind = "abandon"
	release       stepKind = "release"
)

// step is one thing to do now. container is an index, or -1 for the task.
type step struct {
	kind      stepKind
	container int
	// because is the container whose end makes an abandoned one impossible,
	// or -1.
	because int
}

// stopping says whether the task is on its way down.
func stopping(w wanted, o observed) bool {
	if w.stop || o.network == failed || o.resources == failed {
		return true
	}
	all := true
	for i, c := range o.containers {
		if c.status != stopped {
			all = false
		} else if w.containers[i].essential {
			return true
		}
	}
	return all
}

// next returns the steps to begin now. It returns a step again until the
// observation says that it is under way or done, so the caller marks steps busy
// before it asks again.
func next(w wanted, o observed) []step {
	if stopping(w, o) {
		return nextDown(w, o)
	}
	if !o.credentials {
		return nil
	}
	var steps []step
	if o.network == absent {
		steps = append(steps, step{attachNetwork, -1, -1})
	}
	if o.resources == absent {
		steps = append(steps, step{prepare, -1, -1})
	}
	if o.network != ready || o.resources != ready {
		return steps
	}
	for i, c := range o.containers {
		if c.busy {
			continue
		}
		switch c.status {
		case none:
			steps = append(steps, step{pull, i, -1})
		case pulled:
			switch met, impossible := dependencies(w, o, i); {
			case impossible >= 0:
				steps = append(steps, step{abandon, i, impossible})
			case met:
				steps = append(steps, step{create, i, -1})
			}
		case created:
			steps = append(steps, step{start, i, -1})
		}
	}
	return steps
}

// nextDown is next for a task on its way down.
func nextDown(w wanted, o observed) []step {
	var steps []step
	all := true
	for i, c := range o.containers {
		if c.status == stopped {
			continue
		}
		all = false
		if c.busy {
			continue
		}
		if c.status != running {
			steps = append(steps, step{abandon, i, -1})
		} else if !neededBy(w, o, i) {
			steps = append(steps, step{stop, i, -1})
		}
	}
	if all && o.release == absent && o.network != busy && o.resources != busy {
		steps = append(steps, step{release, -1, -1})
	}
	return steps
}

// neededBy says whether a container that is not STOPPED depends on i.
func neededBy(w wanted, o observed, i int) bool {
	for j, c := range w.containers {
		if o.containers[j].status == stopped {
			continue
		}
		for _, d := range c.dependsOn {
			if d.on == i {
				return true
			}
		}
	}
	return false
}

// dependencies says whether all of container i's conditions hold, and which
// container, if any, makes one impossible for ever (-1 for none).
func dependencies(w wanted, o observed, i int) (met bool, impossible int) {
	met = true
	for _, d := range w.containers[i].dependsOn {
		c := o.containers[d.on]
		ended := c.status == stopped
		var holds, never bool
		switch d.condition {
		case conditionStart:
			holds = c.ran
			never = ended && !c.ran
		case conditionComplete:
			holds = ended && c.ran
			never = ended && !c.ran || c.timedOut && !ended
		case conditionSuccess:
			holds = ended && c.ran && c.exitCode == 0
			never = ended && !holds || c.timedOut && !ended
		case conditionHealthy:
			holds = c.status == running && c.health == healthy
			never = ended || c.health == unhealthy || c.timedOut && !holds
		default: // refused when the task is accepted
			never = true
		}
		if never {
			return false, d.on
		}
		met = met && holds
	}
	return met, -1
}

// allStarted says whether every container has at least started, which is when
// a task is RUNNING.
func allStarted(o observed) bool {
	for _, c := range o.containers {
		if !c.ran {
			return false
		}
	}
	return len(o.containers) > 0
}
