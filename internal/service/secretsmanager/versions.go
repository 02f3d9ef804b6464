package secretsmanager

import (
	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayListSecretVersionIds(c *gateway.Call, in *sm.ListSecretVersionIdsInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, nil)
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecretVersionIds.html
func (s *Service) listSecretVersionIds(c *gateway.Call, in *sm.ListSecretVersionIdsInput) (*sm.ListSecretVersionIdsOutput, error) {
	d, err := find(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	after, ok := c.After(in.NextToken)
	if !ok {
		return nil, errToken()
	}
	limit := 100
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	out := &sm.ListSecretVersionIdsOutput{ARN: &d.ARN, Name: &d.Name, Versions: []sm.SecretVersionsListEntry{}}
	var last string
	for key, v := range versions.Prefix(c.Tx, c.Home, d.Name+":") {
		stages := d.labels(v.ID)
		if key <= after && after != "" || len(stages) == 0 && !api.Value(in.IncludeDeprecated) {
			continue
		}
		if len(out.Versions) == limit {
			out.NextToken = c.NextToken(last)
			break
		}
		out.Versions = append(out.Versions, sm.SecretVersionsListEntry{
			VersionId: &v.ID, VersionStages: stages, CreatedDate: api.At(v.Created), KmsKeyIds: v.keyIDs(),
		})
		last = key
	}
	return out, nil
}

func errToken() *api.Error {
	return sm.InvalidNextTokenException("The NextToken value is invalid.")
}

func (s *Service) mayUpdateSecretVersionStage(c *gateway.Call, in *sm.UpdateSecretVersionStageInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, keys{}.set("secretsmanager:versionstage", in.VersionStage))
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
func (s *Service) updateSecretVersionStage(c *gateway.Call, in *sm.UpdateSecretVersionStageInput) (*sm.UpdateSecretVersionStageOutput, error) {
	was, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	d, stage := was.edit(), api.Value(in.VersionStage)
	for _, v := range []*string{in.RemoveFromVersionId, in.MoveToVersionId} {
		if v == nil {
			continue
		}
		if _, ok := versions.Get(c.Tx, c.Home, versionKey(d.Name, *v)); !ok {
			return nil, sm.ResourceNotFoundException("Secrets Manager can't find the specified secret value for VersionId: %s", *v)
		}
	}
	holder, attached := d.Stages[stage]
	switch {
	case in.RemoveFromVersionId == nil && in.MoveToVersionId == nil:
		return nil, sm.InvalidParameterException("You must specify RemoveFromVersionId, MoveToVersionId, or both.")
	case in.RemoveFromVersionId != nil && holder != *in.RemoveFromVersionId:
		return nil, sm.InvalidParameterException("The staging label %s isn't attached to version %s.", stage, *in.RemoveFromVersionId)
	case in.RemoveFromVersionId == nil && attached && holder != *in.MoveToVersionId:
		return nil, sm.InvalidParameterException("The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", stage, holder)
	case in.MoveToVersionId == nil && stage == current:
		return nil, sm.InvalidParameterException("You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.")
	case in.MoveToVersionId == nil:
		delete(d.Stages, stage)
	case len(d.Stages) >= maxStages && !attached:
		return nil, sm.LimitExceededException("The request failed because it would exceed one of the Secrets Manager quotas: %d staging labels.", maxStages)
	default:
		d.move(stage, *in.MoveToVersionId)
	}
	d.Changed = c.Time.UTC()
	secrets.Put(c.Tx, d.Name, d)
	return &sm.UpdateSecretVersionStageOutput{ARN: &d.ARN, Name: &d.Name}, nil
}
