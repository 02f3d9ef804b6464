package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/controlplane"
)

// environment is what a client needs to reach a server as the root user of one
// of its accounts.
type environment struct {
	Endpoint string            `json:"endpoint"`
	Region   string            `json:"region"`
	Account  string            `json:"account"` // the default
	Keys     map[string]envKey `json:"keys"`    // by account
}

type envKey struct {
	KeyID  string `json:"accessKeyId"`
	Secret string `json:"secretAccessKey"`
}

const envFile = "environment.json"

func printEnv(args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("remit env", flag.ContinueOnError)
	set.SetOutput(stderr)
	data := set.String("data", "", "data directory of the server (default: the server on the default port)")
	account := set.String("account", "", "account whose root key to print (default: the server's default account)")
	if err := parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return wrong(stderr, "env takes no arguments: %q", set.Args())
	}
	e, err := findEnvironment(*data)
	if err != nil {
		return err
	}
	key, err := e.key(*account)
	if err != nil {
		return err
	}
	for _, v := range [...][2]string{
		{"AWS_ENDPOINT_URL", e.Endpoint}, {"AWS_ACCESS_KEY_ID", key.KeyID}, {"AWS_SECRET_ACCESS_KEY", key.Secret},
		{"AWS_REGION", e.Region}, {"AWS_DEFAULT_REGION", e.Region},
	} {
		fmt.Fprintf(stdout, "export %s=%s\n", v[0], quote(v[1]))
	}
	fmt.Fprintln(stdout, "unset AWS_SESSION_TOKEN AWS_PROFILE")
	return nil
}

// findEnvironment reads what a running server left: that with a data directory,
// or by default that on the default port.
func findEnvironment(data string) (*environment, error) {
	name := filepath.Join(data, envFile)
	if data == "" {
		var err error
		if name, err = runFile(controlplane.DefaultPort); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no server found (%s); start one with `remit serve`, or name its --data directory", name)
	}
	if err != nil {
		return nil, err
	}
	var e environment
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &e, nil
}

// key is the root's key of an account, by default the server's default account.
func (e *environment) key(account string) (envKey, error) {
	if account == "" {
		account = e.Account
	}
	key, ok := e.Keys[account]
	if !ok {
		return key, fmt.Errorf("the server at %s does not serve account %s; it serves %s", e.Endpoint, account, strings.Join(slices.Sorted(maps.Keys(e.Keys)), ", "))
	}
	return key, nil
}

// quote makes a string one word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// writeEnvFile leaves for remit env what it prints, readable by this user only.
func writeEnvFile(cp *controlplane.ControlPlane) (remove func(), err error) {
	e := environment{Endpoint: cp.Endpoint(), Region: cp.Region(), Account: cp.Account, Keys: map[string]envKey{}}
	for _, a := range cp.Accounts.Accounts() {
		if keyID, secret, ok := cp.RootOf(a.ID); ok {
			e.Keys[a.ID] = envKey{keyID, secret}
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(cp.Endpoint())
	if err != nil {
		return nil, err
	}
	byPort, err := runFile(u.Port())
	if err != nil {
		return nil, err
	}
	names := []string{filepath.Join(cp.Data(), envFile), byPort}
	for _, name := range names {
		if err := writePrivate(name, text); err != nil {
			return nil, err
		}
	}
	return func() { _ = os.Remove(byPort) }, nil
}

// writePrivate replaces a file at once, so that no reader sees half of it and
// nobody else ever could read it.
func writePrivate(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".env-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// runFile is where the server on a port leaves its environment.
func runFile(port string) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		// Nowhere else: in a directory that others can write to, another user
		// could leave an environment for this one to evaluate.
		return "", fmt.Errorf("no place for the environment of a server: %w (remit env --data DIR needs none)", err)
	}
	return filepath.Join(dir, "remit", "server-"+port+".json"), nil
}
