package ecs

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/schedule"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
)

func (s *Service) mayRegisterContainerInstance(c *gateway.Call, in *ecsapi.RegisterContainerInstanceInput) ([]authz.Ask, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	asks := one("ecs:RegisterContainerInstance", ref.arn(), s.clusterKeys(c.Tx, ref).requestTags(in.Tags))
	return append(asks, tagOnCreate(c, ref.resource("container-instance", "*"), in.Tags)...), nil
}

// registerContainerInstance makes an instance, or brings a known one up to
// date. Who registers it is the only one who may speak for it: for the session
// of a container instance role that is the instance whose id names the session,
// so an identity document of another instance is refused. The document's
// signature is not verified: it is of EC2's keys, which Remit does not have. What
// else is in the document becomes attributes, which a host may set as it likes.
//
// Every attribute is echoed, since the stock agent ends itself otherwise.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterContainerInstance.html
func (s *Service) registerContainerInstance(c *gateway.Call, in *ecsapi.RegisterContainerInstanceInput) (*ecsapi.RegisterContainerInstanceOutput, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	if _, err := s.useCluster(c, ref); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	var identity struct {
		InstanceID       string `json:"instanceId"`
		AvailabilityZone string `json:"availabilityZone"`
		InstanceType     string `json:"instanceType"`
		ImageID          string `json:"imageId"`
	}
	if doc := api.Value(in.InstanceIdentityDocument); doc != "" {
		if err := json.Unmarshal([]byte(doc), &identity); err != nil {
			return nil, ecsapi.InvalidParameterException("The instance identity document cannot be read.")
		}
	}
	ec2 := identity.InstanceID
	if c.Principal.Type == session.AssumedRole {
		if ec2 != "" && ec2 != c.Principal.SessionName {
			return nil, ecsapi.InvalidParameterException("The instance identity document is of instance %s, but the request is signed by the session %s.", ec2, c.Principal.SessionName)
		}
		ec2 = c.Principal.SessionName
	}
	inst, err := s.registration(c, ref, in, ec2)
	if err != nil {
		return nil, err
	}
	inst.PrincipalID, inst.EC2InstanceID = c.Principal.UserID, ec2
	inst.VersionInfo, inst.Resources, inst.Devices = in.VersionInfo, in.TotalResources, in.PlatformDevices
	inst.Attributes = mergeAttributes(inst.Attributes, in.Attributes)
	for _, a := range [...][2]string{
		{schedule.ZoneAttribute, cmp.Or(identity.AvailabilityZone, c.Region+"a")},
		{"ecs.instance-type", identity.InstanceType}, {"ecs.ami-id", identity.ImageID},
	} {
		if _, has := inst.attribute(a[0]); !has && a[1] != "" {
			inst.Attributes = append(inst.Attributes, ecsapi.Attribute{Name: &a[0], Value: &a[1]})
		}
	}
	inst.Tags = mergeTags(inst.Tags, in.Tags)
	inst.Version++
	instances.Put(c.Tx, inst.key(), inst)
	return &ecsapi.RegisterContainerInstanceOutput{ContainerInstance: s.showInstance(c.Tx, inst, c.Time, true)}, nil
}

// registration finds or makes the document. An agent that lost its state comes
// back without an ARN: what it had run is gone with its state, so the former
// instance is given up.
func (s *Service) registration(c *gateway.Call, ref clusterRef, in *ecsapi.RegisterContainerInstanceInput, ec2 string) (*Instance, error) {
	fresh := &Instance{Account: ref.account, Region: ref.region, Cluster: ref.name, Status: "ACTIVE", RegisteredAt: c.Time}
	if name := api.Value(in.ContainerInstanceArn); name != "" {
		ciID, err := ref.member("container-instance", name)
		if err != nil {
			return nil, err
		}
		inst, ok := instances.Edit(c.Tx, ref.name+"/"+ciID)
		switch {
		case !ok:
			// The agent remembers what this control plane does not.
			fresh.ID = ciID
			return fresh, nil
		case inst.PrincipalID != c.Principal.UserID:
			return nil, ecsapi.AccessDeniedException("Container instance %s was registered by another principal.", inst.ARN())
		case inst.Status == "INACTIVE":
			inst.Status, inst.StatusReason, inst.StopCode, inst.InactiveAt = "ACTIVE", "", "", time.Time{}
		}
		return inst, nil
	}
	for key, old := range instances.By(c.Tx, c.Home, "principal", c.Principal.UserID) {
		if old.Cluster == ref.name && old.EC2InstanceID == ec2 && ec2 != "" && old.Status != "INACTIVE" {
			e, _ := instances.Edit(c.Tx, key)
			inactive(e, ecsapi.TaskStopCodeTerminationNotice, "Host EC2 (instance "+ec2+") terminated.", c.Time)
			instances.Put(c.Tx, key, e)
		}
	}
	fresh.ID = id.Hex(c.IDs, 32)
	return fresh, nil
}

