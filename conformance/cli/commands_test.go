package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are what the scripts can do besides testscript's own commands.
//
//	remit-serve [FLAGS]       start the script's server, become its root
//	[!] aws ARGS              the aws command, against that server
//	as root | role/N | user/N | anybody   whose credentials the next commands use
//	stdout-json PATH [VALUE]  what stands at a path of the last output, see json_test.go
//	stdout-json -m PATH REGEXP
//	capture NAME PATH         keep what stands there as $NAME
//	capture-line NAME         keep the last output, one line, as $NAME
//	capture-header NAME HEADER  keep a header of the last http answer as $NAME
//	write-json FILE PATH      write what stands there to a file
//	unserved SERVICE OP       COVERAGE.md says that the operation is not served
//	normalise FILE            write the last output with ids and times replaced
//	random FILE BYTES SEED    write a file of noise, the same for the same seed
//	http [FLAGS] METHOD URL   a plain request, see http_test.go
//	[!] push-image URI PASSWORD   push the tiny image, see image_test.go
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"remit-serve":    remitServe,
	"aws":            awsCommand,
	"as":             become,
	"stdout-json":    stdoutJSON,
	"capture":        capture,
	"capture-line":   captureLine,
	"capture-header": captureHeader,
	"write-json":     writeJSON,
	"unserved":       unserved,
	"normalise":      normalise,
	"random":         random,
	"http":           httpCommand,
	"push-image":     pushImage,
}

// awsCommand runs the aws command of the machine. The endpoint is also named by
// a flag because versions before 2.13 do not know AWS_ENDPOINT_URL.
func awsCommand(ts *testscript.TestScript, neg bool, args []string) {
	endpoint := ts.Getenv("AWS_ENDPOINT_URL")
	if endpoint == "" {
		ts.Fatalf("aws: no server; remit-serve starts one")
	}
	all := append([]string{"--endpoint-url", endpoint}, args...)
	if !contains(args, "--output") && !contains(args, "s3") && !contains(args, "configure") {
		all = append(all, "--output", "json")
	}
	if anonymous(ts) {
		all = append(all, "--no-sign-request")
	}
	err := ts.Exec("aws", all...)
	switch {
	case neg && err == nil:
		ts.Fatalf("aws %s succeeded", strings.Join(args, " "))
	case !neg && err != nil:
		ts.Fatalf("aws %s: %v", strings.Join(args, " "), err)
	}
}

func contains(args []string, want string) bool {
	for _, a := range args {
		if a == want {
			return true
		}
	}
	return false
}

// volatile is what differs from run to run, and the word that replaces it. The
// order matters: an endpoint is not a time, a UUID holds hexadecimal digits.
var volatile = []struct {
	what *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ENDPOINT"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "HEX32"},
	{regexp.MustCompile(`\b(AKIA|ASIA|AROA|AIDA|ANPA|AIPA)[A-Z0-9]{12,}\b`), "$1"},
	{regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)"`), `"TIME"`},
	{regexp.MustCompile(`: 1[0-9]{9}(\.\d+)?\b`), `: "TIME"`},
}

// normalise writes the last output with sorted keys, and with what differs from
// run to run replaced, so that a script can cmp it.
func normalise(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: normalise FILE")
	}
	text := indent(ts, ts.ReadFile("stdout"))
	for _, v := range volatile {
		text = v.what.ReplaceAllString(text, v.word)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// random writes noise that no compression and no deduplication shrinks.
func random(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	var seed uint64
	if neg || len(args) != 3 {
		ts.Fatalf("usage: random FILE BYTES SEED")
	}
	_, err := fmt.Sscan(args[1], &n)
	ts.Check(err)
	_, err = fmt.Sscan(args[2], &seed)
	ts.Check(err)
	name := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(name), 0o755))
	ts.Check(os.WriteFile(name, noise(n, seed), 0o644))
}

// unserved checks that COVERAGE.md lists an operation as not served.
func unserved(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unserved SERVICE OPERATION")
	}
	text, err := os.ReadFile(coverage)
	ts.Check(err)
	_, section, _ := strings.Cut(string(text), "\n## "+args[0]+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, not, _ := strings.Cut(section, "\nNot served: ")
	for _, op := range strings.FieldsFunc(not, func(r rune) bool { return strings.ContainsRune(", .\n", r) }) {
		if op == args[1] {
			return
		}
	}
	ts.Fatalf("COVERAGE.md does not list %s of %s as not served", args[1], args[0])
}
