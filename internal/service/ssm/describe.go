package ssm

import (
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayDescribeParameters(*gateway.Call, *ssmapi.DescribeParametersInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "ssm:DescribeParameters", Resource: "*"}}, nil
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeParameters.html
func (s *Service) describeParameters(c *gateway.Call, in *ssmapi.DescribeParametersInput) (*ssmapi.DescribeParametersOutput, error) {
	after, ok := c.After(in.NextToken)
	switch {
	case !ok:
		return nil, errToken()
	case len(in.Filters) > 0 && len(in.ParameterFilters) > 0:
		return nil, api.Validation("You can use either Filters or ParameterFilters in a single request.")
	case api.Value(in.Shared):
		return nil, api.NotImplemented("Remit does not share parameters between accounts yet: Shared has to be absent or false.")
	}
	filters := in.ParameterFilters
	for _, f := range in.Filters { // the older form matches beginnings of names
		n := ssmapi.ParameterStringFilter{Key: api.Ptr(string(f.Key)), Values: f.Values}
		if f.Key == ssmapi.ParametersFilterKeyName {
			n.Option = api.Ptr("BeginsWith")
		}
		filters = append(filters, n)
	}
	if err := checkFilters(filters, "Name", "Type", "KeyId", "Path", "Tier", "DataType", "tag:"); err != nil {
		return nil, err
	}
	limit := 50
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out := &ssmapi.DescribeParametersOutput{Parameters: []ssmapi.ParameterMetadata{}}
	var last string
	for name, p := range parameters.From(c.Tx, c.Home, after) {
		if !matches(p, filters) {
			continue
		}
		if len(out.Parameters) == limit {
			out.NextToken = c.NextToken(last)
			break
		}
		f := &p.Newest
		out.Parameters = append(out.Parameters, ssmapi.ParameterMetadata{
			Name: &p.Name, ARN: api.Ptr(parameterARN(c.Account, c.Region, name)), Type: f.Type, KeyId: f.KeyID,
			LastModifiedDate: api.At(f.Modified), LastModifiedUser: &f.User, Description: f.Description,
			AllowedPattern: f.Pattern, Version: &f.Number, Tier: f.Tier, DataType: &f.DataType,
		})
		last = name
	}
	return out, nil
}

// options are the ways in which the values of a filter may be compared; the
// first is the default.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterStringFilter.html
var options = map[string][]string{
	"Name":     {"Equals", "BeginsWith", "Contains"},
	"Type":     {"Equals"},
	"KeyId":    {"Equals", "BeginsWith"},
	"Path":     {"OneLevel", "Recursive"},
	"Label":    {"Equals"},
	"Tier":     {"Equals"},
	"DataType": {"Equals"},
	"tag:":     {"Equals"},
}

// filterKind is the key of a filter, "tag:" for all tags.
func filterKind(f *ssmapi.ParameterStringFilter) string {
	if key := api.Value(f.Key); !strings.HasPrefix(key, "tag:") {
		return key
	}
	return "tag:"
}

func checkFilters(filters []ssmapi.ParameterStringFilter, allowed ...string) error {
	var seen []string
	for i := range filters {
		f := &filters[i]
		kind, key := filterKind(f), api.Value(f.Key)
		switch {
		case !slices.Contains(allowed, kind):
			return ssmapi.InvalidFilterKey("The following filter key is not valid: %s. Valid filter keys include: [%s].", key, strings.Join(allowed, ", "))
		case slices.Contains(seen, key):
			return ssmapi.InvalidFilterKey("The following filter key is used more than once: %s.", key)
		case f.Option != nil && !slices.Contains(options[kind], *f.Option):
			return ssmapi.InvalidFilterOption("The following filter option is not valid: %s. Valid options include: [%s].", *f.Option, strings.Join(options[kind], ", "))
		case len(f.Values) == 0 && kind != "tag:":
			return ssmapi.InvalidFilterValue("The following filter values are missing for filter key %s.", key)
		}
		if kind == "Path" {
			for _, v := range f.Values {
				if _, err := hierarchy(v); err != nil {
					return err
				}
			}
		}
		seen = append(seen, key)
	}
	return nil
}

// matches applies filters that were checked: all have to match, each by one of
// its values.
func matches(p *Parameter, filters []ssmapi.ParameterStringFilter) bool {
	for i := range filters {
		f := &filters[i]
		hit := func(v string) bool { return matchesOne(p, f, v) }
		if filterKind(f) == "tag:" && len(f.Values) == 0 {
			if !slices.ContainsFunc(p.Tags, func(t ssmapi.Tag) bool { return "tag:"+api.Value(t.Key) == *f.Key }) {
				return false
			}
		} else if !slices.ContainsFunc(f.Values, hit) {
			return false
		}
	}
	return true
}

func matchesOne(p *Parameter, f *ssmapi.ParameterStringFilter, v string) bool {
	kind := filterKind(f)
	option := options[kind][0]
	if f.Option != nil {
		option = *f.Option
	}
	text := func(s string) bool {
		switch option {
		case "BeginsWith":
			return strings.HasPrefix(s, v)
		case "Contains":
			return strings.Contains(s, v)
		}
		return s == v
	}
	switch kind {
	case "Name":
		if option == "BeginsWith" { // with or without the slash in front
			return text(p.Name) || strings.HasPrefix(p.Name, "/"+v)
		}
		return text(p.Name)
	case "Type":
		return text(string(p.Newest.Type))
	case "KeyId":
		return p.Newest.KeyID != nil && text(*p.Newest.KeyID)
	case "Path":
		return below(v, p.Name, option == "Recursive")
	case "Label":
		_, ok := p.Labels[v]
		return ok
	case "Tier":
		return text(string(p.Newest.Tier))
	case "DataType":
		return text(p.Newest.DataType)
	}
	return slices.ContainsFunc(p.Tags, func(t ssmapi.Tag) bool { return "tag:"+api.Value(t.Key) == *f.Key && text(api.Value(t.Value)) })
}