// mergeAttributes keeps custom attributes that agents send on their first
// registration only. Capabilities are what the agent says now.
func mergeAttributes(old, now []ecsapi.Attribute) []ecsapi.Attribute {
	out := slices.Clone(now)
	for _, o := range old {
		n := api.Value(o.Name)
		if strings.HasPrefix(n, "ecs.") || strings.HasPrefix(n, "com.amazonaws.") {
			continue
		}
		if !slices.ContainsFunc(out, func(a ecsapi.Attribute) bool { return api.Value(a.Name) == n }) {
			out = append(out, o)
		}
	}
	return out
}

func inactive(i *Instance, code ecsapi.TaskStopCode, reason string, now time.Time) {
	i.Status, i.StopCode, i.StatusReason, i.InactiveAt, i.Connection = "INACTIVE", code, reason, now, ""
	i.Version++
}

// connected says that the agent is on a websocket, of whichever replica.
func (s *Service) connected(i *Instance, now time.Time) bool {
	return i.Connection != "" && now.Sub(i.Seen) < s.Lost
}

// showInstance is the instance as the API shows it.
func (s *Service) showInstance(r store.Reader, i *Instance, now time.Time, tags bool) *ecsapi.ContainerInstance {
	out := &ecsapi.ContainerInstance{
		ContainerInstanceArn: api.Ptr(i.ARN()), Version: api.Ptr(i.Version), VersionInfo: i.VersionInfo,
		RegisteredResources: orEmpty(i.Resources), Status: api.Ptr(i.Status), AgentConnected: api.Ptr(s.connected(i, now)),
		Attributes: orEmpty(i.Attributes), RegisteredAt: api.At(i.RegisteredAt), Attachments: []ecsapi.Attachment{}, Tags: []ecsapi.Tag{},
	}
	if i.EC2InstanceID != "" {
		out.Ec2InstanceId = api.Ptr(i.EC2InstanceID)
	}
	if i.StatusReason != "" {
		out.StatusReason = api.Ptr(i.StatusReason)
	}
	if tags {
		out.Tags = orEmpty(i.Tags)
	}
	var running, pending int32
	var used schedule.Resources
	for _, t := range tasksOn(r, tasks.Shards(r), i) {
		if t.Status() == StatusPending || t.Status() == StatusActivating {
			pending++
		} else {
			running++
		}
		used.CPU += t.Needs.CPU
		used.Memory += t.Needs.Memory
		used.Ports = append(used.Ports, t.Needs.Ports...)
	}
	out.RunningTasksCount, out.PendingTasksCount = &running, &pending
	out.RemainingResources = remaining(i.Resources, used)
	return out
}

func remaining(total []ecsapi.Resource, used schedule.Resources) []ecsapi.Resource {
	out := slices.Clone(orEmpty(total))
	for i := range out {
		r := &out[i]
		switch api.Value(r.Name) {
		case "CPU":
			r.IntegerValue = api.Ptr(api.Value(r.IntegerValue) - int32(used.CPU))
		case "MEMORY":
			r.IntegerValue = api.Ptr(api.Value(r.IntegerValue) - int32(used.Memory))
		case "PORTS", "PORTS_UDP":
			proto := "tcp"
			if *r.Name == "PORTS_UDP" {
				proto = "udp"
			}
			r.StringSetValue = slices.Clone(orEmpty(r.StringSetValue))
			for _, p := range used.Ports {
				if p.Protocol == proto {
					r.StringSetValue = append(r.StringSetValue, strconv.Itoa(int(p.Number)))
				}
			}
		}
	}
	return out
}

