// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
)

// Recognise finds the operation that a request calls: by X-Amz-Target, by
// Action and Version, or, for S3, by method, path and query.
//
// signingName is the service in the request's credential scope, "" for an
// unsigned request. Where it names another service than the request does, the
// request is refused: a signature made for one service must not open another.
// body is looked at only for forms.
//
// With an error the operation is nil where not even the service is known;
// otherwise it tells the service, and the name where the caller gave one, so
// that the refusal can be spelled and recorded.
func Recognise(services []*api.Service, r *http.Request, signingName string, body []byte) (*api.OpInfo, *api.Error) {
	if targets := r.Header.Values("X-Amz-Target"); len(targets) > 0 {
		return byTarget(services, r, signingName, targets)
	}
	signed := bySigningName(services, signingName)
	if signed == nil && signingName != "" {
		return nil, api.UnknownOperation("There is no service '" + clip(signingName) + "' here.")
	}
	if r.Method == http.MethodPost && isForm(r.Header) || r.URL.Query().Has("Action") {
		if signed == nil || signed.Protocol == api.Query {
			return byAction(services, r, signed, body)
		}
	}
	if signed == nil {
		for _, s := range services {
			if s.Protocol == api.RestXML {
				signed = s
			}
		}
	}
	if signed == nil {
		return nil, api.UnknownOperation("The request names no operation.")
	}
	if signed.Protocol == api.RestXML {
		return byRoute(signed, r)
	}
	return unknown(signed, ""), api.UnknownOperation("The request names no operation.")
}

func bySigningName(services []*api.Service, name string) *api.Service {
	for _, s := range services {
		if s.SigningName == name {
			return s
		}
	}
	return nil
}

// unknown stands for an operation that does not exist, so that the refusal is
// spelled as the service's clients expect.
func unknown(s *api.Service, name string) *api.OpInfo {
	if len(name) > 128 {
		name = ""
	}
	for i := range len(name) {
		c := name[i] | 0x20
		if (c < 'a' || c > 'z') && (name[i] < '0' || name[i] > '9') {
			name = ""
			break
		}
	}
	return &api.OpInfo{Service: s, Name: name, Method: http.MethodPost, URI: "/", Input: -1, Output: -1}
}

func wrongScope(s *api.Service) *api.Error {
	return api.SignatureMismatch("Credential should be scoped to correct service: '" + s.SigningName + "'.")
}

func byTarget(services []*api.Service, r *http.Request, signingName string, targets []string) (*api.OpInfo, *api.Error) {
	prefix, name := "", targets[0]
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		prefix, name = name[:dot], name[dot+1:]
	}
	for _, s := range services {
		if !s.Protocol.IsJSON() || !isTarget(s.TargetPrefix, prefix) {
			continue
		}
		op := s.Op(name)
		switch {
		case op == nil:
			return unknown(s, name), api.UnknownOperation("")
		case len(targets) > 1 || r.Method != http.MethodPost:
			return op, api.UnknownOperation("An operation is called with POST and one X-Amz-Target.")
		case signingName != "" && signingName != s.SigningName:
			return op, wrongScope(s)
		}
		return op, nil
	}
	return nil, api.UnknownOperation("There is no service for the target '" + clip(targets[0]) + "'.")
}

func byAction(services []*api.Service, r *http.Request, signed *api.Service, body []byte) (*api.OpInfo, *api.Error) {
	f, err := formOf(r, body)
	if err != nil {
		if signed == nil {
			return nil, err
		}
		return unknown(signed, ""), err
	}
	name, version := f.get("Action"), f.get("Version")
	s := signed
	if s == nil { // an unsigned request, such as AssumeRoleWithWebIdentity
		for _, candidate := range services {
			if candidate.Protocol != api.Query || candidate.APIVersion != version {
				continue
			}
			if s == nil || candidate.Op(name) != nil {
				s = candidate
			}
		}
		if s == nil {
			return nil, notFound(name, version)
		}
	}
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return unknown(s, name), api.UnknownOperation("An action is called with POST or GET.")
	}
	op := s.Op(name)
	if op == nil || version != s.APIVersion {
		return unknown(s, name), notFound(name, version)
	}
	return op, nil
}

func notFound(name, version string) *api.Error {
	return api.UnknownOperation("Could not find operation " + clip(orDefault(name, "NO_ACTION_SPECIFIED")) +
		" for version " + clip(orDefault(version, "NO_VERSION_SPECIFIED")))
}

