package ecs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

const defaultCluster = "default"

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9-]{1,36}$`)
	rolePattern = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}):role/[\w+=,.@/-]{1,576}$`)
	roleName    = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	tokenChars  = regexp.MustCompile(`^[\x21-\x7e]{1,64}$`)
	startedBy   = regexp.MustCompile(`^[A-Za-z0-9_/-]{1,128}$`)
)

// clusterRef is a cluster as a request names it.
type clusterRef struct{ account, region, name string }

func (r clusterRef) arn() string { return clusterARN(r.account, r.region, r.name) }

func clusterARN(account, region, name string) string {
	return "arn:aws:ecs:" + region + ":" + account + ":cluster/" + name
}

func (r clusterRef) resource(kind, id string) string {
	return "arn:aws:ecs:" + r.region + ":" + r.account + ":" + kind + "/" + r.name + "/" + id
}

// cluster reads a short name or ARN; absent means default.
func cluster(c *gateway.Call, ref *string) (clusterRef, error) {
	s := api.Value(ref)
	if s == "" {
		s = defaultCluster
	}
	if !strings.HasPrefix(s, "arn:") {
		if !namePattern.MatchString(s) {
			return clusterRef{}, ecsapi.InvalidParameterException("Invalid identifier: Identifier contains invalid characters")
		}
		return clusterRef{c.Account, c.Region, s}, nil
	}
	a, err := arn.Parse(s)
	if err != nil || a.Service != "ecs" || a.Partition != "aws" {
		return clusterRef{}, ecsapi.InvalidParameterException("Invalid identifier: Unexpected ARN %s", s)
	}
	typ, name := a.Type()
	if typ != "cluster" || !namePattern.MatchString(name) {
		return clusterRef{}, ecsapi.InvalidParameterException("Invalid identifier: Unexpected ARN %s", s)
	}
	return clusterRef{a.Account, a.Region, name}, nil
}

// own refuses clusters of other accounts and regions: they cannot be found here.
func (r clusterRef) own(c *gateway.Call) error {
	if r.account != c.Account || r.region != c.Region {
		return ecsapi.ClusterNotFoundException("Cluster not found.")
	}
	return nil
}

// member reads the id of something in a cluster: a short id, or an ARN with or
// without the cluster.
func (r clusterRef) member(kind, s string) (id string, err error) {
	if !strings.HasPrefix(s, "arn:") {
		if !idPattern.MatchString(s) {
			return "", ecsapi.InvalidParameterException("Invalid identifier: Identifier contains invalid characters")
		}
		return s, nil
	}
	a, perr := arn.Parse(s)
	if perr != nil || a.Service != "ecs" || a.Partition != "aws" {
		return "", ecsapi.InvalidParameterException("Invalid identifier: Unexpected ARN %s", s)
	}
	typ, rest := a.Type()
	if typ != kind {
		return "", ecsapi.InvalidParameterException("Invalid identifier: Unexpected resource type %s", typ)
	}
	if a.Account != r.account || a.Region != r.region {
		return "", ecsapi.InvalidParameterException("Identifier is for %s in %s. Your accountId is %s in %s", a.Account, a.Region, r.account, r.region)
	}
	name, id, long := strings.Cut(rest, "/")
	if !long {
		name, id = r.name, rest
	}
	if name != r.name {
		return "", ecsapi.InvalidParameterException("Identifier is for cluster %s. Your cluster is %s", name, r.name)
	}
	if !idPattern.MatchString(id) {
		return "", ecsapi.InvalidParameterException("Invalid identifier: Identifier contains invalid characters")
	}
	return id, nil
}

// parseARN reads the long ARN of a task or container instance.
func parseARN(kind, s string) (r clusterRef, id string, ok bool) {
	a, err := arn.Parse(s)
	if err != nil || a.Service != "ecs" || a.Partition != "aws" {
		return r, "", false
	}
	typ, rest := a.Type()
	name, id, ok := strings.Cut(rest, "/")
	if !ok || typ != kind || !namePattern.MatchString(name) || !idPattern.MatchString(id) {
		return r, "", false
	}
	return clusterRef{a.Account, a.Region, name}, id, true
}

// shardOfARN is the home of an agent's call about a resource by ARN: hidden
// hosts speak about tasks of other accounts. Everybody else stays at home.
func (s *Service) shardOfARN(c *gateway.Call, ref *string) string {
	if c.Account == s.Reserved {
		if r, _, ok := parseARN("task", api.Value(ref)); ok {
			return gateway.Regional(r.account, r.region)
		}
	}
	return gateway.Regional(c.Account, c.Region)
}

