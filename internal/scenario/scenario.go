// Package scenario loads a directory that describes a task and its roles, and
// runs it: remit run's job.
//
// The directory is made of formats that users already have. roles.json is what
// `aws iam get-account-authorization-details` prints, task-definition.json what
// `aws ecs register-task-definition --cli-input-json` takes and
// `describe-task-definition` prints; scenario.json holds what no export does:
// images, secret values, objects.
//
// Everything is done through the public APIs with the AWS SDK, as the account's
// root or as the caller that the scenario names; the package has no way into
// the control plane that a user would not have.
//
// Nothing is silently granted. What the task's own roles or the caller are made
// of is loaded as it stands, or the load stops with its name. Other users and
// roles of the account that cannot be loaded are left out whole, which grants
// nothing, and a note says so.
package scenario

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/remit-ecs/remit/arn"
)

// DefaultRegion is used where neither scenario.json nor the registry of the
// images names one.
const DefaultRegion = "us-east-1"

// Scenario is a loaded directory.
type Scenario struct {
	Dir     string
	Account string
	Region  string
	Caller  string // "" or the root's ARN: the account's root; else the ARN of a user in Roles

	Images     map[string]Image             // by "REPOSITORY:TAG"
	Secrets    map[string]json.RawMessage   // by ARN or name; a JSON string is the value itself, anything else its JSON text
	Parameters map[string]Parameter         // by name
	Buckets    map[string]map[string]Object // by bucket, then key
	Subnets    []string
	Groups     []string // security groups

	Roles          *Authorization
	TaskDefinition *ecs.RegisterTaskDefinitionInput
}

// Image says where a container image comes from: exactly one field is set.
type Image struct {
	Package string `json:"package,omitempty"` // a Go main package, relative to the scenario
	Tarball string `json:"tarball,omitempty"` // as `docker save` or an OCI layout tool writes it
}

// Parameter is an SSM parameter.
type Parameter struct {
	Type  string `json:"type"` // String, StringList or SecureString; default String
	Value string `json:"value"`
}

// Object is an S3 object: exactly one field is set.
type Object struct {
	Text *string `json:"text,omitempty"`
	File string  `json:"file,omitempty"` // relative to the scenario
}

// file is scenario.json.
type file struct {
	Extends    string                       `json:"extends,omitempty"` // a directory that supplies whatever is not here
	Account    string                       `json:"account,omitempty"`
	Region     string                       `json:"region,omitempty"`
	Caller     string                       `json:"caller,omitempty"`
	Images     map[string]Image             `json:"images,omitempty"`
	Secrets    map[string]json.RawMessage   `json:"secrets,omitempty"`
	Parameters map[string]Parameter         `json:"parameters,omitempty"`
	Buckets    map[string]map[string]Object `json:"buckets,omitempty"`
	Subnets    []string                     `json:"subnets,omitempty"`
	Groups     []string                     `json:"securityGroups,omitempty"`
}

// Load reads and checks a scenario directory. Errors name the file, and where
// it can be told the place in it.
func Load(dir string) (*Scenario, error) {
	s := &Scenario{Dir: dir, Images: map[string]Image{}, Secrets: map[string]json.RawMessage{}, Parameters: map[string]Parameter{}, Buckets: map[string]map[string]Object{}}
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory; a scenario is a directory with roles.json, task-definition.json and scenario.json", dir)
	}
	chain, err := s.readFiles(dir)
	if err != nil {
		return nil, err
	}
	if s.Roles, err = find(chain, "roles.json", parseAuthorization); err != nil {
		return nil, err
	}
	if s.TaskDefinition, err = find(chain, "task-definition.json", parseTaskDefinition); err != nil {
		return nil, err
	}
	return s, s.complete()
}

// readFiles reads scenario.json here and in what it extends; the nearer wins.
func (s *Scenario) readFiles(dir string) ([]string, error) {
	var chain []string
	for {
		if len(chain) == 8 || slices.Contains(chain, dir) {
			return nil, fmt.Errorf("%s: extends goes in a circle", filepath.Join(chain[0], "scenario.json"))
		}
		chain = append(chain, dir)
		name := filepath.Join(dir, "scenario.json")
		text, err := read(name)
		if errors.Is(err, fs.ErrNotExist) {
			return chain, nil
		}
		if err != nil {
			return nil, err
		}
		var f file
		if err := strict(name, text, &f); err != nil {
			return nil, err
		}
		s.merge(dir, &f)
		if f.Extends == "" {
			return chain, nil
		}
		dir = filepath.Join(dir, f.Extends)
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("%s: extends: %w", name, err)
		}
	}
}

