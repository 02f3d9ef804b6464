package gateway

import (
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// TestSaidLength: a stranger's Content-Length costs nothing until bytes come.
func TestSaidLength(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("{"))
	r.ContentLength = maxBody
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := readBody(httptest.NewRecorder(), r)
	runtime.ReadMemStats(&after)
	if err != nil || string(b) != "{" {
		t.Fatalf("%q %v", b, err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes for a body of one", n)
	}
}
