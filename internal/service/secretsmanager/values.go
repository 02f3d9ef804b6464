package secretsmanager

import (
	"errors"
	"slices"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/wire"
)

// valueKeys tell which version is read. A request that names neither version
// nor label reads AWSCURRENT, and is asked about as that.
func valueKeys(versionID, stage *string) keys {
	k := keys{}.set("secretsmanager:versionid", versionID).set("secretsmanager:versionstage", stage)
	if versionID == nil && stage == nil {
		k["secretsmanager:versionstage"] = []string{current}
	}
	return k
}

func (s *Service) mayGetSecretValue(c *gateway.Call, in *sm.GetSecretValueInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, valueKeys(in.VersionId, in.VersionStage))
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
func (s *Service) getSecretValue(c *gateway.Call, in *sm.GetSecretValueInput) (*sm.GetSecretValueOutput, error) {
	d, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	v, err := pick(c, d, c.Home, in.VersionId, in.VersionStage)
	if err != nil {
		return nil, err
	}
	val, err := s.open(c, d, v)
	if err != nil {
		return nil, err
	}
	touch(c, d)
	out := &sm.GetSecretValueOutput{ARN: &d.ARN, Name: &d.Name, VersionId: &v.ID, VersionStages: d.labels(v.ID), CreatedDate: api.At(v.Created)}
	out.SecretString, out.SecretBinary = val.members()
	return out, nil
}

func (v value) members() (*string, []byte) {
	if v.binary {
		return nil, v.plain
	}
	return api.Ptr(string(v.plain)), nil
}

// pick finds the version that a request for a value means.
func pick(c *gateway.Call, d *Secret, shard string, versionID, stage *string) (*Version, error) {
	id := api.Value(versionID)
	if versionID == nil {
		label := current
		if stage != nil {
			label = *stage
		}
		var ok bool
		if id, ok = d.Stages[label]; !ok {
			return nil, sm.ResourceNotFoundException("Secrets Manager can't find the specified secret value for staging label: %s", label)
		}
	}
	v, ok := versions.Get(c.Tx, shard, versionKey(d.Name, id))
	if !ok {
		return nil, sm.ResourceNotFoundException("Secrets Manager can't find the specified secret value for VersionId: %s", id)
	}
	if versionID != nil && stage != nil && d.Stages[*stage] != id {
		return nil, sm.InvalidRequestException("You provided a VersionStage that is not associated to the provided VersionId.")
	}
	return v, nil
}

// touch notes the day on which a value was read: one write for each secret and
// day, as exact as what AWS shows.
func touch(c *gateway.Call, d *Secret) {
	today := c.Time.UTC().Truncate(24 * time.Hour)
	if d.Accessed == nil || d.Accessed.Before(today) {
		d = d.edit()
		d.Accessed = &today
		secrets.Put(c.Tx, d.Name, d)
	}
}

func (s *Service) mayPutSecretValue(c *gateway.Call, in *sm.PutSecretValueInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, nil)
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
func (s *Service) putSecretValue(c *gateway.Call, in *sm.PutSecretValueInput) (*sm.PutSecretValueOutput, error) {
	was, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	val, ok, err := given(in.SecretString, in.SecretBinary)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, sm.InvalidRequestException("You must provide either SecretString or SecretBinary.")
	}
	token, err := versionID(in.ClientRequestToken, true)
	if err != nil {
		return nil, err
	}
	d := was.edit()
	fresh, err := s.put(c, d, token, val)
	if err != nil {
		return nil, err
	}
	if fresh {
		stages := in.VersionStages
		if len(stages) == 0 {
			stages = []string{current}
		}
		if len(d.Stages) == 0 && !slices.Contains(stages, current) {
			stages = append(slices.Clone(stages), current) // the first version is always current
		}
		for _, stage := range stages {
			d.move(stage, token)
		}
		if len(d.Stages) > maxStages {
			return nil, sm.LimitExceededException("The request failed because it would exceed one of the Secrets Manager quotas: %d staging labels.", maxStages)
		}
		d.Changed = c.Time.UTC()
		secrets.Put(c.Tx, d.Name, d)
	}
	return &sm.PutSecretValueOutput{ARN: &d.ARN, Name: &d.Name, VersionId: &token, VersionStages: d.labels(token)}, nil
}

