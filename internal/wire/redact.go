// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"reflect"
	"time"

	"github.com/remit-ecs/remit/internal/api"
)

// Hidden stands in audit records where a sensitive value was, in CloudTrail's
// words.
const Hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// overlay lists sensitive members that the models do not mark, or that must
// stay hidden should a new model drop the mark: service/Shape.Member.
var overlay = map[string]bool{
	"ecs/Session.tokenValue":                                  true,
	"ecs/ExecuteCommandRequest.command":                       true, // CloudTrail shows it; passwords are typed there
	"ecr/AuthorizationData.authorizationToken":                true,
	"ecr/GetDownloadUrlForLayerResponse.downloadUrl":          true, // presigned: a bearer credential
	"logs/InputLogEvent.message":                              true,
	"sts/Credentials.SecretAccessKey":                         true,
	"sts/Credentials.SessionToken":                            true,
	"sts/AssumeRoleRequest.TokenCode":                         true,
	"sts/GetSessionTokenRequest.TokenCode":                    true,
	"sts/AssumeRoleWithSAMLRequest.SAMLAssertion":             true,
	"sts/AssumeRoleWithWebIdentityRequest.WebIdentityToken":   true,
	"sts/GetDelegatedAccessTokenRequest.TradeInToken":         true,
	"sts/GetWebIdentityTokenResponse.WebIdentityToken":        true,
	"iam/AccessKey.SecretAccessKey":                           true,
	"iam/ChangePasswordRequest.OldPassword":                   true,
	"iam/ChangePasswordRequest.NewPassword":                   true,
	"iam/CreateLoginProfileRequest.Password":                  true,
	"iam/UpdateLoginProfileRequest.Password":                  true,
	"iam/ServiceSpecificCredential.ServicePassword":           true,
	"iam/ServiceSpecificCredential.ServiceCredentialSecret":   true,
	"iam/UploadServerCertificateRequest.PrivateKey":           true,
	"iam/EnableMFADeviceRequest.AuthenticationCode1":          true,
	"iam/EnableMFADeviceRequest.AuthenticationCode2":          true,
	"iam/ResyncMFADeviceRequest.AuthenticationCode1":          true,
	"iam/ResyncMFADeviceRequest.AuthenticationCode2":          true,
	"ssm/PutParameterRequest.Value":                           true,
	"ssm/Parameter.Value":                                     true,
	"ssm/ParameterHistory.Value":                              true,
	"secretsmanager/CreateSecretRequest.SecretString":         true,
	"secretsmanager/CreateSecretRequest.SecretBinary":         true,
	"secretsmanager/PutSecretValueRequest.SecretString":       true,
	"secretsmanager/PutSecretValueRequest.SecretBinary":       true,
	"secretsmanager/UpdateSecretRequest.SecretString":         true,
	"secretsmanager/UpdateSecretRequest.SecretBinary":         true,
	"secretsmanager/GetSecretValueResponse.SecretString":      true,
	"secretsmanager/GetSecretValueResponse.SecretBinary":      true,
	"secretsmanager/SecretValueEntry.SecretString":            true,
	"secretsmanager/SecretValueEntry.SecretBinary":            true,
	"secretsmanager/GetRandomPasswordResponse.RandomPassword": true,
}

// environment is the shape of a container's environment. The model marks it as
// a whole; the names of the variables are worth keeping, their values are not.
const environment = "EnvironmentVariables"

// sensitive reports whether a member must not be shown.
func sensitive(svc *api.Service, s *api.Shape, m *api.Member) bool {
	return m.Sensitive || overlay[svc.Name+"/"+s.Name+"."+m.Name]
}

// RedactedInput returns an operation's input for the audit trail: members by
// their names with a small first letter, sensitive ones hidden, streams and
// blobs left out, times in ISO 8601. The result holds only what encoding/json
// can write; nil stands for no parameters.
func RedactedInput(op *api.OpInfo, in any) map[string]any {
	return redacted(op, op.InputShape(), in)
}

// RedactedOutput is RedactedInput for what an operation answers.
func RedactedOutput(op *api.OpInfo, out any) map[string]any {
	return redacted(op, op.OutputShape(), out)
}

func redacted(op *api.OpInfo, s *api.Shape, p any) map[string]any {
	if s == nil || p == nil {
		return nil
	}
	v, err := structOf(op, s, p)
	if err != nil {
		return nil // nothing is better than what cannot be checked
	}
	r := redactor{svc: op.Service, shapes: op.Service.Model.Shapes}
	if m := r.structure(s, v); len(m) > 0 {
		return m
	}
	return nil
}

type redactor struct {
	svc    *api.Service
	shapes []api.Shape
}

func (r *redactor) structure(s *api.Shape, v reflect.Value) map[string]any {
	out := make(map[string]any)
	for i := range s.Members {
		m, f := &s.Members[i], v.Field(i)
		ms := &r.shapes[m.Shape]
		if absent(f) || m.Streaming {
			continue
		}
		name := lowerFirst(m.Name)
		switch {
		case ms.Name == environment && ms.Kind == api.List:
			out[name] = r.environment(ms, f)
		case sensitive(r.svc, s, m):
			out[name] = Hidden
		case ms.Kind == api.Blob:
		default:
			out[name] = r.value(ms, f)
		}
	}
	return out
}

// environment keeps the names of variables.
func (r *redactor) environment(s *api.Shape, f reflect.Value) []any {
	out := make([]any, f.Len())
	for i := range out {
		pair := r.structure(&r.shapes[s.Elem], f.Index(i))
		for k := range pair {
			if k != "name" {
				pair[k] = Hidden
			}
		}
		out[i] = pair
	}
	return out
}

func (r *redactor) value(s *api.Shape, f reflect.Value) any {
	f = reflect.Indirect(f)
	if s.Sensitive {
		return Hidden
	}
	switch s.Kind {
	case api.Structure:
		return r.structure(s, f)
	case api.List:
		out := make([]any, f.Len())
		for i := range out {
			out[i] = r.value(&r.shapes[s.Elem], f.Index(i))
		}
		return out
	case api.Map:
		out := make(map[string]any, f.Len())
		for _, k := range sortedKeys(f) {
			out[k.String()] = r.value(&r.shapes[s.Value], f.MapIndex(k))
		}
		return out
	case api.String:
		return f.String()
	case api.Boolean:
		return f.Bool()
	case api.Integer, api.Long:
		return f.Int()
	case api.Timestamp:
		return timeOf(f).UTC().Format(time.RFC3339)
	case api.Float, api.Double:
		return string(appendText(nil, s, f, ""))
	case api.Document:
		return f.Interface()
	}
	return nil
}