// byRoute chooses among the operations with the request's method and kind of
// place (service, bucket, object) the one that asks for the most of what is
// there: fixed query keys such as ?tagging, and required query parameters and
// headers, which tell UploadPart from PutObject.
//
// A key that selects operations but that the chosen one does not know is an
// error: DELETE /bucket?foo where ?foo selects something that cannot be deleted
// must not delete the bucket.
func byRoute(s *api.Service, r *http.Request) (*api.OpInfo, *api.Error) {
	where, perr := locate(r)
	if perr != nil {
		return unknown(s, ""), perr
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return unknown(s, ""), api.Validation("The query string is not correctly URL-encoded.")
	}
	path := "/"
	switch {
	case where.key != "":
		path = "/{Bucket}/{Key+}"
	case where.bucket != "":
		path = "/{Bucket}"
	}
	var best *api.OpInfo
	score := -1
	for _, op := range s.Ops {
		template, fixed, _ := strings.Cut(op.URI, "?")
		if op.Method != r.Method || template != path {
			continue
		}
		if n := routeScore(op, fixed, query, r.Header); n > score {
			best, score = op, n
		}
	}
	if best == nil {
		return unknown(s, ""), api.UnknownOperation("The specified method is not allowed against this resource.")
	}
	for key := range query {
		if selects(s, key) && !knows(best, key) {
			return unknown(s, ""), api.UnknownOperation("The specified method is not allowed against this resource.")
		}
	}
	return best, nil
}

// routeScore counts what of an operation's demands the request meets; -1 where
// one is not met. An operation that is served wins over one that is not, among
// equals.
func routeScore(op *api.OpInfo, fixed string, query url.Values, h http.Header) int {
	score := 0
	for fixed != "" {
		var pair string
		pair, fixed, _ = strings.Cut(fixed, "&")
		key, value, _ := strings.Cut(pair, "=")
		if !query.Has(key) || value != "" && query.Get(key) != value {
			return -1
		}
		score += 2
	}
	if s := op.InputShape(); s != nil {
		for i := range s.Members {
			m := &s.Members[i]
			if !m.Required {
				continue
			}
			switch {
			case m.Location == api.LocationQuery && !query.Has(m.WireName()):
				return -1
			case m.Location == api.LocationHeader && strings.EqualFold(m.WireName(), copySource) && h.Get(copySource) == "":
				return -1
			case m.Location == api.LocationQuery, m.Location == api.LocationHeader && strings.EqualFold(m.WireName(), copySource):
				score += 2
			}
		}
	}
	if op.Served() {
		score++
	}
	return score
}

// copySource is the one header that selects operations: CopyObject and
// UploadPartCopy. Other required headers are a matter for Validate.
const copySource = "X-Amz-Copy-Source"

// selects reports whether a query key selects operations of the service.
func selects(s *api.Service, key string) bool {
	for _, op := range s.Ops {
		if inTemplate(op, key) {
			return true
		}
		if in := op.InputShape(); in != nil {
			for i := range in.Members {
				if m := &in.Members[i]; m.Required && m.Location == api.LocationQuery && m.WireName() == key {
					return true
				}
			}
		}
	}
	return false
}

// knows reports whether an operation has a query key, fixed or as a member.
func knows(op *api.OpInfo, key string) bool {
	if inTemplate(op, key) {
		return true
	}
	in := op.InputShape()
	if in == nil {
		return !op.Served() // its shape is not here to say
	}
	for i := range in.Members {
		if m := &in.Members[i]; m.Location == api.LocationQuery && m.WireName() == key {
			return true
		}
	}
	return false
}

func inTemplate(op *api.OpInfo, key string) bool {
	_, fixed, _ := strings.Cut(op.URI, "?")
	for fixed != "" {
		var pair string
		pair, fixed, _ = strings.Cut(fixed, "&")
		if k, _, _ := strings.Cut(pair, "="); k == key {
			return true
		}
	}
	return false
}

// isTarget compares the prefix of a target with the model's. CloudTrail's model
// qualifies it (com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101), and
// AWS takes it with and without; the Go SDK sends it without.
func isTarget(model, sent string) bool {
	return model == sent || strings.HasSuffix(model, "."+sent)
}
