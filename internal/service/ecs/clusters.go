package ecs

import (
	"slices"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// clusterKeys are the condition keys of a question about a cluster.
func (s *Service) clusterKeys(r store.Reader, ref clusterRef) keys {
	k := keys{}
	if cl, ok := clusters.Get(r, gateway.Regional(ref.account, ref.region), ref.name); ok {
		k.resourceTags(cl.Tags)
	}
	return k
}

func (s *Service) askCluster(c *gateway.Call, action string, name *string) ([]authz.Ask, error) {
	ref, err := cluster(c, name)
	if err != nil {
		return nil, err
	}
	return one(action, ref.arn(), s.clusterKeys(c.Tx, ref)), nil
}

func (s *Service) mayCreateCluster(c *gateway.Call, in *ecsapi.CreateClusterInput) ([]authz.Ask, error) {
	name := api.Value(in.ClusterName)
	if name == "" {
		name = defaultCluster
	}
	if !namePattern.MatchString(name) {
		return nil, ecsapi.InvalidParameterException("Cluster names must contain only letters, numbers, hyphens and underscores, 255 characters at most.")
	}
	ref := clusterRef{c.Account, c.Region, name}
	k := s.clusterKeys(c.Tx, ref).requestTags(in.Tags)
	for _, p := range in.CapacityProviders {
		k["ecs:capacity-provider"] = append(k["ecs:capacity-provider"], providerARN(c, p))
	}
	return append(one("ecs:CreateCluster", ref.arn(), k), tagOnCreate(c, ref.arn(), in.Tags)...), nil
}

// createCluster answers the existing cluster where there is one, as AWS does.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html
func (s *Service) createCluster(c *gateway.Call, in *ecsapi.CreateClusterInput) (*ecsapi.CreateClusterOutput, error) {
	name := api.Value(in.ClusterName)
	if name == "" {
		name = defaultCluster
	}
	if old, ok := clusters.Get(c.Tx, c.Home, name); ok && old.Status == "ACTIVE" {
		return &ecsapi.CreateClusterOutput{Cluster: s.showCluster(c.Tx, clusterRef{c.Account, c.Region, name}, old, in.Tags != nil, true, true, false)}, nil
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkSettings(in.Settings); err != nil {
		return nil, err
	}
	if err := checkProviders(in.CapacityProviders, in.DefaultCapacityProviderStrategy); err != nil {
		return nil, err
	}
	cl := &Cluster{
		Name: name, Status: "ACTIVE", CreatedAt: c.Time, Tags: in.Tags,
		Settings: in.Settings, Config: in.Configuration,
		Providers: in.CapacityProviders, Strategy: in.DefaultCapacityProviderStrategy,
	}
	if len(cl.Settings) == 0 {
		cl.Settings = []ecsapi.ClusterSetting{{Name: ecsapi.ClusterSettingNameContainerInsights, Value: api.Ptr("disabled")}}
	}
	if in.ServiceConnectDefaults != nil {
		cl.Defaults = &ecsapi.ClusterServiceConnectDefaults{Namespace: in.ServiceConnectDefaults.Namespace}
	}
	clusters.Put(c.Tx, name, cl)
	return &ecsapi.CreateClusterOutput{Cluster: s.showCluster(c.Tx, clusterRef{c.Account, c.Region, name}, cl, true, true, true, false)}, nil
}

func checkSettings(settings []ecsapi.ClusterSetting) error {
	for _, st := range settings {
		if st.Name != ecsapi.ClusterSettingNameContainerInsights {
			return ecsapi.InvalidParameterException("Invalid setting name %s.", st.Name)
		}
		if !slices.Contains([]string{"enabled", "disabled", "enhanced"}, api.Value(st.Value)) {
			return ecsapi.InvalidParameterException("Invalid setting value %s.", api.Value(st.Value))
		}
	}
	return nil
}

func providerARN(c *gateway.Call, name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	return "arn:aws:ecs:" + c.Region + ":" + c.Account + ":capacity-provider/" + name
}

// checkProviders knows the two providers that need no setting up. Others come
// with auto scaling groups.
func checkProviders(providers []string, strategy []ecsapi.CapacityProviderStrategyItem) error {
	for _, p := range providers {
		if p != "FARGATE" && p != "FARGATE_SPOT" {
			return ecsapi.InvalidParameterException("The specified capacity provider '%s' was not found. Specify a valid name or ARN and try again.", p)
		}
	}
	for _, it := range strategy {
		if p := api.Value(it.CapacityProvider); !slices.Contains(providers, p) {
			return ecsapi.InvalidParameterException("The specified capacity provider '%s' was not found. Specify a valid name or ARN and try again.", p)
		}
	}
	return nil
}

func (s *Service) mayDescribeClusters(c *gateway.Call, in *ecsapi.DescribeClustersInput) ([]authz.Ask, error) {
	names := in.Clusters
	if len(names) == 0 {
		names = []string{defaultCluster}
	}
	if len(names) > 100 {
		return nil, ecsapi.InvalidParameterException("Clusters cannot have more than 100 elements.")
	}
	var asks []authz.Ask
	for _, n := range names {
		a, err := s.askCluster(c, "ecs:DescribeClusters", &n)
		if err != nil {
			return nil, err
		}
		asks = append(asks, a...)
	}
	return asks, nil
}

func (s *Service) describeClusters(c *gateway.Call, in *ecsapi.DescribeClustersInput) (*ecsapi.DescribeClustersOutput, error) {
	names := in.Clusters
	if len(names) == 0 {
		names = []string{defaultCluster}
	}
	out := &ecsapi.DescribeClustersOutput{Clusters: []ecsapi.Cluster{}, Failures: []ecsapi.Failure{}}
	has := func(f ecsapi.ClusterField) bool { return slices.Contains(in.Include, f) }
	for _, n := range names {
		ref, err := cluster(c, &n)
		if err != nil {
			return nil, err
		}
		cl, ok := clusters.Get(c.Tx, gateway.Regional(ref.account, ref.region), ref.name)
		if !ok && ref.own(c) == nil {
			cl, _ = s.findCluster(c.Tx, ref)
		}
		if cl == nil || ref.own(c) != nil {
			out.Failures = append(out.Failures, ecsapi.Failure{Arn: api.Ptr(ref.arn()), Reason: api.Ptr("MISSING")})
			continue
		}
		out.Clusters = append(out.Clusters, *s.showCluster(c.Tx, ref, cl,
			has(ecsapi.ClusterFieldTags), has(ecsapi.ClusterFieldSettings), has(ecsapi.ClusterFieldConfigurations), has(ecsapi.ClusterFieldStatistics)))
	}
	return out, nil
}

// showCluster is the cluster as the API shows it. Members that a caller has to
// ask for are empty otherwise, not absent.
func (s *Service) showCluster(r store.Reader, ref clusterRef, cl *Cluster, tags, settings, configuration, statistics bool) *ecsapi.Cluster {
	out := &ecsapi.Cluster{
		ClusterArn: api.Ptr(ref.arn()), ClusterName: api.Ptr(ref.name), Status: api.Ptr(cl.Status),
		ActiveServicesCount: api.Ptr[int32](0), Statistics: []ecsapi.KeyValuePair{}, Tags: []ecsapi.Tag{}, Settings: []ecsapi.ClusterSetting{},
		CapacityProviders: orEmpty(cl.Providers), DefaultCapacityProviderStrategy: orEmpty(cl.Strategy),
		ServiceConnectDefaults: cl.Defaults,
	}
	shard := gateway.Regional(ref.account, ref.region)
	n := map[string]int32{}
	for _, t := range tasks.Prefix(r, shard, ref.name+"/") {
		kind := "EC2"
		if t.Fargate() {
			kind = "Fargate"
		}
		switch t.Status() {
		case StatusProvisioning, StatusPending, StatusActivating:
			n["pending"]++
			n["pending"+kind]++
		case StatusRunning:
			n["running"]++
			n["running"+kind]++
		}
	}
	out.RunningTasksCount, out.PendingTasksCount = api.Ptr(n["running"]), api.Ptr(n["pending"])
	var hosts int32
	for _, i := range instances.Prefix(r, shard, ref.name+"/") {
		if i.Status != "INACTIVE" {
			hosts++
		}
	}
	out.RegisteredContainerInstancesCount = &hosts
	if tags {
		out.Tags = orEmpty(cl.Tags)
	}
	if settings {
		out.Settings = orEmpty(cl.Settings)
	}
	if configuration {
		out.Configuration = cl.Config
	}
	if statistics {
		for _, st := range [...][2]string{
			{"runningEC2TasksCount", "runningEC2"}, {"runningFargateTasksCount", "runningFargate"},
			{"pendingEC2TasksCount", "pendingEC2"}, {"pendingFargateTasksCount", "pendingFargate"},
			{"activeEC2ServiceCount", ""}, {"activeFargateServiceCount", ""}, {"drainingEC2ServiceCount", ""}, {"drainingFargateServiceCount", ""},
		} {
			out.Statistics = append(out.Statistics, ecsapi.KeyValuePair{Name: api.Ptr(st[0]), Value: api.Ptr(strconv.Itoa(int(n[st[1]])))})
		}
	}
	return out
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (s *Service) mayListClusters(*gateway.Call, *ecsapi.ListClustersInput) ([]authz.Ask, error) {
	return one("ecs:ListClusters", "*", nil), nil
}

func (s *Service) listClusters(c *gateway.Call, in *ecsapi.ListClustersInput) (*ecsapi.ListClustersOutput, error) {
	p, err := newPage(c, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ecsapi.ListClustersOutput{ClusterArns: []string{}}
	for key, cl := range clusters.From(c.Tx, c.Home, p.after) {
		if cl.Status != "ACTIVE" {
			continue
		}
		if p.full(key) {
			break
		}
		out.ClusterArns = append(out.ClusterArns, clusterARN(c.Account, c.Region, key))
	}
	out.NextToken = p.token(c)
	return out, nil
}

func (s *Service) mayUpdateCluster(c *gateway.Call, in *ecsapi.UpdateClusterInput) ([]authz.Ask, error) {
	return s.askCluster(c, "ecs:UpdateCluster", in.Cluster)
}

func (s *Service) updateCluster(c *gateway.Call, in *ecsapi.UpdateClusterInput) (*ecsapi.UpdateClusterOutput, error) {
	if err := checkSettings(in.Settings); err != nil {
		return nil, err
	}
	out, err := s.changeCluster(c, in.Cluster, func(cl *Cluster) {
		if in.Settings != nil {
			cl.Settings = in.Settings
		}
		if in.Configuration != nil {
			cl.Config = in.Configuration
		}
		if in.ServiceConnectDefaults != nil {
			cl.Defaults = &ecsapi.ClusterServiceConnectDefaults{Namespace: in.ServiceConnectDefaults.Namespace}
		}
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.UpdateClusterOutput{Cluster: out}, nil
}

func (s *Service) mayUpdateClusterSettings(c *gateway.Call, in *ecsapi.UpdateClusterSettingsInput) ([]authz.Ask, error) {
	return s.askCluster(c, "ecs:UpdateClusterSettings", in.Cluster)
}

func (s *Service) updateClusterSettings(c *gateway.Call, in *ecsapi.UpdateClusterSettingsInput) (*ecsapi.UpdateClusterSettingsOutput, error) {
	if err := checkSettings(in.Settings); err != nil {
		return nil, err
	}
	out, err := s.changeCluster(c, in.Cluster, func(cl *Cluster) { cl.Settings = in.Settings })
	if err != nil {
		return nil, err
	}
	return &ecsapi.UpdateClusterSettingsOutput{Cluster: out}, nil
}

func (s *Service) changeCluster(c *gateway.Call, name *string, change func(*Cluster)) (*ecsapi.Cluster, error) {
	ref, err := cluster(c, name)
	if err != nil {
		return nil, err
	}
	cl, err := s.useCluster(c, ref)
	if err != nil {
		return nil, err
	}
	edited := *cl
	change(&edited)
	clusters.Put(c.Tx, ref.name, &edited)
	return s.showCluster(c.Tx, ref, &edited, true, true, true, false), nil
}

func (s *Service) mayDeleteCluster(c *gateway.Call, in *ecsapi.DeleteClusterInput) ([]authz.Ask, error) {
	return s.askCluster(c, "ecs:DeleteCluster", in.Cluster)
}

// deleteCluster leaves the cluster INACTIVE: describable, and free to be
// created again.
func (s *Service) deleteCluster(c *gateway.Call, in *ecsapi.DeleteClusterInput) (*ecsapi.DeleteClusterOutput, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	cl, err := s.useCluster(c, ref)
	if err != nil {
		return nil, err
	}
	for _, i := range instances.Prefix(c.Tx, c.Home, ref.name+"/") {
		if i.Status != "INACTIVE" {
			return nil, ecsapi.ClusterContainsContainerInstancesException("The Cluster cannot be deleted while Container Instances are active or draining.")
		}
	}
	for _, t := range tasks.Prefix(c.Tx, c.Home, ref.name+"/") {
		if t.Status() != StatusStopped {
			return nil, ecsapi.ClusterContainsTasksException("The Cluster cannot be deleted while Tasks are active.")
		}
	}
	edited := *cl
	edited.Status = "INACTIVE"
	clusters.Put(c.Tx, ref.name, &edited)
	return &ecsapi.DeleteClusterOutput{Cluster: s.showCluster(c.Tx, ref, &edited, true, true, true, false)}, nil
}

// page is one page of a listing.
type page struct {
	after string
	max   int
	n     int
	last  string
	more  bool
}

func newPage(c *gateway.Call, max *int32, token *string) (*page, error) {
	p := &page{max: 100}
	if max != nil {
		if *max < 1 || *max > 100 {
			return nil, ecsapi.InvalidParameterException("Max results must be between 1 and 100.")
		}
		p.max = int(*max)
	}
	after, ok := c.After(token)
	if !ok {
		return nil, ecsapi.InvalidParameterException("Invalid token %s", api.Value(token))
	}
	p.after = after
	return p, nil
}

// full counts an element by its key; true means that it belongs to the next
// page.
func (p *page) full(key string) bool {
	if p.n == p.max {
		p.more = true
		return true
	}
	p.n++
	p.last = key
	return false
}

func (p *page) token(c *gateway.Call) *string {
	if !p.more {
		return nil
	}
	return c.NextToken(p.last)
}
