package simulation

import (
	"encoding/base64"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
)

// ContextEntries checks the context entries of a request: each key once, with a
// type, as many values as the type has, each of them what the type says. They
// are returned by lower-case key. The error is an *api.Error, InvalidInput.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_ContextEntry.html
func ContextEntries(entries []iamapi.ContextEntry) (map[string][]string, error) {
	out := make(map[string][]string, len(entries))
	for i := range entries {
		e := &entries[i]
		name := api.Value(e.ContextKeyName)
		switch {
		case name == "" && e.ContextKeyType == "" && len(e.ContextKeyValues) == 0:
			continue // nothing of it is on the wire
		case name == "":
			return nil, iamapi.InvalidInputException("ContextKeyName cannot be null or empty.")
		}
		key := strings.ToLower(name)
		if _, twice := out[key]; twice {
			return nil, iamapi.InvalidInputException("Duplicate context key: %s.", name)
		}
		if e.ContextKeyType == "" {
			return nil, iamapi.InvalidInputException("Context key %s has invalid type null.", name)
		}
		if len(e.ContextKeyValues) == 0 {
			return nil, iamapi.InvalidInputException("Context values for context key %s cannot be null or empty.", name)
		}
		kind, list := strings.CutSuffix(string(e.ContextKeyType), "List")
		if !list && len(e.ContextKeyValues) != 1 {
			// AWS names the type where it means the key.
			return nil, iamapi.InvalidInputException("Context key %s expected a single value, but received %d.", e.ContextKeyType, len(e.ContextKeyValues))
		}
		t, known := valueTypes[kind]
		if !known {
			return nil, iamapi.InvalidInputException("Context key %s has invalid type %s.", name, e.ContextKeyType)
		}
		for _, v := range e.ContextKeyValues {
			if !t.is(v) {
				return nil, iamapi.InvalidInputException("Invalid context value for key %s: expected %s.", name, t.name)
			}
		}
		out[key] = e.ContextKeyValues
	}
	return out, nil
}

// valueTypes are the types of context entries, lists left out, with what a
// refusal calls them.
var valueTypes = map[string]struct {
	name string
	is   func(string) bool
}{
	"string":  {"string format", func(string) bool { return true }},
	"numeric": {"numeric format", isNumeric},
	"boolean": {"boolean format", func(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }},
	"ip":      {"IP address", isIP},
	"binary":  {"base-64 encoded binary format", isBinary},
	"date":    {"DateTime format", isDate},
}

var numeric = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

func isNumeric(s string) bool { return numeric.MatchString(s) }

func isIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

// isBinary is strict: padded, in the standard alphabet, without line breaks.
func isBinary(s string) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && !strings.ContainsAny(s, "\r\n")
}

// dateLayouts are the W3C forms of ISO 8601, from the year down to the fraction
// of a second, which time.Parse takes unasked.
var dateLayouts = [...]string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04", "2006-01-02T15:04:05"}

func isDate(s string) bool {
	for _, layout := range dateLayouts {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	_, err := strconv.ParseInt(s, 10, 64) // seconds since 1970
	return err == nil
}
