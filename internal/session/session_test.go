package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	testNow = time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)
	keyA    = bytes.Repeat([]byte{1}, KeySize)
	keyB    = bytes.Repeat([]byte{2}, KeySize)
)

const (
	testID   = "ASIAEXAMPLEEXAMPLE22"
	testTask = "0123456789abcdef0123456789abcdef"
)

func taskPrincipal() Principal {
	return Principal{
		Type: AssumedRole, Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/app/" + testTask,
		UserID: "AROAEXAMPLEEXAMPLE22:" + testTask, RoleARN: "arn:aws:iam::123456789012:role/team/x/app", RoleName: "app",
		RoleID: "AROAEXAMPLEEXAMPLE22", SessionName: testTask, InvokedBy: "ecs-tasks.amazonaws.com", Region: "eu-central-1",
	}
}

func newSealer(t testing.TB, key []byte, opts ...Option) *Sealer {
	t.Helper()
	s, err := NewSealer(key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mint(t testing.TB, s *Sealer, p Principal) Credentials {
	t.Helper()
	c, err := s.Mint(p, testID, time.Hour, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMintOpen(t *testing.T) {
	full := taskPrincipal()
	full.SourceIdentity, full.MFA, full.Chained = "alice", true, true
	full.Tags = map[string]string{"team": "blue", "empty": "", "é": "ü"}
	full.TransitiveTagKeys = []string{"team", "é"}
	full.Policy = `{"Version":"2012-10-17","Statement":[]}` + strings.Repeat(" ", 2000)
	full.PolicyARNs = []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::123456789012:policy/p"}
	odd := taskPrincipal()
	odd.ARN = "arn:aws:sts::123456789012:assumed-role/other/" + testTask
	for name, p := range map[string]Principal{
		"task": taskPrincipal(), "full": full, "ARN that does not follow": odd,
		"china": {Type: AssumedRole, RoleARN: "arn:aws-cn:iam::1:role/r", RoleName: "r", RoleID: "AROA", SessionName: "s",
			ARN: "arn:aws-cn:sts::1:assumed-role/r/s", UserID: "AROA:s"},
		"user": {Type: User, Account: "123456789012", ARN: "arn:aws:iam::123456789012:user/alice", UserID: "AIDA", UserName: "alice", MFA: true},
		"federated": {Type: FederatedUser, Account: "123456789012", ARN: "arn:aws:sts::123456789012:federated-user/bob", UserID: "123456789012:bob", SessionName: "bob",
			UserName: "alice", IssuerARN: "arn:aws:iam::123456789012:user/alice", IssuerID: "AIDA", Policy: "{}", Tags: map[string]string{"a": "b"}},
		"root":    {Type: Root, Account: "123456789012", ARN: "arn:aws:iam::123456789012:root", UserID: "123456789012"},
		"service": {Type: Service, Service: "ecs.amazonaws.com"}, "anonymous": {Type: Anonymous}, "bare role": {Type: AssumedRole},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSealer(t, keyA)
			c := mint(t, s, p)
			if c.AccessKeyID != testID || len(c.SecretAccessKey) != 40 || !strings.HasPrefix(c.SessionToken, "RmtSv1") ||
				!c.Expiration.Equal(testNow.Add(time.Hour).Truncate(time.Second)) {
				t.Errorf("%+v", c)
			}
			want := p
			want.AccessKeyID, want.IssuedAt, want.ExpiresAt = testID, testNow.Truncate(time.Second), c.Expiration
			// Another replica, twice: sealed and from its cache.
			other := newSealer(t, keyA)
			for range 2 {
				got, secret, err := other.Open(testID, c.SessionToken, testNow)
				if err != nil || secret != c.SecretAccessKey || !reflect.DeepEqual(got, want) {
					t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, want)
				}
			}
			t.Logf("token of %d bytes", len(c.SessionToken))
		})
	}
}

func TestExpiry(t *testing.T) {
	for _, cache := range []int{0, 10} {
		s := newSealer(t, keyA, WithCacheSize(cache))
		c := mint(t, s, taskPrincipal())
		for _, x := range []struct {
			at   time.Time
			want error
		}{
			{testNow, nil}, {c.Expiration.Add(-time.Nanosecond), nil}, {c.Expiration, ErrExpired},
			{c.Expiration.Add(time.Hour), ErrExpired}, {testNow, nil},
		} {
			p, secret, err := s.Open(testID, c.SessionToken, x.at)
			if err != x.want {
				t.Errorf("at %v: %v", x.at, err)
			}
			if err != nil && (secret != "" || !reflect.DeepEqual(p, Principal{})) {
				t.Error("a refusal told something")
			}
		}
	}
}

func TestRefusedTokens(t *testing.T) {
	s := newSealer(t, keyA)
	c := mint(t, s, taskPrincipal())
	tok := c.SessionToken
	strange := mint(t, newSealer(t, keyB), taskPrincipal()).SessionToken
	for name, x := range map[string]struct{ id, token string }{
		"another key id": {"ASIAEXAMPLEEXAMPLE23", tok}, "no key id": {"", tok}, "long key id": {strings.Repeat("A", 4000), tok},
		"no token": {testID, ""}, "prefix only": {testID, tokenPrefix}, "cut": {testID, tok[:len(tok)-4]},
		"line break": {testID, tok[:20] + "\n" + tok[20:]}, "another sealer": {testID, strange},
		"huge": {testID, tok + strings.Repeat("A", maxToken)}, "not base64": {testID, tokenPrefix + "!!!!"},
	} {
		if _, _, err := s.Open(x.id, x.token, testNow); err != ErrInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range tok {
		flipped := byte('A')
		if tok[i] == 'A' {
			flipped = 'B'
		}
		if _, _, err := s.Open(testID, tok[:i]+string(flipped)+tok[i+1:], testNow); err != ErrInvalid {
			t.Fatalf("byte %d of %d changed: %v", i, len(tok), err)
		}
	}
	if _, _, err := s.Open(testID, tok, testNow); err != nil {
		t.Error("the token itself:", err)
	}
}

func TestSecretsDiffer(t *testing.T) {
	s := newSealer(t, keyA)
	a, b := mint(t, s, taskPrincipal()), mint(t, s, taskPrincipal())
	if a.SecretAccessKey == b.SecretAccessKey || a.SessionToken == b.SessionToken {
		t.Error("two sessions of one key id are the same")
	}
	if _, secret, _ := s.Open(testID, a.SessionToken, testNow); secret != a.SecretAccessKey {
		t.Error("mixed up")
	}
}

func TestRotation(t *testing.T) {
	s := newSealer(t, keyA)
	old := mint(t, s, taskPrincipal())
	opens := func(tok string) bool { _, _, err := s.Open(testID, tok, testNow); return err == nil }
	if !opens(old.SessionToken) {
		t.Fatal("fresh")
	}
	if err := s.SetKeys(keyB, keyA); err != nil {
		t.Fatal(err)
	}
	fresh := mint(t, s, taskPrincipal())
	if !opens(old.SessionToken) || !opens(fresh.SessionToken) {
		t.Error("both keys are in the ring")
	}
	if _, _, err := newSealer(t, keyA).Open(testID, fresh.SessionToken, testNow); err != ErrInvalid {
		t.Error("minted with the older key")
	}
	if err := s.SetKeys(keyB); err != nil {
		t.Fatal(err)
	}
	if opens(old.SessionToken) || !opens(fresh.SessionToken) {
		t.Error("a dropped key still opens, or the current one does not")
	}
	if err := s.SetKeys(keyB[:31]); err == nil || !opens(fresh.SessionToken) {
		t.Error("a short key was taken")
	}
	if _, err := NewSealer(keyA, WithOlderKeys(nil)); err == nil {
		t.Error("an empty older key was taken")
	}
}

type ended map[string]bool

func (e ended) Ended(p *Principal) bool { return e[p.SessionName] }

func TestEndedSession(t *testing.T) {
	e := ended{}
	s := newSealer(t, keyA, WithRevoker(e))
	c := mint(t, s, taskPrincipal())
	if _, _, err := s.Open(testID, c.SessionToken, testNow); err != nil {
		t.Fatal(err)
	}
	e[testTask] = true // the task is STOPPED; the token is in the cache by now
	if _, _, err := s.Open(testID, c.SessionToken, testNow); err != ErrInvalid {
		t.Error(err)
	}
}

func TestMintRefuses(t *testing.T) {
	s := newSealer(t, keyA)
	big := taskPrincipal()
	big.Policy = strings.Repeat("x", maxToken)
	for name, f := range map[string]func() (Credentials, error){
		"no type":   func() (Credentials, error) { return s.Mint(Principal{}, testID, time.Hour, testNow) },
		"no id":     func() (Credentials, error) { return s.Mint(taskPrincipal(), "", time.Hour, testNow) },
		"no time":   func() (Credentials, error) { return s.Mint(taskPrincipal(), testID, 0, testNow) },
		"no clock":  func() (Credentials, error) { return s.Mint(taskPrincipal(), testID, time.Hour, time.Time{}) },
		"too large": func() (Credentials, error) { return s.Mint(big, testID, time.Hour, testNow) },
		"no randomness": func() (Credentials, error) {
			return newSealer(t, keyA, WithRandom(strings.NewReader("short"))).Mint(taskPrincipal(), testID, time.Hour, testNow)
		},
	} {
		if c, err := f(); err == nil || c != (Credentials{}) {
			t.Errorf("%s: %v %v", name, c, err)
		}
	}
}

func TestCacheBounded(t *testing.T) {
	s := newSealer(t, keyA, WithCacheSize(3))
	for i := range 10 {
		id := fmt.Sprint("ASIA", i)
		c, err := s.Mint(taskPrincipal(), id, time.Hour, testNow)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Open(id, c.SessionToken, testNow); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.opened.byID) != 3 || s.opened.order.Len() != 3 {
		t.Errorf("%d entries", len(s.opened.byID))
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	c := mint(t, newSealer(t, keyA), taskPrincipal())
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("minted", "credentials", c)
	for _, s := range []string{log.String(), fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, c)} {
		if strings.Contains(s, c.SecretAccessKey) || strings.Contains(s, c.SessionToken) || !strings.Contains(s, testID) {
			t.Error(s)
		}
	}
}

func TestTypes(t *testing.T) {
	for typ, want := range map[Type]string{Root: "Root", User: "IAMUser", AssumedRole: "AssumedRole", Service: "AWSService", Anonymous: "AWSAccount", FederatedUser: "FederatedUser", 0: "Unknown"} {
		if typ.String() != want {
			t.Errorf("%d: %s", typ, typ)
		}
	}
}

func FuzzOpen(f *testing.F) {
	// Fuzzing runs this in several processes, which have to agree on the token.
	s := newSealer(f, keyA, WithRandom(strings.NewReader("twelve bytes")))
	genuine := mint(f, s, taskPrincipal()).SessionToken
	f.Add(testID, genuine)
	f.Add(testID, genuine[:len(genuine)-1])
	f.Add("", tokenPrefix)
	f.Fuzz(func(t *testing.T, id, token string) {
		_, _, err := s.Open(id, token, testNow)
		if err == nil && (id != testID || token != genuine) {
			t.Fatal("forged")
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	})
}

func FuzzDecodePrincipal(f *testing.F) {
	p := taskPrincipal()
	p.Tags = map[string]string{"a": "b"}
	p.PolicyARNs = []string{"x"}
	p.IssuerARN, p.IssuerID = "arn:aws:iam::1:user/u", "AIDA"
	f.Add(appendPrincipal(nil, &p, testNow, testNow.Add(time.Hour)))
	f.Add([]byte{encodingFormat, byte(Root), 0, 1, 1})
	f.Add([]byte{encodingFormat, byte(User), flagImplied, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePrincipal(b)
		if err != nil {
			return
		}
		again, err := decodePrincipal(appendPrincipal(nil, &p, p.IssuedAt, p.ExpiresAt))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("%v\n%+v\n%+v", err, p, again)
		}
	})
}

// The key name in a token tells nothing of the key.
func TestKeyNameIsNotTheKey(t *testing.T) {
	raw, err := base64.StdEncoding.DecodeString(mint(t, newSealer(t, keyA), taskPrincipal()).SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	name := raw[prefixSize : prefixSize+nameSize]
	plain := sha256.Sum256(keyA)
	if bytes.HasPrefix(keyA, name) || bytes.HasPrefix(plain[:], name) {
		t.Error("derived without the key as key")
	}
}

func BenchmarkMint(b *testing.B) {
	s, p := newSealer(b, keyA), taskPrincipal()
	b.ReportAllocs()
	for b.Loop() {
		mint(b, s, p)
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, size := range map[string]int{"sealed": 0, "cached": 10} {
		b.Run(name, func(b *testing.B) {
			s := newSealer(b, keyA, WithCacheSize(size))
			tok := mint(b, s, taskPrincipal()).SessionToken
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.Open(testID, tok, testNow); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
