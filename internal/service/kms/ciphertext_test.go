package kms

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

var someMaterial = bytes.Repeat([]byte{7}, materialSize)

func sealed(t testing.TB, h header, plain string, context map[string]string) []byte {
	t.Helper()
	blob, err := h.seal(someMaterial, []byte(plain), context)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// someCiphertext is "plain" under someMaterial with the context a=b: the 4th
// generation of key 1234abcd-12ab-34cd-56ef-1234567890ab of 111122223333. What
// was encrypted once must open for ever.
const someCiphertext = "0119df6690e51234abcd12ab34cd56ef1234567890ab00000003f7bef3456d4835c3e3c68625dd024b5891d158bc2859676c29e82b72591d6c9cffd6238483"

func TestFormatStays(t *testing.T) {
	blob, err := hex.DecodeString(someCiphertext)
	if err != nil {
		t.Fatal(err)
	}
	h, _, ok := parseCiphertext(blob)
	if want := (header{account: "111122223333", keyID: "1234abcd-12ab-34cd-56ef-1234567890ab", generation: 3}); !ok || h != want {
		t.Errorf("%+v", h)
	}
	if plain, err := open(someMaterial, blob, map[string]string{"a": "b"}); err != nil || string(plain) != "plain" {
		t.Errorf("%q, %v", plain, err)
	}
}

// FuzzCiphertext: nothing but what seal made opens, and what parses is written
// the same way again.
func FuzzCiphertext(f *testing.F) {
	whole, err := hex.DecodeString(someCiphertext)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:sealedAt+tagSize])
	f.Add(sealed(f, header{account: "000000000000", keyID: "1234abcd-12ab-34cd-56ef-1234567890ab"}, "", nil))
	f.Add(append(bytes.Clone(whole), 0))
	f.Add(bytes.Repeat([]byte{0xff}, sealedAt+tagSize))
	f.Add([]byte{ciphertextFormat})
	f.Fuzz(func(t *testing.T, blob []byte) {
		h, _, ok := parseCiphertext(blob)
		if !ok {
			return
		}
		if _, ok := keyBytes(h.keyID); !ok || !isAccount(h.account) {
			t.Fatalf("%+v", h)
		}
		again := sealed(t, h, "x", nil)
		if !bytes.Equal(again[:saltAt], blob[:saltAt]) {
			t.Errorf("the header %x becomes %x", blob[:saltAt], again[:saltAt])
		}
		if _, err := open(someMaterial, blob, map[string]string{"a": "b"}); !bytes.Equal(blob, whole) && !errors.Is(err, errCiphertext) {
			t.Errorf("%x opens: %v", blob, err)
		}
	})
}

// TestContextIsAuthenticated: contexts that would look alike if they were only
// strung together do not.
func TestContextIsAuthenticated(t *testing.T) {
	h := header{account: "111122223333", keyID: "1234abcd-12ab-34cd-56ef-1234567890ab"}
	contexts := []map[string]string{nil, {"": ""}, {"ab": "c"}, {"a": "bc"}, {"a": "b", "c": ""}, {"a": "b", "": "c"}, {"abc": ""}, {"": "abc"}}
	for i, as := range contexts {
		blob := sealed(t, h, "plain", as)
		for j, with := range contexts {
			if plain, err := open(someMaterial, blob, with); (i == j) != (err == nil) || i == j && string(plain) != "plain" {
				t.Errorf("%v opened with %v: %q, %v", as, with, plain, err)
			}
		}
		if _, err := open(bytes.Repeat([]byte{8}, materialSize), blob, as); !errors.Is(err, errCiphertext) {
			t.Errorf("opened with another key: %v", err)
		}
	}
}

func TestKeyBytes(t *testing.T) {
	const good = "1234abcd-12ab-34cd-56ef-1234567890ab"
	for _, bad := range []string{"", good[1:], good + "0", strings.ToUpper(good), strings.Replace(good, "-", "0", 1), strings.Replace(good, "1", "g", 1), "mrk-1234abcd12ab34cd56ef1234567890ab"} {
		if _, ok := keyBytes(bad); ok {
			t.Errorf("%q is taken for a key id", bad)
		}
	}
	if b, ok := keyBytes(good); !ok || uuid(b[:]) != good {
		t.Errorf("%x, %v", b, ok)
	}
}
