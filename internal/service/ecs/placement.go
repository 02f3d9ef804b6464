package ecs

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/schedule"
	"github.com/remit-ecs/remit/internal/store"
)

// SubnetAttribute is the attribute with which a host announces the IPv4 range
// of its tasks, such as 172.31.240.0/20. The control plane hands out its
// addresses, so that a task's address is known before the task runs; the first
// one is the gateway. A host without it runs no awsvpc tasks.
const SubnetAttribute = "remit.task-subnet"

// newTask makes the document of a task: PROVISIONING, without a host.
func (s *Service) newTask(c *gateway.Call, sp *taskSpec, id string) *Task {
	d := &sp.def.Shown
	t := &Task{
		Account: c.Account, Region: c.Region, Cluster: sp.ref.name, ID: id,
		Definition: sp.key, Family: *d.Family,
		TaskRole: sp.roles.task, ExecutionRole: sp.roles.execution,
		Needs: needs(sp), Strategy: strategies(sp.strategy), VPC: sp.vpc,
		Tags: taskTags(sp),
	}
	if sp.launch == ecsapi.LaunchTypeEc2 {
		for _, a := range d.RequiresAttributes {
			t.Requires = append(t.Requires, schedule.Attribute{Name: *a.Name, Value: api.Value(a.Value)})
		}
		if len(sp.constraints) > 0 { // only distinctInstance passes the checks
			t.Distinct = c.RequestID
		}
	}
	arch := "x86_64"
	if rp := d.RuntimePlatform; rp != nil && rp.CpuArchitecture != "" {
		arch = strings.ToLower(string(rp.CpuArchitecture))
		t.Requires = append(t.Requires, schedule.Attribute{Name: "ecs.cpu-architecture", Value: arch})
	}
	taskARN := sp.ref.resource("task", id)
	t.Shown = ecsapi.Task{
		TaskArn: &taskARN, ClusterArn: api.Ptr(sp.ref.arn()), TaskDefinitionArn: d.TaskDefinitionArn,
		Attachments: []ecsapi.Attachment{}, Attributes: []ecsapi.Attribute{{Name: api.Ptr("ecs.cpu-architecture"), Value: &arch}},
		CreatedAt: c.Now(), DesiredStatus: api.Ptr(StatusRunning), LastStatus: api.Ptr(StatusProvisioning),
		EnableExecuteCommand: api.Ptr(false), Group: api.Ptr(cmp.Or(api.Value(sp.group), "family:"+*d.Family)),
		HealthStatus: ecsapi.HealthStatusUnknown, LaunchType: sp.launch, StartedBy: sp.startedBy,
		Overrides: showOverrides(sp), Version: api.Ptr[int64](1), AvailabilityZone: api.Ptr(c.Region + "a"),
	}
	if sp.cpu != "" {
		t.Shown.Cpu = &sp.cpu
	}
	if sp.memory != "" {
		t.Shown.Memory = &sp.memory
	}
	if sp.launch == ecsapi.LaunchTypeFargate {
		t.Shown.PlatformVersion, t.Shown.PlatformFamily = api.Ptr("1.4.0"), api.Ptr("Linux")
		t.Shown.EphemeralStorage = &ecsapi.EphemeralStorage{SizeInGiB: api.Ptr[int32](20)}
		if len(sp.providers) > 0 {
			t.Shown.CapacityProviderName = sp.providers[0].CapacityProvider
		}
	}
	for _, cd := range d.ContainerDefinitions {
		t.Shown.Containers = append(t.Shown.Containers, s.newContainer(t, sp, &cd))
	}
	if sp.vpc != nil {
		s.addInterface(t, sp.vpc)
	}
	return t
}

func (s *Service) newContainer(t *Task, sp *taskSpec, cd *ecsapi.ContainerDefinition) ecsapi.Container {
	out := ecsapi.Container{
		ContainerArn: api.Ptr(sp.ref.resource("container", t.ID+"/"+s.derive("container", t.ARN(), *cd.Name))),
		TaskArn:      t.Shown.TaskArn, Name: cd.Name, Image: cd.Image, LastStatus: api.Ptr(StatusPending),
		NetworkInterfaces: []ecsapi.NetworkInterface{}, HealthStatus: ecsapi.HealthStatusUnknown,
		Cpu: api.Ptr(strconv.Itoa(int(api.Value(cd.Cpu)))),
	}
	if sp.vpc == nil {
		out.NetworkBindings, out.NetworkInterfaces = []ecsapi.NetworkBinding{}, []ecsapi.NetworkInterface{}
	}
	memory, reservation := cd.Memory, cd.MemoryReservation
	if co := containerOverride(sp.overrides, *cd.Name); co != nil {
		if co.Cpu != nil {
			out.Cpu = api.Ptr(strconv.Itoa(int(*co.Cpu)))
		}
		memory, reservation = cmp.Or(co.Memory, memory), cmp.Or(co.MemoryReservation, reservation)
	}
	if memory != nil {
		out.Memory = api.Ptr(strconv.Itoa(int(*memory)))
	}
	if reservation != nil {
		out.MemoryReservation = api.Ptr(strconv.Itoa(int(*reservation)))
	}
	return out
}

