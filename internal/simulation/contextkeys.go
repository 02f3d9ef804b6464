package simulation

import (
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/policy"
)

// maxKeyName is the longest name of a context key that the API can answer, and
// minKeyName the shortest.
const minKeyName, maxKeyName = 5, 256

// ContextKeys are the condition keys that policies refer to: those in texts,
// which a request brings, then those of attached policies. The error is an
// *api.Error, InvalidInput, for a text that cannot be read; an attached policy
// that cannot be read says what can be read of it.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetContextKeysForCustomPolicy.html
func ContextKeys(texts []string, attached []Policy) ([]string, error) {
	var docs []*policy.Document
	for i, text := range texts {
		d, err := parse(text)
		if err != nil {
			return nil, iamapi.InvalidInputException("Policy input list item %d has invalid content", i+1).Because(err)
		}
		docs = append(docs, d)
	}
	for i := range attached {
		d, _ := parse(attached[i].Text)
		docs = append(docs, d)
	}
	names := []string{}
	for _, name := range policy.ContextKeys(docs...) {
		if len(name) >= minKeyName && len(name) <= maxKeyName {
			names = append(names, name)
		}
	}
	return names, nil
}

func parse(text string) (*policy.Document, error) {
	return policy.Parse(policy.KindIdentity, []byte(text))
}
