package controlplane_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/testkit"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// TestRootOfEachAccount: every account that the file names has a root user with
// a key of its own.
func TestRootOfEachAccount(t *testing.T) {
	s := whole.Accounts(t, testkit.TwoAccounts, nil)
	for _, account := range []string{testkit.Account, testkit.Other, testkit.Management, testkit.Outside} {
		who, err := sts.NewFromConfig(s.RootOf(account)).GetCallerIdentity(context.Background(), nil)
		if err != nil || *who.Arn != "arn:aws:iam::"+account+":root" {
			t.Errorf("%s: %+v %v", account, who, err)
		}
	}
}
