package policy_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/policy"
)

// The scenarios under testdata are written for people who know IAM; this is the
// format. A .txtar file has some prose and then sections:
//
//	-- identity/NAME.json --         identity-based policies, as many as needed
//	-- boundary.json --              the permissions boundary
//	-- session/NAME.json --          session policies
//	-- resource.json --              the resource-based policy
//	-- trust.json --                 the trust policy of the role
//	-- scp/LEVEL/NAME.json --        service control policies; levels sort by name
//	-- rcp/LEVEL/NAME.json --        resource control policies
//	-- endpoint.json --              the VPC endpoint policy
//	-- every request --              lines for all requests below
//	-- request: what it shows --     one request and what is expected of it
//
// A name that is an ARN with '/' replaced, such as "arn:aws:iam::aws:policy_X",
// makes a managed policy. Lines of a request:
//
//	principal: KIND ARN              user, root, role (session ARN), federated,
//	                                 service NAME, provider ARN, anonymous
//	role: ARN                        the role of a session, when it has a path
//	userid: AROA...:NAME             the unique id, when it matters
//	canonical: ID                    S3's canonical id of the account
//	action: ecs:RunTask
//	resource: ARN
//	resource-account: 111122223333
//	session: none                    a session policy was passed, with nothing in it
//	aws:RequestTag/team = blue       a condition key; values are divided by " | "
//	want: allowed                    or: explicit deny, implicit deny; then the layer
//	why: text                        found in the explanation; any number of lines
//	message: text                    the end of AWS's message
//	suggest: text                    the suggestion
type section struct{ name, text string }

func sections(t *testing.T, path string) []section {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []section
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if name, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(name, " --") {
			out = append(out, section{name: strings.TrimSuffix(name, " --")})
		} else if len(out) > 0 {
			out[len(out)-1].text += line + "\n"
		}
	}
	return out
}

func attach(t *testing.T, kind policy.Kind, layer policy.Layer, s section) policy.Attached {
	t.Helper()
	name := strings.TrimSuffix(filepath.Base(s.name), ".json")
	doc, err := policy.Parse(kind, []byte(s.text))
	if err != nil && !strings.Contains(s.name, "unreadable") {
		t.Fatalf("%s: %v", s.name, err)
	}
	a := policy.Attached{Layer: layer, Document: doc, Name: name}
	if strings.HasPrefix(name, "arn:") {
		a.ARN, a.Name = strings.ReplaceAll(name, "_", "/"), ""
	}
	return a
}

// scenario reads the policies; requests are left as sections.
func scenario(t *testing.T, path string) (set policy.Set, every string, requests []section) {
	t.Helper()
	levels := func(list *[][]policy.Attached, seen map[string]int, name string, a policy.Attached) {
		level := strings.Split(name, "/")[1]
		i, ok := seen[level]
		if !ok {
			i = len(*list)
			seen[level] = i
			*list = append(*list, nil)
		}
		if a.Name != "nothing" {
			(*list)[i] = append((*list)[i], a)
		}
	}
	scps, rcps := map[string]int{}, map[string]int{}
	for _, s := range sections(t, path) {
		one := func(kind policy.Kind, layer policy.Layer) *policy.Attached {
			a := attach(t, kind, layer, s)
			return &a
		}
		switch head, _, _ := strings.Cut(s.name, "/"); {
		case head == "identity":
			set.Identity = append(set.Identity, attach(t, policy.KindIdentity, policy.LayerIdentity, s))
		case s.name == "boundary.json", head == "boundary":
			set.Boundary = one(policy.KindIdentity, policy.LayerBoundary)
		case head == "session":
			set.HasSession = true
			set.Session = append(set.Session, attach(t, policy.KindSession, policy.LayerSession, s))
		case s.name == "resource.json":
			set.Resource = one(policy.KindResource, policy.LayerResource)
		case s.name == "trust.json":
			set.Trust = one(policy.KindTrust, policy.LayerTrust)
		case s.name == "endpoint.json":
			set.VPCEndpoint = one(policy.KindVPCEndpoint, policy.LayerVPCEndpoint)
		case head == "scp":
			levels(&set.SCP, scps, s.name, attach(t, policy.KindSCP, policy.LayerSCP, s))
		case head == "rcp":
			levels(&set.RCP, rcps, s.name, attach(t, policy.KindRCP, policy.LayerRCP, s))
		case s.name == "every request":
			every = s.text
		case strings.HasPrefix(s.name, "request: "):
			requests = append(requests, section{strings.TrimPrefix(s.name, "request: "), s.text})
		default:
			t.Fatalf("%s: unknown section %q", path, s.name)
		}
	}
	return set, every, requests
}

