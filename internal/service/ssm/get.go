package ssm

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayGetParameter(c *gateway.Call, in *ssmapi.GetParameterInput) ([]authz.Ask, error) {
	return one(c, in.Name, nil)
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
func (s *Service) getParameter(c *gateway.Call, in *ssmapi.GetParameterInput) (*ssmapi.GetParameterOutput, error) {
	p, err := s.read(c, api.Value(in.Name), api.Value(in.WithDecryption))
	if err != nil {
		return nil, err
	}
	return &ssmapi.GetParameterOutput{Parameter: p}, nil
}

func (s *Service) mayGetParameters(c *gateway.Call, in *ssmapi.GetParametersInput) ([]authz.Ask, error) {
	return each(c, in.Names)
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
func (s *Service) getParameters(c *gateway.Call, in *ssmapi.GetParametersInput) (*ssmapi.GetParametersOutput, error) {
	out := &ssmapi.GetParametersOutput{Parameters: []ssmapi.Parameter{}}
	for i, name := range in.Names {
		if slices.Contains(in.Names[:i], name) {
			continue
		}
		p, err := s.read(c, name, api.Value(in.WithDecryption))
		switch {
		case errors.Is(err, errAbsent):
			out.InvalidParameters = append(out.InvalidParameters, name)
		case err != nil:
			return nil, err
		default:
			out.Parameters = append(out.Parameters, *p)
		}
	}
	return out, nil
}

// read is one parameter as an answer. Asked for by ARN it is called by that
// ARN, not by its name: the ECS agent finds values by the string it asked with.
func (s *Service) read(c *gateway.Call, name string, decrypt bool) (*ssmapi.Parameter, error) {
	r, err := parseRef(c.Account, c.Region, name)
	if err != nil {
		return nil, err
	}
	if isSecretReference(&r) {
		return nil, errSecretReference(&r)
	}
	p, ok := r.find(c)
	if !ok {
		return nil, errNotFound()
	}
	v, err := r.pick(c, p)
	if err != nil {
		return nil, err
	}
	out, err := s.shown(c, place{r.account, r.region}, p.Name, v, decrypt)
	if err != nil {
		return nil, err
	}
	if r.selector != "" {
		out.Selector = &r.selector
	}
	if r.byARN {
		out.Name = &r.given
	}
	return out, nil
}

func (s *Service) shown(c *gateway.Call, at place, name string, v *Version, decrypt bool) (*ssmapi.Parameter, error) {
	value, err := s.value(c, at, name, v, decrypt)
	if err != nil {
		return nil, err
	}
	return &ssmapi.Parameter{
		Name: &name, ARN: api.Ptr(at.arn(name)), Type: v.Type, Value: value, Version: &v.Number,
		LastModifiedDate: api.At(v.Modified), DataType: &v.DataType,
	}, nil
}

func (s *Service) mayGetParametersByPath(c *gateway.Call, in *ssmapi.GetParametersByPathInput) ([]authz.Ask, error) {
	path, err := hierarchy(api.Value(in.Path))
	if err != nil {
		return nil, err
	}
	// Who may read a path may read everything below it, as in AWS.
	return []authz.Ask{{Action: "ssm:GetParametersByPath", Resource: parameterARN(c.Account, c.Region, path), Account: c.Account,
		Keys: keys{"ssm:recursive": {strconv.FormatBool(api.Value(in.Recursive))}}}}, nil
}

// hierarchy checks a path: "/", or levels that each begin with a slash. A slash
// at the end is allowed and kept.
func hierarchy(path string) (string, error) {
	path = strings.Trim(path, " ")
	if path != "/" && (!strings.HasPrefix(path, "/") || !validName(strings.TrimSuffix(path, "/"))) {
		return "", api.Validation(`The parameter path must start with a "/" and consist of levels divided by "/", each formed as a mix of letters, numbers and the following 3 symbols .-_`)
	}
	return path, nil
}

// below reports whether a name is under a path, directly or at any depth.
func below(path, name string, recursive bool) bool {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(path, "/")+"/")
	if !ok && path == "/" {
		rest, ok = name, true // a name without a hierarchy is at the root
	}
	return ok && rest != "" && (recursive || !strings.Contains(rest, "/"))
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html
func (s *Service) getParametersByPath(c *gateway.Call, in *ssmapi.GetParametersByPathInput) (*ssmapi.GetParametersByPathOutput, error) {
	path, err := hierarchy(api.Value(in.Path))
	if err != nil {
		return nil, err
	}
	after, ok := c.After(in.NextToken)
	if !ok {
		return nil, errToken()
	}
	if err := checkFilters(in.ParameterFilters, "Type", "KeyId", "Label"); err != nil {
		return nil, err
	}
	limit := 10
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out := &ssmapi.GetParametersByPathOutput{Parameters: []ssmapi.Parameter{}}
	var last string
	from := ""
	if path != "/" {
		from = strings.TrimSuffix(path, "/") + "/"
	}
	for name, p := range parameters.Prefix(c.Tx, c.Home, from) {
		if after != "" && name <= after || !below(path, name, api.Value(in.Recursive)) || !matches(p, in.ParameterFilters) {
			continue
		}
		if len(out.Parameters) == limit {
			out.NextToken = c.NextToken(last)
			break
		}
		v, ok := versions.Get(c.Tx, c.Home, versionKey(name, numberWanted(p, in.ParameterFilters)))
		if !ok {
			return nil, api.Internal(errors.New("ssm: " + name + " has lost a version"))
		}
		shown, err := s.shown(c, place{c.Account, c.Region}, name, v, api.Value(in.WithDecryption))
		if err != nil {
			return nil, err
		}
		out.Parameters = append(out.Parameters, *shown)
		last = name
	}
	return out, nil
}

// numberWanted is the newest version, or the one whose label was filtered by.
func numberWanted(p *Parameter, filters []ssmapi.ParameterStringFilter) int64 {
	for _, f := range filters {
		if api.Value(f.Key) != "Label" {
			continue
		}
		for _, l := range f.Values {
			if n, ok := p.Labels[l]; ok {
				return n
			}
		}
	}
	return p.Newest.Number
}

func errToken() *api.Error {
	return ssmapi.InvalidNextToken("The specified token isn't valid.")
}

func (s *Service) mayGetParameterHistory(c *gateway.Call, in *ssmapi.GetParameterHistoryInput) ([]authz.Ask, error) {
	return one(c, in.Name, nil)
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameterHistory.html
func (s *Service) getParameterHistory(c *gateway.Call, in *ssmapi.GetParameterHistoryInput) (*ssmapi.GetParameterHistoryOutput, error) {
	p, err := find(c, in.Name)
	if err != nil {
		return nil, err
	}
	after, ok := c.After(in.NextToken)
	if !ok {
		return nil, errToken()
	}
	limit := 50
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out := &ssmapi.GetParameterHistoryOutput{Parameters: []ssmapi.ParameterHistory{}}
	var last string
	for key, v := range versions.Prefix(c.Tx, c.Home, p.Name+":") {
		if after != "" && key <= after {
			continue
		}
		if len(out.Parameters) == limit {
			out.NextToken = c.NextToken(last)
			break
		}
		value, err := s.value(c, place{c.Account, c.Region}, p.Name, v, api.Value(in.WithDecryption))
		if err != nil {
			return nil, err
		}
		out.Parameters = append(out.Parameters, ssmapi.ParameterHistory{
			Name: &p.Name, Type: v.Type, KeyId: v.KeyID, LastModifiedDate: api.At(v.Modified), LastModifiedUser: &v.User,
			Description: v.Description, Value: value, AllowedPattern: v.Pattern, Version: &v.Number, Labels: p.labels(v.Number),
			Tier: v.Tier, DataType: &v.DataType,
		})
		last = key
	}
	return out, nil
}