func containerOverride(o *ecsapi.TaskOverride, name string) *ecsapi.ContainerOverride {
	if o == nil {
		return nil
	}
	for i := range o.ContainerOverrides {
		if api.Value(o.ContainerOverrides[i].Name) == name {
			return &o.ContainerOverrides[i]
		}
	}
	return nil
}

// showOverrides lists every container, as AWS does, overridden or not.
func showOverrides(sp *taskSpec) *ecsapi.TaskOverride {
	out := &ecsapi.TaskOverride{InferenceAcceleratorOverrides: []ecsapi.InferenceAcceleratorOverride{}}
	if o := sp.overrides; o != nil {
		out.Cpu, out.Memory = o.Cpu, o.Memory
		if api.Value(o.TaskRoleArn) != "" {
			out.TaskRoleArn = &sp.roles.task
		}
		if api.Value(o.ExecutionRoleArn) != "" {
			out.ExecutionRoleArn = &sp.roles.execution
		}
	}
	for _, cd := range sp.def.Shown.ContainerDefinitions {
		if co := containerOverride(sp.overrides, *cd.Name); co != nil {
			out.ContainerOverrides = append(out.ContainerOverrides, *co)
		} else {
			out.ContainerOverrides = append(out.ContainerOverrides, ecsapi.ContainerOverride{Name: cd.Name})
		}
	}
	return out
}

func taskTags(sp *taskSpec) []ecsapi.Tag {
	var tags []ecsapi.Tag
	if sp.propagate == ecsapi.PropagateTagsTaskDefinition {
		tags = mergeTags(tags, sp.def.Tags)
	}
	tags = mergeTags(tags, sp.tags)
	if api.Value(sp.managedTags) {
		tags = append(tags, ecsapi.Tag{Key: api.Ptr("aws:ecs:clusterName"), Value: &sp.ref.name})
	}
	return tags
}

// needs is what a task takes from its host: what the task level says, and
// otherwise the sum of its containers.
func needs(sp *taskSpec) schedule.Resources {
	d := &sp.def.Shown
	var n schedule.Resources
	for _, cd := range d.ContainerDefinitions {
		cpu, memory := int64(api.Value(cd.Cpu)), int64(api.Value(cmp.Or(cd.MemoryReservation, cd.Memory)))
		if co := containerOverride(sp.overrides, *cd.Name); co != nil {
			if co.Cpu != nil {
				cpu = int64(*co.Cpu)
			}
			if m := cmp.Or(co.MemoryReservation, co.Memory); m != nil {
				memory = int64(*m)
			}
		}
		n.CPU += cpu
		n.Memory += memory
		if d.NetworkMode == ecsapi.NetworkModeAwsvpc {
			continue
		}
		for _, p := range cd.PortMappings {
			if hp := api.Value(p.HostPort); hp != 0 {
				n.Ports = append(n.Ports, schedule.Port{Number: hp, Protocol: string(p.Protocol)})
			}
		}
	}
	if sp.cpu != "" {
		n.CPU = number(&sp.cpu)
	}
	if sp.memory != "" {
		n.Memory = number(&sp.memory)
	}
	if d.NetworkMode == ecsapi.NetworkModeAwsvpc {
		n.Addresses = 1
	}
	return n
}

// addInterface gives an awsvpc task its interface. Its ids follow from the
// task's, so that a rerun makes the same ones.
func (s *Service) addInterface(t *Task, vpc *ecsapi.AwsVpcConfiguration) {
	sum := sha256.Sum256([]byte("eni\x00" + t.ARN()))
	h := hex.EncodeToString(sum[:])
	t.Interface = &Interface{
		AttachmentID: fmt.Sprintf("%s-%s-4%s-8%s-%s", h[:8], h[8:12], h[13:16], h[17:20], h[20:32]),
		ENI:          "eni-0" + h[32:48],
		MAC:          fmt.Sprintf("02:%s:%s:%s:%s:%s", h[48:50], h[50:52], h[52:54], h[54:56], h[56:58]),
		Subnet:       vpc.Subnets[int(sum[31])%len(vpc.Subnets)],
	}
	showInterface(t, "PRECREATED")
}

