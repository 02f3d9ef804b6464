package organization

import (
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/remit-ecs/remit/policy"
)

// What AWS Organizations allows.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
const (
	maxAttached = 5 // policies of a type at one root, organizational unit or account
	maxUnits    = 5 // levels of organizational units below the root

	maxFile = 4 << 20 // bytes of the file, and of a policy's; ours
)

var (
	accountID      = regexp.MustCompile(`^[0-9]{12}$`)
	organizationID = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)
	rootID         = regexp.MustCompile(`^r-[0-9a-z]{4,32}$`)
	unitID         = regexp.MustCompile(`^ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}$`)
)

// Error is what is wrong with the file, or with a policy that it names.
type Error struct {
	File         string // as given to Load, or the policy's
	Line, Column int    // from 1; 0 where the file cannot be read at all
	Path         string // "organization.root.accounts[0].id", empty for a policy's own file
	Reason       string
}

// Error says file, place and reason.
func (e *Error) Error() string {
	s := e.File
	if s == "" {
		s = "accounts"
	}
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		s += ": " + e.Path
	}
	return s + ": " + e.Reason
}

// Load reads the accounts of a file, and the policies that it names by files in
// its directory or below. The error is an *Error.
func Load(name string) (*Directory, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, &Error{File: name, Reason: reason(err)}
	}
	if info.Size() > maxFile {
		return nil, &Error{File: name, Reason: fmt.Sprintf("larger than %d bytes", maxFile)}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, &Error{File: name, Reason: reason(err)}
	}
	d, err := Parse(text, os.DirFS(filepath.Dir(name)))
	if e, ok := err.(*Error); ok {
		if e.File == "" {
			e.File = name
		} else {
			e.File = filepath.Join(filepath.Dir(name), filepath.FromSlash(e.File))
		}
	}
	return d, err
}

