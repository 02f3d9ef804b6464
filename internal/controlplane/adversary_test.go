//go:build unix

package controlplane

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// TestAbandoned has directories in a place where everybody may make some.
func TestAbandoned(t *testing.T) {
	tmp := t.TempDir()
	make := func(name string, mode os.FileMode, lock bool) string {
		dir := filepath.Join(tmp, tempPrefix+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if lock {
			if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	own := make("own", 0o700, true)
	link := filepath.Join(tmp, tempPrefix+"link")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, dir string
		want      bool
	}{
		{"a killed server's", own, true},
		{"a symbolic link", link, false},
		{"writable for others", make("open", 0o777, true), false},
		{"a server that is starting", make("new", 0o700, false), false},
		{"none", filepath.Join(tmp, "no"), false},
	} {
		if got := abandoned(tc.dir); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	if os.Geteuid() == 0 {
		other := make("other", 0o700, true)
		if err := os.Chown(other, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if abandoned(other) {
			t.Error("another user's directory would be swept with the rights of root")
		}
	}
}

// TestLockFollowsNoLink: a link in a data directory must not make files
// elsewhere.
func TestLockFollowsNoLink(t *testing.T) {
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "made")
	if err := os.Symlink(elsewhere, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if l, err := lockData(dir); err == nil {
		l.release()
		t.Error("the link was followed")
	}
	if _, err := os.Lstat(elsewhere); err == nil {
		t.Error("a file was made elsewhere")
	}
}

// TestTasksOnly asks the bridge's listener from inside and outside the subnet.
func TestTasksOnly(t *testing.T) {
	for _, tc := range []struct {
		subnet string
		want   bool
	}{{"127.0.0.0/8", true}, {"10.88.0.0/16", false}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })}
		go func() { _ = s.Serve(tasksOnly{l, netip.MustParsePrefix(tc.subnet)}) }()
		res, err := http.Get("http://" + l.Addr().String())
		if got := err == nil; got != tc.want {
			t.Errorf("from 127.0.0.1 to a listener for %s: answered %v (%v)", tc.subnet, got, err)
		}
		if err == nil {
			res.Body.Close()
		}
		_ = s.Close()
	}
}

// TestResetIsNotForEverybody: neither a task nor a page in a browser empties
// the state.
func TestResetIsNotForEverybody(t *testing.T) {
	cp := &ControlPlane{Options: Options{AllowReset: true}, subnet: netip.MustParsePrefix("10.88.0.0/16")}
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.RemoteAddr = "10.88.0.7:4000" },
		func(r *http.Request) { r.RemoteAddr = "[::ffff:10.88.0.7]:4000" },
		func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
	} {
		r := httptest.NewRequest("POST", "/_remit/reset", nil)
		change(r)
		w := httptest.NewRecorder()
		cp.reset(w, r) // there is no store: getting as far as that panics
		if w.Code != http.StatusForbidden {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestEverywhere: a listener on all addresses has the bridge's already.
func TestEverywhere(t *testing.T) {
	for listen, want := range map[string]bool{"0.0.0.0:0": true, ":0": true, "127.0.0.1:0": false} {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := everywhere(l.Addr()); got != want {
			t.Errorf("%s: %v", listen, got)
		}
		_ = l.Close()
	}
}