// showInterface writes the attachment as callers see it.
func showInterface(t *Task, status string) {
	n := t.Interface
	if n == nil {
		return
	}
	detail := func(name, value string) ecsapi.KeyValuePair { return ecsapi.KeyValuePair{Name: &name, Value: &value} }
	details := []ecsapi.KeyValuePair{detail("subnetId", n.Subnet)}
	if n.Address != "" {
		details = append(details, detail("networkInterfaceId", n.ENI), detail("macAddress", n.MAC),
			detail("privateDnsName", privateDNS(n.Address, t.Region)), detail("privateIPv4Address", n.Address))
		for i := range t.Shown.Containers {
			t.Shown.Containers[i].NetworkInterfaces = []ecsapi.NetworkInterface{{AttachmentId: &n.AttachmentID, PrivateIpv4Address: &n.Address}}
		}
	}
	t.Shown.Attachments = []ecsapi.Attachment{{Id: &n.AttachmentID, Type: api.Ptr("ElasticNetworkInterface"), Status: &status, Details: details}}
}

func privateDNS(address, region string) string {
	return "ip-" + strings.ReplaceAll(address, ".", "-") + "." + region + ".compute.internal"
}

// hostOf describes a container instance to the scheduler.
func (s *Service) hostOf(i *Instance, now time.Time) schedule.Host {
	h := schedule.Host{ID: i.ARN(), Attributes: map[string]string{}}
	for _, r := range i.Resources {
		switch n := int64(api.Value(r.IntegerValue)); api.Value(r.Name) {
		case "CPU":
			h.Total.CPU = n
		case "MEMORY":
			h.Total.Memory = n
		case "PORTS", "PORTS_UDP":
			proto := "tcp"
			if api.Value(r.Name) == "PORTS_UDP" {
				proto = "udp"
			}
			for _, p := range r.StringSetValue {
				if n, err := strconv.ParseInt(p, 10, 32); err == nil {
					h.Total.Ports = append(h.Total.Ports, schedule.Port{Number: int32(n), Protocol: proto})
				}
			}
		}
	}
	for _, a := range i.Attributes {
		h.Attributes[api.Value(a.Name)] = api.Value(a.Value)
	}
	if p, ok := taskSubnet(i); ok {
		h.Total.Addresses = int64(1)<<(32-p.Bits()) - 3 // network, gateway, broadcast
	}
	if hostNetwork(i) {
		h.Total.Addresses = 1 << 20
	}
	switch {
	case i.Status != "ACTIVE":
		h.Closed = "INACTIVE"
	case !s.connected(i, now):
		h.Closed = "AGENT"
	}
	return h
}

// NetworkAttribute, with the value "host", says that a host has no task
// networks and runs awsvpc tasks in its own: all at 127.0.0.1, their ports
// shared. Only hosts that isolate nothing (plain processes) announce it.
const NetworkAttribute = "remit.task-network"

func hostNetwork(i *Instance) bool {
	v, _ := i.attribute(NetworkAttribute)
	return v == "host"
}

