package ecs

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayRegisterTaskDefinition(c *gateway.Call, in *ecsapi.RegisterTaskDefinitionInput) ([]authz.Ask, error) {
	family := api.Value(in.Family)
	if err := checkFamily(family); err != nil {
		return nil, err
	}
	taskRole, err := role(c, in.TaskRoleArn)
	if err != nil {
		return nil, err
	}
	executionRole, err := role(c, in.ExecutionRoleArn)
	if err != nil {
		return nil, err
	}
	privileged := slices.ContainsFunc(in.ContainerDefinitions, func(cd ecsapi.ContainerDefinition) bool { return api.Value(cd.Privileged) })
	k := keys{}.requestTags(in.Tags).flag("ecs:privileged", privileged)
	for _, cc := range in.RequiresCompatibilities {
		k["ecs:compute-compatibility"] = append(k["ecs:compute-compatibility"], string(cc))
	}
	if v := normalCPU(api.Value(in.Cpu)); v != "" {
		k.set("ecs:task-cpu", v)
	}
	if v := normalMemory(api.Value(in.Memory)); v != "" {
		k.set("ecs:task-memory", v)
	}
	// The revision is not known to the caller, so it asks for the family.
	resource := definitionARN(c.Account, c.Region, family, "*")
	asks := append(one("ecs:RegisterTaskDefinition", resource, k), tagOnCreate(c, resource, in.Tags)...)
	pass, err := passRole(c, taskRole, executionRole)
	if err != nil {
		return nil, err
	}
	return append(asks, pass...), nil
}

// registerTaskDefinition keeps everything that was given. What Remit does not
// honour yet is refused when a task is run, not here (honoured.go).
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
func (s *Service) registerTaskDefinition(c *gateway.Call, in *ecsapi.RegisterTaskDefinitionInput) (*ecsapi.RegisterTaskDefinitionOutput, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	taskRole, err := role(c, in.TaskRoleArn)
	if err != nil {
		return nil, err
	}
	executionRole, err := role(c, in.ExecutionRoleArn)
	if err != nil {
		return nil, err
	}
	def := ecsapi.TaskDefinition{
		Family:                  in.Family,
		NetworkMode:             in.NetworkMode,
		ContainerDefinitions:    slices.Clone(in.ContainerDefinitions),
		Volumes:                 orEmpty(in.Volumes),
		PlacementConstraints:    orEmpty(in.PlacementConstraints),
		RequiresCompatibilities: in.RequiresCompatibilities,
		Cpu:                     in.Cpu,
		Memory:                  in.Memory,
		PidMode:                 in.PidMode,
		IpcMode:                 in.IpcMode,
		ProxyConfiguration:      in.ProxyConfiguration,
		InferenceAccelerators:   in.InferenceAccelerators,
		EphemeralStorage:        in.EphemeralStorage,
		RuntimePlatform:         in.RuntimePlatform,
		EnableFaultInjection:    in.EnableFaultInjection,
		Status:                  ecsapi.TaskDefinitionStatusActive,
		RegisteredAt:            c.Now(),
		RegisteredBy:            api.Ptr(c.Principal.ARN),
	}
	if taskRole != "" {
		def.TaskRoleArn = &taskRole
	}
	if executionRole != "" {
		def.ExecutionRoleArn = &executionRole
	}
	if err := completeDefinition(&def); err != nil {
		return nil, err
	}
	fam := family{}
	if old, ok := families.Get(c.Tx, c.Home, *in.Family); ok {
		fam = *old
	}
	fam.Revision++
	families.Put(c.Tx, *in.Family, &fam)
	def.Revision = &fam.Revision
	def.TaskDefinitionArn = api.Ptr(definitionARN(c.Account, c.Region, *in.Family, strconv.Itoa(int(fam.Revision))))
	definitions.Put(c.Tx, definitionKey(*in.Family, fam.Revision), &Definition{Shown: def, Tags: in.Tags})
	out := &ecsapi.RegisterTaskDefinitionOutput{TaskDefinition: &def}
	if len(in.Tags) > 0 {
		out.Tags = in.Tags
	}
	return out, nil
}

