package ecs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/schedule"
)

// taskRequest is what RunTask and StartTask have in common.
type taskRequest struct {
	cluster, definition *string
	overrides           *ecsapi.TaskOverride
	network             *ecsapi.NetworkConfiguration
	launch              ecsapi.LaunchType
	providers           []ecsapi.CapacityProviderStrategyItem
	platformVersion     *string
	count               int
	group, startedBy    *string
	tags                []ecsapi.Tag
	managedTags         *bool
	propagate           ecsapi.PropagateTags
	execute             *bool
	volumes             []ecsapi.TaskVolumeConfiguration
	constraints         []ecsapi.PlacementConstraint
	strategy            []ecsapi.PlacementStrategy
}

// taskRoles are the roles that a request touches.
type taskRoles struct {
	task, execution string   // those that the task will have
	passed          []string // every role that the caller passes
}

func rolesOf(c *gateway.Call, def *Definition, o *ecsapi.TaskOverride) (taskRoles, error) {
	var r taskRoles
	if def != nil {
		r.task, r.execution = api.Value(def.Shown.TaskRoleArn), api.Value(def.Shown.ExecutionRoleArn)
		r.passed = append(r.passed, r.task, r.execution)
	}
	if o == nil {
		return r, nil
	}
	t, err := role(c, o.TaskRoleArn)
	if err != nil {
		return r, err
	}
	e, err := role(c, o.ExecutionRoleArn)
	if err != nil {
		return r, err
	}
	r.passed = append(r.passed, t, e)
	r.task, r.execution = cmp.Or(t, r.task), cmp.Or(e, r.execution)
	return r, nil
}

// taskID is the id of the n-th task of a request: the same for the rule, which
// asks in the task's name, for the handler, and for both when they run again.
func taskID(c *gateway.Call, n int) string {
	sum := sha256.Sum256([]byte("task\x00" + c.RequestID + "\x00" + strconv.Itoa(n)))
	return hex.EncodeToString(sum[:16])
}

// ask is the rule of RunTask and StartTask: the operation on the definition
// (resolved to a revision first), the tags, every role passed, and then, as
// ecs-tasks.amazonaws.com, the trust of each role the task will have.
func (s *Service) ask(c *gateway.Call, r *taskRequest, k keys) ([]authz.Ask, error) {
	ref, err := cluster(c, r.cluster)
	if err != nil {
		return nil, err
	}
	dref, err := parseDefinition(c, api.Value(r.definition))
	if err != nil {
		return nil, err
	}
	def, _, _ := dref.resolve(c)
	roles, err := rolesOf(c, def, r.overrides)
	if err != nil {
		return nil, err
	}
	k.set("ecs:cluster", ref.arn()).requestTags(r.tags).flag("ecs:enable-execute-command", api.Value(r.execute)).
		flag("ecs:enable-ebs-volumes", len(r.volumes) > 0)
	if def != nil {
		k.resourceTags(def.Tags)
	}
	asks := one(c.Op.Action(), dref.arn(def), k)
	first := ref.resource("task", taskID(c, 0))
	asks = append(asks, tagOnCreate(c, first, r.tags)...)
	pass, err := passRole(c, roles.passed...)
	if err != nil {
		return nil, err
	}
	asks = append(asks, pass...)
	return append(asks, trust(c, first, roles.task, roles.execution)...), nil
}

func runRequest(in *ecsapi.RunTaskInput) *taskRequest {
	r := &taskRequest{
		cluster: in.Cluster, definition: in.TaskDefinition, overrides: in.Overrides, network: in.NetworkConfiguration,
		launch: in.LaunchType, providers: in.CapacityProviderStrategy, platformVersion: in.PlatformVersion, count: 1,
		group: in.Group, startedBy: in.StartedBy, tags: in.Tags, managedTags: in.EnableECSManagedTags, propagate: in.PropagateTags,
		execute: in.EnableExecuteCommand, volumes: in.VolumeConfigurations, constraints: in.PlacementConstraints, strategy: in.PlacementStrategy,
	}
	if in.Count != nil {
		r.count = int(*in.Count)
	}
	return r
}

