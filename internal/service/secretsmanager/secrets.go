package secretsmanager

import (
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

const current, pending, previous = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"

func (s *Service) mayCreateSecret(c *gateway.Call, in *sm.CreateSecretInput) ([]authz.Ask, error) {
	_, resource, err := newName(c, api.Value(in.Name))
	if err != nil {
		return nil, err
	}
	k := keys{"secretsmanager:name": {api.Value(in.Name)}}.requestTags(in.Tags).
		set("secretsmanager:description", in.Description).set("secretsmanager:kmskeyid", in.KmsKeyId).set("secretsmanager:kmskeyarn", keyARN(c.Account, c.Region, in.KmsKeyId)).
		set("secretsmanager:type", in.Type).flag("secretsmanager:forceoverwritereplicasecret", in.ForceOverwriteReplicaSecret)
	for _, r := range in.AddReplicaRegions {
		k["secretsmanager:addreplicaregions"] = append(k["secretsmanager:addreplicaregions"], api.Value(r.Region))
	}
	asks := []authz.Ask{{Action: "secretsmanager:CreateSecret", Resource: resource, Account: c.Account, Keys: k}}
	if len(in.Tags) > 0 {
		asks = append(asks, authz.Ask{Action: "secretsmanager:TagResource", Resource: resource, Account: c.Account, Keys: keys{}.requestTags(in.Tags)})
	}
	return asks, nil
}

// newName gives the name of a secret to be created and the ARN that is asked
// about. A name that is a whole ARN of the caller's account and region asks for
// exactly that ARN: task definitions written for AWS name secrets by ARNs whose
// suffix nobody can choose there (DIVERGENCES.md).
func newName(c *gateway.Call, name string) (string, string, error) {
	r, err := parseID(c.Account, c.Region, name)
	if err != nil {
		return "", "", err
	}
	if !r.byARN {
		return r.name, r.arn, nil
	}
	base, ok := withoutSuffix(r.name)
	if !ok || r.arn != secretARN(c.Account, c.Region, r.name) {
		return "", "", sm.InvalidParameterException("A secret can be created by ARN only in the account and region of the request, with the hyphen and six characters at its end: %s", secretARN(c.Account, c.Region, "NAME-AbCdEf"))
	}
	return base, r.arn, nil
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
func (s *Service) createSecret(c *gateway.Call, in *sm.CreateSecretInput) (*sm.CreateSecretOutput, error) {
	name, arn, err := newName(c, api.Value(in.Name))
	if err != nil {
		return nil, err
	}
	val, hasValue, err := given(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	token, err := versionID(in.ClientRequestToken, hasValue)
	if err != nil {
		return nil, err
	}
	switch {
	case len(in.AddReplicaRegions) > 0:
		return nil, api.NotImplemented("Remit does not replicate secrets yet: AddReplicaRegions has to be absent.")
	case api.Value(in.Type) != "":
		return nil, api.NotImplemented("Remit does not serve secrets managed by third parties: Type has to be absent.")
	}
	if old, ok := secrets.Get(c.Tx, c.Home, name); ok {
		if !old.gone(c.Time) {
			return s.createdBefore(c, in, old, token, val, hasValue)
		}
		remove(c.Tx, old)
	}
	if arn == secretARN(c.Account, c.Region, name) {
		arn += "-" + suffix(c.IDs)
	}
	now := c.Time.UTC()
	d := &Secret{Name: name, ARN: arn, Description: in.Description, KmsKeyID: keyID(in.KmsKeyId), Created: now, Changed: now, Stages: map[string]string{}}
	if d.Tags, err = withTags(nil, in.Tags); err != nil {
		return nil, err
	}
	if err := mayUse(c, d); err != nil {
		return nil, err
	}
	out := &sm.CreateSecretOutput{ARN: &d.ARN, Name: &d.Name}
	if hasValue {
		if _, err := s.put(c, d, token, val); err != nil {
			return nil, err
		}
		d.Stages[current] = token
		out.VersionId = &token
	}
	secrets.Put(c.Tx, name, d)
	return out, nil
}

// createdBefore answers the repetition of a call whose answer was lost, and
// refuses anything else about a name that is taken.
func (s *Service) createdBefore(c *gateway.Call, in *sm.CreateSecretInput, old *Secret, token string, val value, hasValue bool) (*sm.CreateSecretOutput, error) {
	if old.Deleted != nil {
		return nil, sm.InvalidRequestException("You can't create this secret because a secret with this name is already scheduled for deletion.")
	}
	exists := sm.ResourceExistsException("The operation failed because the secret %s already exists.", old.Name)
	if strings.HasPrefix(api.Value(in.Name), "arn:") && *in.Name != old.ARN || !hasValue {
		return nil, exists
	}
	if v, ok := versions.Get(c.Tx, c.Home, versionKey(old.Name, token)); !ok || !v.Created.Equal(old.Created) {
		return nil, exists
	}
	if _, err := s.put(c, old, token, val); err != nil {
		return nil, err
	}
	return &sm.CreateSecretOutput{ARN: &old.ARN, Name: &old.Name, VersionId: &token}, nil
}

// versionID is the ClientRequestToken, which becomes the id of a new version.
// SDKs fill it in.
func versionID(token *string, needed bool) (string, error) {
	if needed && token == nil {
		return "", sm.InvalidParameterException("You must provide a ClientRequestToken value. We recommend a UUID-type value.")
	}
	if strings.ContainsFunc(api.Value(token), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", sm.InvalidParameterException("ClientRequestToken can hold only printable ASCII characters without spaces.")
	}
	return api.Value(token), nil
}

// keyID is the key that the secret shows: none for the default.
func keyID(p *string) *string {
	if api.Value(p) == "" {
		return nil
	}
	return p
}

func (s *Service) mayDescribeSecret(c *gateway.Call, in *sm.DescribeSecretInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, nil)
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
func (s *Service) describeSecret(c *gateway.Call, in *sm.DescribeSecretInput) (*sm.DescribeSecretOutput, error) {
	d, err := find(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	return &sm.DescribeSecretOutput{
		ARN: &d.ARN, Name: &d.Name, Description: d.Description, KmsKeyId: d.KmsKeyID, Tags: d.Tags,
		CreatedDate: api.At(d.Created), LastChangedDate: api.At(d.Changed), LastAccessedDate: timeOf(d.Accessed), DeletedDate: timeOf(d.Deleted),
		VersionIdsToStages: d.labelled(),
	}, nil
}

func (s *Service) mayUpdateSecret(c *gateway.Call, in *sm.UpdateSecretInput) ([]authz.Ask, error) {
	k := keys{}.set("secretsmanager:description", in.Description).set("secretsmanager:kmskeyid", in.KmsKeyId).set("secretsmanager:type", in.Type)
	if r, err := parseID(c.Account, c.Region, api.Value(in.SecretId)); err == nil {
		k.set("secretsmanager:kmskeyarn", keyARN(r.account, c.Region, in.KmsKeyId))
	}
	return about(c, in.SecretId, k)
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecret.html
func (s *Service) updateSecret(c *gateway.Call, in *sm.UpdateSecretInput) (*sm.UpdateSecretOutput, error) {
	was, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	val, hasValue, err := given(in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	token, err := versionID(in.ClientRequestToken, hasValue)
	if err != nil {
		return nil, err
	}
	if api.Value(in.Type) != "" {
		return nil, api.NotImplemented("Remit does not serve secrets managed by third parties: Type has to be absent.")
	}
	d := was.edit()
	if in.Description != nil {
		d.Description = in.Description
	}
	if in.KmsKeyId != nil {
		d.KmsKeyID = keyID(in.KmsKeyId)
		if d.customerKey(c) != was.customerKey(c) {
			if err := mayUse(c, d); err != nil {
				return nil, err
			}
			if err := s.rekey(c, d); err != nil {
				return nil, err
			}
		}
	}
	out := &sm.UpdateSecretOutput{ARN: &d.ARN, Name: &d.Name}
	if hasValue {
		fresh, err := s.put(c, d, token, val)
		if err != nil {
			return nil, err
		}
		if fresh {
			d.move(current, token)
		}
		out.VersionId = &token
	}
	d.Changed = c.Time.UTC()
	secrets.Put(c.Tx, d.Name, d)
	return out, nil
}

func (s *Service) mayDeleteSecret(c *gateway.Call, in *sm.DeleteSecretInput) ([]authz.Ask, error) {
	k := keys{}.flag("secretsmanager:forcedeletewithoutrecovery", in.ForceDeleteWithoutRecovery)
	if in.RecoveryWindowInDays != nil {
		k["secretsmanager:recoverywindowindays"] = []string{strconv.FormatInt(*in.RecoveryWindowInDays, 10)}
	}
	return about(c, in.SecretId, k)
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html
func (s *Service) deleteSecret(c *gateway.Call, in *sm.DeleteSecretInput) (*sm.DeleteSecretOutput, error) {
	const day = 24 * time.Hour
	force := api.Value(in.ForceDeleteWithoutRecovery)
	days := int64(30)
	if in.RecoveryWindowInDays != nil {
		days = *in.RecoveryWindowInDays
		switch {
		case force:
			return nil, sm.InvalidParameterException("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
		case days < 7 || days > 30:
			return nil, sm.InvalidParameterException("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
		}
	}
	r, err := parseID(c.Account, c.Region, api.Value(in.SecretId))
	if err != nil {
		return nil, err
	}
	d, ok := r.find(c)
	switch {
	case force:
		// Not an error for what does not exist: that it is gone is what was asked.
		out := &sm.DeleteSecretOutput{ARN: &r.arn, Name: &r.name, DeletionDate: c.Now()}
		if ok {
			out.ARN, out.Name = &d.ARN, &d.Name
			remove(c.Tx, d)
		}
		return out, nil
	case !ok:
		return nil, errNotFound()
	case d.Deleted != nil:
		return nil, errDeleted()
	}
	d = d.edit()
	now := c.Time.UTC()
	d.Deleted, d.Removal = api.Ptr(now), api.Ptr(now.Add(time.Duration(days)*day))
	secrets.Put(c.Tx, d.Name, d)
	return &sm.DeleteSecretOutput{ARN: &d.ARN, Name: &d.Name, DeletionDate: timeOf(d.Removal)}, nil
}

func (s *Service) mayRestoreSecret(c *gateway.Call, in *sm.RestoreSecretInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, nil)
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RestoreSecret.html
func (s *Service) restoreSecret(c *gateway.Call, in *sm.RestoreSecretInput) (*sm.RestoreSecretOutput, error) {
	d, err := find(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	if d.Deleted != nil {
		d = d.edit()
		d.Deleted, d.Removal = nil, nil
		secrets.Put(c.Tx, d.Name, d)
	}
	return &sm.RestoreSecretOutput{ARN: &d.ARN, Name: &d.Name}, nil
}
