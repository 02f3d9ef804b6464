package registry

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const reg = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
	tests := []struct {
		host, path string
		noun       noun
		name, ref  string // "" for name: not a route
	}{
		{"h:1", "/v2/" + reg + "/app/manifests/v1", manifests, "app", "v1"},
		{"h:1", "/v2/" + reg + "/a/b/c/manifests/sha256:00", manifests, "a/b/c", "sha256:00"},
		{"h:1", "/v2/" + reg + "/blobs/uploads/", 0, "", ""},
		{"h:1", "/v2/" + reg + "/app/blobs/uploads/", uploads, "app", ""},
		{"h:1", "/v2/" + reg + "/app/blobs/uploads", uploads, "app", ""},
		{"h:1", "/v2/" + reg + "/app/blobs/uploads/id", uploads, "app", "id"},
		{"h:1", "/v2/" + reg + "/app/blobs/sha256:00", blobs, "app", "sha256:00"},
		{"h:1", "/v2/" + reg + "/app/tags/list", tags, "app", ""},
		{"h:1", "/v2/" + reg + "/blobs/uploads/manifests/v1", manifests, "blobs/uploads", "v1"},
		{"h:1", "/v2/" + reg + "/tags/list/tags/list", tags, "tags/list", ""},
		{reg, "/v2/app/manifests/v1", manifests, "app", "v1"},
		{reg + ":4566", "/v2/a/b/tags/list", tags, "a/b", ""},
		{"h:1", "/v2/app/manifests/v1", 0, "", ""},
		{"h:1", "/v2/" + reg + "/app/manifests/", 0, "", ""},
		{"h:1", "/v2/" + reg + "/app/manifests/a/b", 0, "", ""},
		{"h:1", "/v2/" + reg + "/App/manifests/a", 0, "", ""},
		{"h:1", "/v2/" + reg + "//manifests/a", 0, "", ""},
		{"h:1", "/v2/" + reg, 0, "", ""},
		{"h:1", "/v2/11112222333.dkr.ecr.eu-west-1.amazonaws.com/app/tags/list", 0, "", ""},
		{"h:1", "/v2/" + reg + ".evil.com/app/tags/list", 0, "", ""},
	}
	for _, tt := range tests {
		r, ok := parse(tt.host, tt.path)
		if ok != (tt.name != "") {
			t.Errorf("%s: %v %+v", tt.path, ok, r)
			continue
		}
		if ok && (r.noun != tt.noun || r.name != tt.name || r.reference != tt.ref || r.account != "111122223333" || r.region != "eu-west-1") {
			t.Errorf("%s: %+v", tt.path, r)
		}
	}
}

// FuzzParse holds what a path is taken for to what it says.
func FuzzParse(f *testing.F) {
	const reg = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
	f.Add("h:1", "/v2/"+reg+"/app/manifests/v1")
	f.Add(reg, "/v2/a/b/blobs/uploads/x")
	f.Add("h", "/v2/"+reg+"/a/blobs/sha256:1")
	f.Fuzz(func(t *testing.T, host, path string) {
		r, ok := parse(host, path)
		if !ok {
			return
		}
		if !namePattern.MatchString(r.name) || len(r.account) != 12 || r.region == "" || strings.Contains(r.reference, "/") {
			t.Errorf("%q %q: %+v", host, path, r)
		}
		if !strings.HasPrefix(path, r.base+"/") || !strings.HasSuffix(r.base, r.name) {
			t.Errorf("%q %q: base %q", host, path, r.base)
		}
	})
}
