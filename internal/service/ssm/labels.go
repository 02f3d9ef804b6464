package ssm

import (
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// maxLabels bounds the labels of a version.
const maxLabels = 10

func (s *Service) mayLabelParameterVersion(c *gateway.Call, in *ssmapi.LabelParameterVersionInput) ([]authz.Ask, error) {
	return one(c, in.Name, nil)
}

// labelParameterVersion puts labels on a version, the newest if none is named,
// and lists those that cannot be labels. A label that another version has
// moves.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_LabelParameterVersion.html
func (s *Service) labelParameterVersion(c *gateway.Call, in *ssmapi.LabelParameterVersionInput) (*ssmapi.LabelParameterVersionOutput, error) {
	was, err := find(c, in.Name)
	if err != nil {
		return nil, err
	}
	p, number := was.edit(), was.Newest.Number
	if in.ParameterVersion != nil && *in.ParameterVersion != 0 {
		number = *in.ParameterVersion
	}
	if err := hasVersion(c, p, number); err != nil {
		return nil, err
	}
	out := &ssmapi.LabelParameterVersionOutput{ParameterVersion: &number}
	for _, l := range in.Labels {
		if validLabel(l) {
			p.Labels[l] = number
		} else {
			out.InvalidLabels = append(out.InvalidLabels, l)
		}
	}
	if len(p.labels(number)) > maxLabels {
		return nil, ssmapi.ParameterVersionLabelLimitExceeded("A parameter version can have a maximum of %d labels. Move one or more labels to another version and try again.", maxLabels)
	}
	parameters.Put(c.Tx, p.Name, p)
	return out, nil
}

func hasVersion(c *gateway.Call, p *Parameter, number int64) error {
	if _, ok := versions.Get(c.Tx, c.Home, versionKey(p.Name, number)); !ok {
		return ssmapi.ParameterVersionNotFound("Systems Manager could not find version %d of %s. Verify the version and try again.", number, p.Name)
	}
	return nil
}

// validLabel checks what a label may be: it must not look like a version
// number, nor like one of AWS's own.
func validLabel(l string) bool {
	low := strings.ToLower(l)
	return validSelector(l) && (l[0] < '0' || l[0] > '9') && !strings.HasPrefix(low, "aws") && !strings.HasPrefix(low, "ssm")
}

func (s *Service) mayUnlabelParameterVersion(c *gateway.Call, in *ssmapi.UnlabelParameterVersionInput) ([]authz.Ask, error) {
	return one(c, in.Name, nil)
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_UnlabelParameterVersion.html
func (s *Service) unlabelParameterVersion(c *gateway.Call, in *ssmapi.UnlabelParameterVersionInput) (*ssmapi.UnlabelParameterVersionOutput, error) {
	was, err := find(c, in.Name)
	if err != nil {
		return nil, err
	}
	p, number := was.edit(), api.Value(in.ParameterVersion)
	if err := hasVersion(c, p, number); err != nil {
		return nil, err
	}
	out := &ssmapi.UnlabelParameterVersionOutput{}
	for _, l := range in.Labels {
		switch n, ok := p.Labels[l]; {
		case ok && n == number:
			delete(p.Labels, l)
			out.RemovedLabels = append(out.RemovedLabels, l)
		case !slices.Contains(out.RemovedLabels, l):
			out.InvalidLabels = append(out.InvalidLabels, l)
		}
	}
	parameters.Put(c.Tx, p.Name, p)
	return out, nil
}