func (s *Service) mayDescribeTaskDefinition(c *gateway.Call, in *ecsapi.DescribeTaskDefinitionInput) ([]authz.Ask, error) {
	return one("ecs:DescribeTaskDefinition", "*", nil), nil
}

func (s *Service) describeTaskDefinition(c *gateway.Call, in *ecsapi.DescribeTaskDefinitionInput) (*ecsapi.DescribeTaskDefinitionOutput, error) {
	ref, err := parseDefinition(c, api.Value(in.TaskDefinition))
	if err != nil {
		return nil, err
	}
	def, _, ok := ref.resolve(c)
	if !ok {
		return nil, ecsapi.ClientException("Unable to describe task definition.")
	}
	out := &ecsapi.DescribeTaskDefinitionOutput{TaskDefinition: &def.Shown}
	if slices.Contains(in.Include, ecsapi.TaskDefinitionFieldTags) {
		out.Tags = orEmpty(def.Tags)
	}
	return out, nil
}

func (s *Service) mayListTaskDefinitions(*gateway.Call, *ecsapi.ListTaskDefinitionsInput) ([]authz.Ask, error) {
	return one("ecs:ListTaskDefinitions", "*", nil), nil
}

// listTaskDefinitions orders by family and revision. FamilyPrefix is the full
// name of a family, whatever its name says.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html
func (s *Service) listTaskDefinitions(c *gateway.Call, in *ecsapi.ListTaskDefinitionsInput) (*ecsapi.ListTaskDefinitionsOutput, error) {
	p, err := newPage(c, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	want := cmp.Or(in.Status, ecsapi.TaskDefinitionStatusActive)
	type item struct{ key, arn string }
	var all []item
	add := func(key string, d *Definition) {
		if d.Shown.Status == want {
			all = append(all, item{key, api.Value(d.Shown.TaskDefinitionArn)})
		}
	}
	if fam := api.Value(in.FamilyPrefix); fam != "" {
		for key, d := range definitions.Prefix(c.Tx, c.Home, fam+" ") {
			add(key, d)
		}
	} else {
		for key, d := range definitions.Prefix(c.Tx, c.Home, "") {
			add(key, d)
		}
	}
	desc := in.Sort == ecsapi.SortOrderDesc
	if desc {
		slices.Reverse(all)
	}
	out := &ecsapi.ListTaskDefinitionsOutput{TaskDefinitionArns: []string{}}
	for _, it := range all {
		if p.after != "" && (it.key <= p.after && !desc || it.key >= p.after && desc) {
			continue
		}
		if p.full(it.key) {
			break
		}
		out.TaskDefinitionArns = append(out.TaskDefinitionArns, it.arn)
	}
	out.NextToken = p.token(c)
	return out, nil
}

func (s *Service) mayListTaskDefinitionFamilies(*gateway.Call, *ecsapi.ListTaskDefinitionFamiliesInput) ([]authz.Ask, error) {
	return one("ecs:ListTaskDefinitionFamilies", "*", nil), nil
}

func (s *Service) listTaskDefinitionFamilies(c *gateway.Call, in *ecsapi.ListTaskDefinitionFamiliesInput) (*ecsapi.ListTaskDefinitionFamiliesOutput, error) {
	p, err := newPage(c, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	want := cmp.Or(in.Status, ecsapi.TaskDefinitionFamilyStatusActive)
	out := &ecsapi.ListTaskDefinitionFamiliesOutput{Families: []string{}}
	for fam := range families.From(c.Tx, c.Home, p.after) {
		if !strings.HasPrefix(fam, api.Value(in.FamilyPrefix)) {
			continue
		}
		active, exists := false, false
		for _, d := range definitions.Prefix(c.Tx, c.Home, fam+" ") {
			exists = true
			if active = d.Shown.Status == ecsapi.TaskDefinitionStatusActive; active {
				break
			}
		}
		switch {
		case !exists,
			want == ecsapi.TaskDefinitionFamilyStatusActive && !active,
			want == ecsapi.TaskDefinitionFamilyStatusInactive && active:
			continue
		}
		if p.full(fam) {
			break
		}
		out.Families = append(out.Families, fam)
	}
	out.NextToken = p.token(c)
	return out, nil
}

func (s *Service) mayDeregisterTaskDefinition(*gateway.Call, *ecsapi.DeregisterTaskDefinitionInput) ([]authz.Ask, error) {
	return one("ecs:DeregisterTaskDefinition", "*", nil), nil
}

// deregisterTaskDefinition makes a revision INACTIVE. Tasks that run from it
// carry on.
func (s *Service) deregisterTaskDefinition(c *gateway.Call, in *ecsapi.DeregisterTaskDefinitionInput) (*ecsapi.DeregisterTaskDefinitionOutput, error) {
	ref, err := parseDefinition(c, api.Value(in.TaskDefinition))
	if err != nil {
		return nil, err
	}
	if ref.revision == 0 {
		return nil, ecsapi.ClientException("Revision is missing.")
	}
	def, key, ok := ref.resolve(c)
	if !ok {
		return nil, ecsapi.ClientException("Unable to describe task definition.")
	}
	e := *def
	if e.Shown.Status == ecsapi.TaskDefinitionStatusActive {
		e.Shown.Status = ecsapi.TaskDefinitionStatusInactive
		e.Shown.DeregisteredAt = c.Now()
		definitions.Put(c.Tx, key, &e)
	}
	return &ecsapi.DeregisterTaskDefinitionOutput{TaskDefinition: &e.Shown}, nil
}

func (s *Service) mayDeleteTaskDefinitions(c *gateway.Call, in *ecsapi.DeleteTaskDefinitionsInput) ([]authz.Ask, error) {
	if n := len(in.TaskDefinitions); n == 0 || n > 10 {
		return nil, ecsapi.InvalidParameterException("Specify between 1 and 10 task definitions.")
	}
	var asks []authz.Ask
	for _, name := range in.TaskDefinitions {
		ref, err := parseDefinition(c, name)
		if err != nil {
			return nil, err
		}
		if ref.revision == 0 {
			return nil, ecsapi.ClientException("Revision is missing.")
		}
		k := keys{}
		if def, _, ok := ref.resolve(c); ok {
			k.resourceTags(def.Tags)
		}
		asks = append(asks, one("ecs:DeleteTaskDefinitions", ref.arn(nil), k)...)
	}
	return asks, nil
}

// deleteTaskDefinitions marks INACTIVE revisions; Run removes them once no task
// needs them.
func (s *Service) deleteTaskDefinitions(c *gateway.Call, in *ecsapi.DeleteTaskDefinitionsInput) (*ecsapi.DeleteTaskDefinitionsOutput, error) {
	out := &ecsapi.DeleteTaskDefinitionsOutput{TaskDefinitions: []ecsapi.TaskDefinition{}, Failures: []ecsapi.Failure{}}
	for _, name := range in.TaskDefinitions {
		ref, err := parseDefinition(c, name)
		if err != nil {
			return nil, err
		}
		def, key, ok := ref.resolve(c)
		fail := func(reason, detail string) {
			out.Failures = append(out.Failures, ecsapi.Failure{Arn: api.Ptr(ref.arn(nil)), Reason: &reason, Detail: &detail})
		}
		switch {
		case !ok:
			fail("MISSING", "The specified task definition does not exist. Specify a valid account, family, revision and try again.")
		case def.Shown.Status == ecsapi.TaskDefinitionStatusActive:
			fail("ACTIVE", "The specified task definition is still in ACTIVE status. Please deregister the target and try again.")
		default:
			e := *def
			if e.Shown.Status == ecsapi.TaskDefinitionStatusInactive {
				e.Shown.Status = ecsapi.TaskDefinitionStatusDeleteInProgress
				e.Shown.DeleteRequestedAt = c.Now()
				definitions.Put(c.Tx, key, &e)
			}
			out.TaskDefinitions = append(out.TaskDefinitions, e.Shown)
		}
	}
	return out, nil
}
