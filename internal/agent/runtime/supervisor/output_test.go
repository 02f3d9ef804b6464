package supervisor

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// naive is what Lines must do, done the simple way.
func naive(b []byte) (lines []string) {
	if len(b) == 0 {
		return nil
	}
	parts := strings.Split(string(b), "\n")
	for i, l := range parts {
		last := i == len(parts)-1
		for len(l) > runtime.MaxLine {
			lines = append(lines, l[:runtime.MaxLine])
			l = l[runtime.MaxLine:]
		}
		if !last || l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

func collect(t *testing.T, r io.Reader) (lines []string) {
	t.Helper()
	if err := Lines(r, func(b []byte) { lines = append(lines, string(b)) }); err != nil {
		t.Fatal(err)
	}
	return lines
}

func check(t *testing.T, b []byte) {
	t.Helper()
	want := strings.Join(naive(b), "|")
	for name, r := range map[string]io.Reader{
		"whole":    bytes.NewReader(b),
		"halves":   iotest.HalfReader(bytes.NewReader(b)),
		"data+EOF": iotest.DataErrReader(bytes.NewReader(b)),
	} {
		if got := strings.Join(collect(t, r), "|"); got != want {
			t.Errorf("%s: %d bytes: got %.60q (%d), want %.60q (%d)", name, len(b), got, len(got), want, len(want))
		}
	}
}

func TestLines(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	const m = runtime.MaxLine
	for _, s := range []string{
		"", "\n", "a", "a\n", "a\nb", "\n\n", "a\n\nb\n",
		x(4095) + "\n", x(4096) + "\n", x(4097) + "\nrest",
		x(m-1) + "\n", x(m) + "\n", x(m+1) + "\n", x(m), x(m + 1), x(2*m) + "\n", x(2 * m), x(3*m+5) + "\nnext\n",
	} {
		check(t, []byte(s))
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb"), uint16(1))
	f.Add([]byte("\n\n\x00\xff"), uint16(70))
	f.Fuzz(func(t *testing.T, b []byte, times uint16) {
		check(t, bytes.Repeat(b, int(times)%1000+1))
	})
}

func BenchmarkLines(b *testing.B) {
	text := []byte(strings.Repeat(strings.Repeat("x", 100)+"\n", 10_000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Lines(bytes.NewReader(text), func([]byte) {})
	}
}
