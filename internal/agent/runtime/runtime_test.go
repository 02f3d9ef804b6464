package runtime

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "A-b_c.9", "0", "_x", strings.Repeat("x", 128)} {
		if err := CheckID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", ".x", "-x", "a/b", "a\x00", "a b", "é", strings.Repeat("x", 129)} {
		if CheckID(id) == nil {
			t.Errorf("%q is accepted", id)
		}
	}
}

// TestCheckSpecDegrades lists what a poorer runtime must refuse rather than
// leave out.
func TestCheckSpecDegrades(t *testing.T) {
	poor := Info{Name: "poor"}
	good := ContainerSpec{ID: "a", Args: []string{"x"}}
	if err := CheckSpec(good, poor); err != nil {
		t.Fatal(err)
	}
	network, mount := good, good
	network.NetNS = "/run/netns/x"
	mount.Mounts = []Mount{{Type: MountTmpfs, Target: "/x"}}
	for name, s := range map[string]ContainerSpec{"network": network, "mount": mount} {
		if err := CheckSpec(s, poor); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
		if err := CheckSpec(s, Info{NetNS: true, Mounts: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckSpecKeepsSecrets(t *testing.T) {
	for _, env := range []string{"=secret", "PASSWORD=sec\x00ret"} {
		err := CheckSpec(ContainerSpec{ID: "a", Args: []string{"x"}, Env: []string{env}}, Info{})
		if err == nil || strings.Contains(err.Error(), "sec") {
			t.Errorf("%q: %v", env, err)
		}
	}
}

func FuzzCheckSpec(f *testing.F) {
	f.Add("a", "x", "A=b", "/", "/t")
	f.Add("../a", "", "=", "x", "/..")
	f.Fuzz(func(t *testing.T, id, arg, env, dir, target string) {
		s := ContainerSpec{ID: id, Args: []string{arg}, Env: []string{env}, WorkingDir: dir,
			Mounts: []Mount{{Type: MountTmpfs, Target: target}}}
		if CheckSpec(s, Info{Mounts: true}) != nil {
			return
		}
		if strings.ContainsAny(id, "/\x00") || id == "." || id == ".." || arg == "" || strings.Contains(arg+env, "\x00") ||
			dir != "" && dir[0] != '/' || target[0] != '/' {
			t.Errorf("accepted: %+v", s)
		}
	})
}

func TestStartError(t *testing.T) {
	for text, code := range map[string]int{
		`exec: "/x": stat /x: no such file or directory`: 127,
		`exec: "x": executable file not found in $PATH`:  127,
		`exec: "/x": permission denied`:                  126,
		`exec /x: exec format error`:                     126,
		`fork/exec /x: is a directory`:                   126,
	} {
		err := fmt.Errorf("wrapped: %w", NewStartError(errors.New(text)))
		var s *StartError
		if !errors.As(err, &s) || s.Code != code || s.Error() != text {
			t.Errorf("%s: %#v", text, s)
		}
		if again := NewStartError(err); again != err {
			t.Errorf("wrapped twice: %v", again)
		}
	}
}

func TestGetenv(t *testing.T) {
	env := []string{"A=1", "B=", "A=2=3"}
	if v, ok := Getenv(env, "A"); v != "2=3" || !ok {
		t.Error(v, ok)
	}
	if v, ok := Getenv(env, "B"); v != "" || !ok {
		t.Error(v, ok)
	}
	if _, ok := Getenv(env, "C"); ok {
		t.Error("C")
	}
}
