package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/policy"
)

var updateDocs = flag.Bool("update-docs", false, "write what the commands in docs/howto/simulate-a-policy.md print")

// TestSimulateHowto runs the commands of the how-to: what it shows is what is
// printed.
func TestSimulateHowto(t *testing.T) {
	const howto = "../../docs/howto/simulate-a-policy.md"
	text, err := os.ReadFile(howto)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "remit")); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)\n`([a-z]+\\.json)`:\n\n```json\n(.*?\n)```\n").FindAllSubmatch(text, -1) {
		if err := os.WriteFile(filepath.Join(dir, string(m[1])), m[2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blocks := 0
	now := regexp.MustCompile("(?s)```console\n(.*?)```\n").ReplaceAllFunc(text, func(block []byte) []byte {
		blocks++
		return []byte("```console\n" + session(t, dir, string(block)) + "```\n")
	})
	if blocks < 5 {
		t.Errorf("only %d commands", blocks)
	}
	if *updateDocs {
		if err := os.WriteFile(howto, now, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(now, text) {
		t.Errorf("the how-to shows something else; look at the difference after go test ./cmd/remit -run Howto -update-docs\n%s", now)
	}
}

// session runs the commands of a block, with what they print below each.
func session(t *testing.T, dir, block string) string {
	t.Helper()
	var script, shown strings.Builder
	script.WriteString("exec 2>&1\n")
	for _, c := range regexp.MustCompile(`(?m)^\$ (?:.*\\\n)*.*\n`).FindAllString(block, -1) {
		script.WriteString("status=$?; cat <<'COMMAND'\n" + c + "COMMAND\n(exit $status)\n" + strings.TrimPrefix(c, "$ "))
	}
	sh := exec.CommandContext(t.Context(), "sh", "-c", script.String())
	sh.Dir = dir
	sh.Env = append(os.Environ(), beRemit+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
	sh.Stdout = &shown
	if err := sh.Run(); err != nil && sh.ProcessState == nil {
		t.Fatal(err)
	}
	return shown.String()
}

func TestSimulate(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"all.json":     `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		"get.json":     `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::shelf/*"}}`,
		"no-get.json":  `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:GetObject","Resource":"*"}}`,
		"tags.json":    `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecs:TagResource","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["team","stage"]}}}}`,
		"bucket.json":  `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::shelf/*"}}`,
		"trust.json":   `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}}`,
		"assume.json":  `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`,
		"syntax.json":  "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [,]\n}\n",
		"unclear.json": "{\"Version\":\"2012-10-17\",\"Statement\":[\n{\"Effect\":\"Allow\",\"Action\":\"s3\",\"Resource\":\"*\"},\n{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"*\",\"Principal\":\"*\"}]}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const alice, app, get = "--principal arn:aws:iam::111122223333:user/alice ", "--principal arn:aws:sts::111122223333:assumed-role/app/one ", " --action s3:GetObject --resource-arn arn:aws:s3:::shelf/a "
	for _, tc := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		// Every layer in turn.
		{alice + "--identity get.json" + get, 0, `^allowed\n\nallowed by the identity-based policy`, `^$`},
		{alice + get, 3, `^implicitDeny: User: arn:aws:iam::111122223333:user/alice is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::shelf/a because no identity-based policy allows the s3:GetObject action\n`, `^$`},
		{alice + "--identity get.json --identity no-get.json" + get, 3, `^explicitDeny: User: .* with an explicit deny in an identity-based policy\n(?s:.*)to allow it: change statement 1 \(line 1, column 37\) of no-get.json`, `^$`},
		{alice + "--identity all.json --boundary tags.json" + get, 3, `^implicitDeny: .*because no permissions boundary allows`, `^$`},
		{app + "--identity all.json --session tags.json" + get, 3, `^implicitDeny: User: arn:aws:sts::111122223333:assumed-role/app/one .*because no session policy allows`, `^$`},
		{alice + "--identity all.json --scp all.json --scp get.json" + get, 0, `service control policy: allows`, `^$`},
		{alice + "--identity all.json --scp all.json --scp tags.json" + get, 3, `because no service control policy allows(?s:.*)level 2 of 2 has no policy that allows it`, `^$`},
		{alice + "--identity all.json --scp all.json --scp tags.json,all.json" + get, 0, `^allowed`, `^$`},
		{alice + "--identity all.json --scp all.json,no-get.json" + get, 3, `^explicitDeny: .*with an explicit deny in a service control policy`, `^$`},
		// Other accounts, trust.
		{"--principal arn:aws:iam::444455556666:user/bob --identity get.json --resource-policy bucket.json --resource-owner 111122223333" + get, 0, `^allowed`, `^$`},
		{"--principal arn:aws:iam::444455556666:user/bob --resource-policy bucket.json --resource-owner 111122223333" + get, 3, `because no identity-based policy`, `^$`},
		{alice + "--identity assume.json --resource-policy trust.json --action sts:AssumeRole --resource-arn arn:aws:iam::111122223333:role/app", 0, `role trust policy: allows`, `^$`},
		{alice + "--resource-policy trust.json --action sts:AssumeRole --resource-arn arn:aws:iam::111122223333:role/app", 3, `because no identity-based policy allows the sts:AssumeRole action`, `^$`},
		{"--principal ecs-tasks.amazonaws.com --resource-policy trust.json --action sts:AssumeRole --resource-arn arn:aws:iam::111122223333:role/app", 3, `because no role trust policy allows`, `^$`},
		// One key with several values.
		{alice + "--identity tags.json --action ecs:TagResource --context aws:TagKeys=team --context AWS:tagkeys=stage", 0, `^allowed`, `^$`},
		{alice + "--identity tags.json --action ecs:TagResource --context aws:TagKeys=team --context aws:TagKeys=owner", 3, `aws:TagKeys is "team", "owner"`, `^$`},
		// What is unusable.
		{"", 2, `^$`, `^remit: simulate needs --principal\n$`},
		{alice, 2, `^$`, `^remit: simulate needs --action\n$`},
		{alice + get + "now", 2, `^$`, `^remit: simulate takes flags only: \["now"\]\n$`},
		{"--principal alice" + get, 2, `^$`, `^remit: --principal alice is not the ARN of a user`},
		{alice + "--action s3:*", 2, `^$`, `^remit: The action s3:\* is invalid since wildcards`},
		{alice + "--action GetObject", 2, `^$`, `^remit: The action is invalid since it is missing names\n$`},
		{alice + "--action s3:GetObject --resource-arn shelf", 2, `^$`, `^remit: ResourceNames are not in a valid ARN format: shelf\.\n$`},
		{alice + get + "--resource-owner me", 2, `^$`, `^remit: The resource owner me is not an account`},
		{alice + get + "--context here", 2, `^$`, `invalid value "here" for flag -context: want KEY=VALUE`},
		{alice + get + "--identity nowhere.json", 2, `^$`, `^remit: open nowhere.json: no such file or directory\n$`},
		{alice + get + "--identity syntax.json", 2, `^$`, `^syntax.json:3:17: not JSON: .*\n$`},
		{alice + get + "--boundary unclear.json --session syntax.json", 2, `^$`, `^syntax.json:3:17: not JSON: .*\nunclear.json:2:28: "s3" is not an action\nunclear.json:3:\d+: Principal does not belong in this kind of policy\n$`},
		{"-h", 0, `^$`, `-resource-policy FILE`},
	} {
		var out, errs bytes.Buffer
		code := realMain(append([]string{"simulate"}, strings.Fields(tc.args)...), &out, &errs)
		if code != tc.code || !regexp.MustCompile(tc.stdout).MatchString(out.String()) || !regexp.MustCompile(tc.stderr).MatchString(errs.String()) {
			t.Errorf("remit simulate %s: exit %d, want %d\nstdout: %s\nstderr: %s", tc.args, code, tc.code, out.String(), errs.String())
		}
	}
	var out bytes.Buffer
	if code := realMain(append([]string{"simulate", "--json"}, strings.Fields(alice+get)...), &out, &bytes.Buffer{}); code != 3 {
		t.Errorf("with --json: exit %d", code)
	}
	var r policy.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Decision != "implicitDeny" || len(r.ToAllow) != 1 || !strings.Contains(r.Message, "not authorized to perform: s3:GetObject") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
