package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/explanation"
)

const explainUsage = `usage: remit explain [flags] REQUEST-ID | TASK | MESSAGE
       remit explain [flags] --last
       remit explain [flags] --as ARN --action ACTION --resource ARN [--context KEY=VALUE]...

Says why a call was allowed or denied: which layers of policies were asked, what
each said, and the smallest change that would allow it. REQUEST-ID is that of an
answer, TASK the id or ARN of a task, MESSAGE an encoded authorization message;
--last takes the newest denial of the trail.
With --as it asks about a call that has not been made.

It asks the server that AWS_ENDPOINT_URL names, as the AWS SDKs find their
credentials; without one, the server that remit env finds.

Exit status: 0 explained, and allowed; 3 explained, and denied; 2 unusable input;
1 not found, or not permitted.

`

// Exit statuses of remit explain.
const (
	exitUnusable = 2
	exitDenied   = 3
)

func explain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("remit explain", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprint(stderr, explainUsage)
		fs.PrintDefaults()
	}
	q := explanation.Question{Context: map[string][]string{}}
	fs.StringVar(&q.As, "as", "", "ARN of the role, user or role session that would make the call")
	fs.StringVar(&q.Action, "action", "", "what it would do: ecs:RunTask")
	fs.StringVar(&q.Resource, "resource", "*", "ARN of what it would do it to")
	fs.Func("context", "condition key of the call, KEY=VALUE; again for more keys, or more values", func(s string) error {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" || v == "" {
			return errors.New("not KEY=VALUE")
		}
		k = strings.ToLower(k)
		q.Context[k] = append(q.Context[k], v)
		return nil
	})
	last := fs.Bool("last", false, "explain the newest denial of the trail")
	cluster := fs.String("cluster", "", "cluster of the task (default: all are searched)")
	region := fs.String("region", "", "region of the call or task (default: that of the client)")
	account := fs.String("account", "", "without AWS_ENDPOINT_URL: as root of this account of the server")
	data := fs.String("data", "", "without AWS_ENDPOINT_URL: data directory of the server")
	asJSON := fs.Bool("json", false, "print JSON")
	subjects, err := parseMixed(fs, args)
	if err != nil {
		return err
	}
	asks := q.As != "" || q.Action != ""
	switch {
	case asks && (q.As == "" || q.Action == ""):
		return wrong(stderr, "explain: --as and --action belong together")
	case asks && len(subjects) > 0:
		return wrong(stderr, "explain: a question with --as takes no argument: %q", subjects)
	case *last && (asks || len(subjects) > 0):
		return wrong(stderr, "explain: --last stands alone")
	case !asks && !*last && len(subjects) != 1:
		return wrong(stderr, "explain takes one request id, task or encoded authorization message, or --last, or --as with --action")
	}
	cfg, err := clientConfig(ctx, *data, *account)
	if err != nil {
		return err
	}
	if *region != "" {
		cfg.Region = *region
	}
	e := explanation.New(cfg)
	var x *explanation.Explanation
	switch {
	case asks:
		x, err = e.Ask(ctx, q)
	case *last:
		x, err = e.Last(ctx)
	default:
		x, err = explainSubject(ctx, e, subjects[0], *cluster)
	}
	if errors.Is(err, explanation.ErrUnusable) {
		fmt.Fprintln(stderr, "remit:", err)
		return exitError(exitUnusable)
	}
	if err != nil {
		return err
	}
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(x)
	} else {
		err = x.Text(stdout)
	}
	if err == nil && !x.Allowed {
		err = exitError(exitDenied)
	}
	return err
}

// parseMixed parses flags before and behind the arguments.
func parseMixed(fs *flag.FlagSet, args []string) (subjects []string, err error) {
	for {
		if err := parse(fs, args); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return subjects, nil
		}
		subjects, args = append(subjects, fs.Arg(0)), fs.Args()[1:]
	}
}

// requestID is the form of request ids and of event ids.
var requestID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// explainSubject tells by its form what is to be explained.
func explainSubject(ctx context.Context, e *explanation.Explainer, subject, cluster string) (*explanation.Explanation, error) {
	_, arnErr := arn.Parse(subject)
	switch {
	case requestID.MatchString(strings.ToLower(subject)):
		return e.Request(ctx, strings.ToLower(subject))
	case arnErr == nil || explanation.TaskID.MatchString(subject):
		return e.Task(ctx, subject, cluster)
	}
	return e.Message(ctx, subject)
}

// clientConfig is how to reach the server: as every AWS SDK finds it, if the
// environment names an endpoint; else as remit env does. AWS itself is never
// asked.
func clientConfig(ctx context.Context, data, account string) (aws.Config, error) {
	if os.Getenv("AWS_ENDPOINT_URL") != "" && data == "" && account == "" {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err == nil && cfg.Region == "" {
			err = errors.New("no region: set AWS_REGION, as `remit env` prints it, or --region")
		}
		return cfg, err
	}
	e, err := findEnvironment(data)
	if err != nil {
		return aws.Config{}, err
	}
	key, err := e.key(account)
	if err != nil {
		return aws.Config{}, err
	}
	return aws.Config{
		Region: e.Region, BaseEndpoint: &e.Endpoint, Credentials: credentials.NewStaticCredentialsProvider(key.KeyID, key.Secret, ""),
	}, nil
}
