package ssm

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// The documents of Parameter Store, in the shard ACCOUNT/REGION:
//
//	ssm.parameter   NAME              the newest version without its value, labels, tags
//	ssm.version     NAME:0000000012   a version with its value
//
// Names hold no colon, so the versions of a parameter are the keys that begin
// with "NAME:", in order.
var (
	parameters = store.NewKind[Parameter]("ssm.parameter", 1)
	versions   = store.NewKind[Version]("ssm.version", 1)
)

// Parameter is a parameter without its values.
type Parameter struct {
	Name   string           `json:"name"`
	Newest Facts            `json:"newest"`
	Labels map[string]int64 `json:"labels,omitempty"` // label: version
	Tags   []ssmapi.Tag     `json:"tags,omitempty"`
}

// Facts are what a version is besides its value.
type Facts struct {
	Number      int64                `json:"number"` // from 1
	Type        ssmapi.ParameterType `json:"type"`
	Tier        ssmapi.ParameterTier `json:"tier"`
	DataType    string               `json:"dataType"`
	Description *string              `json:"description,omitempty"`
	Pattern     *string              `json:"pattern,omitempty"` // AllowedPattern
	KeyID       *string              `json:"keyId,omitempty"`   // of a SecureString
	Modified    time.Time            `json:"modified"`
	User        string               `json:"user"` // ARN of who made it
}

// Version is a version with its value.
type Version struct {
	Facts
	Value  string `json:"value,omitempty"`  // String and StringList
	Sealed []byte `json:"sealed,omitempty"` // SecureString

	// Of a SecureString under a customer managed key, that key's ARN and, in the
	// advanced tier, the encrypted data key.
	Key     string `json:"key,omitempty"`
	DataKey []byte `json:"dataKey,omitempty"`
}

// place is where a parameter lies.
type place struct{ account, region string }

func (p place) shard() string { return gateway.Regional(p.account, p.region) }

func (p place) arn(name string) string { return parameterARN(p.account, p.region, name) }

func versionKey(name string, number int64) string { return fmt.Sprintf("%s:%010d", name, number) }

func (p *Parameter) edit() *Parameter {
	e := *p
	e.Tags = slices.Clone(p.Tags)
	if e.Labels = maps.Clone(p.Labels); e.Labels == nil {
		e.Labels = map[string]int64{}
	}
	return &e
}

// labels are those of a version, in order.
func (p *Parameter) labels(number int64) []string {
	var out []string
	for l, n := range p.Labels {
		if n == number {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// value is what an answer shows: the value, or for a SecureString that is not
// to be decrypted its ciphertext in base64.
func (s *Service) value(c *gateway.Call, at place, name string, v *Version, decrypt bool) (*string, error) {
	if v.Type != ssmapi.ParameterTypeSecureString {
		return &v.Value, nil
	}
	if !decrypt {
		return api.Ptr(base64.StdEncoding.EncodeToString(v.Sealed)), nil
	}
	plain, err := s.decrypt(c, at, name, v)
	if err != nil {
		return nil, err
	}
	return api.Ptr(string(plain)), nil
}

func purpose(shard, name string, number int64) string {
	return "ssm/" + shard + "/" + name + ":" + strconv.FormatInt(number, 10)
}

// errAbsent is inside the errors that mean a parameter, version or label that
// does not exist: GetParameters lists the names of those.
var errAbsent = errors.New("no such parameter, version or label")

// pick finds the version that a reference selects, the newest without a
// selector.
func (r *ref) pick(c *gateway.Call, p *Parameter) (*Version, error) {
	number := p.Newest.Number
	if r.selector != "" {
		sel := r.selector[1:]
		if n, err := strconv.ParseInt(sel, 10, 64); err == nil {
			number = n
		} else if n, ok := p.Labels[sel]; ok {
			number = n
		} else {
			return nil, ssmapi.ParameterVersionNotFound("Systems Manager could not find label %s for parameter %s. Verify the label and try again.", sel, p.Name).Because(errAbsent)
		}
	}
	v, ok := versions.Get(c.Tx, gateway.Regional(r.account, r.region), versionKey(p.Name, number))
	if !ok {
		return nil, ssmapi.ParameterVersionNotFound("Systems Manager could not find version %s of %s. Verify the version and try again.", r.selector[min(1, len(r.selector)):], p.Name).Because(errAbsent)
	}
	return v, nil
}

// remove deletes a parameter with all its versions.
func remove(c *gateway.Call, p *Parameter) {
	for key := range versions.Prefix(c.Tx, c.Home, p.Name+":") {
		versions.Delete(c.Tx, key)
	}
	parameters.Delete(c.Tx, p.Name)
}
