package iam

import (
	"iter"
	"net/url"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/policy"
)

// encoded is a policy document as answers carry it: URL-encoded by RFC 3986.
func encoded(document string) *string {
	s := strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
	return &s
}

// checkDocument checks the grammar of a document that is to be stored.
func checkDocument(kind policy.Kind, text string) error {
	if err := policy.Validate(kind, []byte(text)); err != nil {
		return iamapi.MalformedPolicyDocumentException("%s", err.(*policy.ValidationError).Message)
	}
	return nil
}

// pageSize is how many items a list holds where MaxItems does not say.
const pageSize = 100

// pageOf cuts one page out of all items, which come ordered by key.
func pageOf[T any](c *gateway.Call, marker *string, maxItems *int32, all iter.Seq2[string, T]) (items []T, truncated *bool, next *string, err error) {
	after, ok := c.After(marker)
	if !ok {
		return nil, nil, nil, api.Validation("Invalid Marker.")
	}
	size := pageSize
	if maxItems != nil {
		size = int(*maxItems)
	}
	items = []T{} // an empty list is answered as one
	last := ""
	for key, v := range all {
		if key <= after {
			continue
		}
		if len(items) == size {
			return items, api.Ptr(true), c.NextToken(last), nil
		}
		items, last = append(items, v), key
	}
	return items, api.Ptr(false), nil, nil
}

// under yields the items whose path begins with a prefix, converted.
func under[D, T any](all iter.Seq2[string, *D], pathOf func(*D) string, prefix *string, show func(*D) T) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for key, d := range all {
			if strings.HasPrefix(pathOf(d), api.Value(prefix)) && !yield(key, show(d)) {
				return
			}
		}
	}
}

// listed yields values in their order, each under itself as key.
func listed[T any](values []T, key func(T) string) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, v := range values {
			if !yield(key(v), v) {
				return
			}
		}
	}
}
