package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/remit-ecs/remit/internal/seal"
)

func open(t *testing.T, dir string) *seal.Keyring {
	t.Helper()
	k, err := seal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealSurvivesRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	secret := []byte("s3cr3t")
	k := open(t, dir)
	sealed := k.Seal("secret/a", secret)
	if bytes.Contains(sealed, secret) {
		t.Error("the plaintext shows")
	}
	if bytes.Equal(sealed, k.Seal("secret/a", secret)) {
		t.Error("sealing twice gave the same bytes")
	}
	again := open(t, dir)
	if got, err := again.Open("secret/a", sealed); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("Open = %q, %v", got, err)
	}
	if !bytes.Equal(k.Derive("x", 32), again.Derive("x", 32)) || bytes.Equal(k.Derive("x", 32), k.Derive("y", 32)) {
		t.Error("Derive")
	}
	st, err := os.Stat(filepath.Join(dir, seal.FileName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", st.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

func TestOpenRefuses(t *testing.T) {
	k := seal.NewEphemeral()
	sealed := k.Seal("p", []byte("text"))
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := k.Open("p", bad); err == nil {
			t.Errorf("byte %d altered, and it opened", i)
		}
	}
	for n := range sealed {
		if _, err := k.Open("p", sealed[:n]); err == nil {
			t.Errorf("cut to %d bytes, and it opened", n)
		}
	}
	if _, err := k.Open("q", sealed); !errors.Is(err, seal.ErrCorrupt) {
		t.Errorf("other purpose: %v", err)
	}
	if _, err := seal.NewEphemeral().Open("p", sealed); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("other key: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable by others": {base64.StdEncoding.EncodeToString(make([]byte, 32)), 0o640, "chmod 600"},
		"empty":              {"", 0o600, "holds no key"},
		"short":              {"AAAA", 0o600, "line 1: not a master key"},
		"not base64":         {"# fine\n!!!", 0o600, "line 2: not a master key"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, seal.FileName)
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Open(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if got, _ := os.ReadFile(path); string(got) != c.text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestOlderKeysStillOpen(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	sealed := k.Seal("p", []byte("old"))
	path := filepath.Join(dir, seal.FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fresh := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)) + "\n"
	if err := os.WriteFile(path, append([]byte(fresh), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	both := open(t, dir)
	if got, err := both.Open("p", sealed); err != nil || string(got) != "old" {
		t.Errorf("old: %q, %v", got, err)
	}
	if _, err := k.Open("p", both.Seal("p", nil)); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("the new key is not in use: %v", err)
	}
}

func TestCreatedOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	rings := make([]*seal.Keyring, 8)
	for i := range rings {
		wg.Go(func() { rings[i], _ = seal.Open(dir) })
	}
	wg.Wait()
	sealed := rings[0].Seal("p", []byte("x"))
	for i, k := range rings {
		if k == nil {
			t.Fatalf("ring %d did not open", i)
		}
		if _, err := k.Open("p", sealed); err != nil {
			t.Errorf("ring %d: %v", i, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := seal.NewEphemeral()
	good := k.Seal("p", []byte("text"))
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := k.Open("p", data); err == nil && !bytes.Equal(data, good) {
			t.Errorf("%x opened", data)
		}
	})
}
