// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The generated files in the tree are those that the committed models give.
func TestGeneratedFilesAreFresh(t *testing.T) {
	if err := run("../..", "", true); err != nil {
		t.Error(err)
	}
}

func TestCheckWritesNothing(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "old.go")
	if err := os.WriteFile(stale, []byte(generatedMark), 0o644); err != nil {
		t.Fatal(err)
	}
	byHand := filepath.Join(dir, "hand.go")
	if err := os.WriteFile(byHand, []byte("package x"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"new.go": []byte(generatedMark)}
	got, err := settle(dir, want, true)
	if err != nil || len(got) != 2 {
		t.Errorf("with check: %v %v", got, err)
	}
	if _, err := os.Stat(stale); err != nil {
		t.Error("-check removed a file")
	}
	if _, err := settle(dir, want, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a generated file that is no longer wanted stayed")
	}
	if _, err := os.Stat(byHand); err != nil {
		t.Error("a file written by hand was removed")
	}
	if got, err := settle(dir, want, true); err != nil || len(got) != 0 {
		t.Errorf("after writing: %v %v", got, err)
	}
}

// A correction goes when the model no longer needs it, or no longer has the shape.
func TestCorrectionsExpire(t *testing.T) {
	m, err := readModel("models/iam.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := correct("iam", m); err != nil {
		t.Fatal(err)
	}
	if err := correct("iam", m); err == nil {
		t.Error("a value that the model lists was added again")
	}
	if err := correct("iam", &model{}); err == nil {
		t.Error("a shape that is not there was corrected")
	}
}

func TestConstant(t *testing.T) {
	for in, want := range map[string]string{
		"FARGATE_SPOT": "FargateSpot", "EC2": "Ec2", "awsvpc": "Awsvpc", "aws:kms:dsse": "AwsKmsDsse",
		"memberOf": "MemberOf", "us-gov-west-1": "UsGovWest1", "AES256": "Aes256", "CanonicalUser": "CanonicalUser",
	} {
		if got := constant(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestReadServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "served.txt")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# comment\n\necs: *\nssm: GetParameter # one\nssm: PutParameter\n")
	got, err := readServed(path)
	if err != nil || !got["ecs"]["*"] || len(got["ssm"]) != 2 || !got["ssm"]["PutParameter"] {
		t.Errorf("%v %v", got, err)
	}
	write("ecs\n")
	if _, err := readServed(path); err == nil || !strings.Contains(err.Error(), "served.txt:1") {
		t.Errorf("a line without a colon: %v", err)
	}
}

func TestServedOperationsExist(t *testing.T) {
	m, err := readModel("models/sts.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := generate("sts", m, map[string]bool{"GetCallerIdentities": true}); err == nil {
		t.Error("an operation that the model does not have was accepted")
	}
}

// Reading a trimmed model and writing it again changes nothing.
func TestModelsAreTrimmed(t *testing.T) {
	const path = "models/ecs.json.gz"
	m, err := readModel(path)
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "ecs.json.gz")
	if err := writeModel(again, m); err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Error("the committed model of ecs is not what -import writes")
	}
}
