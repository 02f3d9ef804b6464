package ssm

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayPutParameter(c *gateway.Call, in *ssmapi.PutParameterInput) ([]authz.Ask, error) {
	k := keys{"ssm:overwrite": {strconv.FormatBool(api.Value(in.Overwrite))}}.requestTags(in.Tags)
	if in.Policies != nil {
		k["ssm:policies"] = []string{*in.Policies}
	}
	r, err := parseRef(c.Account, c.Region, api.Value(in.Name))
	if err != nil {
		return nil, err
	}
	tag := keys{}.requestTags(in.Tags)
	if p, ok := r.find(c); ok { // it is to be overwritten
		k.resourceTags(p.Tags)
		tag.resourceTags(p.Tags)
	}
	asks := []authz.Ask{{Action: "ssm:PutParameter", Resource: r.arn(), Account: r.account, Keys: k}}
	if len(in.Tags) > 0 {
		asks = append(asks, authz.Ask{Action: "ssm:AddTagsToResource", Resource: r.arn(), Account: r.account, Keys: tag})
	}
	return asks, nil
}

const (
	maxStandard = 4 << 10
	maxAdvanced = 8 << 10
	maxVersions = 100
)

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
func (s *Service) putParameter(c *gateway.Call, in *ssmapi.PutParameterInput) (*ssmapi.PutParameterOutput, error) {
	r, err := parseRef(c.Account, c.Region, api.Value(in.Name))
	if err != nil {
		return nil, err
	}
	if err := newName(c, &r); err != nil {
		return nil, err
	}
	old, exists := parameters.Get(c.Tx, c.Home, r.name)
	overwrite := api.Value(in.Overwrite)
	switch {
	case api.Value(in.Policies) != "":
		return nil, api.NotImplemented("Remit does not serve parameter policies yet: Policies has to be absent.")
	case overwrite && len(in.Tags) > 0:
		return nil, api.Validation("Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	case exists && !overwrite:
		return nil, ssmapi.ParameterAlreadyExists("The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	}
	p := &Parameter{Name: r.name}
	if exists {
		p = old.edit()
	}
	if p.Newest, err = next(c, in, p.Newest, exists); err != nil {
		return nil, err
	}
	if !exists {
		if p.Tags, err = withTags(nil, in.Tags); err != nil {
			return nil, err
		}
	}
	if err := trim(c, p); err != nil {
		return nil, err
	}
	v := &Version{Facts: p.Newest}
	if v.Type != ssmapi.ParameterTypeSecureString {
		v.Value = *in.Value
	} else if err := s.encrypt(c, p.Name, v, *in.Value); err != nil {
		return nil, err
	}
	versions.Put(c.Tx, versionKey(p.Name, v.Number), v)
	parameters.Put(c.Tx, p.Name, p)
	return &ssmapi.PutParameterOutput{Version: &v.Number, Tier: v.Tier}, nil
}

// next is what the new version will be, after the newest one so far. What the
// request leaves out stays as it was.
func next(c *gateway.Call, in *ssmapi.PutParameterInput, was Facts, exists bool) (Facts, error) {
	f := was
	f.Number, f.Modified, f.User = was.Number+1, c.Time.UTC(), c.Principal.ARN
	switch {
	case !exists && in.Type == "":
		return f, api.Validation("A parameter type is required when you create a parameter.")
	case exists && in.Type != "" && in.Type != was.Type:
		return f, ssmapi.HierarchyTypeMismatchException("Parameter Store doesn't support changing a parameter type in a hierarchy. For example, you can't change a parameter from a String type to a SecureString type. You must create a new, unique parameter.")
	case in.Type != "":
		f.Type = in.Type
	}
	if in.Description != nil {
		f.Description = in.Description
	}
	if err := f.key(in.KeyId); err != nil {
		return f, err
	}
	if err := f.data(in.DataType); err != nil {
		return f, err
	}
	if err := f.tier(in.Tier, was.Tier, utf8.RuneCountInString(*in.Value)); err != nil {
		return f, err
	}
	return f, f.check(in)
}

// key keeps the key as it is given. A version that names none is under the
// default key, whatever the one before it was under.
func (f *Facts) key(keyID *string) error {
	if f.Type != ssmapi.ParameterTypeSecureString {
		if keyID != nil {
			return api.Validation("KeyId is required for SecureString type parameter only.")
		}
		return nil
	}
	if f.KeyID = keyID; api.Value(keyID) == "" {
		f.KeyID = api.Ptr(defaultKey)
	}
	return nil
}

func (f *Facts) data(dataType *string) error {
	switch d := api.Value(dataType); d {
	case "":
		if f.DataType == "" {
			f.DataType = "text"
		}
	case "text":
		f.DataType = d
	case "aws:ec2:image", "aws:ssm:integration":
		return api.NotImplemented("Remit does not check values of the data type " + d + " yet: DataType has to be absent or text.")
	default:
		return api.Validation("The following data type is not supported: " + d + " (Data type names are all lowercase.)")
	}
	return nil
}

// tier chooses the tier of the version. The way from advanced back to standard
// is closed, as in AWS.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
func (f *Facts) tier(want, was ssmapi.ParameterTier, length int) error {
	switch {
	case want == ssmapi.ParameterTierAdvanced || was == ssmapi.ParameterTierAdvanced && want != ssmapi.ParameterTierStandard:
		f.Tier = ssmapi.ParameterTierAdvanced
	case want == ssmapi.ParameterTierStandard && was == ssmapi.ParameterTierAdvanced:
		return api.Validation("This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.")
	case want == ssmapi.ParameterTierIntelligentTiering && length > maxStandard:
		f.Tier = ssmapi.ParameterTierAdvanced
	default:
		f.Tier = ssmapi.ParameterTierStandard
	}
	switch {
	case f.Tier == ssmapi.ParameterTierStandard && length > maxStandard:
		return api.Validation("Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html")
	case length > maxAdvanced:
		return api.Validation("Advanced tier parameters support a maximum parameter value of 8192 characters.")
	}
	return nil
}

// check compares the value with what is allowed. Errors do not show it: they
// stand in the trail.
func (f *Facts) check(in *ssmapi.PutParameterInput) error {
	value := *in.Value
	switch {
	case value == "":
		return api.Validation("1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case strings.Contains(value, "{{"):
		return api.Validation("Parameter value can't hold a reference to another parameter: {{ is not allowed.")
	}
	if in.AllowedPattern != nil {
		f.Pattern = in.AllowedPattern
		if *in.AllowedPattern == "" {
			f.Pattern = nil
		}
	}
	if f.Pattern == nil {
		return nil
	}
	re, err := regexp.Compile(`\A(?:` + *f.Pattern + `)\z`)
	if err != nil {
		return ssmapi.InvalidAllowedPatternException("The request doesn't meet the regular expression requirement: AllowedPattern is not a regular expression that Remit reads (RE2 syntax).")
	}
	if !re.MatchString(value) {
		return ssmapi.ParameterPatternMismatchException("Parameter value, cannot be validated against allowedPattern: %s", *f.Pattern)
	}
	return nil
}

// trim makes room for the new version of p: AWS keeps a hundred, and refuses
// to lose one that has a label.
func trim(c *gateway.Call, p *Parameter) error {
	var have []int64
	for _, v := range versions.Prefix(c.Tx, c.Home, p.Name+":") {
		have = append(have, v.Number)
	}
	for len(have) >= maxVersions {
		if len(p.labels(have[0])) > 0 {
			return ssmapi.ParameterMaxVersionLimitExceeded("You attempted to create a new version of %s by calling the PutParameter API with the overwrite flag. Version %d, the oldest version, can't be deleted because it has a label associated with it. Move the label to another version of the parameter, and try again.", p.Name, have[0])
		}
		versions.Delete(c.Tx, versionKey(p.Name, have[0]))
		have = have[1:]
	}
	return nil
}

func (s *Service) mayDeleteParameter(c *gateway.Call, in *ssmapi.DeleteParameterInput) ([]authz.Ask, error) {
	return one(c, in.Name, nil)
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DeleteParameter.html
func (s *Service) deleteParameter(c *gateway.Call, in *ssmapi.DeleteParameterInput) (*ssmapi.DeleteParameterOutput, error) {
	p, err := find(c, in.Name)
	if err != nil {
		return nil, err
	}
	remove(c, p)
	return &ssmapi.DeleteParameterOutput{}, nil
}

// find returns the caller's own parameter.
func find(c *gateway.Call, name *string) (*Parameter, error) {
	r, err := parseRef(c.Account, c.Region, api.Value(name))
	if err != nil {
		return nil, err
	}
	p, ok := r.own(c)
	if !ok || r.selector != "" {
		return nil, errNotFound()
	}
	return p, nil
}

// errNotFound has no text, as in AWS.
func errNotFound() *api.Error { return ssmapi.ParameterNotFound("").Because(errAbsent) }

func (s *Service) mayDeleteParameters(c *gateway.Call, in *ssmapi.DeleteParametersInput) ([]authz.Ask, error) {
	return each(c, in.Names)
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DeleteParameters.html
func (s *Service) deleteParameters(c *gateway.Call, in *ssmapi.DeleteParametersInput) (*ssmapi.DeleteParametersOutput, error) {
	out := &ssmapi.DeleteParametersOutput{}
	for _, name := range in.Names {
		if p, err := find(c, &name); err == nil {
			remove(c, p)
			out.DeletedParameters = append(out.DeletedParameters, name)
		} else {
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	return out, nil
}
