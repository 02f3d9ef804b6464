package session

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestMessage(t *testing.T) {
	s := newSealer(t, keyA)
	for _, n := range []int{0, 1, 1000, MaxMessage} {
		content := bytes.Repeat([]byte{0}, n) // as the padding does
		text, err := s.SealMessage(content)
		if err != nil || len(text) != MessageLength {
			t.Fatalf("%d bytes: %d characters, %v", n, len(text), err)
		}
		for _, opener := range []*Sealer{s, newSealer(t, keyB, WithOlderKeys(keyA))} {
			if got, err := opener.OpenMessage(text); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes: %v %v", n, got, err)
			}
		}
		if _, err := newSealer(t, keyB).OpenMessage(text); err != ErrMessage {
			t.Errorf("another sealer opened it: %v", err)
		}
	}
	if _, err := s.SealMessage(make([]byte, MaxMessage+1)); err == nil {
		t.Error("a content that is too large was taken")
	}
	if _, err := newSealer(t, keyA, WithRandom(strings.NewReader("short"))).SealMessage(nil); err == nil {
		t.Error("sealed without randomness")
	}
}

// TestMessageTellsNothing: two messages of one content differ, and what the
// content says is not in the text.
func TestMessageTellsNothing(t *testing.T) {
	s := newSealer(t, keyA)
	seal := func(content string) string {
		text, err := s.SealMessage([]byte(content))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	a, b := seal("arn:aws:iam::123456789012:policy/secret"), seal("arn:aws:iam::123456789012:policy/secret")
	if a == b {
		t.Error("the same content looks the same")
	}
	raw := strings.NewReplacer("-", "", "_", "").Replace(a)
	if strings.Contains(raw, "YXJuOmF3c") || strings.Contains(a, "arn:") { // base64 of "arn:aws"
		t.Error("merely encoded")
	}
}

// TestMessageIsNoToken: sealed by the same keys, and not to be mistaken.
func TestMessageIsNoToken(t *testing.T) {
	s := newSealer(t, keyA)
	p := taskPrincipal()
	text, err := s.SealMessage(appendPrincipal(nil, &p, testNow, testNow.Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", testID} {
		if _, _, err := s.Open(id, text, testNow); err != ErrInvalid {
			t.Error(err)
		}
	}
	if _, err := s.OpenMessage(mint(t, s, p).SessionToken); err != ErrMessage {
		t.Error(err)
	}
}

func TestForgedMessages(t *testing.T) {
	s := newSealer(t, keyA)
	text, err := s.SealMessage([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		other := byte('A')
		if text[i] == other {
			other = 'B'
		}
		if _, err := s.OpenMessage(text[:i] + string(other) + text[i+1:]); err != ErrMessage {
			t.Fatalf("character %d changed: %v", i, err)
		}
	}
	for _, bad := range []string{"", "A", text[:len(text)-1], text + "A", text + "\n", text[:9] + "\r\n" + text[9:], text + "=", strings.Repeat("A", MessageLength)} {
		if _, err := s.OpenMessage(bad); err != ErrMessage {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzOpenMessage(f *testing.F) {
	// Fuzzing runs this in several processes, which have to agree on the message.
	s := newSealer(f, keyA, WithRandom(strings.NewReader("twelve bytes")))
	genuine, err := s.SealMessage([]byte("content"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(genuine)
	f.Add(genuine[:len(genuine)-1])
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		content, err := s.OpenMessage(text)
		if err == nil && (text != genuine || string(content) != "content") {
			t.Fatal("forged")
		}
		if err != nil && err != ErrMessage {
			t.Fatal(err)
		}
	})
}