func taskSubnet(i *Instance) (netip.Prefix, bool) {
	v, _ := i.attribute(SubnetAttribute)
	p, err := netip.ParsePrefix(v)
	if err != nil || !p.Addr().Is4() || p.Bits() < 8 || p.Bits() > 29 {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// snapshot is what a plan over these instances depends on: them, and every task
// that is on one of them.
func (s *Service) snapshot(r store.Reader, hosts []*Instance, now time.Time) schedule.Snapshot {
	var snap schedule.Snapshot
	shards := tasks.Shards(r)
	for _, i := range hosts {
		snap.Hosts = append(snap.Hosts, s.hostOf(i, now))
		for _, t := range tasksOn(r, shards, i) {
			snap.Tasks = append(snap.Tasks, planned(t))
		}
	}
	return snap
}

// tasksOn finds the tasks on an instance that are not STOPPED. Only hidden
// hosts have tasks of other shards than their own.
func tasksOn(r store.Reader, shards []string, i *Instance) []*Task {
	if i.Cluster != FargateCluster {
		shards = []string{i.Shard()}
	}
	var out []*Task
	for _, sh := range shards {
		for _, t := range tasks.By(r, sh, "host", i.ARN()) {
			out = append(out, t)
		}
	}
	return out
}

func planned(t *Task) schedule.Task {
	return schedule.Task{
		ID: t.ARN(), Host: t.Host, Needs: t.Needs, Requires: t.Requires,
		Group: t.Account + " " + api.Value(t.Shown.Group), Distinct: t.Distinct, Strategy: t.Strategy,
	}
}

// placeEC2 places tasks on the cluster's own instances. What fits nowhere is a
// failure per instance, and no task.
func (s *Service) placeEC2(c *gateway.Call, ref clusterRef, made []*Task) (placed []*Task, failures []ecsapi.Failure, err error) {
	var hosts []*Instance
	active := false
	for _, i := range instances.Prefix(c.Tx, c.Home, ref.name+"/") {
		if i.Status == "ACTIVE" {
			active = true
			hosts = append(hosts, i)
		}
	}
	if !active {
		return nil, nil, ecsapi.InvalidParameterException("No Container Instances were found in your cluster.")
	}
	return s.place(c, hosts, made)
}

// place runs the scheduler over the instances and gives each placed task its
// host. It changes the tasks, which are the caller's own.
func (s *Service) place(c *gateway.Call, hosts []*Instance, made []*Task) (placed []*Task, failures []ecsapi.Failure, err error) {
	snap := s.snapshot(c.Tx, hosts, c.Time)
	byID := map[string]*Task{}
	for _, t := range made {
		snap.Tasks = append(snap.Tasks, planned(t))
		byID[t.ARN()] = t
	}
	taken := map[string][]*Task{}
	failures = []ecsapi.Failure{}
	seen := map[schedule.Refusal]bool{}
	for _, p := range schedule.Plan(snap) {
		t := byID[p.Task]
		if p.Host == "" {
			for _, f := range p.Refused {
				if !seen[f] {
					seen[f] = true
					failures = append(failures, ecsapi.Failure{Arn: &f.Host, Reason: &f.Reason})
				}
			}
			continue
		}
		host := hosts[slices.IndexFunc(hosts, func(i *Instance) bool { return i.ARN() == p.Host })]
		s.settle(c.Tx, t, host, taken[p.Host], c.Time)
		taken[p.Host] = append(taken[p.Host], t)
		placed = append(placed, t)
	}
	return placed, failures, nil
}

// settle puts a task on a host: PENDING, with an address where it has an
// interface. Others are tasks settled in the same transaction.
func (s *Service) settle(r store.Reader, t *Task, host *Instance, others []*Task, now time.Time) {
	t.Host = host.ARN()
	if !t.Fargate() {
		t.Shown.ContainerInstanceArn = &t.Host
		if z, ok := host.attribute(schedule.ZoneAttribute); ok && z != "" {
			t.Shown.AvailabilityZone = &z
		}
	}
	if t.Interface != nil {
		if p, ok := taskSubnet(host); ok {
			t.Interface.Gateway = netip.PrefixFrom(p.Addr().Next(), p.Bits()).String()
			t.Interface.Address = freeAddress(r, host, p, others)
		} else if hostNetwork(host) {
			t.Interface.Address = "127.0.0.1"
		}
		showInterface(t, "ATTACHED")
	}
	t.Shown.Connectivity = ecsapi.ConnectivityConnected
	t.Shown.ConnectivityAt = api.At(now)
	advance(t, StatusPending)
}

// unchecked reads what may change without harm until the commit.
func unchecked(r store.Reader) store.Reader {
	if tx, ok := r.(*store.Tx); ok {
		return tx.View()
	}
	return r
}

// freeAddress picks an address of the host's task subnet that no task has, and
// prefers one that none had lately: a host may still be taking an interface
// down when its task is reported STOPPED.
func freeAddress(r store.Reader, host *Instance, p netip.Prefix, others []*Task) string {
	inUse := map[netip.Addr]time.Time{} // zero: in use now; else when it was given back
	note := func(t *Task) {
		if t.Interface == nil || t.Interface.Address == "" || t.Host != host.ARN() {
			return
		}
		a, err := netip.ParseAddr(t.Interface.Address)
		if err != nil {
			return
		}
		if t.Status() != StatusStopped {
			inUse[a] = time.Time{}
		} else if at, ok := inUse[a]; !ok || !at.IsZero() && at.Before(t.Shown.StoppedAt.Time) {
			inUse[a] = t.Shown.StoppedAt.Time
		}
	}
	shards := []string{host.Shard()}
	if host.Cluster == FargateCluster {
		shards = tasks.Shards(r)
	}
	for _, sh := range shards {
		for _, t := range tasks.By(r, sh, "host", host.ARN()) {
			note(t)
		}
		for _, t := range tasks.By(unchecked(r), sh, "due", dueRemove) {
			note(t)
		}
	}
	for _, t := range others {
		note(t)
	}
	base := p.Addr().As4()
	first := binary.BigEndian.Uint32(base[:])
	size := uint32(1) << (32 - p.Bits())
	var oldest netip.Addr
	for n := uint32(2); n < size-1; n++ {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], first+n)
		a := netip.AddrFrom4(b)
		at, known := inUse[a]
		switch {
		case !known:
			return a.String()
		case at.IsZero():
		case !oldest.IsValid() || at.Before(inUse[oldest]):
			oldest = a
		}
	}
	return oldest.String() // the scheduler counted addresses: there is one
}