func (s *Service) askInstances(c *gateway.Call, action string, clusterName *string, names []string) ([]authz.Ask, error) {
	ref, err := cluster(c, clusterName)
	if err != nil {
		return nil, err
	}
	switch n := len(names); {
	case n == 0:
		return nil, ecsapi.InvalidParameterException("Container Instances cannot be empty.")
	case n > 100:
		return nil, ecsapi.InvalidParameterException("Container Instances cannot have more than 100 elements.")
	}
	var asks []authz.Ask
	for _, name := range names {
		ciID, err := ref.member("container-instance", name)
		if err != nil {
			return nil, err
		}
		k := keys{"ecs:cluster": {ref.arn()}}
		if i, ok := instances.Get(c.Tx, gateway.Regional(ref.account, ref.region), ref.name+"/"+ciID); ok {
			k.resourceTags(i.Tags)
		}
		asks = append(asks, one(action, ref.resource("container-instance", ciID), k)...)
	}
	return asks, nil
}

// inCluster is a cluster of the caller's that exists.
func (s *Service) inCluster(c *gateway.Call, name *string) (clusterRef, error) {
	ref, err := cluster(c, name)
	if err != nil {
		return ref, err
	}
	if err := ref.own(c); err != nil {
		return ref, err
	}
	_, err = s.findCluster(c.Tx, ref)
	return ref, err
}

func (s *Service) mayDescribeContainerInstances(c *gateway.Call, in *ecsapi.DescribeContainerInstancesInput) ([]authz.Ask, error) {
	return s.askInstances(c, "ecs:DescribeContainerInstances", in.Cluster, in.ContainerInstances)
}

func (s *Service) describeContainerInstances(c *gateway.Call, in *ecsapi.DescribeContainerInstancesInput) (*ecsapi.DescribeContainerInstancesOutput, error) {
	ref, err := s.inCluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.DescribeContainerInstancesOutput{ContainerInstances: []ecsapi.ContainerInstance{}, Failures: []ecsapi.Failure{}}
	for _, name := range in.ContainerInstances {
		ciID, err := ref.member("container-instance", name)
		if err != nil {
			return nil, err
		}
		if i, ok := instances.Get(c.Tx, c.Home, ref.name+"/"+ciID); ok {
			out.ContainerInstances = append(out.ContainerInstances, *s.showInstance(c.Tx, i, c.Time, slices.Contains(in.Include, ecsapi.ContainerInstanceFieldTags)))
		} else {
			out.Failures = append(out.Failures, ecsapi.Failure{Arn: api.Ptr(ref.resource("container-instance", ciID)), Reason: api.Ptr("MISSING")})
		}
	}
	return out, nil
}

func (s *Service) mayListContainerInstances(c *gateway.Call, in *ecsapi.ListContainerInstancesInput) ([]authz.Ask, error) {
	return s.askCluster(c, "ecs:ListContainerInstances", in.Cluster)
}