// findCluster reads a cluster of the call's own shard. The default cluster, and
// the one of the hidden hosts, are there before anybody made them.
func (s *Service) findCluster(r store.Reader, ref clusterRef) (*Cluster, error) {
	cl, ok := clusters.Get(r, gateway.Regional(ref.account, ref.region), ref.name)
	switch {
	case ok && cl.Status == "ACTIVE":
		return cl, nil
	case ok:
		return nil, ecsapi.ClusterNotFoundException("Cluster not found.")
	case ref.name == defaultCluster, ref.account == s.Reserved && ref.name == FargateCluster:
		return &Cluster{Name: ref.name, Status: "ACTIVE", unsaved: true}, nil
	}
	return nil, ecsapi.ClusterNotFoundException("Cluster not found.")
}

// useCluster is findCluster for operations that put something into it.
func (s *Service) useCluster(c *gateway.Call, ref clusterRef) (*Cluster, error) {
	if err := ref.own(c); err != nil {
		return nil, err
	}
	cl, err := s.findCluster(c.Tx, ref)
	if err == nil && cl.unsaved {
		saved := *cl
		saved.CreatedAt, saved.unsaved = c.Time, false
		clusters.Put(c.Tx, ref.name, &saved)
		return &saved, nil
	}
	return cl, err
}

// definitionKey orders the revisions of a family by number, and families by
// name: the blank sorts before every character of a name.
func definitionKey(family string, revision int32) string {
	return fmt.Sprintf("%s %07d", family, revision)
}

func definitionARN(account, region, family, revision string) string {
	return "arn:aws:ecs:" + region + ":" + account + ":task-definition/" + family + ":" + revision
}

// definitionRef is a task definition as a request names it; revision 0 means
// the latest ACTIVE one.
type definitionRef struct {
	account, region, family string
	revision                int32
}

// parseDefinition reads family, family:revision or an ARN.
func parseDefinition(c *gateway.Call, s string) (definitionRef, error) {
	d := definitionRef{account: c.Account, region: c.Region}
	if strings.HasPrefix(s, "arn:") {
		a, err := arn.Parse(s)
		if err != nil || a.Service != "ecs" || a.Partition != "aws" {
			return d, ecsapi.ClientException("Invalid arn syntax.")
		}
		typ, rest := a.Type()
		if typ != "task-definition" {
			return d, ecsapi.ClientException("Invalid arn syntax.")
		}
		d.account, d.region, s = a.Account, a.Region, rest
	}
	fam, rev, has := strings.Cut(s, ":")
	if !namePattern.MatchString(fam) {
		return d, ecsapi.ClientException("Unable to describe task definition.")
	}
	d.family = fam
	if has {
		n, err := strconv.ParseInt(rev, 10, 32)
		if err != nil || n < 1 || rev[0] == '+' || rev[0] == '0' {
			return d, ecsapi.ClientException("Invalid revision number. Number: %s", rev)
		}
		d.revision = int32(n)
	}
	return d, nil
}

// resolve finds the definition: the revision, or the latest ACTIVE one.
func (d definitionRef) resolve(c *gateway.Call) (*Definition, string, bool) {
	if d.account != c.Account || d.region != c.Region {
		return nil, "", false
	}
	shard := gateway.Regional(d.account, d.region)
	if d.revision != 0 {
		key := definitionKey(d.family, d.revision)
		def, ok := definitions.Get(c.Tx, shard, key)
		return def, key, ok
	}
	f, ok := families.Get(c.Tx, shard, d.family)
	if !ok {
		return nil, "", false
	}
	for rev := f.Revision; rev > 0; rev-- {
		key := definitionKey(d.family, rev)
		if def, ok := definitions.Get(c.Tx, shard, key); ok && def.Shown.Status == ecsapi.TaskDefinitionStatusActive {
			return def, key, true
		}
	}
	return nil, "", false
}

// arn of the reference; a family alone stands for its newest revision, and
// where there is none for the family itself.
func (d definitionRef) arn(def *Definition) string {
	switch {
	case def != nil:
		return api.Value(def.Shown.TaskDefinitionArn)
	case d.revision != 0:
		return definitionARN(d.account, d.region, d.family, strconv.Itoa(int(d.revision)))
	}
	return definitionARN(d.account, d.region, d.family, "*")
}
