package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// NextToken makes the opaque token that continues a listing after key. It is
// bound to the account and operation, and authenticated: a client can neither
// read where other listings stand nor make one up.
func (c *Call) NextToken(key string) *string {
	t := base64.RawURLEncoding.EncodeToString(append(c.pageMAC(key), key...))
	return &t
}

// After returns the key that a listing continues after: "" without a token,
// false for a token that is not one of this operation's.
func (c *Call) After(token *string) (string, bool) {
	if token == nil || *token == "" {
		return "", true
	}
	raw, err := base64.RawURLEncoding.DecodeString(*token)
	if err != nil || len(raw) < 16 {
		return "", false
	}
	key := string(raw[16:])
	if !hmac.Equal(raw[:16], c.pageMAC(key)) {
		return "", false
	}
	return key, true
}

func (c *Call) pageMAC(key string) []byte {
	m := hmac.New(sha256.New, c.g.PageKey)
	for _, s := range [...]string{c.Account, c.Region, c.Op.Action(), key} {
		m.Write([]byte(s))
		m.Write([]byte{0})
	}
	return m.Sum(nil)[:16]
}