func (s *Service) mayRunTask(c *gateway.Call, in *ecsapi.RunTaskInput) ([]authz.Ask, error) {
	r := runRequest(in)
	k := keys{}
	for _, p := range in.CapacityProviderStrategy {
		k["ecs:capacity-provider"] = append(k["ecs:capacity-provider"], providerARN(c, api.Value(p.CapacityProvider)))
	}
	if dref, err := parseDefinition(c, api.Value(in.TaskDefinition)); err == nil {
		if def, _, ok := dref.resolve(c); ok {
			cpu, memory := taskSize(&def.Shown, in.Overrides)
			if cpu != "" {
				k.set("ecs:task-cpu", cpu)
			}
			if memory != "" {
				k.set("ecs:task-memory", memory)
			}
		}
	}
	return s.ask(c, r, k)
}

// taskSize is cpu and memory at the task level, after overrides.
func taskSize(d *ecsapi.TaskDefinition, o *ecsapi.TaskOverride) (cpu, memory string) {
	cpu, memory = api.Value(d.Cpu), api.Value(d.Memory)
	if o != nil && api.Value(o.Cpu) != "" {
		cpu = normalCPU(*o.Cpu)
	}
	if o != nil && api.Value(o.Memory) != "" {
		memory = normalMemory(*o.Memory)
	}
	return cpu, memory
}

// runTask writes the tasks. FARGATE tasks are placed by the loop; EC2 tasks
// here, over the snapshot that the commit depends on.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
func (s *Service) runTask(c *gateway.Call, in *ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error) {
	r := runRequest(in)
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	token, hash := api.Value(in.ClientToken), ""
	if token != "" {
		if !tokenChars.MatchString(token) {
			return nil, ecsapi.InvalidParameterException("Client token must have between 1 and 64 characters of ASCII.")
		}
		hash = requestHash(in)
		if old, ok := runTokens.Get(c.Tx, c.Home, ref.name+" "+token); ok && c.Time.Before(old.Expires) {
			return s.repeat(c, old, hash)
		}
	}
	spec, err := s.prepare(c, ref, r)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.RunTaskOutput{Tasks: []ecsapi.Task{}, Failures: []ecsapi.Failure{}}
	var made []*Task
	for n := range r.count {
		made = append(made, s.newTask(c, spec, taskID(c, n)))
	}
	if spec.launch == ecsapi.LaunchTypeEc2 {
		made, out.Failures, err = s.placeEC2(c, ref, made)
		if err != nil {
			return nil, err
		}
	}
	rt := &runToken{Request: hash, Expires: c.Time.Add(24 * time.Hour)}
	for _, t := range made {
		tasks.Put(c.Tx, t.key(), t)
		rt.Tasks = append(rt.Tasks, t.key())
		out.Tasks = append(out.Tasks, *showTask(t, true))
	}
	if token != "" && len(made) > 0 {
		runTokens.Put(c.Tx, ref.name+" "+token, rt)
	}
	return out, nil
}

// repeat answers a request whose client token was seen before.
func (s *Service) repeat(c *gateway.Call, old *runToken, hash string) (*ecsapi.RunTaskOutput, error) {
	out := &ecsapi.RunTaskOutput{Tasks: []ecsapi.Task{}, Failures: []ecsapi.Failure{}}
	var arns []string
	for _, key := range old.Tasks {
		if t, ok := tasks.Get(c.Tx, c.Home, key); ok {
			out.Tasks = append(out.Tasks, *showTask(t, true))
			arns = append(arns, t.ARN())
		}
	}
	if old.Request != hash {
		return nil, ecsapi.ConflictException("The client token was already used with a different request.").With("resourceIds", orEmpty(arns))
	}
	return out, nil
}

