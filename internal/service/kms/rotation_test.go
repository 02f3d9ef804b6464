package kms_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestRotationByClient: what was encrypted before a rotation is still read, by
// a client that knows nothing of it.
func TestRotationByClient(t *testing.T) {
	_, c := start(t)
	key := create(t, c).KeyId
	usage := func() *sdk.GetKeyLastUsageOutput {
		t.Helper()
		return ok[*sdk.GetKeyLastUsageOutput](t)(c.GetKeyLastUsage(ctx, &sdk.GetKeyLastUsageInput{KeyId: key}))
	}
	if u := usage().KeyLastUsage; u != nil && u.Timestamp != nil {
		t.Errorf("a key that nobody used was used: %+v", u)
	}
	before := encrypt(t, c, key, "before", nil)
	if u := usage().KeyLastUsage; u == nil || u.Operation != types.KeyLastUsageTrackingOperationEncrypt || u.Timestamp == nil {
		t.Errorf("last use: %+v", u)
	}

	ok[*sdk.EnableKeyRotationOutput](t)(c.EnableKeyRotation(ctx, &sdk.EnableKeyRotationInput{KeyId: key, RotationPeriodInDays: aws.Int32(180)}))
	status := ok[*sdk.GetKeyRotationStatusOutput](t)(c.GetKeyRotationStatus(ctx, &sdk.GetKeyRotationStatusInput{KeyId: key}))
	if !status.KeyRotationEnabled || *status.RotationPeriodInDays != 180 || status.NextRotationDate == nil {
		t.Errorf("status: %+v", status)
	}
	ok[*sdk.RotateKeyOnDemandOutput](t)(c.RotateKeyOnDemand(ctx, &sdk.RotateKeyOnDemandInput{KeyId: key}))
	list := ok[*sdk.ListKeyRotationsOutput](t)(c.ListKeyRotations(ctx, &sdk.ListKeyRotationsInput{KeyId: key}))
	if len(list.Rotations) != 1 || list.Rotations[0].RotationType != types.RotationTypeOnDemand || list.Truncated {
		t.Errorf("rotations: %+v", list.Rotations)
	}
	after := encrypt(t, c, key, "after", nil)
	for blob, want := range map[string]string{string(before): "before", string(after): "after"} {
		if got, err := decrypt(c, []byte(blob), nil); err != nil || got != want {
			t.Errorf("decrypted %q, %v, want %q", got, err, want)
		}
	}
	ok[*sdk.DisableKeyRotationOutput](t)(c.DisableKeyRotation(ctx, &sdk.DisableKeyRotationInput{KeyId: key}))
	if ok[*sdk.GetKeyRotationStatusOutput](t)(c.GetKeyRotationStatus(ctx, &sdk.GetKeyRotationStatusInput{KeyId: key})).KeyRotationEnabled {
		t.Error("rotation is still enabled")
	}
	_, err := c.EnableKeyRotation(ctx, &sdk.EnableKeyRotationInput{KeyId: key, RotationPeriodInDays: aws.Int32(89)})
	fails(t, err, "ValidationException", "")
}
