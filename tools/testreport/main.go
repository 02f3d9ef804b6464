// Command testreport reads the JSON of `go test -json` and prints what people
// want to know of a run: the output of what failed, a line for each package,
// and at the end every test that could not run here, with its reason.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
	FailedBuild                   string
	ImportPath                    string
}

type key struct{ pkg, test string }

func main() {
	output := map[key][]string{}
	builds := map[string][]string{}
	var skipped []string
	passed, failed := 0, 0
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Println(in.Text()) // not JSON: a message of the go command
			continue
		}
		k := key{e.Package, e.Test}
		switch e.Action {
		case "output":
			output[k] = append(output[k], e.Output)
		case "build-output":
			builds[e.ImportPath] = append(builds[e.ImportPath], e.Output)
		case "skip":
			if e.Test != "" {
				skipped = append(skipped, e.Package+" "+e.Test+": "+reason(output[k]))
			}
		case "pass":
			if e.Test != "" {
				passed++
				delete(output, k)
			} else {
				fmt.Printf("ok    %-60s %7.2fs\n", e.Package, e.Elapsed)
			}
		case "fail":
			if e.Test != "" {
				failed++
			} else {
				fmt.Printf("FAIL  %-60s %7.2fs\n", e.Package, e.Elapsed)
			}
			if e.FailedBuild != "" {
				failed++
				fmt.Print(strings.Join(builds[e.FailedBuild], ""))
			}
			fmt.Print(strings.Join(output[k], ""))
		}
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	slices.Sort(skipped)
	if len(skipped) > 0 {
		fmt.Println("\ncould not run here:")
		for _, s := range skipped {
			fmt.Println("  " + s)
		}
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", passed, failed, len(skipped))
	if failed > 0 {
		os.Exit(1)
	}
}

// reason is what a skipped test said last that is not a frame line of go test.
func reason(lines []string) string {
	for _, l := range slices.Backward(lines) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "---") || strings.HasPrefix(l, "===") {
			continue
		}
		return l
	}
	return "no reason given"
}