// requestHash tells requests with one client token apart.
func requestHash(in *ecsapi.RunTaskInput) string {
	i := *in
	i.ClientToken = nil
	b, _ := json.Marshal(&i) // plain data
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// taskSpec is a checked request, ready to become tasks.
type taskSpec struct {
	*taskRequest
	ref    clusterRef
	def    *Definition
	key    string
	roles  taskRoles
	launch ecsapi.LaunchType
	cpu    string
	memory string
	vpc    *ecsapi.AwsVpcConfiguration
}

// prepare checks a request.
func (s *Service) prepare(c *gateway.Call, ref clusterRef, r *taskRequest) (*taskSpec, error) {
	invalid := ecsapi.InvalidParameterException
	cl, err := s.useCluster(c, ref)
	if err != nil {
		return nil, err
	}
	if r.count < 1 || r.count > 10 {
		return nil, invalid("Task count must be between 1 and 10.")
	}
	if sb := api.Value(r.startedBy); sb != "" && !startedBy.MatchString(sb) {
		return nil, invalid("Invalid startedBy: at most 128 letters, numbers, hyphens, slashes and underscores.")
	}
	if len(api.Value(r.group)) > 255 {
		return nil, invalid("Task group names must have at most 255 characters.")
	}
	if strings.HasPrefix(api.Value(r.group), "service:") {
		return nil, invalid("Task group names must not begin with service:, which is reserved for services.")
	}
	if err := checkTags(r.tags); err != nil {
		return nil, err
	}
	sp := &taskSpec{taskRequest: r, ref: ref}
	dref, err := parseDefinition(c, api.Value(r.definition))
	if err != nil {
		return nil, err
	}
	def, key, ok := dref.resolve(c)
	if !ok {
		return nil, ecsapi.ClientException("TaskDefinition not found.")
	}
	if def.Shown.Status != ecsapi.TaskDefinitionStatusActive {
		return nil, invalid("TaskDefinition is inactive")
	}
	sp.def, sp.key = def, key
	if sp.launch, err = s.launchType(cl, r); err != nil {
		return nil, err
	}
	if !slices.Contains(def.Shown.Compatibilities, ecsapi.Compatibility(sp.launch)) {
		return nil, invalid("Task definition does not support launch_type %s.", sp.launch)
	}
	if sp.roles, err = rolesOf(c, def, r.overrides); err != nil {
		return nil, err
	}
	if err := sp.checkNetwork(); err != nil {
		return nil, err
	}
	if err := sp.checkOverrides(); err != nil {
		return nil, err
	}
	if v := api.Value(r.platformVersion); v != "" && v != "LATEST" && v != "1.4.0" {
		return nil, ecsapi.PlatformUnknownException("The specified platform version does not exist: %s", v)
	}
	if err := checkPlacement(sp.launch, r); err != nil {
		return nil, err
	}
	if err := checkHonoured(&def.Shown); err != nil {
		return nil, err
	}
	if err := checkOverridesHonoured(r.overrides); err != nil {
		return nil, err
	}
	if err := checkRequestHonoured(r); err != nil {
		return nil, err
	}
	return sp, nil
}

// launchType is what the request says, or the cluster's default, or EC2.
func (s *Service) launchType(cl *Cluster, r *taskRequest) (ecsapi.LaunchType, error) {
	providers := r.providers
	switch {
	case r.launch != "" && len(providers) > 0:
		return "", ecsapi.InvalidParameterException("Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	case r.launch == ecsapi.LaunchTypeFargate, r.launch == ecsapi.LaunchTypeEc2:
		return r.launch, nil
	case r.launch != "":
		return "", ecsapi.InvalidParameterException("launch type should be one of [EC2,FARGATE]")
	case len(providers) == 0:
		providers = cl.Strategy
	}
	if len(providers) == 0 {
		return ecsapi.LaunchTypeEc2, nil
	}
	for _, p := range providers {
		if n := api.Value(p.CapacityProvider); n != "FARGATE" && n != "FARGATE_SPOT" {
			return "", ecsapi.InvalidParameterException("The specified capacity provider '%s' was not found. Specify a valid name or ARN and try again.", n)
		}
	}
	return ecsapi.LaunchTypeFargate, nil
}

var (
	subnetID = regexp.MustCompile(`^subnet-[0-9a-z]{1,40}$`)
	groupID  = regexp.MustCompile(`^sg-[0-9a-z]{1,40}$`)
)

// checkNetwork takes any well-formed subnet and security group: EC2 is not
// served yet, so there is nothing to look them up in.
func (sp *taskSpec) checkNetwork() error {
	invalid := ecsapi.InvalidParameterException
	var vpc *ecsapi.AwsVpcConfiguration
	if sp.network != nil {
		vpc = sp.network.AwsvpcConfiguration
	}
	if sp.def.Shown.NetworkMode != ecsapi.NetworkModeAwsvpc {
		if vpc != nil {
			return invalid("Network Configuration is not valid for the given networkMode of this task definition.")
		}
		return nil
	}
	switch {
	case vpc == nil:
		return invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	case len(vpc.Subnets) == 0:
		return invalid("subnets can not be empty.")
	case len(vpc.Subnets) > 16:
		return invalid("subnets can have at most 16 items.")
	case len(vpc.SecurityGroups) > 5:
		return invalid("securityGroups can have at most 5 items.")
	case vpc.AssignPublicIp == ecsapi.AssignPublicIpEnabled && sp.launch != ecsapi.LaunchTypeFargate:
		return invalid("Assign public IP is not supported for this launch type.")
	}
	for _, id := range vpc.Subnets {
		if !subnetID.MatchString(id) {
			return invalid("The subnet ID '%s' does not exist", id)
		}
	}
	for _, id := range vpc.SecurityGroups {
		if !groupID.MatchString(id) {
			return invalid("The security group '%s' does not exist", id)
		}
	}
	sp.vpc = vpc
	return nil
}

func (sp *taskSpec) checkOverrides() error {
	invalid := ecsapi.InvalidParameterException
	sp.cpu, sp.memory = taskSize(&sp.def.Shown, sp.overrides)
	o := sp.overrides
	if o == nil {
		return nil
	}
	if b, err := json.Marshal(o); err != nil || len(b) > 8192 {
		return invalid("Overrides length must be at most 8192")
	}
	if api.Value(o.Cpu) != "" && sp.cpu == "" {
		return invalid("Invalid 'cpu' setting for task.")
	}
	if api.Value(o.Memory) != "" && sp.memory == "" {
		return invalid("Invalid 'memory' setting for task.")
	}
	if sp.launch == ecsapi.LaunchTypeFargate && !fargatePair(number(&sp.cpu), number(&sp.memory)) {
		return invalid("No Fargate configuration exists for given values: %s CPU, %s memory. See the Amazon ECS documentation for the valid values.", sp.cpu, sp.memory)
	}
	seen := map[string]bool{}
	for _, co := range o.ContainerOverrides {
		n := api.Value(co.Name)
		if !slices.ContainsFunc(sp.def.Shown.ContainerDefinitions, func(cd ecsapi.ContainerDefinition) bool { return *cd.Name == n }) {
			return invalid("Override for container named %s is not a container in the TaskDefinition.", n)
		}
		if seen[n] {
			return invalid("Container %s is overridden more than once.", n)
		}
		seen[n] = true
		for _, v := range []*int32{co.Cpu, co.Memory, co.MemoryReservation} {
			if v != nil && *v < 0 {
				return invalid("Invalid override for container %s.", n)
			}
		}
		for _, e := range co.Environment {
			if api.Value(e.Name) == "" {
				return invalid("Environment variable name should not be null or empty.")
			}
		}
		if err := checkEnvironmentFiles(co.EnvironmentFiles); err != nil {
			return err
		}
		if len(co.EnvironmentFiles) > 0 && sp.roles.execution == "" {
			return invalid("When you are specifying environment files, you must also specify a value for 'executionRoleArn'.")
		}
	}
	return nil
}

func checkPlacement(launch ecsapi.LaunchType, r *taskRequest) error {
	invalid := ecsapi.InvalidParameterException
	if launch == ecsapi.LaunchTypeFargate && len(r.constraints) > 0 {
		return invalid("Placement constraints are not supported with FARGATE launch type.")
	}
	if launch == ecsapi.LaunchTypeFargate && len(r.strategy) > 0 {
		return invalid("Placement strategies are not supported with FARGATE launch type.")
	}
	if len(r.constraints) > 10 {
		return invalid("At most 10 placement constraints are allowed.")
	}
	if len(r.strategy) > 5 {
		return invalid("At most 5 placement strategies are allowed.")
	}
	for _, st := range r.strategy {
		f := strings.ToLower(api.Value(st.Field))
		switch st.Type {
		case ecsapi.PlacementStrategyTypeRandom:
		case ecsapi.PlacementStrategyTypeBinpack:
			if f != "cpu" && f != "memory" {
				return invalid("Invalid placement strategy: binpack takes the field cpu or memory.")
			}
		case ecsapi.PlacementStrategyTypeSpread:
			if f != "" && f != "instanceid" && f != "host" && !strings.HasPrefix(f, "attribute:") {
				return invalid("Invalid placement strategy: spread takes the field instanceId, host or attribute:NAME.")
			}
		default:
			return invalid("Invalid placement strategy type: %s", st.Type)
		}
	}
	return nil
}

func strategies(in []ecsapi.PlacementStrategy) []schedule.Strategy {
	var out []schedule.Strategy
	for _, st := range in {
		f := api.Value(st.Field)
		switch l := strings.ToLower(f); {
		case l == "cpu", l == "memory", l == "host":
			f = l
		case l == "", l == "instanceid":
			f = "instanceId"
		}
		out = append(out, schedule.Strategy{Type: string(st.Type), Field: f})
	}
	return out
}
