package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"
	"golang.org/x/term"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/scenario"
)

func runScenario(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o := controlplane.Options{Listen: "127.0.0.1:0", Mode: gateway.Strict, Version: version, StopTasks: true, FallBack: true}
	fs := flag.NewFlagSet("remit run", flag.ContinueOnError)
	fs.SetOutput(stderr)
	serverFlags(fs, &o)
	timeout := fs.Duration("timeout", 15*time.Minute, "how long the task may run")
	verbose := fs.Bool("verbose", false, "log more")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return wrong(stderr, "run takes one scenario directory")
	}
	s, err := scenario.Load(fs.Arg(0))
	if err != nil {
		return err
	}
	if o.Account != "" && o.Account != s.Account {
		return fmt.Errorf("--account %s is not the scenario's account %s", o.Account, s.Account)
	}
	o.Account, o.Region, o.Log = s.Account, s.Region, logger(stderr, *verbose)

	cp, err := controlplane.Start(ctx, o)
	if err != nil {
		return err
	}
	code, err := play(ctx, cp, s, *timeout, *verbose, stdout)
	stopCtx, stop := context.WithTimeout(context.Background(), stopWithin)
	defer stop()
	if cerr := cp.Close(stopCtx); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if code != 0 {
		return exitError(code)
	}
	return nil
}

// play runs a loaded scenario on a control plane that has just started, and
// tells what happened.
func play(ctx context.Context, cp *controlplane.ControlPlane, s *scenario.Scenario, timeout time.Duration, verbose bool, stdout io.Writer) (int, error) {
	keyID, secret := cp.Root()
	root := aws.Config{
		Region:       s.Region,
		BaseEndpoint: aws.String(cp.Endpoint()),
		// As the default configuration has it: objects are stored with a checksum.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		Credentials:                credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	}
	fmt.Fprintf(stdout, "%s in account %s, region %s, IAM %s\n", s.Dir, s.Account, s.Region, gateway.Strict)
	for _, w := range cp.Warnings() {
		fmt.Fprintln(stdout, "warning: "+w)
	}
	caller, notes, err := s.Apply(ctx, root)
	if err != nil {
		return 0, err
	}
	printNotes(stdout, notes, verbose)
	p := newProgress(stdout)
	if err := s.PushImages(ctx, root, p.update); err != nil {
		return 0, err
	}
	p.done()

	start := time.Now()
	runCtx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it ran longer than --timeout %s", timeout))
	defer cancel()
	result, err := s.Run(runCtx, caller, root, func(status string) {
		fmt.Fprintf(stdout, "%6.2fs  task %s\n", time.Since(start).Seconds(), status)
	})
	// The task has stopped, be it because ctx has ended: what happened is told
	// all the same, within a time of its own.
	wasInterrupted := ctx.Err() != nil
	ctx, cancelTell := context.WithTimeout(context.WithoutCancel(ctx), tellWithin)
	defer cancelTell()
	if err != nil {
		var refused smithy.APIError
		if !errors.As(err, &refused) {
			return 0, err
		}
		if terr := table(ctx, s, root, start, stdout); terr != nil {
			return 0, terr
		}
		fmt.Fprintf(stdout, "\n%s: %s\n", refused.ErrorCode(), refused.ErrorMessage())
		return 1, nil
	}
	if err := logs(ctx, s, root, result, stdout); err != nil {
		return 0, err
	}
	if err := table(ctx, s, root, start, stdout); err != nil {
		return 0, err
	}
	fmt.Fprintln(stdout)
	for _, line := range result.Containers() {
		fmt.Fprintln(stdout, line)
	}
	if result.Reason != "" {
		fmt.Fprintln(stdout, result.Reason)
	}
	switch {
	case wasInterrupted:
		return interrupted, nil
	case runCtx.Err() != nil:
		return max(result.ExitCode, 1), nil // it did not exit by itself
	}
	return result.ExitCode, nil
}

// tellWithin is how long reading the log and the trail may take.
const tellWithin = 30 * time.Second

// mostNotes is how many notes are printed where nobody asked for all.
const mostNotes = 12

func printNotes(w io.Writer, notes []string, all bool) {
	shown := notes
	if !all && len(notes) > mostNotes {
		shown = notes[:mostNotes-1]
	}
	for _, n := range shown {
		fmt.Fprintln(w, n)
	}
	if rest := len(notes) - len(shown); rest > 0 {
		fmt.Fprintf(w, "and %d more that are not loaded; --verbose names them all\n", rest)
	}
}

func logs(ctx context.Context, s *scenario.Scenario, root aws.Config, r *scenario.Result, w io.Writer) error {
	lines, err := s.Logs(ctx, root, r.Task)
	if err != nil {
		return fmt.Errorf("the task's log: %w", err)
	}
	if len(lines) > 0 {
		fmt.Fprintln(w, "\nFrom CloudWatch Logs:")
	}
	for _, l := range lines {
		fmt.Fprintf(w, "  %s  %s\n", l.Time.UTC().Format("15:04:05.000"), l.Message)
	}
	return nil
}

func table(ctx context.Context, s *scenario.Scenario, root aws.Config, since time.Time, w io.Writer) error {
	rows, err := s.Trail(ctx, root, since)
	if err != nil {
		return fmt.Errorf("the audit trail: %w", err)
	}
	fmt.Fprintln(w, "\nWhat was asked, in order:")
	scenario.WriteTable(w, rows, layout(w))
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// layout is how a table looks best where it is printed.
func layout(w io.Writer) scenario.Layout {
	if !isTerminal(w) {
		return scenario.Layout{}
	}
	l := scenario.Layout{Colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	l.Width, _, _ = term.GetSize(int(w.(*os.File).Fd())) // 0 where it is not known
	return l
}

// progress draws one bar for each image on a terminal, and one line elsewhere.
type progress struct {
	w    io.Writer
	tty  bool
	last string
	size int64
	seen time.Time
}

func newProgress(w io.Writer) *progress { return &progress{w: w, tty: isTerminal(w)} }

const barWidth = 30

func (p *progress) update(image string, complete, total int64) {
	if image != p.last {
		p.done()
		p.last = image
	}
	p.size = total
	if !p.tty || total <= 0 || time.Since(p.seen) < 50*time.Millisecond && complete < total {
		return
	}
	p.seen = time.Now()
	n := int(complete * barWidth / total)
	fmt.Fprintf(p.w, "\rpush %s [%s%s] %5.1f of %.1f MB", image, strings.Repeat("=", n), strings.Repeat(" ", barWidth-n), mb(complete), mb(total))
}

func (p *progress) done() {
	if p.last == "" {
		return
	}
	if p.tty {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "pushed %s (%.1f MB)\n", p.last, mb(p.size))
	p.last = ""
}

func mb(n int64) float64 { return float64(n) / 1e6 }
