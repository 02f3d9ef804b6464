package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/rogpeppe/go-internal/testscript"
)

// httpCommand makes one request like curl -i: the status line, the headers in
// order and the body are the output. Every status is a success; the script
// looks at it. A URL may be only the path at the server.
//
//	-u USER:PASSWORD     basic authentication
//	-d BODY              the body
//	-s SERVICE           sign with the script's credentials
//	-skew DURATION       sign as if the clock were wrong by this much
//	-o FILE              write the body there
//	-H 'NAME: VALUE'     another header
func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	var user, service, out string
	var body []byte
	var skew time.Duration
	header := http.Header{}
	for len(args) > 2 && strings.HasPrefix(args[0], "-") {
		flag, value := args[0], args[1]
		args = args[2:]
		switch flag {
		case "-u":
			user = value
		case "-s":
			service = value
		case "-o":
			out = value
		case "-d":
			body = []byte(value)
		case "-skew":
			d, err := time.ParseDuration(value)
			ts.Check(err)
			skew = d
		case "-H":
			k, v, _ := strings.Cut(value, ":")
			header.Set(k, strings.TrimSpace(v))
		default:
			ts.Fatalf("http: unknown flag %s", flag)
		}
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: http [FLAGS] METHOD URL")
	}
	url := args[1]
	if strings.HasPrefix(url, "/") {
		url = theServer(ts).endpoint + url
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, args[0], url, bytes.NewReader(body))
	ts.Check(err)
	req.Header = header
	if user != "" {
		name, password, _ := strings.Cut(user, ":")
		req.SetBasicAuth(name, strings.TrimSpace(password))
	}
	if service != "" {
		digest := sha256.Sum256(body)
		c := aws.Credentials{AccessKeyID: ts.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: ts.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: ts.Getenv("AWS_SESSION_TOKEN")}
		ts.Check(v4.NewSigner().SignHTTP(ctx, c, req, hex.EncodeToString(digest[:]), service, region, time.Now().Add(skew)))
	}
	resp, err := plain.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	w := ts.Stdout()
	fmt.Fprintf(w, "%s %s\n", resp.Proto, resp.Status)
	names := make([]string, 0, len(resp.Header))
	for k := range resp.Header {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		fmt.Fprintf(w, "%s: %s\n", k, strings.Join(resp.Header[k], ", "))
	}
	if out != "" {
		ts.Check(writeFile(ts.MkAbs(out), text))
		return
	}
	fmt.Fprintf(w, "\n%s\n", text)
}

// captureHeader keeps a header of the last plain request's answer as a variable.
func captureHeader(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture-header NAME HEADER, after http")
	}
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.EqualFold(name, args[1]) {
			ts.Setenv(args[0], value)
			return
		}
	}
	ts.Fatalf("no header %s in\n%s", args[1], ts.ReadFile("stdout"))
}

// plain follows no redirect and knows no proxy.
var plain = &http.Transport{}

// noise is n bytes that look random and depend only on the seed.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}
