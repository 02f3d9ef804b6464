package authz

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// Principals knows which users and roles there are. Services bind the
// principals of resource-based policies by it; service/iam implements it.
type Principals interface {
	// PrincipalID gives the unique id of a user (AIDA...) or role (AROA...) by
	// its own ARN, path and case included, and AROA...:SESSION for the ARN of a
	// role session; false where there is none.
	PrincipalID(r store.Reader, principalARN string) (id string, ok bool)
	// PrincipalARN gives the ARN that the owner of such an id has now; false
	// where it does not exist any more.
	PrincipalARN(r store.Reader, account, id string) (principalARN string, ok bool)
}

// Bound are the principals of one policy that were users, roles or sessions of
// roles when it was saved: from the principal as it is written to its unique
// id. It is stored beside the policy. Whoever is deleted, and created again
// under the same name, is not the principal that the policy means.
//
//	save      BindPrincipals  -> Bound, kept beside the text
//	evaluate  Bound.Parse     -> the text with ids in the place of ARNs
//	show      Bound.Show      -> the text with ARNs of today; ids of who is gone
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
type Bound map[string]string

// BindPrincipals binds the principals of a trust policy or resource-based
// policy that is to be saved in an account. Its grammar is for policy.Validate,
// before.
//
// missing are the principals that cannot be: users, roles and unique ids that
// do not exist in this account, groups, services that are not named like one.
// The policy must not be saved then; each service has its own error for that.
// A user or role of another account is bound where that account is served
// here, and else stays as it is written: AWS refuses one that does not exist.
//
// err says that the text cannot be read, and so not be saved either.
func BindPrincipals(r store.Reader, who Principals, account string, kind policy.Kind, text string) (bound Bound, missing []policy.NamedPrincipal, err error) {
	doc, err := policy.Parse(kind, []byte(text))
	if err != nil {
		return nil, nil, err
	}
	for _, p := range doc.Principals() {
		id, ok := bind(r, who, account, p)
		switch {
		case !ok:
			missing = append(missing, p)
		case id != "":
			if bound == nil {
				bound = Bound{}
			}
			bound[p.Text] = id
		}
	}
	// What cannot be rewritten could not be bound.
	if _, err := RewritePrincipals(text, func(s string) string { return s }); err != nil {
		return nil, nil, err
	}
	return bound, missing, nil
}

// bind finds the unique id of a principal, "" for one that has none; false for
// one that cannot be.
func bind(r store.Reader, who Principals, account string, p policy.NamedPrincipal) (id string, ok bool) {
	switch p.Kind {
	case "Service":
		name, suffix, found := strings.Cut(p.Text, ".amazonaws.com")
		return "", found && name != "" && suffix == "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
	case "AWS":
	default:
		return "", true
	}
	a, err := arn.Parse(p.Text)
	if err != nil { // "*", an account, or a unique id
		if p.Text == "*" || strings.Trim(p.Text, "0123456789") == "" {
			return "", true
		}
		// An id is bound to itself: shown, it is the ARN of who it belongs to.
		_, ok := who.PrincipalARN(r, account, p.Text)
		return p.Text, ok
	}
	if id, ok := who.PrincipalID(r, p.Text); ok {
		return id, true
	}
	switch kind, _ := a.Type(); {
	case a.Account == account:
		return "", a.Service == "sts" && kind == "federated-user"
	case a.Service == "iam":
		return "", kind == "role" || kind == "user"
	default:
		return "", a.Service == "sts"
	}
}

// Parse compiles the policy as it binds: principals that were bound are named
// by their unique ids. A document that cannot be read is nil, which denies.
func (b Bound) Parse(kind policy.Kind, text string) *policy.Document {
	text, err := RewritePrincipals(text, func(as string) string {
		if id := b[as]; id != "" {
			return id
		}
		return as
	})
	if err != nil {
		return nil
	}
	// What does not parse stays in the document's diagnostics, and denies.
	doc, _ := policy.Parse(kind, []byte(text))
	return doc
}

// Show is the policy as answers show it: as it was given, but a principal that
// was renamed under its new ARN, and one that was deleted by its unique id.
func (b Bound) Show(r store.Reader, who Principals, account, text string) string {
	var now map[string]string
	for _, as := range slices.Sorted(maps.Keys(b)) {
		id := b[as]
		of := account
		if a, err := arn.Parse(as); err == nil {
			of = a.Account
		}
		shown, ok := who.PrincipalARN(r, of, id)
		if !ok {
			shown = id
		}
		if shown != as {
			if now == nil {
				now = map[string]string{}
			}
			now[as] = shown
		}
	}
	if now == nil {
		return text
	}
	out, err := RewritePrincipals(text, func(as string) string {
		if n := now[as]; n != "" {
			return n
		}
		return as
	})
	if err != nil {
		return text
	}
	return out
}

// PrincipalText is how IAM names a principal in an error:
// "AWS":"arn:aws:iam::111122223333:role/gone".
func PrincipalText(p policy.NamedPrincipal) string {
	kind := p.Kind
	if kind == "Service" {
		kind = "SERVICE" // as AWS prints it
	}
	return `"` + kind + `":"` + p.Text + `"`
}

// RewritePrincipals replaces the AWS principals of a policy document and leaves
// every other byte as it is. An error says that the text is not JSON.
func RewritePrincipals(text string, replace func(string) string) (string, error) {
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
