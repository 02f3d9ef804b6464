package refusal

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/remit-ecs/remit/internal/gateway"
)

// denial is the message that came with a refusal.
func (f *subject) denial() *string {
	_, err := iam.NewFromConfig(f.nobody.cfg).ListUsers(f.ctx, &iam.ListUsersInput{})
	var refused *smithyhttp.ResponseError
	if !errors.As(err, &refused) {
		f.t.Fatalf("a role without policies: %v", err)
	}
	return ptr(refused.Response.Header.Get(gateway.MessageHeader))
}

var stsFixtures = map[string]fixture{
	"sts:GetSessionToken": func(f *subject) any { return &sts.GetSessionTokenInput{} },
	"sts:GetFederationToken": func(f *subject) any {
		return &sts.GetFederationTokenInput{Name: ptr("somebody"), Policy: ptr(someDocument), Tags: f.stsTags()}
	},
	"sts:DecodeAuthorizationMessage": func(f *subject) any {
		return &sts.DecodeAuthorizationMessageInput{EncodedMessage: f.denial()}
	},
}
