package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// beRemit makes the test binary the program itself.
const beRemit = "REMIT_TEST_IS_REMIT"

func TestMain(m *testing.M) {
	if os.Getenv(beRemit) != "" {
		main()
	}
	os.Exit(m.Run())
}

// remit is a command of the program.
func remit(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, self, args...)
	c.Env = append(os.Environ(), beRemit+"=1")
	return c
}

type ending struct {
	code           int
	stdout, stderr string
}

func finish(t *testing.T, c *exec.Cmd) ending {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return ending{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"", 2, `^$`, `^Remit runs Amazon ECS`},
		{"help", 0, `remit run DIR`, `^$`},
		{"--help", 0, `remit run DIR`, `^$`},
		{"version", 0, `^remit dev\n$`, `^$`},
		{"fly", 2, `^$`, `^remit: "fly" is not a command\n\nRemit runs`},
		{"run", 2, `^$`, `^remit: run takes one scenario directory\n$`},
		{"run a b", 2, `^$`, `one scenario directory`},
		{"run -h", 0, `^$`, `-timeout`},
		{"run --fast x", 2, `^$`, `flag provided but not defined: -fast`},
		{"run --timeout soon x", 2, `^$`, `invalid value "soon" for flag -timeout`},
		{"run /nowhere", 1, `^$`, `^remit: stat /nowhere: no such file or directory\n$`},
		{"run main.go", 1, `^$`, `^remit: main.go is not a directory; a scenario is`},
		{"run .", 1, `^$`, `^remit: . has no roles.json\n$`},
		{"run --account 222233334444 ../../examples/orders", 1, `^$`, `--account 222233334444 is not the scenario's account 111122223333`},
		{"serve now", 2, `^$`, `serve takes no arguments: \["now"\]`},
		{"serve --iam lax", 1, `^$`, `lax`},
		{"serve --nothing", 2, `^$`, `flag provided but not defined`},
		{"explain", 2, `^$`, `explain takes one request id, task or encoded authorization message, or --last, or --as with --action`},
		{"explain a b", 2, `^$`, `explain takes one request id`},
		{"explain --as arn:aws:iam::111122223333:role/r", 2, `^$`, `--as and --action belong together`},
		{"explain --as r --action s3:GetObject x", 2, `^$`, `takes no argument: \["x"\]`},
		{"explain --last x", 2, `^$`, `--last stands alone`},
		{"explain --context key", 2, `^$`, `not KEY=VALUE`},
		{"explain -h", 0, `^$`, `usage: remit explain \[flags\] REQUEST-ID`},
		{"explain 00000000-0000-4000-8000-000000000000 --data /nowhere", 1, `^$`, `no server found \(/nowhere/environment.json\)`},
		{"env now", 2, `^$`, `env takes no arguments`},
		{"env --data /nowhere", 1, `^$`, `no server found \(/nowhere/environment.json\); start one with .remit serve.`},
	} {
		r := finish(t, remit(t, strings.Fields(tc.args)...))
		if r.code != tc.code || !regexp.MustCompile(tc.stdout).MatchString(r.stdout) || !regexp.MustCompile(tc.stderr).MatchString(r.stderr) {
			t.Errorf("remit %s: exit %d, want %d\nstdout: %s\nstderr: %s", tc.args, r.code, tc.code, r.stdout, r.stderr)
		}
	}
}

// TestEnv lets a shell read what is printed.
func TestEnv(t *testing.T) {
	dir := t.TempDir()
	const secret = `it's "$HOME" \ & ` + "`id`\n;"
	text, err := json.Marshal(environment{Endpoint: "http://127.0.0.1:4566", Region: "eu-west-1", Account: "111122223333",
		Keys: map[string]envKey{"111122223333": {"AKIA", secret}, "444455556666": {"AKIB", "other"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := writePrivate(filepath.Join(dir, envFile), text); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, envFile)); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	printed := finish(t, remit(t, "env", "--data", dir))
	sh := exec.Command("sh", "-c", `eval "$PRINTED"; printf '%s|%s|%s|%s' "$AWS_ENDPOINT_URL" "$AWS_REGION" "$AWS_SECRET_ACCESS_KEY" "${AWS_PROFILE-none}"`)
	sh.Env = append(os.Environ(), "PRINTED="+printed.stdout, "AWS_PROFILE=work")
	out, err := sh.CombinedOutput()
	if want := "http://127.0.0.1:4566|eu-west-1|" + secret + "|none"; err != nil || string(out) != want {
		t.Errorf("%v\ngot  %q\nwant %q", err, out, want)
	}
	if r := finish(t, remit(t, "env", "--data", dir, "--account", "444455556666")); r.code != 0 || !strings.Contains(r.stdout, "AWS_ACCESS_KEY_ID='AKIB'") {
		t.Errorf("%+v", r)
	}
	if r := finish(t, remit(t, "env", "--data", dir, "--account", "000000000000")); r.code != 1 || r.stdout != "" ||
		!strings.Contains(r.stderr, "does not serve account 000000000000; it serves 111122223333, 444455556666") {
		t.Errorf("%+v", r)
	}
}

// taskDir is the scenario of testdata with a task definition.
func taskDir(t *testing.T, containers string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/task")); err != nil {
		t.Fatal(err)
	}
	// The app is built where its module is.
	app, err := filepath.Abs("testdata/task/app")
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(dir, app)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "scenario.json"), `{"images":{"app:1":{"package":"`+rel+`"}}}`, 0o644)
	write(t, filepath.Join(dir, "task-definition.json"), `{"family":"app","taskRoleArn":"both","executionRoleArn":"arn:aws:iam::111122223333:role/both",
		"networkMode":"awsvpc","requiresCompatibilities":["FARGATE"],"cpu":"256","memory":"512","containerDefinitions":[`+containers+`]}`, 0o644)
	return dir
}

