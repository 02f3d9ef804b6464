package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/organization"
)

// stopWithin is how long a stop may take; what is not done then is cut off.
const stopWithin = 5 * time.Second

func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o controlplane.Options
	fs := flag.NewFlagSet("remit serve", flag.ContinueOnError)
	fs.SetOutput(stderr)
	serverFlags(fs, &o)
	fs.StringVar(&o.Listen, "listen", controlplane.DefaultListen, "address to serve on")
	fs.StringVar(&o.Data, "data", "", "directory that keeps the state (default: a temporary one, removed at exit)")
	fs.StringVar(&o.Store, "store", "", "URL of the store (default: SQLite in the data directory)")
	fs.BoolVar(&o.AllowReset, "allow-reset", false, "let POST /_remit/reset empty all state")
	fs.BoolVar(&o.InsecureHTTP, "insecure-http", false, "serve plain http also off loopback")
	fs.StringVar(&o.TLSCert, "tls-cert", "", "certificate file (PEM); with --tls-key serves https")
	fs.StringVar(&o.TLSKey, "tls-key", "", "private key file (PEM)")
	accounts := fs.String("accounts", "", "JSON file that names the accounts to serve, and their organization with its SCPs and RCPs")
	mode := fs.String("iam", string(gateway.Strict), "strict: roles bind; soft: record what would be denied, allow it; off: verify nothing")
	verbose := fs.Bool("verbose", false, "log more")
	if err := parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return wrong(stderr, "serve takes no arguments: %q", fs.Args())
	}
	var err error
	if o.Mode, err = gateway.ParseMode(*mode); err != nil {
		return err
	}
	if *accounts != "" {
		if o.Accounts, err = organization.Load(*accounts); err != nil {
			return err
		}
	}
	o.Log = logger(stderr, *verbose)
	o.RootKeyID, o.RootSecret = os.Getenv("REMIT_ROOT_ACCESS_KEY_ID"), os.Getenv("REMIT_ROOT_SECRET_ACCESS_KEY")
	o.Version = version

	cp, err := controlplane.Start(ctx, o)
	if err != nil {
		return err
	}
	remove, err := writeEnvFile(cp)
	if err != nil {
		o.Log.Warn("remit env will not find this server", "error", err)
	} else {
		defer remove()
	}
	for _, line := range cp.Banner() {
		fmt.Fprintln(stdout, line)
	}
	fmt.Fprintln(stdout, "Ready.")
	select {
	case <-ctx.Done():
	case err = <-cp.Failed():
	}
	stopCtx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if cerr := cp.Close(stopCtx); err == nil {
		err = cerr
	}
	return err
}

// serverFlags are those that serve and run share.
func serverFlags(fs *flag.FlagSet, o *controlplane.Options) {
	fs.StringVar(&o.Account, "account", "", "the default account, that of remit env (default 000000000000; with --accounts the management account, or the first named)")
	fs.StringVar(&o.Runtime, "runtime", controlplane.RuntimeAuto, "what runs tasks: auto, embedded, process or none")
	fs.StringVar(&o.Advertise, "advertise", "", "URL that containers get as AWS_ENDPOINT_URL (default: this server on the task bridge)")
}

func logger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
