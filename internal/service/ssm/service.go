// Package ssm serves the Parameter Store of AWS Systems Manager: parameters in
// hierarchies, with versions, labels and tags.
//
// The gateway calls it. SecureString values lie in the store sealed under the
// installation's master key (package seal), or encrypted under a customer
// managed key, which KMS is asked for on the caller's behalf (encryption.go),
// and are opened for requests with WithDecryption; String and StringList values
// lie there as they are, as in AWS. The package serves nothing else of Systems
// Manager and keeps no parameter policies, which it refuses rather than ignores.
// It never writes a value to a log, an error or the trail.
package ssm

import (
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/seal"
)

// Service serves Parameter Store.
type Service struct{ ring *seal.Keyring }

// New returns a Service that seals SecureString values with ring; Register
// makes it reachable.
func New(ring *seal.Keyring) *Service { return &Service{ring} }

// Register adds the operations to m.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, ssmapi.PutParameter, s.mayPutParameter, s.putParameter)
	gateway.Handle(m, ssmapi.DeleteParameter, s.mayDeleteParameter, s.deleteParameter)
	gateway.Handle(m, ssmapi.DeleteParameters, s.mayDeleteParameters, s.deleteParameters)

	gateway.Handle(m, ssmapi.GetParameter, s.mayGetParameter, s.getParameter)
	gateway.Handle(m, ssmapi.GetParameters, s.mayGetParameters, s.getParameters)
	gateway.Handle(m, ssmapi.GetParametersByPath, s.mayGetParametersByPath, s.getParametersByPath)
	gateway.Handle(m, ssmapi.GetParameterHistory, s.mayGetParameterHistory, s.getParameterHistory)
	gateway.Handle(m, ssmapi.DescribeParameters, s.mayDescribeParameters, s.describeParameters)

	gateway.Handle(m, ssmapi.LabelParameterVersion, s.mayLabelParameterVersion, s.labelParameterVersion)
	gateway.Handle(m, ssmapi.UnlabelParameterVersion, s.mayUnlabelParameterVersion, s.unlabelParameterVersion)

	gateway.Handle(m, ssmapi.AddTagsToResource, s.mayAddTagsToResource, s.addTagsToResource)
	gateway.Handle(m, ssmapi.RemoveTagsFromResource, s.mayRemoveTagsFromResource, s.removeTagsFromResource)
	gateway.Handle(m, ssmapi.ListTagsForResource, s.mayListTagsForResource, s.listTagsForResource)
}
