// Command remit is the one binary: control plane, host of tasks, and the
// command that runs a scenario.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker for releases.
var version = "dev"

const usage = `Remit runs Amazon ECS task definitions with their IAM roles, and enforces every call.

  remit run DIR      run a scenario: a task definition, its roles, and what they find
  remit serve        serve the AWS APIs on one endpoint
  remit env          print shell exports for the running server
  remit simulate     say what policies in files would decide, and why
  remit explain X    say why a call was allowed or denied: by request id, task, or question
  remit version      print the version

"remit COMMAND -h" prints a command's flags.
`

func main() { os.Exit(realMain(os.Args[1:], os.Stdout, os.Stderr)) }

// exitError ends the program with a status of its own.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func realMain(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	var err error
	switch args[0] {
	case "run":
		err = runScenario(ctx, args[1:], stdout, stderr)
	case "serve":
		err = serve(ctx, args[1:], stdout, stderr)
	case "env":
		err = printEnv(args[1:], stdout, stderr)
	case "simulate":
		err = simulate(args[1:], stdout, stderr)
	case "explain":
		err = explain(ctx, args[1:], stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, "remit", version)
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
	default:
		fmt.Fprintf(stderr, "remit: %q is not a command\n\n%s", args[0], usage)
		return 2
	}
	var exit exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "remit: interrupted")
		return interrupted
	}
	fmt.Fprintln(stderr, "remit:", err)
	return 1
}

// interrupted is the exit status of a program that Ctrl-C has ended, by the
// custom of shells.
const interrupted = 130

// errUsage says that what is wrong with the arguments has been printed.
var errUsage = errors.New("wrong usage")

func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	return nil
}

// wrong prints what is wrong with a command's arguments.
func wrong(stderr io.Writer, format string, args ...any) error {
	fmt.Fprintf(stderr, "remit: "+format+"\n", args...)
	return errUsage
}
