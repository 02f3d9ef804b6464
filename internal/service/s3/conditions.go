package s3

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
)

// conditions are the preconditions of a read, or of the source of a copy.
type conditions struct {
	match, noneMatch             *string
	modifiedSince, unmodifiedSin *api.Time
}

// check evaluates them in the order of RFC 9110, section 13.2.2. fresh is what
// is answered to a reader whose copy is still good.
func (p conditions) check(o *object, fresh func(condition string) *api.Error) error {
	modified := o.Modified.Truncate(time.Second)
	switch {
	case p.match != nil:
		if !etagMatches(*p.match, o.ETag) {
			return preconditionFailed("If-Match")
		}
	case p.unmodifiedSin != nil:
		if modified.After(p.unmodifiedSin.Time) {
			return preconditionFailed("If-Unmodified-Since")
		}
	}
	switch {
	case p.noneMatch != nil:
		if etagMatches(*p.noneMatch, o.ETag) {
			return fresh("If-None-Match")
		}
	case p.modifiedSince != nil:
		if !modified.After(p.modifiedSince.Time) {
			return fresh("If-Modified-Since")
		}
	}
	return nil
}

// etagMatches tells whether a list of entity tags, or "*", holds the tag.
func etagMatches(list, etag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		t = strings.TrimPrefix(strings.TrimSpace(t), "W/")
		if t == "*" || strings.Trim(t, `"`) == etag {
			return true
		}
	}
	return false
}

// mayReplace checks the preconditions of a write over what is there now.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
func mayReplace(c conditionalWrite, now *object, key string) error {
	if c.noneMatch != nil {
		if *c.noneMatch != "*" {
			return notServed("If-None-Match with an ETag")
		}
		if now != nil {
			return preconditionFailed("If-None-Match")
		}
	}
	if c.match != nil {
		if now == nil {
			return noSuchKey(key)
		}
		if !etagMatches(*c.match, now.ETag) {
			return preconditionFailed("If-Match")
		}
	}
	return nil
}

type conditionalWrite struct{ match, noneMatch *string }

// any tells whether the write depends on what is there. One that does not does
// not read it, so that writers of one key do not run into each other.
func (c conditionalWrite) any() bool { return c.match != nil || c.noneMatch != nil }

// span is the stretch of an object that is asked for.
type span struct {
	offset, size int64
	partial      bool
	parts        int32 // number of parts, where one was asked for
}

func (r span) header(total int64) *string {
	if !r.partial {
		return nil
	}
	return api.Ptr("bytes " + strconv.FormatInt(r.offset, 10) + "-" + strconv.FormatInt(r.offset+r.size-1, 10) + "/" + strconv.FormatInt(total, 10))
}

// stretch finds what Range or partNumber ask for. A Range that cannot be read,
// or that names several stretches, is passed over, as S3 does.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func stretch(o *object, header *string, number *int32) (span, error) {
	whole := span{size: o.Size}
	switch {
	case header != nil && number != nil:
		return whole, invalidRequest("Cannot specify both Range header and partNumber query parameter")
	case number != nil:
		return partSpan(o, *number)
	case header == nil:
		return whole, nil
	}
	spec, ok := strings.CutPrefix(strings.TrimSpace(*header), "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || strings.Contains(last, ",") {
		return whole, nil
	}
	unsatisfiable := clientError("InvalidRange", http.StatusRequestedRangeNotSatisfiable, "The requested range is not satisfiable").
		With("RangeRequested", *header).With("ActualObjectSize", o.Size)
	if first == "" { // the last n bytes
		n, ok := number63(last)
		switch {
		case !ok:
			return whole, nil
		case n == 0 || o.Size == 0:
			return whole, unsatisfiable
		}
		n = min(n, o.Size)
		return span{offset: o.Size - n, size: n, partial: true}, nil
	}
	from, ok := number63(first)
	to := o.Size - 1
	if last != "" && ok {
		var end int64
		if end, ok = number63(last); end < from {
			ok = false
		}
		to = min(to, end)
	}
	switch {
	case !ok:
		return whole, nil
	case from >= o.Size:
		return whole, unsatisfiable
	}
	return span{offset: from, size: to - from + 1, partial: true}, nil
}

// number63 reads a number, taking one that is too large for the largest.
func number63(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 63)
	if err != nil {
		return 1<<62 - 1, true
	}
	return n, true
}

func partSpan(o *object, number int32) (span, error) {
	if number < 1 || number > maxParts {
		return span{}, invalidArgument("Part number must be an integer between 1 and 10000, inclusive")
	}
	if o.Parts == nil && number == 1 {
		return span{size: o.Size, partial: o.Size > 0}, nil
	}
	if int(number) > len(o.Parts) {
		return span{}, clientError("InvalidPartNumber", http.StatusRequestedRangeNotSatisfiable, "The requested partnumber is not satisfiable")
	}
	r := span{parts: int32(len(o.Parts)), partial: o.Size > 0}
	for i := range number - 1 {
		r.offset += o.Parts[i].Size
	}
	r.size = o.Parts[number-1].Size
	return r, nil
}
