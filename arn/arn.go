// Package arn reads, builds and matches Amazon Resource Names.
//
// Everybody calls it: services build the ARNs of their resources, the policy
// engine matches them against the Resource elements of statements. It knows the
// form of an ARN and the wildcard rules of IAM, and nothing about any service.
// It never looks anything up, and apart from Parse nothing in it can fail.
//
//	arn:aws:ecs:eu-west-1:111122223333:task/prod/9781c248
//	 |   |   |      |          |        |
//	 |   |   |      |          |        Resource  (any characters, colons too)
//	 |   |   |      |          Account   (may be empty: S3)
//	 |   |   |      Region    (may be empty: IAM, S3)
//	 |   |   Service
//	 |   Partition
//	 "arn"
package arn

import (
	"fmt"
	"strings"
)

// ARN is an Amazon Resource Name taken apart.
type ARN struct {
	Partition string // "aws", "aws-cn", "aws-us-gov"
	Service   string // "ecs"; never empty
	Region    string // empty for global services
	Account   string // twelve digits, "aws", or empty
	Resource  string // everything after the fifth colon; never empty
}

// Parse takes an ARN apart. Partition, service and resource must be there;
// region and account may be empty. Parse does not check that the service exists
// or that the account has twelve digits. It does not allocate on success.
func Parse(s string) (ARN, error) {
	rest, ok := strings.CutPrefix(s, "arn:")
	if !ok {
		return ARN{}, fmt.Errorf("%q is not an ARN: it does not begin with \"arn:\"", s)
	}
	var a ARN
	for _, part := range [...]*string{&a.Partition, &a.Service, &a.Region, &a.Account} {
		i := strings.IndexByte(rest, ':')
		if i < 0 {
			return ARN{}, fmt.Errorf("%q is not an ARN: it has fewer than six parts", s)
		}
		*part, rest = rest[:i], rest[i+1:]
	}
	a.Resource = rest
	switch {
	case a.Partition == "":
		return ARN{}, fmt.Errorf("%q is not an ARN: it has no partition", s)
	case a.Service == "":
		return ARN{}, fmt.Errorf("%q is not an ARN: it has no service", s)
	case a.Resource == "":
		return ARN{}, fmt.Errorf("%q is not an ARN: it has no resource", s)
	}
	return a, nil
}

// String puts the ARN together. For every ARN that Parse accepted the result is
// what was parsed.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// Type splits the resource at its first '/' or ':' into the resource type and
// the rest: "task/prod/9781" gives "task" and "prod/9781". A resource without
// either has no type: an S3 bucket gives "" and the bucket's name.
func (a ARN) Type() (resourceType, id string) {
	i := strings.IndexAny(a.Resource, "/:")
	if i < 0 {
		return "", a.Resource
	}
	return a.Resource[:i], a.Resource[i+1:]
}

// Name is what follows the last '/' or ':' of the resource: the name of a role
// without its path, the id of a task without its cluster.
func (a ARN) Name() string {
	return a.Resource[strings.LastIndexAny(a.Resource, "/:")+1:]
}
