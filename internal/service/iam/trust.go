package iam

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// checkTrust checks a trust policy that is to be saved and binds the roles and
// users that it names to their unique ids. Whoever is deleted and created again
// under the same name is not trusted.
//
// Principals of this account must exist. AWS demands it of every account's;
// another account is bound where it is here, and taken as written where not.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func checkTrust(c *gateway.Call, text string) (bound map[string]string, err error) {
	if err := checkDocument(policy.KindTrust, text); err != nil {
		return nil, err
	}
	if policy.Size([]byte(text)) > policy.MaxTrustPolicySize {
		return nil, iamapi.LimitExceededException("Cannot exceed quota for ACLSizePerRole: %d", policy.MaxTrustPolicySize)
	}
	doc, perr := policy.Parse(policy.KindTrust, []byte(text))
	if perr != nil {
		return nil, iamapi.MalformedPolicyDocumentException("Syntax errors in policy.").Because(perr)
	}
	for _, p := range doc.Principals() {
		id, ok := bind(c.Tx, c.Account, p)
		if !ok {
			kind := p.Kind
			if kind == "Service" {
				kind = "SERVICE" // as AWS prints it
			}
			return nil, iamapi.MalformedPolicyDocumentException(`Invalid principal in policy: "%s":"%s"`, kind, p.Text)
		}
		if id != "" {
			if bound == nil {
				bound = map[string]string{}
			}
			bound[p.Text] = id
		}
	}
	// What cannot be rewritten could not be bound.
	if _, err := rewritePrincipals(text, func(s string) string { return s }); err != nil {
		return nil, iamapi.MalformedPolicyDocumentException("This policy contains invalid Json").Because(err)
	}
	return bound, nil
}

// bind finds the unique id of a principal, "" for one that has none; false for
// one that cannot be.
func bind(r store.Reader, account string, p policy.NamedPrincipal) (id string, ok bool) {
	switch p.Kind {
	case "Service":
		name, suffix, found := strings.Cut(p.Text, ".amazonaws.com")
		return "", found && name != "" && suffix == "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
	case "AWS":
	default:
		return "", true
	}
	if strings.HasPrefix(p.Text, "AROA") || strings.HasPrefix(p.Text, "AIDA") {
		_, isRole := roleByID(r, gateway.Global(account), p.Text)
		_, isUser := userByID(r, gateway.Global(account), p.Text)
		return "", isRole || isUser
	}
	a, err := arn.Parse(p.Text)
	if err != nil { // "*" or an account
		return "", p.Text == "*" || strings.Trim(p.Text, "0123456789") == ""
	}
	if a.Service != "iam" {
		return "", a.Service == "sts"
	}
	if d, ok := roleByARN(r, p.Text); ok {
		return d.ID, true
	}
	if d, ok := userByARN(r, p.Text); ok {
		return d.ID, true
	}
	kind, _ := a.Type()
	return "", a.Account != account && (kind == "role" || kind == "user")
}

// shownTrust is the trust policy as answers show it: as it was given, but a
// principal that was renamed under its new ARN, and one that was deleted by
// its unique id.
func shownTrust(r store.Reader, d *Role) string {
	now := map[string]string{}
	for as, id := range d.Bound {
		if shown := arnOf(r, as, id); shown != as {
			now[as] = shown
		}
	}
	if len(now) == 0 {
		return d.Trust
	}
	text, err := rewritePrincipals(d.Trust, func(s string) string {
		if n := now[s]; n != "" {
			return n
		}
		return s
	})
	if err != nil {
		return d.Trust
	}
	return text
}

// arnOf is the ARN that the owner of a unique id has now, or the id where it
// is gone.
func arnOf(r store.Reader, as, id string) string {
	a, err := arn.Parse(as)
	if err != nil {
		return as
	}
	shard := gateway.Global(a.Account)
	if d, ok := roleByID(r, shard, id); ok {
		return d.ARN
	}
	if d, ok := userByID(r, shard, id); ok {
		return d.ARN
	}
	return id
}

// rewritePrincipals replaces the AWS principals of a policy document and leaves
// every other byte as it is.
func rewritePrincipals(text string, replace func(string) string) (string, error) {
	var (
		out  strings.Builder
		done int64 // what of text is in out
		w    = walker{dec: json.NewDecoder(strings.NewReader(text))}
	)
	for {
		before := w.dec.InputOffset()
		value, principal, err := w.next()
		switch {
		case errors.Is(err, io.EOF):
			if len(w.stack) > 0 {
				return "", io.ErrUnexpectedEOF
			}
			out.WriteString(text[done:])
			return out.String(), nil
		case err != nil:
			return "", err
		}
		if !principal {
			continue
		}
		with := replace(value)
		if with == value {
			continue
		}
		quoted, err := json.Marshal(with)
		if err != nil {
			return "", err
		}
		end := w.dec.InputOffset()
		start := before + int64(strings.IndexByte(text[before:end], '"'))
		out.WriteString(text[done:start])
		out.Write(quoted)
		done = end
	}
}

// walker goes through the tokens of a policy document and knows when it is at
// Statement / Principal or NotPrincipal / AWS.
type walker struct {
	dec   *json.Decoder
	stack []level
}

type level struct {
	array bool
	key   string // the member that is being read
	named bool   // key has been read, its value not
}

// next reads a token. principal says that value is an AWS principal.
func (w *walker) next() (value string, principal bool, err error) {
	tok, err := w.dec.Token()
	if err != nil {
		return "", false, err
	}
	top := len(w.stack) - 1
	switch t := tok.(type) {
	case json.Delim:
		switch t {
		case '{', '[':
			w.stack = append(w.stack, level{array: t == '['})
			return "", false, nil
		}
		w.stack = w.stack[:top]
	case string:
		if top >= 0 && !w.stack[top].array && !w.stack[top].named {
			w.stack[top].key, w.stack[top].named = t, true
			return "", false, nil
		}
		value, principal = t, w.atPrincipal()
	}
	// A value has ended: of an object's member, the next string is a name.
	if n := len(w.stack) - 1; n >= 0 && !w.stack[n].array {
		w.stack[n].named = false
	}
	return value, principal, nil
}

func (w *walker) atPrincipal() bool {
	var keys [3]string
	n := 0
	for _, l := range w.stack {
		if l.array {
			continue
		}
		if n == len(keys) {
			return false
		}
		keys[n] = l.key
		n++
	}
	return n == 3 && keys[0] == "Statement" && (keys[1] == "Principal" || keys[1] == "NotPrincipal") && keys[2] == "AWS"
}