// maxStages bounds the staging labels of a secret.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
const maxStages = 20

// move puts a label on a version. What was current becomes previous.
func (d *Secret) move(stage, versionID string) {
	if was, ok := d.Stages[current]; ok && stage == current && was != versionID {
		d.Stages[previous] = was
	}
	d.Stages[stage] = versionID
}

// Which secrets are read is known only to the handler, which asks for each
// (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html).
func (s *Service) mayBatchGetSecretValue(c *gateway.Call, in *sm.BatchGetSecretValueInput) ([]authz.Ask, error) {
	asks := []authz.Ask{{Action: "secretsmanager:BatchGetSecretValue", Resource: "*"}}
	if len(in.Filters) > 0 {
		asks = append(asks, authz.Ask{Action: "secretsmanager:ListSecrets", Resource: "*"})
	}
	return asks, nil
}

// batchGetSecretValue answers with what the caller may read, and names the
// others with the error that GetSecretValue gives.
func (s *Service) batchGetSecretValue(c *gateway.Call, in *sm.BatchGetSecretValueInput) (*sm.BatchGetSecretValueOutput, error) {
	wanted, out := in.SecretIdList, &sm.BatchGetSecretValueOutput{}
	switch {
	case len(in.Filters) > 0 && len(wanted) > 0:
		return nil, sm.InvalidParameterException("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	case len(wanted) == 0 && len(in.Filters) == 0:
		return nil, sm.InvalidParameterException("Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	case len(wanted) > 0 && (in.MaxResults != nil || in.NextToken != nil):
		return nil, sm.InvalidParameterException("'MaxResults' and 'NextToken' can only be used with 'Filters'.")
	case len(in.Filters) > 0:
		limit := 20
		if in.MaxResults != nil {
			limit = int(*in.MaxResults)
		}
		page, next, err := listed(c, in.Filters, false, "", "", limit, in.NextToken)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			wanted = append(wanted, d.ARN)
		}
		out.NextToken = next
	}
	for _, id := range wanted {
		entry, err := s.entry(c, id)
		var apiErr *api.Error
		switch {
		case err == nil:
			out.SecretValues = append(out.SecretValues, *entry)
		case errors.As(err, &apiErr) && apiErr.Fault == api.FaultClient:
			code := wire.Spell(c.Op.Service, apiErr).Code
			out.Errors = append(out.Errors, sm.APIErrorType{SecretId: &id, ErrorCode: &code, Message: &apiErr.Message})
		default:
			return nil, err
		}
	}
	return out, nil
}

func (s *Service) entry(c *gateway.Call, secretID string) (*sm.SecretValueEntry, error) {
	asks, err := ask(c, "secretsmanager:GetSecretValue", secretID, valueKeys(nil, nil))
	if err != nil {
		return nil, err
	}
	if err := c.Ask(asks...); err != nil {
		return nil, err
	}
	r, err := parseID(c.Account, c.Region, secretID)
	if err != nil {
		return nil, err
	}
	d, err := findLive(c, &secretID)
	if err != nil {
		return nil, err
	}
	v, err := pick(c, d, r.shard(c.Region), nil, nil)
	if err != nil {
		return nil, err
	}
	val, err := s.open(c, d, v)
	if err != nil {
		return nil, err
	}
	if !r.foreign {
		touch(c, d)
	}
	e := &sm.SecretValueEntry{ARN: &d.ARN, Name: &d.Name, VersionId: &v.ID, VersionStages: d.labels(v.ID), CreatedDate: api.At(v.Created)}
	e.SecretString, e.SecretBinary = val.members()
	return e, nil
}
