package organization

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/policy"
)

// The members of the file that attach policies.
const (
	scpMember = "serviceControlPolicies"
	rcpMember = "resourceControlPolicies"
)

var policyID = regexp.MustCompile(`^p-[0-9a-z]{8,128}$`)

// kind is a type of control policies.
type kind struct {
	member   string // of the file
	arnType  string // in ARNs
	document policy.Kind
	layer    policy.Layer
	maxSize  int
	full     policy.Attached // AWS's own, which allows everything
}

var (
	scpKind = &kind{scpMember, "service_control_policy", policy.KindSCP, policy.LayerSCP, policy.MaxSCPSize,
		managed("service_control_policy", "FullAWSAccess", policy.KindSCP, policy.LayerSCP,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)}
	rcpKind = &kind{rcpMember, "resource_control_policy", policy.KindRCP, policy.LayerRCP, policy.MaxRCPSize,
		managed("resource_control_policy", "RCPFullAWSAccess", policy.KindRCP, policy.LayerRCP,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`)}
)

// managed is a policy that AWS manages.
func managed(arnType, name string, document policy.Kind, layer policy.Layer, text string) policy.Attached {
	d, err := policy.Parse(document, []byte(text))
	if err != nil {
		panic(err) // a constant
	}
	return policy.Attached{Layer: layer, ARN: "arn:aws:organizations::aws:policy/" + arnType + "/p-" + name, Name: name, Document: d}
}

// controlPolicy is a policy of the file, which may be attached in many places.
type controlPolicy struct {
	attached policy.Attached
	text     []byte
	at       string // where it was met first
}

// attach adds the policies of a root, organizational unit or account to those
// above it.
//
// Where the file has no serviceControlPolicies, FullAWSAccess is attached, as
// AWS attaches it to whatever is new. Where it has, exactly these are; as on AWS
// there is at least one. RCPFullAWSAccess is always attached: AWS lets nobody
// detach it.
func (p *parser) attach(l *level, m map[string]*node, path string) *fault {
	scp := []policy.Attached{scpKind.full}
	if m[scpMember] != nil {
		var err *fault
		if scp, err = p.attached(scpKind, m, path); err != nil {
			return err
		}
		if len(scp) == 0 {
			return faultAt(m[scpMember].start, join(path, scpMember), "is empty: without a policy nothing is allowed, and AWS lets nobody detach the last one; name FullAWSAccess, or leave the member out")
		}
	}
	rcp, err := p.attached(rcpKind, m, path)
	if err != nil {
		return err
	}
	if len(rcp) == 0 || rcp[0].ARN != rcpKind.full.ARN {
		rcp = append([]policy.Attached{rcpKind.full}, rcp...)
	}
	if len(rcp) > maxAttached {
		return faultAt(m[rcpMember].start, join(path, rcpMember), "names more than %d policies besides RCPFullAWSAccess, which counts too", maxAttached-1)
	}
	l.scp, l.rcp = below(l.scp, scp), below(l.rcp, rcp)
	return nil
}

// attached reads a list of policies.
func (p *parser) attached(k *kind, m map[string]*node, in string) ([]policy.Attached, *fault) {
	list, err := p.list(m, in, k.member)
	if err != nil {
		return nil, err
	}
	if len(list) > maxAttached {
		return nil, faultAt(m[k.member].start, join(in, k.member), "names %d policies; at most %d can be attached in one place", len(list), maxAttached)
	}
	var out []policy.Attached
	for i := range list {
		where := at(join(in, k.member), i)
		a, err := p.policy(k, &list[i], where)
		if err != nil {
			return nil, err
		}
		for _, b := range out {
			if a.ARN == b.ARN {
				return nil, faultAt(list[i].start, where, "%s is attached twice", a.Name)
			}
		}
		if a.ARN == k.full.ARN {
			out = append([]policy.Attached{a}, out...)
		} else {
			out = append(out, a)
		}
	}
	return out, nil
}

// policy reads one item of a list: the name of AWS's own policy, the name of a
// file, or an object with a name and either a file or the document itself.
func (p *parser) policy(k *kind, n *node, where string) (policy.Attached, *fault) {
	if n.kind == '"' {
		if n.text == k.full.Name {
			return k.full, nil
		}
		text, err := p.read(n, where)
		if err != nil {
			return policy.Attached{}, err
		}
		return p.enter(k, n, where, strings.TrimSuffix(path.Base(n.text), ".json"), "", n.text, text)
	}
	m, err := p.members(n, where, "name", "id", "file", "document")
	if err != nil {
		return policy.Attached{}, err
	}
	name, err := p.str(m, where, "name")
	if err != nil {
		return policy.Attached{}, err
	}
	if name == "" || utf8.RuneCountInString(name) > 128 {
		return policy.Attached{}, faultAt(n.start, join(where, "name"), "a policy has a name of 1 to 128 characters")
	}
	if name == k.full.Name {
		return policy.Attached{}, faultAt(m["name"].start, join(where, "name"), "%s is AWS's own policy: write it as a string", name)
	}
	id, err := p.id(n, m, where, "id", policyID, false)
	if err != nil {
		return policy.Attached{}, err
	}
	file, document := m["file"], m["document"]
	switch {
	case (file == nil) == (document == nil):
		return policy.Attached{}, faultAt(n.start, where, "needs either file or document")
	case document != nil:
		return p.enter(k, document, join(where, "document"), name, id, "", document.alone(p.text))
	case file.kind != '"':
		return policy.Attached{}, faultAt(file.start, join(where, "file"), "is %s and not a string", file.what())
	}
	text, err := p.read(file, join(where, "file"))
	if err != nil {
		return policy.Attached{}, err
	}
	return p.enter(k, file, where, name, id, file.text, text)
}

// read reads a policy's file.
func (p *parser) read(n *node, where string) ([]byte, *fault) {
	if !fs.ValidPath(n.text) || n.text == "." {
		return nil, faultAt(n.start, where, "%q is not the name of a file below the directory of this one (a/b.json: no .., no leading /)", n.text)
	}
	f, err := p.files.Open(n.text)
	if err != nil {
		return nil, faultAt(n.start, where, "%q cannot be read: %s", n.text, reason(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, faultAt(n.start, where, "%q cannot be read: %s", n.text, reason(err))
	case len(text) > maxFile:
		return nil, faultAt(n.start, where, "%q is larger than %d bytes", n.text, maxFile)
	}
	return text, nil
}

// enter checks a policy and makes it one that can be attached. file is empty
// for a document that stands in the accounts file itself.
func (p *parser) enter(k *kind, n *node, where, name, id, file string, text []byte) (policy.Attached, *fault) {
	if id == "" {
		id = "p-" + derived(8, p.d.organizationID, k.arnType, name)
	}
	a := policy.Attached{Layer: k.layer, Name: name, ARN: fmt.Sprintf("arn:aws:organizations::%s:policy/%s/%s/%s", p.d.management, p.d.organizationID, k.arnType, id)}
	// A policy attached in several places is one policy: with the name, and with
	// the id, goes the document.
	known := p.policies[k.arnType+" "+name]
	if known == nil {
		known = p.policies[k.arnType+" "+id]
	}
	if known != nil {
		if known.attached.ARN != a.ARN || known.attached.Name != name || !sameJSON(known.text, text) {
			return a, faultAt(n.start, where, "the policy %s (%s) is not the same as at %s", name, id, known.at)
		}
		return known.attached, nil
	}
	fail := func(at int, format string, args ...any) (policy.Attached, *fault) {
		err := faultAt(n.start, where, format, args...)
		if file != "" {
			line, column := place(text, at)
			p.elsewhere = &Error{File: file, Line: line, Column: column, Reason: err.reason}
		} else {
			err.at = max(at, n.start)
		}
		return a, err
	}
	d, _ := policy.Parse(k.document, text)
	if len(d.Diagnostics) > 0 {
		return fail(d.Diagnostics[0].At.Offset, "%s", d.Diagnostics[0].Text)
	}
	if err := policy.Validate(k.document, text); err != nil {
		return fail(0, "%s", strings.TrimPrefix(err.Error(), "MalformedPolicyDocument: "))
	}
	if size := policy.Size(text); size > k.maxSize {
		return fail(0, "the policy has %d characters without white space, more than %d", size, k.maxSize)
	}
	a.Document = d
	known = &controlPolicy{attached: a, text: text, at: where}
	p.policies[k.arnType+" "+name], p.policies[k.arnType+" "+id] = known, known
	return a, nil
}

// sameJSON compares documents without regard to white space.
func sameJSON(a, b []byte) bool {
	var ca, cb bytes.Buffer
	return json.Compact(&ca, a) == nil && json.Compact(&cb, b) == nil && bytes.Equal(ca.Bytes(), cb.Bytes())
}

// lowercase is base32 with the characters of Organizations' ids.
var lowercase = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// derived makes n characters of an id that the file does not give: the same
// for the same names.
func derived(n int, names ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	return lowercase.EncodeToString(sum[:])[:n]
}