// reason is an error of the file system without the path, which Error names.
func reason(err error) string {
	if p, ok := err.(*fs.PathError); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// Parse reads the text of an accounts file; policies that it names by file are
// read from files. The error is an *Error, whose File is empty for the text
// itself and else the name in files.
func Parse(text []byte, files fs.FS) (*Directory, error) {
	p := &parser{text: text, files: files, d: &Directory{}, units: map[string]bool{}, accounts: map[string]string{}, policies: map[string]*controlPolicy{}}
	root, err := parseNode(text)
	if err == nil {
		err = p.file(root)
	}
	if err != nil {
		if p.elsewhere != nil {
			return nil, p.elsewhere
		}
		line, column := place(text, err.at)
		return nil, &Error{Line: line, Column: column, Path: err.path, Reason: err.reason}
	}
	p.d.index()
	return p.d, nil
}

type parser struct {
	text  []byte
	files fs.FS
	d     *Directory

	units    map[string]bool           // ids of roots and organizational units
	accounts map[string]string         // where an account stands
	policies map[string]*controlPolicy // by kind and name
	// elsewhere is the error where it is in a policy's own file.
	elsewhere *Error
}

// members takes an object apart by the names that may be there.
func (p *parser) members(n *node, path string, names ...string) (map[string]*node, *fault) {
	if n.kind != '{' {
		return nil, faultAt(n.start, path, "is %s and not an object", n.what())
	}
	out := map[string]*node{}
	for i := range n.members {
		m := &n.members[i]
		if !slices.Contains(names, m.name) {
			return nil, faultAt(m.at, join(path, m.name), "is unknown; known here: %s", strings.Join(names, ", "))
		}
		out[m.name] = &m.value
	}
	return out, nil
}

// join is the path of a member.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// text is the string of a member, empty where the member is not there.
func (p *parser) str(m map[string]*node, path, name string) (string, *fault) {
	n := m[name]
	if n == nil {
		return "", nil
	}
	if n.kind != '"' {
		return "", faultAt(n.start, join(path, name), "is %s and not a string", n.what())
	}
	return n.text, nil
}

// id is the string of a member that has to have a form.
func (p *parser) id(n *node, m map[string]*node, path, name string, form *regexp.Regexp, required bool) (string, *fault) {
	s, err := p.str(m, path, name)
	switch {
	case err != nil:
		return "", err
	case m[name] == nil && required:
		return "", faultAt(n.start, join(path, name), "is missing")
	case m[name] != nil && !form.MatchString(s):
		return "", faultAt(m[name].start, join(path, name), "%q does not have the form %s", s, strings.Trim(form.String(), "^$"))
	}
	return s, nil
}

func (p *parser) list(m map[string]*node, path, name string) ([]node, *fault) {
	n := m[name]
	if n == nil {
		return nil, nil
	}
	if n.kind != '[' {
		return nil, faultAt(n.start, join(path, name), "is %s and not an array", n.what())
	}
	return n.items, nil
}

// file reads the outermost object.
func (p *parser) file(n *node) *fault {
	m, err := p.members(n, "", "accounts", "organization")
	if err != nil {
		return err
	}
	if o := m["organization"]; o != nil {
		if err := p.organization(o); err != nil {
			return err
		}
	}
	list, err := p.list(m, "", "accounts")
	if err != nil {
		return err
	}
	for i := range list {
		if err := p.account(&list[i], at("accounts", i), nil); err != nil {
			return err
		}
	}
	if len(p.d.accounts) == 0 {
		return faultAt(n.start, "", "no account is named")
	}
	return nil
}

func (p *parser) organization(n *node) *fault {
	const path = "organization"
	m, err := p.members(n, path, "id", "managementAccount", "root")
	if err != nil {
		return err
	}
	if p.d.organizationID, err = p.id(n, m, path, "id", organizationID, true); err != nil {
		return err
	}
	if p.d.management, err = p.id(n, m, path, "managementAccount", accountID, true); err != nil {
		return err
	}
	if m["root"] == nil {
		return faultAt(n.start, join(path, "root"), "is missing")
	}
	if err := p.unit(m["root"], join(path, "root"), nil); err != nil {
		return err
	}
	if p.accounts[p.d.management] == "" {
		return faultAt(m["managementAccount"].start, join(path, "managementAccount"), "%s stands nowhere below root", p.d.management)
	}
	return nil
}

// level is the root or an organizational unit on the way down.
type level struct {
	depth    int    // 0 for the root
	rootID   string // without "r-": organizational units have it in their ids
	orgPath  string // o-.../r-.../ou-.../
	names    string // of the units, for ids that the file does not give
	scp, rcp [][]policy.Attached
}

// unit reads the root (above is nil) or an organizational unit, and everything
// below it.
func (p *parser) unit(n *node, path string, above *level) *fault {
	const units = "organizationalUnits"
	here := &level{}
	names := []string{"id", scpMember, rcpMember, "accounts", units}
	if above != nil {
		names = append([]string{"name"}, names...)
	}
	m, err := p.members(n, path, names...)
	if err != nil {
		return err
	}
	id := ""
	if above == nil {
		if id, err = p.id(n, m, path, "id", rootID, false); err != nil {
			return err
		}
		if id == "" {
			id = "r-" + derived(4, p.d.organizationID)
		}
		here.rootID, here.orgPath = strings.TrimPrefix(id, "r-"), p.d.organizationID+"/"
	} else {
		name, err := p.name(n, m, path)
		if err != nil {
			return err
		}
		if above.depth == maxUnits {
			return faultAt(n.start, path, "organizational units nest at most %d deep", maxUnits)
		}
		*here = *above
		here.depth++
		here.names += "/" + name
		if id, err = p.id(n, m, path, "id", unitID, false); err != nil {
			return err
		}
		if id == "" {
			id = "ou-" + here.rootID + "-" + derived(8, p.d.organizationID, here.names)
		}
		if !strings.HasPrefix(id, "ou-"+here.rootID+"-") {
			return faultAt(m["id"].start, join(path, "id"), "%q does not begin with ou-%s-, as the units below the root r-%[2]s do", id, here.rootID)
		}
	}
	if p.units[id] {
		at := n
		if m["id"] != nil {
			at = m["id"]
		} else if m["name"] != nil {
			at = m["name"]
		}
		return faultAt(at.start, path, "the organizational unit %s is there twice", id)
	}
	p.units[id] = true
	here.orgPath += id + "/"
	if err := p.attach(here, m, path); err != nil {
		return err
	}
	list, err := p.list(m, path, "accounts")
	if err != nil {
		return err
	}
	for i := range list {
		if err := p.account(&list[i], at(join(path, "accounts"), i), here); err != nil {
			return err
		}
	}
	if list, err = p.list(m, path, units); err != nil {
		return err
	}
	for i := range list {
		if err := p.unit(&list[i], at(join(path, units), i), here); err != nil {
			return err
		}
	}
	return nil
}

// name is the required name of an organizational unit.
func (p *parser) name(n *node, m map[string]*node, path string) (string, *fault) {
	s, err := p.str(m, path, "name")
	if err == nil && (s == "" || utf8.RuneCountInString(s) > 128) {
		at := n
		if m["name"] != nil {
			at = m["name"]
		}
		err = faultAt(at.start, join(path, "name"), "an organizational unit has a name of 1 to 128 characters")
	}
	return s, err
}

// account reads an account; in is nil outside the organization.
func (p *parser) account(n *node, path string, in *level) *fault {
	names := []string{"id", "name", "email"}
	if in != nil {
		names = append(names, scpMember, rcpMember)
	}
	m, err := p.members(n, path, names...)
	if err != nil {
		return err
	}
	var a Account
	if a.ID, err = p.id(n, m, path, "id", accountID, true); err != nil {
		return err
	}
	if before := p.accounts[a.ID]; before != "" {
		return faultAt(m["id"].start, join(path, "id"), "account %s is named twice: also %s", a.ID, before)
	}
	p.accounts[a.ID] = path
	if a.Name, err = p.str(m, path, "name"); err != nil {
		return err
	}
	if utf8.RuneCountInString(a.Name) > 50 {
		return faultAt(m["name"].start, join(path, "name"), "an account's name has at most 50 characters")
	}
	if a.Email, err = p.str(m, path, "email"); err != nil {
		return err
	}
	if m["email"] != nil {
		if e, merr := mail.ParseAddress(a.Email); merr != nil || e.Address != a.Email {
			return faultAt(m["email"].start, join(path, "email"), "%q is not an address", a.Email)
		}
	}
	if in != nil {
		here := *in
		if err := p.attach(&here, m, path); err != nil {
			return err
		}
		a.member, a.path, a.serviceCP, a.resource = true, []string{in.orgPath}, here.scp, here.rcp
	}
	p.d.accounts = append(p.d.accounts, a)
	return nil
}