func (s *Service) listContainerInstances(c *gateway.Call, in *ecsapi.ListContainerInstancesInput) (*ecsapi.ListContainerInstancesOutput, error) {
	ref, err := s.inCluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	if api.Value(in.Filter) != "" {
		return nil, ecsapi.InvalidParameterException("Remit does not evaluate cluster query language filters yet.")
	}
	p, err := newPage(c, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.ListContainerInstancesOutput{ContainerInstanceArns: []string{}}
	for key, i := range instances.Prefix(c.Tx, c.Home, ref.name+"/") {
		if key <= p.after || i.Status == "INACTIVE" || in.Status != "" && i.Status != string(in.Status) {
			continue
		}
		if p.full(key) {
			break
		}
		out.ContainerInstanceArns = append(out.ContainerInstanceArns, i.ARN())
	}
	out.NextToken = p.token(c)
	return out, nil
}

func (s *Service) mayUpdateContainerInstancesState(c *gateway.Call, in *ecsapi.UpdateContainerInstancesStateInput) ([]authz.Ask, error) {
	return s.askInstances(c, "ecs:UpdateContainerInstancesState", in.Cluster, in.ContainerInstances)
}

// updateContainerInstancesState drains instances, or takes them back. Tasks
// that no service owns stay on a draining instance.
func (s *Service) updateContainerInstancesState(c *gateway.Call, in *ecsapi.UpdateContainerInstancesStateInput) (*ecsapi.UpdateContainerInstancesStateOutput, error) {
	ref, err := s.inCluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	if len(in.ContainerInstances) > 10 {
		return nil, ecsapi.InvalidParameterException("Container Instances cannot have more than 10 elements.")
	}
	if in.Status != ecsapi.ContainerInstanceStatusActive && in.Status != ecsapi.ContainerInstanceStatusDraining {
		return nil, ecsapi.InvalidParameterException("Container instance status should be one of [ACTIVE,DRAINING]")
	}
	out := &ecsapi.UpdateContainerInstancesStateOutput{ContainerInstances: []ecsapi.ContainerInstance{}, Failures: []ecsapi.Failure{}}
	for _, name := range in.ContainerInstances {
		ciID, err := ref.member("container-instance", name)
		if err != nil {
			return nil, err
		}
		i, ok := instances.Edit(c.Tx, ref.name+"/"+ciID)
		if !ok || i.Status == "INACTIVE" {
			reason := "MISSING"
			if ok {
				reason = "INACTIVE"
			}
			out.Failures = append(out.Failures, ecsapi.Failure{Arn: api.Ptr(ref.resource("container-instance", ciID)), Reason: &reason})
			continue
		}
		if i.Status != string(in.Status) {
			i.Status = string(in.Status)
			i.Version++
			instances.Put(c.Tx, i.key(), i)
		}
		out.ContainerInstances = append(out.ContainerInstances, *s.showInstance(c.Tx, i, c.Time, true))
	}
	return out, nil
}

func (s *Service) mayDeregisterContainerInstance(c *gateway.Call, in *ecsapi.DeregisterContainerInstanceInput) ([]authz.Ask, error) {
	return s.askCluster(c, "ecs:DeregisterContainerInstance", in.Cluster)
}

// deregisterContainerInstance gives an instance up. With force its tasks are
// stopped by the loop: the host may be gone, so nobody waits for it.
func (s *Service) deregisterContainerInstance(c *gateway.Call, in *ecsapi.DeregisterContainerInstanceInput) (*ecsapi.DeregisterContainerInstanceOutput, error) {
	ref, err := s.inCluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	ciID, err := ref.member("container-instance", api.Value(in.ContainerInstance))
	if err != nil {
		return nil, err
	}
	i, ok := instances.Edit(c.Tx, ref.name+"/"+ciID)
	if !ok || i.Status == "INACTIVE" {
		return nil, ecsapi.InvalidParameterException("Referenced container instance %s not found.", ciID)
	}
	if !api.Value(in.Force) && len(tasksOn(c.Tx, tasks.Shards(c.Tx), i)) > 0 {
		return nil, ecsapi.InvalidParameterException("Found running tasks on the instance.")
	}
	inactive(i, ecsapi.TaskStopCodeUserInitiated, "Container instance deregistration forced by user", c.Time)
	instances.Put(c.Tx, i.key(), i)
	return &ecsapi.DeregisterContainerInstanceOutput{ContainerInstance: s.showInstance(c.Tx, i, c.Time, true)}, nil
}

func (s *Service) mayDiscoverPollEndpoint(*gateway.Call, *ecsapi.DiscoverPollEndpointInput) ([]authz.Ask, error) {
	return one("ecs:DiscoverPollEndpoint", "*", nil), nil
}

// discoverPollEndpoint sends the agent to the websockets, by default to the
// address under which it found the API.
func (s *Service) discoverPollEndpoint(c *gateway.Call, _ *ecsapi.DiscoverPollEndpointInput) (*ecsapi.DiscoverPollEndpointOutput, error) {
	base := strings.TrimSuffix(c.Scheme+"://"+c.Host, "/")
	return &ecsapi.DiscoverPollEndpointOutput{
		Endpoint:               api.Ptr(cmp.Or(s.PollEndpoint, base+"/acs/")),
		TelemetryEndpoint:      api.Ptr(cmp.Or(s.TelemetryEndpoint, base+"/tcs/")),
		ServiceConnectEndpoint: api.Ptr(base + "/sc/"),
	}, nil
}
