package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/gateway"
)

// checkBoundary checks the managed policy that is to bound a role or user.
func checkBoundary(c *gateway.Call, policyARN *string) (string, error) {
	a := api.Value(policyARN)
	if a == "" {
		return "", nil
	}
	if _, ok := managed(c.Tx, c.Home, a); !ok {
		return "", iamapi.NoSuchEntityException("Scope ARN: %s does not exist or is not attachable.", a)
	}
	return a, nil
}
