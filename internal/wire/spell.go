// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/http"

	"github.com/remit-ecs/remit/internal/api"
)

type spelling struct {
	code   string
	status int
}

// How each family of services spells the ideas. JSON services answer 400 to
// nearly everything the caller did; Query services and S3 use HTTP's statuses.
// From "Common errors" in the API references of Amazon ECS, IAM and AWS STS,
// and "Error responses" in that of Amazon S3.
var (
	jsonSpelling = map[api.Idea]spelling{
		api.IdeaAccessDenied:          {"AccessDeniedException", 400},
		api.IdeaValidation:            {"ValidationException", 400},
		api.IdeaMalformed:             {"SerializationException", 400},
		api.IdeaThrottling:            {"ThrottlingException", 400},
		api.IdeaInternal:              {"InternalFailure", 500},
		api.IdeaUnavailable:           {"ServiceUnavailableException", 503},
		api.IdeaNotImplemented:        {"NotImplemented", 501},
		api.IdeaUnknownOperation:      {"UnknownOperationException", 400},
		api.IdeaMissingAuthentication: {"MissingAuthenticationTokenException", 400},
		api.IdeaInvalidClientToken:    {"UnrecognizedClientException", 400},
		api.IdeaSignatureMismatch:     {"InvalidSignatureException", 400},
		api.IdeaSignatureExpired:      {"InvalidSignatureException", 400},
		api.IdeaIncompleteSignature:   {"IncompleteSignatureException", 400},
		api.IdeaExpiredToken:          {"ExpiredTokenException", 400},
		api.IdeaTooLarge:              {"RequestEntityTooLargeException", 413},
	}
	querySpelling = map[api.Idea]spelling{
		api.IdeaAccessDenied:          {"AccessDenied", 403},
		api.IdeaValidation:            {"ValidationError", 400},
		api.IdeaMalformed:             {"MalformedInput", 400},
		api.IdeaThrottling:            {"Throttling", 400},
		api.IdeaInternal:              {"InternalFailure", 500},
		api.IdeaUnavailable:           {"ServiceUnavailable", 503},
		api.IdeaNotImplemented:        {"NotImplemented", 501},
		api.IdeaUnknownOperation:      {"InvalidAction", 400},
		api.IdeaMissingAuthentication: {"MissingAuthenticationToken", 403},
		api.IdeaInvalidClientToken:    {"InvalidClientTokenId", 403},
		api.IdeaSignatureMismatch:     {"SignatureDoesNotMatch", 403},
		api.IdeaSignatureExpired:      {"SignatureDoesNotMatch", 403},
		api.IdeaIncompleteSignature:   {"IncompleteSignature", 400},
		api.IdeaExpiredToken:          {"ExpiredToken", 403},
		api.IdeaTooLarge:              {"RequestEntityTooLarge", 413},
	}
	s3Spelling = map[api.Idea]spelling{
		api.IdeaAccessDenied:          {"AccessDenied", 403},
		api.IdeaValidation:            {"InvalidArgument", 400},
		api.IdeaMalformed:             {"MalformedXML", 400},
		api.IdeaThrottling:            {"SlowDown", 503},
		api.IdeaInternal:              {"InternalError", 500},
		api.IdeaUnavailable:           {"ServiceUnavailable", 503},
		api.IdeaNotImplemented:        {"NotImplemented", 501},
		api.IdeaUnknownOperation:      {"MethodNotAllowed", 405},
		api.IdeaMissingAuthentication: {"AccessDenied", 403},
		api.IdeaInvalidClientToken:    {"InvalidAccessKeyId", 403},
		api.IdeaSignatureMismatch:     {"SignatureDoesNotMatch", 403},
		api.IdeaSignatureExpired:      {"RequestTimeTooSkewed", 403},
		api.IdeaIncompleteSignature:   {"AuthorizationHeaderMalformed", 400},
		api.IdeaExpiredToken:          {"ExpiredToken", 400},
		api.IdeaTooLarge:              {"EntityTooLarge", 400},
	}
)

// ownSpelling is where a service departs from its family.
var ownSpelling = map[string]map[api.Idea]spelling{
	"ecs": {
		api.IdeaValidation:  {"InvalidParameterException", 400},
		api.IdeaInternal:    {"ServerException", 500},
		api.IdeaUnavailable: {"ServerException", 503},
	},
	"ecr": {
		api.IdeaValidation:  {"InvalidParameterException", 400},
		api.IdeaInternal:    {"ServerException", 500},
		api.IdeaUnavailable: {"ServerException", 503},
	},
	"logs":           {api.IdeaValidation: {"InvalidParameterException", 400}},
	"secretsmanager": {api.IdeaInternal: {"InternalServiceError", 500}},
	"ssm":            {api.IdeaInternal: {"InternalServerError", 500}},
}

// Spell returns the error as clients of the service see it: an idea becomes the
// service's code and status; an error of a model stays what it is. A nil
// service stands for a request nobody could be found for.
func Spell(svc *api.Service, err *api.Error) *api.Error {
	if err == nil {
		err = api.Internal(nil)
	}
	c := *err
	if c.Idea != 0 {
		s := spellIdea(svc, c.Idea)
		c.Code, c.Status = s.code, s.status
	}
	if c.Status < 100 || c.Status > 599 { // an error made by hand must not break the answer
		c.Status = http.StatusInternalServerError
		if c.Fault == api.FaultClient {
			c.Status = http.StatusBadRequest
		}
	}
	return &c
}

func spellIdea(svc *api.Service, idea api.Idea) spelling {
	family := jsonSpelling
	if svc != nil {
		if s, ok := ownSpelling[svc.Name][idea]; ok {
			return s
		}
		switch svc.Protocol {
		case api.Query, api.EC2Query:
			family = querySpelling
		case api.RestXML:
			family = s3Spelling
		}
	}
	if s, ok := family[idea]; ok {
		return s
	}
	return spelling{idea.String(), http.StatusInternalServerError}
}