func write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func container(name, more string) string {
	return fmt.Sprintf(`{"name":%q,"image":"111122223333.dkr.ecr.us-east-1.amazonaws.com/app:1",%s}`, name, more)
}

// TestRun runs tasks as plain processes, which works everywhere.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an image and runs it")
	}
	for name, tc := range map[string]struct {
		containers string
		flags      []string
		code       int
		want       []string
		last       string
	}{
		"well": {container("app", `"command":["0"]`), nil, 0, []string{`(?m)^pushed app:1 \([0-9.]+ MB\)$`, `task RUNNING|task STOPPED`, `(?m)^task and execution +assumed-role/both/\S+ +ecr:BatchGetImage`, `(?m)^ECS +\S+ +sts:AssumeRole +role/both +allowed`}, `^container app exited with 0$`},
		"its status": {container("app", `"command":["7"]`) + "," + container("helper", `"essential":false,"command":["3"]`), nil, 7,
			[]string{`(?m)^container app exited with 7`}, `^container (app|helper) exited with `},
		"no such program": {container("app", `"entryPoint":["/none"]`), nil, 1, nil, `CannotStartContainerError.*/none`},
		"too long":        {container("app", `"command":["wait"]`), []string{"--timeout", "4s"}, 1, []string{`container app exited with 0`}, `^it ran longer than --timeout 4s$`},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"run", "--runtime", "process"}, tc.flags...)
			r := finish(t, remit(t, append(args, taskDir(t, tc.containers))...))
			lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
			ok := r.code == tc.code && regexp.MustCompile(tc.last).MatchString(lines[len(lines)-1]) && !strings.Contains(r.stdout, "\x1b")
			for _, w := range tc.want {
				ok = ok && regexp.MustCompile(w).MatchString(r.stdout)
			}
			if !ok {
				t.Errorf("exit %d, want %d; the last line is to be %s\n%s\n%s", r.code, tc.code, tc.last, r.stdout, r.stderr)
			}
		})
	}
}

// TestInterrupt presses Ctrl-C while the task runs.
func TestInterrupt(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an image and runs it")
	}
	c := remit(t, "run", "--runtime", "process", taskDir(t, container("app", `"command":["wait"]`)))
	var out lines
	out.when("task RUNNING", func() {
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
	})
	c.Stdout, c.Stderr = &out, &out
	_ = c.Run()
	text := out.text.String()
	if code := c.ProcessState.ExitCode(); code != interrupted || !strings.Contains(text, "task STOPPED") || !strings.Contains(text, "container app exited with 0") || !strings.Contains(text, "What was asked") {
		t.Errorf("exit %d, want %d\n%s", code, interrupted, text)
	}
}

// lines keeps what is printed, and does something when it sees a text.
type lines struct {
	text strings.Builder // a bytes.Buffer would be read into without Write
	seen string
	do   func()
}

func (l *lines) when(seen string, do func()) { l.seen, l.do = seen, do }

func (l *lines) Write(p []byte) (int, error) {
	n, err := l.text.Write(p)
	if l.do != nil && strings.Contains(l.text.String(), l.seen) {
		l.do()
		l.do = nil
	}
	return n, err
}

func TestNotes(t *testing.T) {
	notes := make([]string, 20)
	for i := range notes {
		notes[i] = fmt.Sprintf("not loaded: %d", i)
	}
	var few, all, none bytes.Buffer
	printNotes(&few, notes, false)
	printNotes(&all, notes, true)
	printNotes(&none, nil, false)
	if n := strings.Count(few.String(), "\n"); n != mostNotes || !strings.HasSuffix(few.String(), "\nand 9 more that are not loaded; --verbose names them all\n") {
		t.Errorf("%d lines:\n%s", n, few.String())
	}
	if n := strings.Count(all.String(), "\n"); n != 20 || none.Len() != 0 {
		t.Errorf("%d lines; none: %q", n, none.String())
	}
}

// TestProgress draws in a pipe and on a terminal.
func TestProgress(t *testing.T) {
	draw := func(p *progress) {
		p.update("a:1", 0, 2e6)
		p.update("a:1", 1e6, 2e6)
		p.update("a:1", 2e6, 2e6)
		p.update("b:1", 1e6, 1e6)
		p.done()
		p.done()
	}
	var pipe bytes.Buffer
	draw(newProgress(&pipe))
	if want := "pushed a:1 (2.0 MB)\npushed b:1 (1.0 MB)\n"; pipe.String() != want {
		t.Errorf("got %q, want %q", pipe.String(), want)
	}

	master, slave := openPTY(t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if l := layout(slave); l.Width != 100 || !l.Colour {
		t.Errorf("on a terminal: %+v", l)
	}
	t.Setenv("NO_COLOR", "1")
	if layout(slave).Colour {
		t.Error("NO_COLOR is not honoured")
	}
	if l := layout(&pipe); l.Width != 0 || l.Colour {
		t.Errorf("in a pipe: %+v", l)
	}
	p := newProgress(slave)
	if !p.tty {
		t.Fatal("a terminal is not seen")
	}
	draw(p)
	buf := make([]byte, 4096)
	n, err := master.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	got := string(buf[:n])
	for _, want := range []string{"push a:1 [" + strings.Repeat("=", barWidth) + "]   2.0 of 2.0 MB", "\r\x1b[Kpushed a:1 (2.0 MB)"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}
