package refusal

import (
	"context"
	"maps"
	"testing"

	"github.com/remit-ecs/remit/internal/id"
)

// fixture prepares, as root, what one request of an operation is about, and
// returns the request: the SDK's input. Each call makes it anew, with other
// names. The request carries tags wherever it can: that is where operations
// ask for more than one permission.
type fixture func(f *subject) any

// fixtures are the fixtures by service and operation.
var fixtures = func() map[string]fixture {
	all := map[string]fixture{}
	for _, m := range []map[string]fixture{
		ecsFixtures, ecrFixtures, iamFixtures, kmsFixtures, logsFixtures, s3Fixtures, secretsFixtures, simulateFixtures, ssmFixtures, stsFixtures,
		otherFixtures, policyFixtures,
	} {
		maps.Copy(all, m)
	}
	return all
}()

// tagKey is the key of the tag that everything has.
const tagKey = "team"

func ptr[T any](v T) *T { return &v }

// trusting is a trust policy for a service.
func trusting(service string) *string {
	return ptr(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`)
}

const someDocument = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:ListClusters","Resource":"*"}]}`

// subject is what one request is about, with names that nothing else has.
type subject struct {
	*suite
	ctx  context.Context
	t    *testing.T
	name string
}

func (s *suite) subject(t *testing.T) *subject {
	return &subject{suite: s, ctx: t.Context(), t: t, name: "subject-" + id.Hex(id.Random, 10)}
}