// expectation is what a request's section expects.
type expectation struct {
	want, message, suggest string
	why                    []string
}

func parseRequest(t *testing.T, set *policy.Set, text string) (*policy.Request, expectation) {
	t.Helper()
	r := &policy.Request{Context: map[string][]string{}}
	own := map[string][]string{}
	var e expectation
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "principal":
			r.Principal = parsePrincipal(t, value)
		case "role":
			r.Principal.RoleARN = value
		case "canonical":
			r.Principal.CanonicalUser = value
		case "userid":
			r.Principal.UserID = value
		case "action":
			r.Action = value
		case "resource":
			r.Resource = value
		case "resource-account":
			r.ResourceAccount = value
		case "session":
			set.HasSession = true
		case "want":
			e.want = value
		case "why":
			e.why = append(e.why, value)
		case "message":
			e.message = value
		case "suggest":
			e.suggest = value
		default:
			key, value, ok := strings.Cut(line, " = ")
			if !ok {
				t.Fatalf("line %q is neither a field nor a condition key", line)
			}
			own[strings.ToLower(key)] = strings.Split(strings.ReplaceAll(value, `""`, ""), " | ")
		}
	}
	r.Principal.FillContext(r.Context)
	for k, v := range own {
		r.Context[k] = v
	}
	return r, e
}

func parsePrincipal(t *testing.T, text string) policy.Principal {
	t.Helper()
	kind, name, _ := strings.Cut(text, " ")
	p := policy.Principal{ARN: name}
	if a, err := arn.Parse(name); err == nil {
		p.Account = a.Account
	}
	switch kind {
	case "user":
		p.Type, p.UserID = policy.User, "AIDAEXAMPLE"
	case "root":
		p.Type, p.UserID = policy.Root, p.Account
	case "role":
		p.Type = policy.AssumedRole
		parts := strings.Split(name, "/") // arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
		p.RoleARN = "arn:aws:iam::" + p.Account + ":role/" + parts[1]
		p.UserID = "AROAEXAMPLE:" + parts[2]
	case "federated":
		p.Type = policy.FederatedUser
		_, user, _ := strings.Cut(name, "/")
		p.UserID = p.Account + ":" + user
	case "service":
		p = policy.Principal{Type: policy.Service, Service: name}
	case "provider":
		p = policy.Principal{Type: policy.Federated, Provider: name}
	case "anonymous":
		p = policy.Principal{}
	default:
		t.Fatalf("unknown kind of principal %q", kind)
	}
	return p
}

// outcome words a decision as the scenarios do.
func outcome(d policy.Decision) string {
	if d.Allowed {
		return "allowed"
	}
	text := "implicit deny, "
	if d.Effect == policy.ExplicitDeny {
		text = "explicit deny, "
	}
	return text + d.Layer.String()
}

func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			base, every, requests := scenario(t, path)
			if len(requests) == 0 {
				t.Fatal("no requests")
			}
			for _, s := range requests {
				t.Run(s.name, func(t *testing.T) {
					set := base
					r, e := parseRequest(t, &set, every+s.text)
					checkRequest(t, r, &set, e)
				})
			}
		})
	}
}

func checkRequest(t *testing.T, r *policy.Request, set *policy.Set, e expectation) {
	t.Helper()
	d := policy.Authorize(r, set)
	reasons := policy.Explain(r, set)
	if got := outcome(d); got != e.want {
		t.Errorf("got  %s\nwant %s\n%s", got, e.want, reasons)
	}
	if outcome(reasons.Decision) != outcome(d) {
		t.Errorf("Explain decided %s", outcome(reasons.Decision))
	}
	for _, want := range e.why {
		if !strings.Contains(reasons.String(), want) {
			t.Errorf("the explanation lacks %q:\n%s", want, reasons)
		}
	}
	if got := d.Message(r.Principal.ARN, r.Action, r.Resource); e.message != "" && !strings.HasSuffix(got, e.message) {
		t.Errorf("message\n got %s\nwant ...%s", got, e.message)
	}
	if e.suggest != "" && reasons.Suggest() != e.suggest {
		t.Errorf("suggestion\n got %s\nwant %s", reasons.Suggest(), e.suggest)
	}
	if d.Allowed == (reasons.Suggest() != "") {
		t.Errorf("a suggestion belongs to a denial: %q", reasons.Suggest())
	}
	checkOrder(t, r, set, d)
}