func (s *Scenario) merge(dir string, f *file) {
	first := func(have *string, next string) {
		if *have == "" {
			*have = next
		}
	}
	first(&s.Account, f.Account)
	first(&s.Region, f.Region)
	first(&s.Caller, f.Caller)
	if s.Subnets == nil {
		s.Subnets = f.Subnets
	}
	if s.Groups == nil {
		s.Groups = f.Groups
	}
	for k, v := range f.Images {
		if _, have := s.Images[k]; have {
			continue
		}
		if v.Package != "" {
			v.Package = filepath.Join(dir, v.Package)
		}
		if v.Tarball != "" {
			v.Tarball = filepath.Join(dir, v.Tarball)
		}
		s.Images[k] = v
	}
	absent(s.Secrets, f.Secrets)
	absent(s.Parameters, f.Parameters)
	for b, objects := range f.Buckets {
		if s.Buckets[b] == nil {
			s.Buckets[b] = map[string]Object{}
		}
		for k, o := range objects {
			if o.File != "" {
				o.File = filepath.Join(dir, o.File)
			}
			absent(s.Buckets[b], map[string]Object{k: o})
		}
	}
}

func absent[V any](have, more map[string]V) {
	for k, v := range more {
		if _, ok := have[k]; !ok {
			have[k] = v
		}
	}
}

func find[T any](chain []string, base string, parse func(name string, text []byte) (T, error)) (T, error) {
	for _, dir := range chain {
		name := filepath.Join(dir, base)
		text, err := read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			var zero T
			return zero, err
		}
		return parse(name, text)
	}
	var zero T
	return zero, fmt.Errorf("%s has no %s", chain[0], base)
}

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
)

// complete fills in what the files leave open and checks what they say.
func (s *Scenario) complete() error {
	if s.Account == "" {
		s.Account = s.Roles.account()
	}
	if !accountPattern.MatchString(s.Account) {
		return fmt.Errorf("%s: the account is not 12 digits: %q (it is taken from the ARNs of roles.json, or from \"account\" in scenario.json)", s.Dir, s.Account)
	}
	if s.Region == "" {
		s.Region = cmp.Or(s.region(), DefaultRegion)
	}
	if !regionPattern.MatchString(s.Region) {
		return fmt.Errorf("%s: %q is not a region", s.Dir, s.Region)
	}
	if err := s.Roles.check(s.Account); err != nil {
		return err
	}
	if err := s.checkCaller(); err != nil {
		return err
	}
	for ref, img := range s.Images {
		if (img.Package == "") == (img.Tarball == "") {
			return fmt.Errorf("%s: image %q needs either \"package\" or \"tarball\"", s.Dir, ref)
		}
		if name, tag, ok := strings.Cut(ref, ":"); !ok || name == "" || tag == "" {
			return fmt.Errorf("%s: image %q is not REPOSITORY:TAG", s.Dir, ref)
		}
	}
	for b, objects := range s.Buckets {
		for k, o := range objects {
			if (o.Text == nil) == (o.File == "") {
				return fmt.Errorf("%s: object s3://%s/%s needs either \"text\" or \"file\"", s.Dir, b, k)
			}
		}
	}
	for name, p := range s.Parameters {
		if p.Type == "" {
			p.Type = "String"
			s.Parameters[name] = p
		}
	}
	if s.Subnets == nil {
		s.Subnets = []string{"subnet-0123456789abcdef0"}
	}
	return nil
}

func (s *Scenario) checkCaller() error {
	root := "arn:aws:iam::" + s.Account + ":root"
	if s.Caller == "" || s.Caller == "root" || s.Caller == root {
		s.Caller = root
		return nil
	}
	a, err := arn.Parse(s.Caller)
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "user/") {
		return fmt.Errorf("%s: caller %q is neither \"root\" nor the ARN of a user in roles.json", s.Dir, s.Caller)
	}
	for i := range s.Roles.Users {
		if s.Roles.Users[i].Arn == s.Caller {
			return nil
		}
	}
	return fmt.Errorf("%s: caller %s is not in roles.json", s.Dir, s.Caller)
}

// CallerIsRoot says that no user stands for the caller.
func (s *Scenario) CallerIsRoot() bool { return strings.HasSuffix(s.Caller, ":root") }
