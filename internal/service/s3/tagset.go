package s3

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/s3api"
	"github.com/remit-ecs/remit/internal/gateway"
)

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
const (
	maxObjectTags = 10
	maxBucketTags = 50
)

func invalidTag(text string) *api.Error {
	return clientError("InvalidTag", http.StatusBadRequest, text)
}

func fromAPI(in []s3api.Tag) []tag {
	var out []tag
	for _, t := range in {
		out = append(out, tag{api.Value(t.Key), api.Value(t.Value)})
	}
	return out
}

func toAPI(in []tag) []s3api.Tag {
	out := []s3api.Tag{}
	for _, t := range in {
		out = append(out, s3api.Tag{Key: &t.Key, Value: &t.Value})
	}
	return out
}

// parseTagging reads the x-amz-tagging header, which is a query string.
func parseTagging(header *string) ([]tag, error) {
	var tags []tag
	for pair := range strings.SplitSeq(api.Value(header), "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		if err != nil {
			return nil, invalidArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
		}
		value, err := url.QueryUnescape(v)
		if err != nil || !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, invalidArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
		}
		tags = append(tags, tag{key, value})
	}
	return tags, nil
}

// checkTags refuses a tag set that breaks the rules.
func checkTags(tags []tag, most int) error {
	if len(tags) > most {
		if most == maxObjectTags {
			return clientError("BadRequest", http.StatusBadRequest, "Object tags cannot be greater than 10")
		}
		return clientError("BadRequest", http.StatusBadRequest, "Bucket tag count cannot be greater than 50")
	}
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case seen[t.Key]:
			return invalidTag("Cannot provide multiple Tags with the same key").With("TagKey", t.Key)
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128:
			return invalidTag("The TagKey you have provided is invalid").With("TagKey", t.Key)
		case utf8.RuneCountInString(t.Value) > 256:
			return invalidTag("The TagValue you have provided is invalid").With("TagKey", t.Key).With("TagValue", t.Value)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return invalidTag("System tags cannot be added/updated by requester").With("TagKey", t.Key)
		}
		seen[t.Key] = true
	}
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = t.Key
	}
	if gateway.AmbiguousTags(names) != nil {
		return invalidTag("Cannot provide multiple Tags with the same key")
	}
	return nil
}

// tagKeys adds the condition keys of tags: one for each under prefix, and the
// list of their keys under all.
func tagKeys(k keys, prefix, all string, tags []tag) keys {
	for _, t := range tags {
		k[prefix+strings.ToLower(t.Key)] = []string{t.Value}
		if all != "" {
			k[all] = append(k[all], t.Key)
		}
	}
	return k
}

func requestTags(k keys, tags []tag) keys {
	return tagKeys(k, "s3:requestobjecttag/", "s3:requestobjecttagkeys", tags)
}

func existingTags(k keys, o *object) keys {
	if o == nil {
		return k
	}
	return tagKeys(k, "s3:existingobjecttag/", "", o.Tags)
}
