package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/simulation"
	"github.com/remit-ecs/remit/policy"
)

// denied is the exit status of a simulation that does not allow the request:
// neither success, nor a failure of the program.
const denied = exitError(3)

// simulate asks the policy engine about policies in files. It needs no server.
func simulate(args []string, stdout, stderr io.Writer) error {
	q := question{files: map[policy.Kind][]string{}, context: map[string][]string{}}
	set := flag.NewFlagSet("remit simulate", flag.ContinueOnError)
	set.SetOutput(stderr)
	principal := set.String("principal", "", "who asks: the `ARN` of a user, group, role, role session, federated user or root, or a service like ecs-tasks.amazonaws.com")
	many := func(name string, kind policy.Kind, usage string) {
		set.Func(name, usage, func(file string) error {
			q.files[kind] = append(q.files[kind], file)
			return nil
		})
	}
	many("identity", policy.KindIdentity, "`FILE` of an identity-based policy; repeat it for more")
	many("scp", policy.KindSCP, "`FILES` of the service control policies of one level, divided by commas; repeat it for more levels, from the root to the account")
	set.StringVar(&q.boundary, "boundary", "", "`FILE` of the permissions boundary")
	set.StringVar(&q.session, "session", "", "`FILE` of the session policy")
	set.StringVar(&q.resource, "resource-policy", "", "`FILE` of the resource's policy; of a role's trust policy, for sts:AssumeRole")
	set.StringVar(&q.owner, "resource-owner", "", "`ACCOUNT` of a resource whose ARN names none (default: the principal's)")
	set.StringVar(&q.action, "action", "", "the `ACTION`: ecs:RunTask")
	set.StringVar(&q.on, "resource-arn", "*", "`ARN` of the resource, or * for an action that has none")
	set.Func("context", "`KEY=VALUE` of a condition key; repeat it for more keys, or more values of one", q.supply)
	asJSON := set.Bool("json", false, "print the reasons as JSON")
	if err := parse(set, args); err != nil {
		return err
	}
	var ok bool
	switch q.principal, ok = simulation.ParseCaller(*principal); {
	case set.NArg() > 0:
		return wrong(stderr, "simulate takes flags only: %q", set.Args())
	case *principal == "":
		return wrong(stderr, "simulate needs --principal")
	case !ok:
		return wrong(stderr, "--principal %s is not the ARN of a user, group, role, session or root, nor a service like ecs-tasks.amazonaws.com", *principal)
	case q.action == "":
		return wrong(stderr, "simulate needs --action")
	}
	s, err := q.simulation(stderr)
	if err != nil {
		return err
	}
	return printReasons(stdout, s.Explain(q.action, q.on), *asJSON)
}

// printReasons prints the verdict in AWS's words, and why.
func printReasons(w io.Writer, why *policy.Reasons, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(why.Report()); err != nil {
			return err
		}
	} else {
		verdict := why.Decision.Effect.String()
		if text := why.Message(); text != "" {
			verdict += ": " + text
		}
		if _, err := fmt.Fprintf(w, "%s\n\n%s", verdict, why.Tree()); err != nil {
			return err
		}
	}
	if !why.Decision.Allowed {
		return denied
	}
	return nil
}

// question is a simulation as the command line describes it.
type question struct {
	principal                          policy.Principal
	files                              map[policy.Kind][]string
	boundary, session, resource, owner string
	action, on                         string
	context                            map[string][]string
}

// supply takes one KEY=VALUE. Keys know no case.
func (q *question) supply(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return errors.New("want KEY=VALUE")
	}
	key = strings.ToLower(key)
	q.context[key] = append(q.context[key], value)
	return nil
}

// simulation reads the files. Everything that is wrong with them is printed.
func (q *question) simulation(stderr io.Writer) (*simulation.Simulation, error) {
	s := &simulation.Simulation{Caller: q.principal, Context: q.context, Owner: q.owner}
	if err := simulation.Check(q.action, q.on, q.owner); err != nil {
		var e *api.Error
		if errors.As(err, &e) {
			return nil, wrong(stderr, "%s", e.Message)
		}
		return nil, err
	}
	r := reader{stderr: stderr}
	for _, name := range q.files[policy.KindIdentity] {
		s.Identity = append(s.Identity, r.read(policy.KindIdentity, name)...)
	}
	for _, level := range q.files[policy.KindSCP] {
		var list []simulation.Policy
		for name := range strings.SplitSeq(level, ",") {
			list = append(list, r.read(policy.KindSCP, name)...)
		}
		s.SCP = append(s.SCP, list)
	}
	if q.session != "" {
		s.Session, s.HasSession = r.read(policy.KindSession, q.session), true
	}
	if q.boundary != "" {
		for _, p := range r.read(policy.KindIdentity, q.boundary) {
			s.Boundary = &p
		}
	}
	if q.resource != "" {
		for _, p := range r.read(simulation.ResourceKind(q.action), q.resource) {
			s.Resource = &p
		}
	}
	if r.failed {
		return nil, errUsage
	}
	return s, nil
}

// reader reads policies.
type reader struct {
	stderr io.Writer
	failed bool
}

// read gives the policy in a file, or prints where the file cannot be read.
func (r *reader) read(kind policy.Kind, name string) []simulation.Policy {
	text, err := os.ReadFile(name)
	if err != nil {
		r.failed = true
		fmt.Fprintln(r.stderr, "remit:", err)
		return nil
	}
	doc, err := policy.Parse(kind, text)
	if err != nil {
		r.failed = true
		for _, d := range doc.Diagnostics {
			fmt.Fprintf(r.stderr, "%s:%d:%d: %s\n", name, d.At.Line, d.At.Column, d.Text)
		}
		return nil
	}
	return []simulation.Policy{{ID: name, Text: string(text)}}
}
