package secretsmanager

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayListSecrets(*gateway.Call, *sm.ListSecretsInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "secretsmanager:ListSecrets", Resource: "*"}}, nil
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
func (s *Service) listSecrets(c *gateway.Call, in *sm.ListSecretsInput) (*sm.ListSecretsOutput, error) {
	limit := 100
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	page, next, err := listed(c, in.Filters, api.Value(in.IncludePlannedDeletion), in.SortBy, in.SortOrder, limit, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &sm.ListSecretsOutput{SecretList: []sm.SecretListEntry{}, NextToken: next}
	for _, d := range page {
		out.SecretList = append(out.SecretList, sm.SecretListEntry{
			ARN: &d.ARN, Name: &d.Name, Description: d.Description, KmsKeyId: d.KmsKeyID, Tags: d.Tags,
			CreatedDate: api.At(d.Created), LastChangedDate: api.At(d.Changed), LastAccessedDate: timeOf(d.Accessed), DeletedDate: timeOf(d.Deleted),
			SecretVersionsToStages: d.labelled(),
		})
	}
	return out, nil
}

// listed is one page of the caller's secrets and the token of the next.
func listed(c *gateway.Call, filters []sm.Filter, deleted bool, by sm.SortByType, order sm.SortOrderType, limit int, token *string) ([]*Secret, *string, error) {
	after, ok := c.After(token)
	if !ok {
		return nil, nil, errToken()
	}
	for _, f := range filters {
		if f.Key == "" || len(f.Values) == 0 {
			return nil, nil, sm.InvalidParameterException("A filter has to have a key and at least one value.")
		}
	}
	place := func(d *Secret) string { return sortKey(d, by) + " " + d.Name }
	var all []*Secret
	for _, d := range secrets.Prefix(c.Tx, gateway.Regional(c.Account, c.Region), "") {
		if d.gone(c.Time) || d.Deleted != nil && !deleted || !matches(d, c.Region, filters) {
			continue
		}
		all = append(all, d)
	}
	compare := func(a, b string) int {
		if order == sm.SortOrderTypeDesc {
			a, b = b, a
		}
		return cmp.Compare(a, b)
	}
	slices.SortFunc(all, func(a, b *Secret) int { return compare(place(a), place(b)) })
	if after != "" {
		i := slices.IndexFunc(all, func(d *Secret) bool { return compare(place(d), after) > 0 })
		if i < 0 {
			i = len(all)
		}
		all = all[i:]
	}
	if len(all) <= limit {
		return all, nil, nil
	}
	return all[:limit], c.NextToken(place(all[limit-1])), nil
}

// sortKey orders as text what is to be ordered by time.
func sortKey(d *Secret, by sm.SortByType) string {
	const layout = "2006-01-02T15:04:05.000000000"
	switch by {
	case sm.SortByTypeName:
		return d.Name
	case sm.SortByTypeLastChangedDate:
		return d.Changed.UTC().Format(layout)
	case sm.SortByTypeLastAccessedDate:
		return api.Value(d.Accessed).UTC().Format(layout)
	}
	return d.Created.UTC().Format(layout)
}

// matches applies the filters: all have to match, each by one of its values. A
// value that begins with "!" excludes.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_search-secret.html
func matches(d *Secret, region string, filters []sm.Filter) bool {
	for _, f := range filters {
		var excluded, wanted, hit bool
		for _, v := range f.Values {
			if rest, ok := strings.CutPrefix(v, "!"); ok {
				excluded = excluded || matchesOne(d, region, f.Key, rest)
				continue
			}
			wanted = true
			hit = hit || matchesOne(d, region, f.Key, v)
		}
		if excluded || wanted && !hit {
			return false
		}
	}
	return true
}

func matchesOne(d *Secret, region string, key sm.FilterNameStringType, v string) bool {
	switch key {
	case sm.FilterNameStringTypeName:
		return strings.HasPrefix(d.Name, v)
	case sm.FilterNameStringTypeDescription:
		return hasWords(api.Value(d.Description), v)
	case sm.FilterNameStringTypeTagKey:
		return slices.ContainsFunc(d.Tags, func(t sm.Tag) bool { return strings.HasPrefix(api.Value(t.Key), v) })
	case sm.FilterNameStringTypeTagValue:
		return slices.ContainsFunc(d.Tags, func(t sm.Tag) bool { return strings.HasPrefix(api.Value(t.Value), v) })
	case sm.FilterNameStringTypePrimaryRegion:
		return strings.HasPrefix(region, v)
	case sm.FilterNameStringTypeAll:
		text := d.Name + " " + api.Value(d.Description)
		for _, t := range d.Tags {
			text += " " + api.Value(t.Key) + " " + api.Value(t.Value)
		}
		return hasWords(text, v)
	}
	return false // owning-service: no service of ours owns secrets
}

// hasWords reports whether each word of want begins a word of text, ignoring
// case.
func hasWords(text, want string) bool {
	cut := func(r rune) bool { return !(r == '@' || r < 128 && alphanumeric(byte(r)) || r >= 128) }
	have := strings.FieldsFunc(strings.ToLower(text), cut)
	for _, w := range strings.FieldsFunc(strings.ToLower(want), cut) {
		if !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) }) {
			return false
		}
	}
	return true
}

// timeOf is an optional time in an answer.
func timeOf(t *time.Time) *api.Time {
	if t == nil {
		return nil
	}
	return api.At(*t)
}
